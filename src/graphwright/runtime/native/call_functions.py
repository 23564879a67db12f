"""The native call: the dispatcher, an entry's guards and steps, the result.

In: the layout of this process.   Out: `dispatch`, which CPython calls, and the functions that make results, in a `Module`.
Keeps: on every way out the context goes back, references are dropped and the interpreter lock is held.
"""

from __future__ import annotations

from collections.abc import Callable

from graphwright.runtime.native.emitter import NULL, Function, Module, Value, i64
from graphwright.runtime.native.layout import Layout
from graphwright.runtime.native.records import (
    LARGEST_ON_STACK,
    SERVED_BY_NONE,
    STALE,
    WORD,
    Context,
    DispatcherRecord,
    EntryRecord,
    Frame,
    ItemKind,
    Outcome,
    OutputKind,
)
from graphwright.runtime.native.writing import Writer

_FAILED = Value("ptr", "inttoptr (i64 2 to ptr)")
"""The graph, or what comes before any effect, raised."""
_NONE = Value("ptr", f"inttoptr (i64 {SERVED_BY_NONE} to ptr)")


def write_call_functions(module: Module, layout: Layout) -> None:
    """Write the functions that tie the steps together."""
    module.declare("run_steps", "i32", ("ptr", "ptr", "i64"))
    _write_make_symbols(module)
    _write_make_objects(module)
    _write_make_output(module, layout)
    _write_finish_with_output(module)
    _write_finish_with_tuple(module)
    _write_finish_by_python(module)
    _write_run_by_python(module)
    _write_clean_up(module)
    _write_fits_pattern(module)
    _write_drop_owned(module)
    _write_learn(module)
    _write_check_guards(module)
    _write_try_entry(module, layout)
    _write_asking(module)
    _write_dispatch(module, layout)
    _write_check_call(module, layout)
    _write_probe(module, layout)


def _write_make_symbols(module: Module) -> None:
    """`make_symbols(symbols, count)`: a new tuple of ints."""
    with module.function("make_symbols", "ptr", ("ptr", "i64")) as fn:
        symbols, count = fn.params
        made = fn.call_external("PyTuple_New", "ptr", count)
        with fn.if_(fn.is_null(made)):
            fn.ret(NULL)
        with fn.loop(count) as index:
            number = fn.load("i64", symbols, fn.scaled(index))
            item = fn.call_external("PyLong_FromLongLong", "ptr", number)
            with fn.if_(fn.is_null(item)):
                fn.call_external("Py_DecRef", "void", made)
                fn.ret(NULL)
            fn.call_external("PyTuple_SetItem", "i32", made, index, item)
        fn.ret(made)


def _write_make_objects(module: Module) -> None:
    """`make_objects(base, offsets, count)`: a new tuple of the objects at offsets (null: one after the other) of `base`."""
    with module.function("make_objects", "ptr", ("ptr", "ptr", "i64")) as fn:
        base, offsets, count = fn.params
        made = fn.call_external("PyTuple_New", "ptr", count)
        with fn.if_(fn.is_null(made)):
            fn.ret(NULL)
        place = fn.variable(i64(0))
        with fn.loop(count) as index:
            fn.store(fn.scaled(index), place)
            with fn.if_not(fn.is_null(offsets)):
                fn.store(fn.load("i64", offsets, fn.scaled(index)), place)
            item = fn.load("ptr", base, fn.load("i64", place))
            fn.call_external("Py_IncRef", "void", item)
            fn.call_external("PyTuple_SetItem", "i32", made, index, item)
        fn.ret(made)


