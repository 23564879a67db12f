"""The native steps of a call: memory, kernels, extern calls.

In: the layout of this process.   Out: step functions in a `Module`, by the names that the tables use.
Keeps: a step that may run without the interpreter lock touches no Python object; one that needs the lock takes it back first.
Operands are described at each function: `w2` is the step's third word.
"""

from __future__ import annotations

from typing import Final

from graphwright.runtime.kept_memory import LARGE_BYTES
from graphwright.runtime.native.emitter import NULL, Function, Module, Value, i64
from graphwright.runtime.native.layout import Layout
from graphwright.runtime.native.records import WORD, Context, Frame
from graphwright.runtime.native.source_functions import step_function
from graphwright.runtime.native.writing import Writer

SHIM_SIGNATURES: Final = ("hhh", "hhhhdd", "hhoLLLiLlr", "hhhdiopr?")
"""Signatures of the C shim's functions, a letter an argument: `h` tensor, `o` optional tensor, `d` double, `p` optional double,
`i` int32, `l` int64, `L` list of int64 (two arguments), `r` the tensor that is returned, `?` one that is returned and dropped."""


def write_run_functions(module: Module, layout: Layout) -> None:
    """Write every step function that calls use."""
    _write_set_buffer(module)
    _write_take_lock(module)
    _write_drop_owner(module)
    _write_adopt_result(module, layout)
    _write_inputs(module, layout)
    _write_symbols(module, layout)
    _write_allocations(module, layout)
    _write_kernels(module, layout)
    _write_locks(module, layout)
    _write_python_calls(module, layout)
    for signature in SHIM_SIGNATURES:
        _write_shim_call(module, layout, signature)


def shim_step_name(signature: str) -> str:
    """Give the name of the step function that calls a function of the C shim."""
    return f"call_shim_{signature.replace('?', 'x')}"


def _write_set_buffer(module: Module) -> None:
    """`set_buffer(context, offset, base)`: buffer number offset / 8 begins at `base`; its cells are written."""
    with module.function("set_buffer", "void", ("ptr", "i64", "ptr")) as fn:
        context, offset, base = fn.params
        buffers = fn.load("ptr", context, Context.BUFFERS)
        with fn.if_(fn.compare("eq", fn.load("ptr", buffers, offset), base)):
            fn.ret()
        fn.store(base, buffers, offset)
        lists = fn.at(fn.load("ptr", context, Context.CELLS), fn.add(offset, offset))
        cells, count = fn.load("ptr", lists), fn.load("i64", lists, WORD)
        with fn.loop(count) as index:
            cell = fn.at(cells, fn.binary("shl", index, 4))
            moved = fn.at(base, fn.load("i64", cell, WORD))
            fn.store(moved, fn.load("ptr", cell))
        fn.ret()


def _write_take_lock(module: Module) -> None:
    """`take_lock(frame)`: hold the interpreter lock again, if it was released."""
    with module.function("take_lock", "void", ("ptr",)) as fn:
        thread = fn.load("ptr", fn.params[0], Frame.THREAD)
        with fn.if_(fn.is_null(thread)):
            fn.ret()
        fn.store(NULL, fn.params[0], Frame.THREAD)
        fn.call_external("PyEval_RestoreThread", "void", thread)
        fn.ret()


def _write_drop_owner(module: Module) -> None:
    """`drop_owner(place)`: free what owns a buffer's memory, if anything does."""
    with module.function("drop_owner", "void", ("ptr",)) as fn:
        owner = fn.load("i64", fn.params[0])
        fn.store(i64(0), fn.params[0])
        with fn.if_(fn.compare("eq", owner, 0)):
            fn.ret()
        with fn.if_(fn.compare("eq", fn.binary("and", owner, 1), 0)):
            handle = fn.convert("inttoptr", owner, "ptr")
            fn.call_external("aoti_torch_delete_tensor_object", "i32", handle)
            fn.ret()
        fn.call_external("Py_DecRef", "void", fn.convert("inttoptr", fn.add(owner, -1), "ptr"))
        fn.ret()


def _own_buffer(w: Writer, offset: Value, owner: Value, impl: Value, item_bytes: Value) -> None:
    """Let `owner` own the memory of a buffer, and begin it at the first element of `impl`."""
    w.fn.store(owner, w.context(Context.OWNERS), offset)
    context = w.fn.load("ptr", w.frame, Frame.CONTEXT)
    w.fn.call("set_buffer", "void", context, offset, w.data(impl, item_bytes))


def _own_handle(w: Writer, offset: Value, handle: Value, item_bytes: Value) -> None:
    _own_buffer(
        w, offset, w.fn.convert("ptrtoint", handle, "i64"), w.fn.load("ptr", handle), item_bytes
    )


