"""The native functions that most of the time of a call is spent in.

In: the layout of this process.   Out: functions in a `Module` of their own, which is compiled with more care than the rest.
Keeps: what `check_functions.py` says of steps.
"""

from __future__ import annotations

from typing import Final

from graphwright.runtime.native.emitter import NULL, Module, Value, i32, i64
from graphwright.runtime.native.layout import Layout
from graphwright.runtime.native.records import (
    ANY_EXTENT,
    STEP_BYTES,
    WORD,
    EntryRecord,
    Frame,
    Outcome,
)
from graphwright.runtime.native.source_functions import step_function
from graphwright.runtime.native.writing import Writer

_REQUIRES_GRAD: Final = "_ZNK3c1010TensorImpl13requires_gradEv"
"""`c10::TensorImpl::requires_grad`."""


def write_hot_functions(module: Module, layout: Layout) -> None:
    """Write the functions that are worth optimising."""
    write_needs_grad(module, layout)
    write_matches_pin(module, layout)
    _write_run_steps(module)
    _write_tensor_check(module, layout)
    _write_words(module, layout)
    _write_state_checks(module, layout)


def _write_run_steps(module: Module) -> None:
    """`run_steps(frame, steps, count)`: the outcome of the first step that does not go on, or of the last."""
    with module.function("run_steps", "i32", ("ptr", "ptr", "i64")) as fn:
        frame, steps, count = fn.params
        stop = fn.at(steps, fn.mul(count, STEP_BYTES))
        place = fn.variable(steps)
        with fn.while_() as loop:
            step = fn.load("ptr", place)
            with fn.if_(fn.compare("uge", step, stop)):
                loop.leave()
            outcome = fn.call_pointer(fn.load("ptr", step), "i32", frame, step)
            with fn.if_(fn.compare("ne", outcome, 0)):
                fn.store(step, frame, Frame.FAILED_STEP)
                fn.ret(outcome)
            fn.store(fn.at(step, STEP_BYTES), place)
        fn.ret(Value("i32", str(int(Outcome.GO_ON))))


def write_needs_grad(module: Module, layout: Layout) -> None:
    """`needs_grad(impl)`: 1 for a tensor that requires grad, else 0."""
    with module.function("needs_grad", "i64", ("ptr",), is_inlined=True) as fn:
        meta = fn.load("ptr", fn.params[0], layout.autograd_meta)
        with fn.if_(fn.is_null(meta)):
            fn.ret(i64(0))
        # A view made while gradients are off has no mark of its own: its base is asked.
        answer = fn.call_external(_REQUIRES_GRAD, "i8", fn.params[0])
        fn.ret(fn.convert("zext", answer, "i64"))


def write_matches_pin(module: Module, layout: Layout) -> None:
    """`matches_pin(frame, step, candidate)`: the pin whose place is w3 and number w4 stands for `candidate`."""
    with module.function("matches_pin", "i32", ("ptr", "ptr", "ptr"), is_inlined=True) as fn:
        w = Writer(fn, layout)
        candidate = fn.params[2]
        pinned = fn.load("ptr", w.word(3, "ptr"))
        with fn.if_(fn.compare("eq", pinned, candidate)):
            w.go_on()
        with fn.if_not(fn.is_null(pinned)):
            w.fail()
        bind = fn.load("ptr", fn.load("ptr", w.frame, Frame.ENTRY), EntryRecord.BIND)
        w.ask_python(bind, [w.word(4, "ptr"), candidate])
        w.go_on()