def _write_make_output(module: Module, layout: Layout) -> None:
    """The step that makes output number w3 / 8 of the frame from the description w2 (see `OutputKind`)."""
    with module.function("make_output", "i32", ("ptr", "ptr")) as fn:
        w = Writer(fn, layout)
        described = w.word(2, "ptr")
        kind, operand = fn.load("i64", described), fn.load("i64", described, WORD)
        slots = fn.load("ptr", w.frame, Frame.SLOTS)
        outputs = fn.load("ptr", w.frame, Frame.OUTPUTS)

        def finish(made: Value) -> None:
            w.raise_if_null(made)
            fn.store(made, outputs, w.word(3))
            w.go_on()

        def finish_view(base: Value) -> None:
            finish(w.call_python(fn.load("ptr", described, 2 * WORD), [base, _symbols_object(w)]))

        with fn.if_(fn.compare("eq", kind, OutputKind.NEW)):
            _take_owner(w, operand, finish)
        with fn.if_(fn.compare("eq", kind, OutputKind.RELAID)):
            finish(_relay(w, operand, fn.load("ptr", described, 2 * WORD)))
        with fn.if_(fn.compare("eq", kind, OutputKind.INPUT)):
            value = fn.load("ptr", slots, operand)
            w.hold(value)
            finish(value)
        with fn.if_(fn.compare("eq", kind, OutputKind.VIEW_OF_INPUT)):
            finish_view(fn.load("ptr", slots, operand))
        finish_view(fn.load("ptr", outputs, operand))


def _symbols_object(w: Writer) -> Value:
    return w.context(Context.SYMBOLS_OBJECT)


def _take_owner(w: Writer, offset: Value, finish: Callable[[Value], None]) -> None:
    """Turn the owner of a buffer into an output."""
    fn = w.fn
    place = fn.at(w.context(Context.OWNERS), offset)
    owner = fn.load("i64", place)
    fn.store(i64(0), place)
    with fn.if_(fn.compare("ne", fn.binary("and", owner, 1), 0)):
        finish(fn.convert("inttoptr", fn.add(owner, -1), "ptr"))
    handle = fn.convert("inttoptr", owner, "ptr")
    made = fn.call_external("THPVariable_Wrap", "ptr", handle)
    fn.call_external("aoti_torch_delete_tensor_object", "i32", handle)
    finish(made)


def _relay(w: Writer, offset: Value, layout: Value) -> Value:
    """Make a tensor of another layout (ndim, offset, sizes, strides) over a buffer's memory."""
    fn = w.fn
    owner = fn.load("i64", w.context(Context.OWNERS), offset)
    is_object = fn.compare("ne", fn.binary("and", owner, 1), 0)
    held = fn.at(fn.convert("inttoptr", fn.add(owner, -1), "ptr"), w.layout.tensor_impl)
    handle = fn.select(is_object, held, fn.convert("inttoptr", owner, "ptr"))
    ndim, start = fn.load("i64", layout), fn.load("i64", layout, WORD)
    sizes = fn.at(layout, 2 * WORD)
    place = fn.variable(NULL)
    error = fn.call_external(
        "aoti_torch__reinterpret_tensor",
        "i32",
        handle,
        ndim,
        sizes,
        fn.at(sizes, fn.scaled(ndim)),
        start,
        place,
    )
    with fn.if_(fn.compare("ne", error, 0)):
        text = fn.address_of_external("relay_error_text")
        kind = fn.address_of_external("PyExc_RuntimeError")
        fn.call_external("PyErr_SetObject", "void", kind, text)
        w.raise_()
    made = fn.call_external("THPVariable_Wrap", "ptr", fn.load("ptr", place))
    fn.call_external("aoti_torch_delete_tensor_object", "i32", fn.load("ptr", place))
    return made


def _write_finish_with_output(module: Module) -> None:
    """`finish_with_output(frame, entry)`: the output whose offset is the entry's `RESULT`."""
    with module.function("finish_with_output", "ptr", ("ptr", "ptr")) as fn:
        frame, entry = fn.params
        offset = fn.load("i64", entry, EntryRecord.RESULT)
        outputs = fn.load("ptr", frame, Frame.OUTPUTS)
        made = fn.load("ptr", outputs, offset)
        fn.call_external("Py_IncRef", "void", made)
        fn.ret(made)