def _own_object(w: Writer, offset: Value, value: Value, item_bytes: Value) -> None:
    tagged = w.fn.add(w.fn.convert("ptrtoint", value, "i64"), 1)
    _own_buffer(w, offset, tagged, w.impl(value), item_bytes)


def _write_inputs(module: Module, layout: Layout) -> None:
    # the w3 inputs described at w2 (offset of the slot, bytes of an item) are the first buffers
    with step_function(module, layout, "take_inputs") as w:
        slots = w.fn.load("ptr", w.frame, Frame.SLOTS)
        context = w.fn.load("ptr", w.frame, Frame.CONTEXT)
        with w.fn.loop(w.word(3)) as index:
            described = w.fn.at(w.word(2, "ptr"), w.fn.binary("shl", index, 4))
            value = w.fn.load("ptr", slots, w.fn.load("i64", described))
            base = w.data(w.impl(value), w.fn.load("i64", described, WORD))
            w.fn.call("set_buffer", "void", context, w.fn.scaled(index), base)
    # hold references to the w3 objects in the slots whose offsets are at w2 (every second word) until the call ends
    with step_function(module, layout, "hold_objects") as w:
        slots = w.fn.load("ptr", w.frame, Frame.SLOTS)
        with w.fn.loop(w.word(3)) as index:
            described = w.fn.at(w.word(2, "ptr"), w.fn.binary("shl", index, 4))
            value = w.fn.load("ptr", slots, w.fn.load("i64", described))
            w.hold(value)
            w.own(value)


def _write_symbols(module: Module, layout: Layout) -> None:
    # the context's tensors were made for these values of the w2 size symbols, or are made anew
    with step_function(module, layout, "take_symbols") as w:
        symbols, known = w.fn.load("ptr", w.frame, Frame.SYMBOLS), w.context(Context.SYMBOLS)
        size = w.fn.scaled(w.word(2))
        order = w.fn.call_external("memcmp", "i32", symbols, known, size)
        with w.fn.if_(w.fn.compare("ne", order, 0)):
            values = w.fn.call("make_symbols", "ptr", symbols, w.word(2))
            w.raise_if_null(values)
            made = w.call_python(w.context(Context.REBUILD), [values])
            w.drop(values)
            w.raise_if_null(made)
            w.drop(made)


def _write_allocations(module: Module, layout: Layout) -> None:
    # buffer w2 (items of w5 bytes) is fresh memory of layout w3: dtype, device type, device index, ndim, sizes, strides;
    # w4 makes the tensor in Python where that fails
    with step_function(module, layout, "allocate") as w:
        described = w.word(3, "ptr")
        ndim, sizes = w.fn.load("i64", described, 3 * WORD), w.fn.at(described, 4 * WORD)
        _allocate(w, described, ndim, sizes, w.fn.at(sizes, w.fn.scaled(ndim)))
        _allocate_in_python(w)
    # the same, w4 making the tensor in any case
    with step_function(module, layout, "allocate_in_python") as w:
        _allocate_in_python(w)
    # the same, sizes and strides being the values of the expressions at words 4, 5, … of w3
    with step_function(module, layout, "allocate_symbolic") as w:
        described = w.word(3, "ptr")
        ndim = w.fn.load("i64", described, 3 * WORD)
        symbols = w.fn.load("ptr", w.frame, Frame.SYMBOLS)
        sizes = w.fn.array(w.fn.binary("shl", w.fn.add(ndim, 1), 4))
        with w.fn.loop(w.fn.add(ndim, ndim)) as index:
            code = w.fn.load("ptr", w.fn.at(described, 4 * WORD), w.fn.scaled(index))
            extent = w.fn.call("evaluate_expression", "i64", code, symbols)
            w.fn.store(extent, sizes, w.fn.scaled(index))
        size_bytes = w.fn.variable(w.word(5))
        with w.fn.loop(ndim) as index:
            extent = w.fn.load("i64", sizes, w.fn.scaled(index))
            w.fn.store(w.fn.binary("mul", w.fn.load("i64", size_bytes), extent), size_bytes)
        with w.fn.if_(w.fn.compare("slt", w.fn.load("i64", size_bytes), LARGE_BYTES)):
            _allocate(w, described, ndim, sizes, w.fn.at(sizes, w.fn.scaled(ndim)))
        _allocate_in_python(w)


