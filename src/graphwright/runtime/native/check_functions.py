"""The native steps that check guards.

In: the layout of this process.   Out: step functions in a `Module`, by the names that the tables use.
Keeps: a step either goes on, or says that its guard fails, or leaves a Python exception. Operands are described at each
function: `w2` is the step's third word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from graphwright.runtime.frozen import FACTS_PER_TENSOR
from graphwright.runtime.native.emitter import NULL, Function, Module, Value, i32, i64
from graphwright.runtime.native.hot_functions import write_matches_pin
from graphwright.runtime.native.layout import NOT_FOUND, Layout
from graphwright.runtime.native.records import HASH_FACTOR, WORD, ExpressionOp, Frame
from graphwright.runtime.native.source_functions import TYPE_FLAG, step_function
from graphwright.runtime.native.writing import DICT_FLAG, LIST_FLAG, TUPLE_FLAG, Writer

_STACK_WORDS: Final = 64


def write_check_functions(module: Module, layout: Layout) -> None:
    """Write every step function that checks a guard."""
    _write_evaluate_expression(module)
    write_matches_pin(module, layout)
    for write in (
        _write_identity_checks,
        _write_constant_checks,
        _write_container_checks,
        _write_absence_checks,
        _write_relations,
        _write_frozen,
        _write_symbols,
    ):
        write(module, layout)


def _write_identity_checks(module: Module, layout: Layout) -> None:
    def return_match(w: Writer, candidate: Value) -> None:
        w.fn.ret(w.fn.call("matches_pin", "i32", w.frame, w.step, candidate))

    # type(slot[w2]) is the pin
    with step_function(module, layout, "check_type") as w:
        return_match(w, w.type_of(w.slot(2)))
    # slot[w2] is the pin
    with step_function(module, layout, "check_identity") as w:
        return_match(w, w.slot(2))
    # slot[w2].__code__ is the pin
    with step_function(module, layout, "check_code") as w:
        value = w.slot(2)
        with w.fn.if_not(w.is_exactly(value, "PyFunction_Type")):
            w.fail()
        return_match(w, w.fn.call_external("PyFunction_GetCode", "ptr", value))


def _write_constant_checks(module: Module, layout: Layout) -> None:
    # holds where slot[w2] is w3
    with step_function(module, layout, "check_object") as w:
        w.fail_if(w.fn.compare("ne", w.slot(2), w.word(3, "ptr")))
    # slot[w2] is an int, equal to the object w3 of value w4
    with step_function(module, layout, "check_int") as w:
        value = w.slot(2)
        with w.fn.if_(w.fn.compare("eq", value, w.word(3, "ptr"))):
            w.go_on()
        with w.fn.if_not(w.is_exactly(value, "PyLong_Type")):
            w.fail()
        overflow = w.fn.variable(i32(0))
        number = w.fn.call_external("PyLong_AsLongLongAndOverflow", "i64", value, overflow)
        w.fail_if(w.fn.compare("ne", w.fn.load("i32", overflow), 0))
        w.fail_if(w.fn.compare("ne", number, w.word(4)))
    # slot[w2] is a str, equal to the object w3
    with step_function(module, layout, "check_str") as w:
        value, expected = w.slot(2), w.word(3, "ptr")
        with w.fn.if_(w.fn.compare("eq", value, expected)):
            w.go_on()
        with w.fn.if_not(w.is_exactly(value, "PyUnicode_Type")):
            w.fail()
        order = w.fn.call_external("PyUnicode_Compare", "i32", value, expected)
        w.fail_if(w.fn.compare("ne", order, 0))
    # slot[w2] is a float with the bits w3 (no NaN)
    with step_function(module, layout, "check_float") as w:
        value = w.slot(2)
        with w.fn.if_not(w.is_exactly(value, "PyFloat_Type")):
            w.fail()
        number = w.fn.call_external("PyFloat_AsDouble", "double", value)
        w.fail_if(w.fn.compare("ne", w.fn.convert("bitcast", number, "i64"), w.word(3)))
    # slot[w2] is the object last seen (w3), or the predicate w4 holds for it. The object seen is kept: what this is used for
    # cannot change.
    with step_function(module, layout, "check_known") as w:
        value, known = w.slot(2), w.word(3, "ptr")
        with w.fn.if_(w.fn.compare("eq", value, known)):
            w.go_on()
        w.ask_python(w.word(4, "ptr"), [value])
        w.hold(value)
        w.fn.store(value, w.step, 3 * WORD)
        w.fn.call_external("Py_DecRef", "void", known)
    # the predicate w3 holds for slot[w2]
    with step_function(module, layout, "check_predicate") as w:
        w.ask_python(w.word(3, "ptr"), [w.slot(2)])
    # the predicate w2 holds
    with step_function(module, layout, "check_condition") as w:
        w.ask_python(w.word(2, "ptr"), [])


def _write_container_checks(module: Module, layout: Layout) -> None:
    # len(slot[w2]) == w3; w4 tells the length of what is no dict, list or tuple
    with step_function(module, layout, "check_length") as w:
        value = w.slot(2)
        with w.fn.if_(w.has_flag(value, LIST_FLAG | TUPLE_FLAG)):
            w.fail_if(w.fn.compare("ne", w.length(value), w.word(3)))
            w.go_on()
        with w.fn.if_(w.has_flag(value, DICT_FLAG)):
            size = w.fn.call_external("PyDict_Size", "i64", value)
            w.fail_if(w.fn.compare("ne", size, w.word(3)))
            w.go_on()
        w.ask_python(w.word(4, "ptr"), [value])
    # the keys of dict slot[w2] are the w4 objects at w3; w5 compares them where they are not the very objects, and those of subclasses
    with step_function(module, layout, "check_keys") as w:
        value = w.slot(2)
        with w.fn.if_not(w.is_exactly(value, "PyDict_Type")):
            w.ask_python(w.word(5, "ptr"), [value])
            w.go_on()
        size = w.fn.call_external("PyDict_Size", "i64", value)
        w.fail_if(w.fn.compare("ne", size, w.word(4)))
        position, key = w.fn.variable(i64(0)), w.fn.variable(NULL)
        index = w.fn.variable(i64(0))
        with w.fn.while_() as loop:
            more = w.fn.call_external("PyDict_Next", "i32", value, position, key, NULL)
            with w.fn.if_(w.fn.compare("eq", more, 0)):
                loop.leave()
            number = w.fn.load("i64", index)
            wanted = w.fn.load("ptr", w.word(3, "ptr"), w.fn.scaled(number))
            with w.fn.if_(w.fn.compare("ne", w.fn.load("ptr", key), wanted)):
                w.ask_python(w.word(5, "ptr"), [value])
                w.go_on()
            w.fn.store(w.fn.add(number, 1), index)
    # holds where key w3 is in dict slot[w2] (w4 is 1), or is not (w4 is 0); w5 tells for what is no dict
    with step_function(module, layout, "check_contains") as w:
        value = w.slot(2)
        with w.fn.if_not(w.has_flag(value, DICT_FLAG)):
            w.ask_python(w.word(5, "ptr"), [value])
            w.go_on()
        found = w.fn.call_external("PyDict_Contains", "i32", value, w.word(3, "ptr"))
        with w.fn.if_(w.fn.compare("slt", found, 0)):
            w.raise_()
        present = w.fn.convert("sext", found, "i64")
        w.fail_if(w.fn.compare("ne", present, w.word(4)))


def _write_absence_checks(module: Module, layout: Layout) -> None:
    # slot[w2].__dict__ has no key w3
    with step_function(module, layout, "check_attr_absent") as w:
        place = w.fn.call_external("_PyObject_GetDictPtr", "ptr", w.slot(2))
        with w.fn.if_(w.fn.is_null(place)):
            w.go_on()
        attributes = w.fn.load("ptr", place)
        with w.fn.if_(w.fn.is_null(attributes)):
            w.go_on()
        found = w.fn.call_external("PyDict_Contains", "i32", attributes, w.word(3, "ptr"))
        with w.fn.if_(w.fn.compare("slt", found, 0)):
            w.raise_()
        w.fail_if(w.fn.compare("ne", found, 0))
    # class slot[w2] has no attribute w3
    with step_function(module, layout, "check_type_attr_absent") as w:
        value = w.slot(2)
        w.fail_unless_flag(value, TYPE_FLAG)
        found = w.fn.call_external("_PyType_Lookup", "ptr", value, w.word(3, "ptr"))
        w.fail_if(w.fn.compare("ne", found, NULL))


def _write_relations(module: Module, layout: Layout) -> None:
    # holds where slot[w2] is slot[w3]
    with step_function(module, layout, "check_same") as w:
        w.fail_if(w.fn.compare("ne", w.slot(2), w.slot(3)))
    # the w3 slots whose offsets are at w2 hold different objects; w4 words (a power of two) of scratch, w5 that number less 1
    with step_function(module, layout, "check_distinct") as w:
        seen = w.fn.array(w.fn.scaled(w.word(4)))
        w.fn.call_external("memset", "ptr", seen, i32(0), w.fn.scaled(w.word(4)))
        slots, offsets = w.fn.load("ptr", w.frame, Frame.SLOTS), w.word(2, "ptr")
        place = w.fn.variable(i64(0))
        with w.fn.loop(w.word(3)) as index:
            offset = w.fn.load("i64", offsets, w.fn.scaled(index))
            value = w.fn.load("ptr", slots, offset)
            address = w.fn.convert("ptrtoint", value, "i64")
            mixed = w.fn.mul(w.fn.binary("lshr", address, 4), HASH_FACTOR)
            w.fn.store(w.fn.binary("lshr", mixed, 40), place)
            with w.fn.while_() as loop:
                number = w.fn.binary("and", w.fn.load("i64", place), w.word(5))
                found = w.fn.load("ptr", seen, w.fn.scaled(number))
                w.fail_if(w.fn.compare("eq", found, value))
                with w.fn.if_(w.fn.is_null(found)):
                    w.fn.store(value, seen, w.fn.scaled(number))
                    loop.leave()
                w.fn.store(w.fn.add(number, 1), place)
    # the memory of tensor slot[w2] (items of w4 bytes) meets that of slot[w3] (items of w5 bytes) nowhere
    with step_function(module, layout, "check_apart") as w:
        ranges = [_byte_range(w, w.impl(w.slot(number)), w.word(number + 2)) for number in (2, 3)]
        (first, first_stop), (second, second_stop) = ranges
        meets = w.fn.binary(
            "and",
            w.fn.compare("ult", first, second_stop),
            w.fn.compare("ult", second, first_stop),
        )
        w.fail_if(meets)
    # tensors slot[w2] and slot[w3] are not on the same memory, unless that is none
    with step_function(module, layout, "check_not_shared") as w:
        first, second = (_storage_data(w, w.impl(w.slot(number))) for number in (2, 3))
        is_some = w.fn.compare("ne", first, NULL)
        w.fail_if(w.fn.binary("and", is_some, w.fn.compare("eq", first, second)))


def _write_frozen(module: Module, layout: Layout) -> None:
    if layout.version_counter == NOT_FOUND:
        return
    # the w3 tensors in the slots whose offsets are at w2 have the facts at w4 (see `frozen_facts`)
    with step_function(module, layout, "check_unchanged") as w:
        slots, offsets = w.fn.load("ptr", w.frame, Frame.SLOTS), w.word(2, "ptr")
        place = w.fn.variable(w.word(4, "ptr"))
        with w.fn.loop(w.word(3)) as index:
            facts = w.fn.load("ptr", place)
            impl = w.impl(w.fn.load("ptr", slots, w.fn.load("i64", offsets, w.fn.scaled(index))))
            counter = w.fn.load("ptr", impl, layout.version_counter)
            expected = w.fn.load("ptr", facts)
            w.fail_if(w.fn.compare("ne", counter, expected))
            version = w.fn.convert("zext", w.fn.load("i32", expected, layout.version), "i64")
            w.fail_if(w.fn.compare("ne", version, w.fn.load("i64", facts, WORD)))
            storage = w.fn.load("ptr", impl, layout.storage)
            w.fail_if(w.fn.compare("ne", storage, w.fn.load("ptr", facts, 2 * WORD)))
            data = w.fn.load("ptr", storage, layout.data)
            w.fail_if(w.fn.compare("ne", data, w.fn.load("ptr", facts, 3 * WORD)))
            offset = w.fn.load("i64", impl, layout.storage_offset)
            w.fail_if(w.fn.compare("ne", offset, w.fn.load("i64", facts, 4 * WORD)))
            w.fn.store(w.fn.at(facts, FACTS_PER_TENSOR * WORD), place)


def _storage_data(w: Writer, impl: Value) -> Value:
    storage = w.fn.load("ptr", impl, w.layout.storage)
    return w.fn.load("ptr", storage, w.layout.data)


def _byte_range(w: Writer, impl: Value, item_bytes: Value) -> tuple[Value, Value]:
    ndim = w.ndim(impl)
    sizes, strides = w.sizes(impl, ndim)
    steps, is_empty = w.fn.variable(i64(1)), w.fn.variable(i64(0))
    with w.fn.loop(ndim) as index:
        offset = w.fn.scaled(index)
        extent, stride = w.fn.load("i64", sizes, offset), w.fn.load("i64", strides, offset)
        with w.fn.if_(w.fn.compare("eq", extent, 0)):
            w.fn.store(i64(1), is_empty)
        reach = w.fn.mul(w.fn.add(extent, -1), stride)
        w.fn.store(w.fn.add(w.fn.load("i64", steps), reach), steps)
    start = w.data(impl, item_bytes)
    length = w.fn.mul(w.fn.load("i64", steps), item_bytes)
    has_items = w.fn.compare("eq", w.fn.load("i64", is_empty), 0)
    return start, w.fn.at(start, w.fn.select(has_items, length, i64(0)))


def _write_symbols(module: Module, layout: Layout) -> None:
    # symbol[w2] ← slot[w3].shape[w4]
    with step_function(module, layout, "bind_extent") as w:
        impl = w.impl(w.slot(3))
        sizes, _ = w.sizes(impl, w.ndim(impl))
        w.fn.store(w.fn.load("i64", sizes, w.word(4)), w.symbol_place(w.word(2)))
    # symbol[w2] ← slot[w3], an int
    with step_function(module, layout, "bind_int") as w:
        value = w.slot(3)
        with w.fn.if_not(w.is_exactly(value, "PyLong_Type")):
            w.fail()
        overflow = w.fn.variable(i32(0))
        number = w.fn.call_external("PyLong_AsLongLongAndOverflow", "i64", value, overflow)
        w.fail_if(w.fn.compare("ne", w.fn.load("i32", overflow), 0))
        w.fn.store(number, w.symbol_place(w.word(2)))
    # slot[w2].shape[w3] (w4 is 0) or .stride()[w3] is the value of the expression w5
    with step_function(module, layout, "check_extent") as w:
        impl = w.impl(w.slot(2))
        sizes, strides = w.sizes(impl, w.ndim(impl))
        of_sizes = w.fn.compare("eq", w.word(4), 0)
        found = w.fn.load("i64", w.fn.select(of_sizes, sizes, strides), w.word(3))
        symbols = w.fn.load("ptr", w.frame, Frame.SYMBOLS)
        expected = w.fn.call("evaluate_expression", "i64", w.word(5, "ptr"), symbols)
        w.fail_if(w.fn.compare("ne", found, expected))
    # slot[w2], a tensor, begins w3 elements after the beginning of its memory
    with step_function(module, layout, "check_storage_offset") as w:
        found = w.fn.load("i64", w.impl(w.slot(2)), layout.storage_offset)
        w.fail_if(w.fn.compare("ne", found, w.word(3)))
    # the expression w2 holds
    with step_function(module, layout, "check_shape") as w:
        symbols = w.fn.load("ptr", w.frame, Frame.SYMBOLS)
        holds = w.fn.call("evaluate_expression", "i64", w.word(2, "ptr"), symbols)
        w.fail_if(w.fn.compare("eq", holds, 0))


def _write_evaluate_expression(module: Module) -> None:
    """`evaluate_expression(code, symbols)`: a stack machine over words (see `ExpressionOp`)."""
    with module.function("evaluate_expression", "i64", ("ptr", "ptr")) as fn:
        code, symbols = fn.params
        stack = fn.array(i64(_STACK_WORDS * WORD))
        top, at = fn.variable(stack), fn.variable(code)

        def push(value: Value) -> None:
            place = fn.load("ptr", top)
            fn.store(value, place)
            fn.store(fn.at(place, WORD), top)

        def pop() -> Value:
            place = fn.at(fn.load("ptr", top), -WORD)
            fn.store(place, top)
            return fn.load("i64", place)

        with fn.while_() as loop:
            place = fn.load("ptr", at)
            op, operand = fn.load("i64", place), fn.load("i64", place, WORD)
            fn.store(fn.at(place, WORD), at)
            with fn.if_(fn.compare("eq", op, ExpressionOp.END)):
                fn.ret(pop())
            with fn.if_(fn.compare("sle", op, ExpressionOp.SYMBOL)):
                fn.store(fn.at(place, 2 * WORD), at)
                with fn.if_(fn.compare("eq", op, ExpressionOp.CONST)):
                    push(operand)
                    loop.again()
                push(fn.load("i64", symbols, operand))
                loop.again()
            right, left = pop(), pop()
            for number, result in _iter_expression_results(fn, left, right):
                with fn.if_(fn.compare("eq", op, number)):
                    push(result())
                    loop.again()
            fn.ret(i64(0))


def _iter_expression_results(
    fn: Function, left: Value, right: Value
) -> Iterator[tuple[ExpressionOp, Callable[[], Value]]]:
    def floor_division() -> tuple[Value, Value]:
        is_zero = fn.compare("eq", right, 0)
        divisor = fn.select(is_zero, i64(1), right)
        quotient, rest = fn.binary("sdiv", left, divisor), fn.binary("srem", left, divisor)
        has_rest = fn.compare("ne", rest, 0)
        signs_differ = fn.compare("slt", fn.binary("xor", rest, divisor), 0)
        is_off = fn.binary("and", has_rest, signs_differ)
        floor = fn.select(is_off, fn.add(quotient, -1), quotient)
        return floor, fn.select(is_off, fn.add(rest, divisor), rest)

    def choose(predicate: str) -> Callable[[], Value]:
        return lambda: fn.select(fn.compare(predicate, left, right), left, right)

    def holds(predicate: str) -> Callable[[], Value]:
        return lambda: fn.convert("zext", fn.compare(predicate, left, right), "i64")

    yield ExpressionOp.ADD, lambda: fn.add(left, right)
    yield ExpressionOp.MUL, lambda: fn.mul(left, right)
    yield ExpressionOp.FLOOR_DIV, lambda: floor_division()[0]
    yield ExpressionOp.MOD, lambda: floor_division()[1]
    yield ExpressionOp.MIN, choose("slt")
    yield ExpressionOp.MAX, choose("sgt")
    yield ExpressionOp.EQ, holds("eq")
    yield ExpressionOp.NE, holds("ne")
    yield ExpressionOp.LE, holds("sle")
    yield ExpressionOp.LT, holds("slt")