def _write_finish_with_tuple(module: Module) -> None:
    """`finish_with_tuple(frame, entry)`: a tuple; `RESULT` is the address of its length and items (see `ItemKind`)."""
    with module.function("finish_with_tuple", "ptr", ("ptr", "ptr")) as fn:
        frame, entry = fn.params
        described = fn.load("ptr", entry, EntryRecord.RESULT)
        count, items = fn.load("i64", described), fn.at(described, WORD)
        made = fn.call_external("PyTuple_New", "ptr", count)
        with fn.if_(fn.is_null(made)):
            fn.ret(NULL)
        outputs = fn.load("ptr", frame, Frame.OUTPUTS)
        slots = fn.load("ptr", frame, Frame.SLOTS)
        place = fn.variable(NULL)
        with fn.loop(count) as index:
            item = fn.at(items, fn.binary("shl", index, 4))
            kind = fn.load("i64", item)
            with fn.if_(fn.compare("eq", kind, ItemKind.OUTPUT)):
                fn.store(fn.load("ptr", outputs, fn.load("i64", item, WORD)), place)
            with fn.if_(fn.compare("eq", kind, ItemKind.OBJECT)):
                fn.store(fn.load("ptr", item, WORD), place)
            with fn.if_(fn.compare("eq", kind, ItemKind.SLOT)):
                fn.store(fn.load("ptr", slots, fn.load("i64", item, WORD)), place)
            value = fn.load("ptr", place)
            fn.call_external("Py_IncRef", "void", value)
            fn.call_external("PyTuple_SetItem", "i32", made, index, value)
        fn.ret(made)


def _call_and_drop(fn: Function, callable_: Value, parts: list[Value]) -> Value:
    """Call a Python callable with objects that are dropped then; null where one of them could not be made."""
    result = fn.variable(NULL)
    array = fn.array(i64(len(parts) * WORD))
    is_complete = Value("i1", "true")
    for number, part in enumerate(parts):
        fn.store(part, array, number * WORD)
        is_complete = fn.binary("and", is_complete, fn.compare("ne", part, NULL))
    with fn.if_(is_complete):
        made = fn.call_external(
            "PyObject_Vectorcall", "ptr", callable_, array, i64(len(parts)), NULL
        )
        fn.store(made, result)
    for part in parts:
        fn.call_external("Py_DecRef", "void", part)
    return fn.load("ptr", result)


def _sources(fn: Function, frame: Value, entry: Value) -> Value:
    return fn.call(
        "make_objects",
        "ptr",
        fn.load("ptr", frame, Frame.SLOTS),
        fn.load("ptr", entry, EntryRecord.RECIPE_SLOTS),
        fn.load("i64", entry, EntryRecord.NUM_RECIPE_SLOTS),
    )


def _symbols(fn: Function, frame: Value, entry: Value) -> Value:
    return fn.call(
        "make_symbols",
        "ptr",
        fn.load("ptr", frame, Frame.SYMBOLS),
        fn.load("i64", entry, EntryRecord.NUM_SYMBOLS),
    )


def _write_finish_by_python(module: Module) -> None:
    """`finish_by_python(frame, entry)`: the Python callable `RESULT` gets outputs, symbols, sources."""
    with module.function("finish_by_python", "ptr", ("ptr", "ptr")) as fn:
        frame, entry = fn.params
        outputs = fn.call(
            "make_objects",
            "ptr",
            fn.load("ptr", frame, Frame.OUTPUTS),
            NULL,
            fn.load("i64", entry, EntryRecord.NUM_OUTPUTS),
        )
        parts = [outputs, _symbols(fn, frame, entry), _sources(fn, frame, entry)]
        fn.ret(_call_and_drop(fn, fn.load("ptr", entry, EntryRecord.RESULT), parts))


def _write_run_by_python(module: Module) -> None:
    """`run_by_python(frame, entry)`: the Python callable `RESULT` gets inputs, symbols, sources, and does the whole call."""
    with module.function("run_by_python", "ptr", ("ptr", "ptr")) as fn:
        frame, entry = fn.params
        inputs = fn.call(
            "make_objects",
            "ptr",
            fn.load("ptr", frame, Frame.SLOTS),
            fn.load("ptr", entry, EntryRecord.INPUT_SLOTS),
            fn.load("i64", entry, EntryRecord.NUM_INPUTS),
        )
        parts = [inputs, _symbols(fn, frame, entry), _sources(fn, frame, entry)]
        fn.ret(_call_and_drop(fn, fn.load("ptr", entry, EntryRecord.RESULT), parts))