def _write_tensor_check(module: Module, layout: Layout) -> None:
    """Write the check of a tensor; w5: expected dtype, two sets of keys, requires_grad, device index, ndim, sizes, strides."""
    with module.function("has_layout", "i32", ("ptr", "ptr", "ptr")) as fn:
        w = Writer(fn, layout)
        _write_layout_check(w, fn.params[2], w.word(5, "ptr"))
        w.go_on()
    # type(slot[w2]) is the pin
    with step_function(module, layout, "check_tensor") as w:
        value = w.slot(2)
        matched = w.fn.call("matches_pin", "i32", w.frame, w.step, w.type_of(value))
        with w.fn.if_(w.fn.compare("ne", matched, 0)):
            w.fn.ret(matched)
        needs_grad = w.fn.call("needs_grad", "i64", w.impl(value))
        expected = w.fn.load("i64", w.word(5, "ptr"), 3 * WORD)
        w.fail_if(w.fn.compare("ne", needs_grad, expected))
        w.fn.ret(w.fn.call("has_layout", "i32", w.frame, w.step, value))
    # slot[w2] is a tensor of whatever type, an instance of w3
    with step_function(module, layout, "check_layout") as w:
        value = w.slot(2)
        is_tensor = w.fn.call_external(
            "PyType_IsSubtype", "i32", w.type_of(value), w.word(3, "ptr")
        )
        w.fail_if(w.fn.compare("eq", is_tensor, 0))
        w.fn.ret(w.fn.call("has_layout", "i32", w.frame, w.step, value))


def _write_layout_check(w: Writer, value: Value, expected: Value) -> None:
    impl = w.impl(value)
    keys = w.fn.load("i64", impl, w.layout.key_set)
    is_plain = w.fn.compare("eq", keys, w.fn.load("i64", expected, WORD))
    is_inference = w.fn.compare("eq", keys, w.fn.load("i64", expected, 2 * WORD))
    with w.fn.if_not(w.fn.binary("or", is_plain, is_inference)):
        w.fail()
    dtype = w.fn.convert("zext", w.fn.load("i16", impl, w.layout.dtype), "i64")
    w.fail_if(w.fn.compare("ne", dtype, w.fn.load("i64", expected)))
    _write_device_check(w, value, expected)
    ndim = w.ndim(impl)
    w.fail_if(w.fn.compare("ne", ndim, w.fn.load("i64", expected, 5 * WORD)))
    sizes, strides = w.sizes(impl, ndim)
    wanted = w.fn.at(expected, 6 * WORD)
    for found, start in ((sizes, wanted), (strides, w.fn.at(wanted, w.fn.scaled(ndim)))):
        with w.fn.loop(ndim) as index:
            offset = w.fn.scaled(index)
            extent = w.fn.load("i64", start, offset)
            differs = w.fn.compare("ne", w.fn.load("i64", found, offset), extent)
            is_given = w.fn.compare("ne", extent, ANY_EXTENT)
            w.fail_if(w.fn.binary("and", differs, is_given))


def _write_device_check(w: Writer, value: Value, expected: Value) -> None:
    wanted = w.fn.load("i64", expected, 4 * WORD)
    with w.fn.if_(w.fn.compare("sge", wanted, 0)):
        place = w.fn.variable(i32(0))
        handle = w.fn.at(value, w.layout.tensor_impl)
        w.fn.call_external("aoti_torch_get_device_index", "i32", handle, place)
        index = w.fn.convert("sext", w.fn.load("i32", place), "i64")
        w.fail_if(w.fn.compare("ne", index, wanted))


def _write_words(module: Module, layout: Layout) -> None:
    # the w3 words whose addresses and expected values are at w2; w4 is the number of the first
    with step_function(module, layout, "check_words") as w, w.fn.loop(w.word(3)) as index:
        described = w.fn.at(w.word(2, "ptr"), w.fn.binary("shl", index, 4))
        found = w.fn.load("i64", w.fn.load("ptr", described))
        with w.fn.if_(w.fn.compare("ne", found, w.fn.load("i64", described, WORD))):
            entry = w.fn.load("ptr", w.frame, Frame.ENTRY)
            w.fn.store(w.fn.add(index, w.word(4)), entry, EntryRecord.STALE_WORD)
            w.fail()
    # slot[w2 word 0] ← w2 word 1, and so on for w3 pairs
    with step_function(module, layout, "read_objects") as w:
        slots = w.fn.load("ptr", w.frame, Frame.SLOTS)
        with w.fn.loop(w.word(3)) as index:
            described = w.fn.at(w.word(2, "ptr"), w.fn.binary("shl", index, 4))
            offset = w.fn.load("i64", described)
            w.fn.store(w.fn.load("ptr", described, WORD), slots, offset)