def _allocate(w: Writer, described: Value, ndim: Value, sizes: Value, strides: Value) -> None:
    """Make the tensor and go on, if that succeeds."""
    numbers = [
        w.fn.convert("trunc", w.fn.load("i64", described, number * WORD), "i32")
        for number in range(3)
    ]
    place = w.fn.variable(NULL)
    error = w.fn.call_external(
        "aoti_torch_empty_strided", "i32", ndim, sizes, strides, *numbers, place
    )
    with w.fn.if_(w.fn.compare("eq", error, 0)):
        _own_handle(w, w.word(2), w.fn.load("ptr", place), w.word(5))
        w.go_on()


def _allocate_in_python(w: Writer) -> None:
    w.fn.call("take_lock", "void", w.frame)
    made = w.call_python(w.word(4, "ptr"), [w.context(Context.SYMBOLS_OBJECT)])
    w.raise_if_null(made)
    _own_object(w, w.word(2), made, w.word(5))


def _write_kernels(module: Module, layout: Layout) -> None:
    # kernel w2, its parameters at offset w3
    with step_function(module, layout, "run_kernel") as w:
        params = w.fn.at(w.context(Context.PARAMS), w.word(3))
        symbols = w.fn.load("ptr", w.frame, Frame.SYMBOLS)
        w.fn.call_pointer(w.word(2, "ptr"), "void", params, symbols)
    # buffer w2 is not used any more
    with step_function(module, layout, "release") as w:
        place = w.fn.at(w.context(Context.OWNERS), w.word(2))
        is_object = w.fn.binary("and", w.fn.load("i64", place), 1)
        with w.fn.if_(w.fn.compare("ne", is_object, 0)):
            w.fn.call("take_lock", "void", w.frame)
        w.fn.call("drop_owner", "void", place)


def _write_locks(module: Module, layout: Layout) -> None:
    with step_function(module, layout, "release_lock") as w:
        thread = w.fn.call_external("PyEval_SaveThread", "ptr")
        w.fn.store(thread, w.frame, Frame.THREAD)
    with step_function(module, layout, "take_lock_step") as w:
        w.fn.call("take_lock", "void", w.frame)


def _write_adopt_result(module: Module, layout: Layout) -> None:
    """`call_extern(frame, callable, tensors, count, outs, num_outs)`: an extern call by Python.

    The callable gets the `count` tensors whose offsets are at `tensors` and the tuple of symbols. It gives a tuple with the
    tensors that become the buffers described at `outs` (offset, bytes of an item), or anything when there are none.
    """
    params = ("ptr", "ptr", "ptr", "i64", "ptr", "i64")
    with module.function("call_extern", "i32", params) as fn:
        w = Writer(fn, layout)
        _, callable_, tensors, count, outs, num_outs = fn.params
        fn.call("take_lock", "void", w.frame)
        args = fn.array(fn.scaled(fn.add(count, 2)))
        objects = w.context(Context.OBJECTS)
        with fn.loop(count) as index:
            offset = fn.scaled(index)
            fn.store(fn.load("ptr", objects, fn.load("i64", tensors, offset)), args, offset)
        fn.store(w.context(Context.SYMBOLS_OBJECT), args, fn.scaled(count))
        made = fn.call_external(
            "PyObject_Vectorcall", "ptr", callable_, args, fn.add(count, 1), NULL
        )
        w.raise_if_null(made)
        with fn.loop(num_outs) as index:
            described = fn.at(outs, fn.binary("shl", index, 4))
            value = fn.call_external("PyTuple_GetItem", "ptr", made, index)
            with fn.if_(fn.is_null(value)):
                w.drop(made)
                w.raise_()
            w.hold(value)
            _own_object(w, fn.load("i64", described), value, fn.load("i64", described, WORD))
        w.drop(made)
        w.go_on()


def _write_python_calls(module: Module, layout: Layout) -> None:
    # an extern call by Python: callable w2, w4 tensors at w3, w6 outs at w5
    with step_function(module, layout, "call_python") as w:
        _call_extern(w)
    # the same where the bool at the beginning of buffer w7 holds
    with step_function(module, layout, "call_python_if") as w:
        flag = w.fn.load("ptr", w.context(Context.BUFFERS), w.word(7))
        with w.fn.if_(w.fn.compare("eq", w.fn.load("i8", flag), 0)):
            w.go_on()
        _call_extern(w)
    # callable w2 gets the w4 objects in the slots whose offsets are at w3
    with step_function(module, layout, "tell_python") as w:
        w.fn.call("take_lock", "void", w.frame)
        args = w.fn.array(w.fn.scaled(w.fn.add(w.word(4), 1)))
        slots = w.fn.load("ptr", w.frame, Frame.SLOTS)
        with w.fn.loop(w.word(4)) as index:
            offset = w.fn.scaled(index)
            value = w.fn.load("ptr", slots, w.fn.load("i64", w.word(3, "ptr"), offset))
            w.fn.store(value, args, offset)
        made = w.fn.call_external(
            "PyObject_Vectorcall", "ptr", w.word(2, "ptr"), args, w.word(4), NULL
        )
        w.raise_if_null(made)
        w.drop(made)