def _write_clean_up(module: Module) -> None:
    """`clean_up(frame, entry)`: give the context back, drop what the frame holds."""
    with module.function("clean_up", "void", ("ptr", "ptr")) as fn:
        frame, entry = fn.params
        context = fn.load("ptr", frame, Frame.CONTEXT)
        with fn.if_not(fn.is_null(context)):
            owners = fn.load("ptr", context, Context.OWNERS)
            with fn.loop(fn.load("i64", entry, EntryRecord.NUM_BUFFERS)) as index:
                place = fn.at(owners, fn.scaled(index))
                with fn.if_(fn.compare("ne", fn.load("i64", place), 0)):
                    fn.call("drop_owner", "void", place)
            fn.store(fn.load("ptr", entry, EntryRecord.FREE_CONTEXT), context, Context.NEXT)
            fn.store(context, entry, EntryRecord.FREE_CONTEXT)
        outputs = fn.load("ptr", frame, Frame.OUTPUTS)
        with fn.loop(fn.load("i64", entry, EntryRecord.NUM_OUTPUTS)) as index:
            fn.call_external("Py_DecRef", "void", fn.load("ptr", outputs, fn.scaled(index)))
        fn.call("drop_owned", "void", frame)
        active = fn.load("i64", entry, EntryRecord.ACTIVE)
        fn.store(fn.add(active, -1), entry, EntryRecord.ACTIVE)
        fn.call_external("PyMem_RawFree", "void", fn.load("ptr", frame, Frame.HEAP))
        fn.ret()


def _write_fits_pattern(module: Module) -> None:
    """`fits_pattern(entry, nargs, names)`: whether a call has the form that the entry serves."""
    with module.function("fits_pattern", "i1", ("ptr", "i64", "ptr"), is_inlined=True) as fn:
        entry, nargs, names = fn.params
        no, yes = Value("i1", "false"), Value("i1", "true")
        with fn.if_(fn.compare("ne", nargs, fn.load("i64", entry, EntryRecord.NUM_POSITIONAL))):
            fn.ret(no)
        expected = fn.load("i64", entry, EntryRecord.NUM_KEYWORDS)
        with fn.if_(fn.is_null(names)):
            fn.ret(fn.compare("eq", expected, 0))
        count = fn.load("i64", names, 2 * WORD)
        with fn.if_(fn.compare("ne", count, expected)):
            fn.ret(no)
        keywords = fn.load("ptr", entry, EntryRecord.KEYWORDS)
        with fn.loop(count) as index:
            found = fn.call_external("PyTuple_GetItem", "ptr", names, index)
            wanted = fn.load("ptr", keywords, fn.scaled(index))
            with fn.if_(fn.compare("ne", found, wanted)):
                order = fn.call_external("PyUnicode_Compare", "i32", found, wanted)
                with fn.if_(fn.compare("ne", order, 0)):
                    fn.ret(no)
        fn.ret(yes)


def _write_drop_owned(module: Module) -> None:
    """`drop_owned(frame)`: drop the references that the frame holds for its slots."""
    with module.function("drop_owned", "void", ("ptr",)) as fn:
        frame = fn.params[0]
        held = fn.load("ptr", frame, Frame.OWNED)
        with fn.loop(fn.load("i64", frame, Frame.NUM_OWNED)) as index:
            fn.call_external("Py_DecRef", "void", fn.load("ptr", held, fn.scaled(index)))
        fn.store(i64(0), frame, Frame.NUM_OWNED)
        fn.ret()


def _write_learn(module: Module) -> None:
    """`learn(frame, entry)`: let Python make a shortcut from what the slots hold, when it is time to."""
    with module.function("learn", "void", ("ptr", "ptr")) as fn:
        frame, entry = fn.params
        callable_ = fn.load("ptr", entry, EntryRecord.LEARN)
        left = fn.add(fn.load("i64", entry, EntryRecord.UNTIL_LEARNING), -1)
        fn.store(left, entry, EntryRecord.UNTIL_LEARNING)
        has_time = fn.binary("or", fn.is_null(callable_), fn.compare("sgt", left, 0))
        with fn.if_(has_time):
            fn.ret()
        slots = fn.load("ptr", frame, Frame.SLOTS)
        count = fn.load("i64", entry, EntryRecord.NUM_SLOTS)
        objects = fn.call("make_objects", "ptr", slots, NULL, count)
        made = fn.variable(NULL)
        with fn.if_not(fn.is_null(objects)):
            # The frame holds the objects until the call ends: Python code may run here, and drop them elsewhere.
            owned, number = (
                fn.load("ptr", frame, Frame.OWNED),
                fn.load("i64", frame, Frame.NUM_OWNED),
            )
            fn.store(objects, owned, fn.scaled(number))
            fn.store(fn.add(number, 1), frame, Frame.NUM_OWNED)
            array = fn.array(i64(WORD))
            fn.store(objects, array)
            result = fn.call_external("PyObject_Vectorcall", "ptr", callable_, array, i64(1), NULL)
            fn.store(result, made)
        with fn.if_(fn.is_null(fn.load("ptr", made))):
            fn.call_external("PyErr_WriteUnraisable", "void", callable_)
        fn.call_external("Py_DecRef", "void", fn.load("ptr", made))
        fn.ret()