def _write_state_checks(module: Module, layout: Layout) -> None:
    # the bool that function w2 gives is w3
    with step_function(module, layout, "check_flag") as w:
        flag = w.fn.call_pointer(w.word(2, "ptr"), "i8")
        w.fail_if(w.fn.compare("ne", w.fn.convert("zext", flag, "i64"), w.word(3)))
    # the bool that function w2 gives for w4 is w3
    with step_function(module, layout, "check_flag_of") as w:
        device = w.fn.convert("trunc", w.word(4), "i8")
        flag = w.fn.call_pointer(w.word(2, "ptr"), "i8", device)
        w.fail_if(w.fn.compare("ne", w.fn.convert("zext", flag, "i64"), w.word(3)))
    # the int that method w2 of the object w4 gives is w3
    with step_function(module, layout, "check_method") as w:
        number = w.fn.call_pointer(w.word(2, "ptr"), "i32", w.word(4, "ptr"))
        w.fail_if(w.fn.compare("ne", w.fn.convert("sext", number, "i64"), w.word(3)))
    # the number that function w2 gives is w3
    with step_function(module, layout, "check_count") as w:
        count = w.fn.call_pointer(w.word(2, "ptr"), "i64")
        w.fail_if(w.fn.compare("ne", count, w.word(3)))
    # the object that the builtin function w2 with receiver w3 gives is w4, or an equal str (w5 is 1)
    with step_function(module, layout, "check_builtin") as w:
        found = w.fn.call_pointer(w.word(2, "ptr"), "ptr", w.word(3, "ptr"), NULL)
        w.raise_if_null(found)
        w.drop(found)
        expected = w.word(4, "ptr")
        with w.fn.if_(w.fn.compare("eq", found, expected)):
            w.go_on()
        w.fail_if(w.fn.compare("eq", w.word(5), 0))
        with w.fn.if_not(w.is_exactly(found, "PyUnicode_Type")):
            w.fail()
        order = w.fn.call_external("PyUnicode_Compare", "i32", found, expected)
        w.fail_if(w.fn.compare("ne", order, 0))
    # a queue of the C++ library, where function w2 says, is empty: words w3 and w4 are equal
    with step_function(module, layout, "check_queue_empty") as w:
        queue = w.fn.call_pointer(w.word(2, "ptr"), "ptr")
        first, last = w.fn.load("ptr", queue, w.word(3)), w.fn.load("ptr", queue, w.word(4))
        w.fail_if(w.fn.compare("ne", first, last))
    # dict w2 has the object w4 at key w3
    with step_function(module, layout, "check_entry") as w:
        found = w.fn.call_external(
            "PyDict_GetItemWithError", "ptr", w.word(2, "ptr"), w.word(3, "ptr")
        )
        w.fail_if(w.fn.compare("ne", found, w.word(4, "ptr")))
    # the w3 dicts at w2 have w4 keys together
    with step_function(module, layout, "check_dict_sizes") as w:
        total = w.fn.variable(i64(0))
        with w.fn.loop(w.word(3)) as index:
            table = w.fn.load("ptr", w.word(2, "ptr"), w.fn.scaled(index))
            size = w.fn.call_external("PyDict_Size", "i64", table)
            w.fn.store(w.fn.add(w.fn.load("i64", total), size), total)
        w.fail_if(w.fn.compare("ne", w.fn.load("i64", total), w.word(4)))