def _call_extern(w: Writer) -> None:
    operands = (w.word(2, "ptr"), w.word(3, "ptr"), w.word(4), w.word(5, "ptr"), w.word(6))
    w.fn.ret(w.fn.call("call_extern", "i32", w.frame, *operands))


def _write_shim_call(module: Module, layout: Layout, signature: str) -> None:
    """Write the step for one signature: function w2, operands at w3; w4 describes the same call by Python.

    At w4: callable, tensors, count, outs, num_outs, as `call_extern` takes them; then for a call that returns a tensor: ndim,
    sizes and strides that are expected.
    """
    with step_function(module, layout, shim_step_name(signature)) as w:
        returned: list[Value] = []
        args = _ShimArgs(w)
        for letter in signature:
            args.add(letter, returned)
        error = w.fn.call_pointer(w.word(2, "ptr"), "i32", *args.values)
        with w.fn.if_(w.fn.compare("eq", error, 0)):
            if not returned:
                w.go_on()
            for place in returned[1:]:
                w.fn.call("drop_owner", "void", place)
            if returned:
                _take_returned(w, returned[0])
        by_python = w.word(4, "ptr")
        kinds = ("ptr", "ptr", "i64", "ptr", "i64")
        operands = [w.fn.load(kind, by_python, n * WORD) for n, kind in enumerate(kinds)]
        w.fn.ret(w.fn.call("call_extern", "i32", w.frame, *operands))


class _ShimArgs:
    def __init__(self, w: Writer) -> None:
        self._w = w
        self._count = 0
        self.values: list[Value] = []

    def _operand(self, kind: str = "i64") -> Value:
        self._count += 1
        return self._w.fn.load(kind, self._w.word(3, "ptr"), (self._count - 1) * WORD)

    def add(self, letter: str, returned: list[Value]) -> None:
        w, fn = self._w, self._w.fn
        match letter:
            case "h":
                self.values.append(fn.load("ptr", w.context(Context.TENSORS), self._operand()))
            case "o":
                offset = self._operand()
                place = fn.at(w.context(Context.TENSORS), offset)
                is_absent = fn.compare("slt", offset, 0)
                self.values.append(fn.select(is_absent, NULL, place))
            case "d":
                self.values.append(self._operand("double"))
            case "p" | "L":
                self.values.append(self._operand("ptr"))
                if letter == "L":
                    self.values.append(self._operand())
            case "i":
                self.values.append(fn.convert("trunc", self._operand(), "i32"))
            case "l":
                self.values.append(self._operand())
            case _:
                returned.append(fn.variable(NULL))
                self.values.append(returned[-1])


def _take_returned(w: Writer, place: Value) -> None:
    """Let the returned tensor be the buffer described by w4, if it has the expected sizes and strides; then go on."""
    fn = w.fn
    handle, by_python = fn.load("ptr", place), w.word(4, "ptr")
    impl, described = fn.load("ptr", handle), fn.load("ptr", by_python, 3 * WORD)
    ndim, differs = w.ndim(impl), fn.variable(i64(0))
    wanted_ndim = fn.load("i64", by_python, 5 * WORD)
    with fn.if_(fn.compare("ne", ndim, wanted_ndim)):
        fn.store(i64(1), differs)
    with fn.if_(fn.compare("eq", ndim, wanted_ndim)):
        sizes, strides = w.sizes(impl, ndim)
        wanted = fn.at(by_python, 6 * WORD)
        with fn.loop(ndim) as index:
            offset = fn.scaled(index)
            extent = fn.load("i64", sizes, offset)
            _mark(fn, differs, fn.compare("ne", extent, fn.load("i64", wanted, offset)))
            stride = fn.load("i64", fn.at(wanted, fn.scaled(ndim)), offset)
            is_other = fn.compare("ne", fn.load("i64", strides, offset), stride)
            is_long = fn.compare("sgt", extent, 1)
            _mark(fn, differs, fn.binary("and", is_other, is_long))
    with fn.if_(fn.compare("eq", fn.load("i64", differs), 0)):
        _own_handle(w, fn.load("i64", described), handle, fn.load("i64", described, WORD))
        w.go_on()
    fn.call_external("aoti_torch_delete_tensor_object", "i32", handle)


def _mark(fn: Function, place: Value, condition: Value) -> None:
    with fn.if_(condition):
        fn.store(i64(1), place)