def _write_check_guards(module: Module) -> None:
    """`check_guards(frame, entry)`: the outcome of the guards, by a shortcut where there is one that holds.

    A new shortcut is not trusted before all guards held between two runs of it: then they held for the very versions that it
    looks for.
    """
    with module.function("check_guards", "i32", ("ptr", "ptr")) as fn:
        frame, entry = fn.params
        short = fn.variable(fn.load("i64", entry, EntryRecord.NUM_SHORT_STEPS))
        with fn.if_(fn.compare("ne", fn.load("i64", short), 0)):
            _write_run_shortcut(fn, frame, entry, short)
        outcome = _run(fn, frame, entry, EntryRecord.GUARD_STEPS, EntryRecord.NUM_GUARD_STEPS)
        with fn.if_(fn.compare("ne", outcome, Outcome.GO_ON)):
            fn.ret(outcome)
        with fn.if_(fn.compare("eq", fn.load("i64", short), 0)):
            fn.call("learn", "void", frame, entry)
            fn.ret(outcome)
        again = _run(fn, frame, entry, EntryRecord.SHORT_STEPS, EntryRecord.NUM_SHORT_STEPS)
        with fn.if_(fn.compare("eq", again, Outcome.GO_ON)):
            fn.store(i64(1), entry, EntryRecord.IS_TRUSTED)
            fn.ret(again)
        _write_forget_shortcut(fn, entry)
        fn.call_external("PyErr_Clear", "void")
        fn.call("drop_owned", "void", frame)
        fn.ret(_run(fn, frame, entry, EntryRecord.GUARD_STEPS, EntryRecord.NUM_GUARD_STEPS))


def _write_run_shortcut(fn: Function, frame: Value, entry: Value, short: Value) -> None:
    """Return the shortcut's outcome, if it may be trusted and does hold; else all guards are to be checked."""
    outcome = _run(fn, frame, entry, EntryRecord.SHORT_STEPS, EntryRecord.NUM_SHORT_STEPS)
    trusted = fn.compare("ne", fn.load("i64", entry, EntryRecord.IS_TRUSTED), 0)
    holds = fn.compare("eq", outcome, Outcome.GO_ON)
    with fn.if_(fn.binary("and", trusted, holds)):
        calls = fn.load("i64", entry, EntryRecord.NUM_SHORT_CALLS)
        fn.store(fn.add(calls, 1), entry, EntryRecord.NUM_SHORT_CALLS)
        fn.ret(outcome)
    with fn.if_(fn.compare("eq", outcome, Outcome.ERROR)):
        fn.ret(outcome)
    with fn.if_not(holds):
        step = fn.load("ptr", frame, Frame.FAILED_STEP)
        is_stale = fn.compare("eq", fn.load("i64", step, WORD), STALE)
        decides = fn.binary("and", trusted, fn.binary("xor", is_stale, Value("i1", "true")))
        with fn.if_(decides):
            fn.ret(outcome)
        _write_forget_shortcut(fn, entry)
        fn.store(i64(0), short)
    fn.call("drop_owned", "void", frame)


def _write_forget_shortcut(fn: Function, entry: Value) -> None:
    fn.store(i64(0), entry, EntryRecord.NUM_SHORT_STEPS)
    fn.store(i64(0), entry, EntryRecord.IS_TRUSTED)
    fn.store(i64(1), entry, EntryRecord.UNTIL_LEARNING)


def _write_try_entry(module: Module, layout: Layout) -> None:
    """`try_entry(entry, args, nargs, names)`: the result, null with an exception, or 1 where the entry does not serve."""
    with module.function("try_entry", "ptr", ("ptr", "ptr", "i64", "ptr")) as fn:
        entry, args, nargs, names = fn.params
        fits = fn.call("fits_pattern", "i1", entry, nargs, names)
        with fn.if_not(fits):
            fn.ret(_NONE)
        by_python = fn.load("ptr", entry, EntryRecord.SERVE_BY_PYTHON)
        with fn.if_not(fn.is_null(by_python)):
            fn.ret(fn.call("serve_by_python", "ptr", by_python, args, nargs, names))
        frame = _make_frame(fn, entry, args)
        outcome = fn.call("check_guards", "i32", frame, entry)
        result = fn.variable(NULL)
        with fn.if_(fn.compare("eq", outcome, Outcome.GUARD_FAILED)):
            step = fn.load("ptr", frame, Frame.FAILED_STEP)
            fn.store(fn.load("i64", step, WORD), entry, EntryRecord.LAST_FAILURE)
            fn.store(_NONE, result)
        with fn.if_(fn.compare("eq", outcome, Outcome.GO_ON)):
            fn.store(fn.call("serve", "ptr", frame, entry), result)
        fn.call("clean_up", "void", frame, entry)
        with fn.if_(fn.compare("eq", fn.load("ptr", result), _FAILED)):
            fn.ret(fn.call("run_again", "ptr", entry, args, nargs, names))
        fn.ret(fn.load("ptr", result))
    _write_serve(module, layout)


def _write_serve(module: Module, layout: Layout) -> None:
    """`serve(frame, entry)`: run the steps of a call whose guards hold."""
    with module.function("serve", "ptr", ("ptr", "ptr"), is_inlined=True) as fn:
        w = Writer(fn, layout)
        frame, entry = fn.params
        with fn.if_(fn.compare("ne", fn.load("i64", entry, EntryRecord.USES_CONTEXT), 0)):
            taken = fn.call("take_context", "ptr", entry)
            with fn.if_(fn.is_null(taken)):
                fn.ret(NULL)
            fn.store(taken, frame, Frame.CONTEXT)
        outcome = _run(fn, frame, entry, EntryRecord.RUN_STEPS, EntryRecord.NUM_RUN_STEPS)
        fn.call("take_lock", "void", w.frame)
        with fn.if_(fn.compare("ne", outcome, Outcome.GO_ON)):
            fn.ret(_FAILED)
        finish = fn.load("ptr", entry, EntryRecord.FINISH)
        made = fn.call_pointer(finish, "ptr", frame, entry)
        with fn.if_not(fn.is_null(made)):
            fn.ret(made)
        kind = fn.address_of_external("RunFailed")
        is_of_run = fn.call_external("PyErr_ExceptionMatches", "i32", kind)
        fn.ret(fn.select(fn.compare("ne", is_of_run, 0), _FAILED, NULL))
    with module.function("take_context", "ptr", ("ptr",), is_inlined=True) as fn:
        entry = fn.params[0]
        free = fn.load("ptr", entry, EntryRecord.FREE_CONTEXT)
        with fn.if_not(fn.is_null(free)):
            fn.store(fn.load("ptr", free, Context.NEXT), entry, EntryRecord.FREE_CONTEXT)
            fn.ret(free)
        make = fn.load("ptr", entry, EntryRecord.MAKE_CONTEXT)
        made = fn.call_external("PyObject_Vectorcall", "ptr", make, NULL, i64(0), NULL)
        with fn.if_(fn.is_null(made)):
            fn.ret(NULL)
        address = fn.call_external("PyLong_AsVoidPtr", "ptr", made)
        fn.call_external("Py_DecRef", "void", made)
        fn.ret(address)


def _make_frame(fn: Function, entry: Value, args: Value) -> Value:
    frame = fn.array(i64(Frame.SIZE))
    size = fn.load("i64", entry, EntryRecord.FRAME_BYTES)
    is_large = fn.compare("sgt", size, LARGEST_ON_STACK)
    heap = fn.variable(NULL)
    with fn.if_(is_large):
        fn.store(fn.call_external("PyMem_RawMalloc", "ptr", size), heap)
        with fn.if_(fn.is_null(fn.load("ptr", heap))):
            fn.ret(fn.call_external("PyErr_NoMemory", "ptr"))
    on_stack = fn.array(fn.select(is_large, i64(0), size))
    memory = fn.select(is_large, fn.load("ptr", heap), on_stack)
    symbols = fn.at(memory, fn.load("i64", entry, EntryRecord.SLOTS_BYTES))
    owned = fn.at(symbols, fn.load("i64", entry, EntryRecord.SYMBOLS_BYTES))
    outputs = fn.at(owned, fn.load("i64", entry, EntryRecord.OWNED_BYTES))
    fields = {
        Frame.SLOTS: memory,
        Frame.SYMBOLS: symbols,
        Frame.ARGS: args,
        Frame.ENTRY: entry,
        Frame.CONTEXT: NULL,
        Frame.FAILED_STEP: NULL,
        Frame.OWNED: owned,
        Frame.NUM_OWNED: i64(0),
        Frame.THREAD: NULL,
        Frame.OUTPUTS: outputs,
        Frame.HEAP: fn.load("ptr", heap),
    }
    for field, value in fields.items():
        fn.store(value, frame, field)
    active = fn.load("i64", entry, EntryRecord.ACTIVE)
    fn.store(fn.add(active, 1), entry, EntryRecord.ACTIVE)
    with fn.loop(fn.load("i64", entry, EntryRecord.NUM_OUTPUTS)) as index:
        fn.store(NULL, outputs, fn.scaled(index))
    return frame


def _run(fn: Function, frame: Value, entry: Value, steps: EntryRecord, count: EntryRecord) -> Value:
    return fn.call(
        "run_steps", "i32", frame, fn.load("ptr", entry, steps), fn.load("i64", entry, count)
    )


def _write_asking(module: Module) -> None:
    """`ask(callable, args, nargs, names)`: what a Python callable gives for a call's arguments, as a tuple and a dict."""
    with module.function("ask", "ptr", ("ptr", "ptr", "i64", "ptr")) as fn:
        callable_, args, nargs, names = fn.params
        fn.ret(_call_and_drop(fn, callable_, _given_arguments(fn, args, nargs, names)))
    # With the pending exception before them, which is taken away.
    with module.function("run_again", "ptr", ("ptr", "ptr", "i64", "ptr")) as fn:
        entry, args, nargs, names = fn.params
        callable_ = fn.load("ptr", entry, EntryRecord.RUN_AGAIN)
        kind, error, trace = fn.variable(NULL), fn.variable(NULL), fn.variable(NULL)
        fn.call_external("PyErr_Fetch", "void", kind, error, trace)
        fn.call_external("PyErr_NormalizeException", "void", kind, error, trace)
        with fn.if_not(fn.is_null(fn.load("ptr", trace))):
            fn.call_external(
                "PyException_SetTraceback", "i32", fn.load("ptr", error), fn.load("ptr", trace)
            )
            fn.call_external("Py_DecRef", "void", fn.load("ptr", trace))
        fn.call_external("Py_DecRef", "void", fn.load("ptr", kind))
        parts = [fn.load("ptr", error), *_given_arguments(fn, args, nargs, names)]
        fn.ret(_call_and_drop(fn, callable_, parts))
    # The same, for an entry: `MISSING` says that it does not serve the call.
    with module.function("serve_by_python", "ptr", ("ptr", "ptr", "i64", "ptr")) as fn:
        made = fn.call("ask", "ptr", *fn.params)
        with fn.if_(fn.compare("eq", made, fn.address_of_external("MISSING"))):
            fn.call_external("Py_DecRef", "void", made)
            fn.ret(_NONE)
        fn.ret(made)


def _given_arguments(fn: Function, args: Value, nargs: Value, names: Value) -> list[Value]:
    """Make the tuple and the dict of a call's arguments; one that cannot be made is null, for `_call_and_drop` to see."""
    positional = fn.call("make_objects", "ptr", args, NULL, nargs)
    keywords = fn.call_external("PyDict_New", "ptr")
    is_broken = fn.binary("or", fn.is_null(positional), fn.is_null(keywords))
    with (
        fn.if_not(is_broken),
        fn.if_not(fn.is_null(names)),
        fn.loop(fn.load("i64", names, 2 * WORD)) as index,
    ):
        name = fn.call_external("PyTuple_GetItem", "ptr", names, index)
        value = fn.load("ptr", args, fn.scaled(fn.add(index, nargs)))
        fn.call_external("PyDict_SetItem", "i32", keywords, name, value)
    return [positional, keywords]


def _write_dispatch(module: Module, layout: Layout) -> None:
    """`dispatch(self, args, nargs, names)`: what CPython calls; `self` is the structure that holds the dispatcher's record."""
    with module.function("dispatch", "ptr", ("ptr", "ptr", "i64", "ptr")) as fn:
        receiver, args, nargs, names = fn.params
        dispatcher = fn.load("ptr", receiver, layout.capsule)
        count = fn.load("i64", dispatcher, DispatcherRecord.NUM_ENTRIES)
        latest = fn.load("i64", dispatcher, DispatcherRecord.LATEST)

        def attempt(index: Value) -> Value:
            entries = fn.load("ptr", dispatcher, DispatcherRecord.ENTRIES)
            entry = fn.load("ptr", entries, fn.scaled(index))
            return fn.call("try_entry", "ptr", entry, args, nargs, names)

        with fn.if_(fn.compare("slt", latest, count)):
            first = attempt(latest)
            with fn.if_(fn.compare("ne", first, _NONE)):
                fn.ret(first)
        with fn.loop(count) as index:
            # The latest to be added is the first of the others.
            number = fn.add(fn.binary("sub", count, index), -1)
            with fn.if_(fn.compare("ne", number, latest)):
                result = attempt(number)
                with fn.if_(fn.compare("ne", result, _NONE)):
                    fn.store(number, dispatcher, DispatcherRecord.LATEST)
                    fn.ret(result)
        on_miss = fn.load("ptr", dispatcher, DispatcherRecord.ON_MISS)
        fn.ret(fn.call("ask", "ptr", on_miss, args, nargs, names))


def _write_check_call(module: Module, layout: Layout) -> None:
    """`check_call(self, args, nargs, names)`: the number of the guard of the first entry that a call fails, or -1."""
    with module.function("check_call", "ptr", ("ptr", "ptr", "i64", "ptr")) as fn:
        receiver, args = fn.params[:2]
        dispatcher = fn.load("ptr", receiver, layout.capsule)
        entry = fn.load("ptr", fn.load("ptr", dispatcher, DispatcherRecord.ENTRIES))
        frame = _make_frame(fn, entry, args)
        outcome = fn.call("check_guards", "i32", frame, entry)
        number = fn.variable(i64(-1))
        with fn.if_(fn.compare("eq", outcome, Outcome.GUARD_FAILED)):
            step = fn.load("ptr", frame, Frame.FAILED_STEP)
            fn.store(fn.load("i64", step, WORD), number)
        fn.call("clean_up", "void", frame, entry)
        with fn.if_(fn.compare("eq", outcome, Outcome.ERROR)):
            fn.ret(NULL)
        fn.ret(fn.call_external("PyLong_FromLongLong", "ptr", fn.load("i64", number)))


def _write_probe(module: Module, layout: Layout) -> None:
    """`probe_tensor(tensor, words)`: what the layout reads of a tensor, to be compared with what torch says."""
    with module.function("probe_tensor", "void", ("ptr", "ptr")) as fn:
        w = Writer(fn, layout)
        impl = w.impl(w.frame)
        words = fn.params[1]
        dtype = fn.convert("zext", fn.load("i16", impl, layout.dtype), "i64")
        item_bytes = fn.load("i64", words)
        ndim = w.ndim(impl)
        sizes, strides = w.sizes(impl, ndim)
        last = fn.scaled(fn.add(ndim, -1))
        readings = [
            dtype,
            w.data(impl, item_bytes),
            fn.load("i64", impl, layout.key_set),
            fn.call("needs_grad", "i64", impl),
            ndim,
            fn.load("i64", sizes, last),
            fn.load("i64", strides, last),
        ]
        for number, reading in enumerate(readings):
            fn.store(reading, words, number * WORD)
        fn.ret()
