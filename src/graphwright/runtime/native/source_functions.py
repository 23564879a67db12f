"""The native steps that evaluate sources.

In: the layout of this process.   Out: step functions in a `Module`, by the names that the tables use.
Keeps: a step either goes on, or says that its guard fails, or leaves a Python exception; what it reads is borrowed, but for
what a getter made, which the frame drops at its end. Operands are described at each function: `w2` is the step's third word.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from graphwright.runtime.native.emitter import NULL, Module, Value, i64
from graphwright.runtime.native.layout import Layout
from graphwright.runtime.native.records import Frame
from graphwright.runtime.native.writing import DICT_FLAG, LIST_FLAG, STEP_PARAMS, TUPLE_FLAG, Writer

TYPE_FLAG: Final = 1 << 31
"""Set in the flags of a type whose instances are types."""
_NO_INDEX: Final = -(2**63)


def write_source_functions(module: Module, layout: Layout) -> None:
    """Write every step function that evaluates a source."""
    for write in (
        *(_write_roots, _write_attributes, _write_function_parts, _write_items),
        _write_calculations,
    ):
        write(module, layout)


@contextlib.contextmanager
def step_function(module: Module, layout: Layout, name: str) -> Iterator[Writer]:
    """Write a step function; it goes on where its body does not return."""
    with module.function(name, "i32", STEP_PARAMS) as function:
        writer = Writer(function, layout)
        yield writer
        writer.go_on()


def _write_roots(module: Module, layout: Layout) -> None:
    # slot[w2] ← args[w3]
    with step_function(module, layout, "read_arg") as w:
        args = w.fn.load("ptr", w.frame, Frame.ARGS)
        w.set_slot(2, w.fn.load("ptr", args, w.word(3)))
    # slot[w2] ← w3
    with step_function(module, layout, "read_object") as w:
        w.set_slot(2, w.word(3, "ptr"))
    # the frame holds slot[w2] until the call ends: what it was read from may change while Python code runs
    with step_function(module, layout, "own_slot") as w:
        value = w.slot(2)
        w.hold(value)
        w.own(value)
    # slot[w2] ← *w3, an object of the table of pins
    with step_function(module, layout, "read_pin") as w:
        found = w.fn.load("ptr", w.word(3, "ptr"))
        w.fail_if(w.fn.is_null(found))
        w.set_slot(2, found)
    # slot[w2] ← dict w3 [key w4]
    with step_function(module, layout, "read_entry") as w:
        found = w.fn.call_external(
            "PyDict_GetItemWithError", "ptr", w.word(3, "ptr"), w.word(4, "ptr")
        )
        w.fail_if_null(found)
        w.set_slot(2, found)
    # slot[w2] ← dict w3 [key w4].__dict__, for a module
    with step_function(module, layout, "read_module_dict") as w:
        found = w.fn.call_external(
            "PyDict_GetItemWithError", "ptr", w.word(3, "ptr"), w.word(4, "ptr")
        )
        w.fail_if_null(found)
        namespace = w.fn.call_external("PyModule_GetDict", "ptr", found)
        w.fail_if_null(namespace)
        w.set_slot(2, namespace)


def _write_attributes(module: Module, layout: Layout) -> None:
    # slot[w2] ← slot[w3].__dict__
    with step_function(module, layout, "read_instance_dict") as w:
        base = w.slot(3)
        place = w.fn.call_external("_PyObject_GetDictPtr", "ptr", base)
        with w.fn.if_not(w.fn.is_null(place)):
            found = w.fn.load("ptr", place)
            with w.fn.if_not(w.fn.is_null(found)):
                w.set_slot(2, found)
                w.go_on()
        made = w.fn.call_external("PyObject_GenericGetDict", "ptr", base, NULL)
        w.fail_if_null(made)
        w.own(made)
        w.set_slot(2, made)
    # slot[w2] ← type(slot[w3])
    with step_function(module, layout, "read_type") as w:
        w.set_slot(2, w.type_of(w.slot(3)))
    # slot[w2] ← slot[w3]::w4
    with step_function(module, layout, "read_type_attr") as w:
        base = w.slot(3)
        w.fail_unless_flag(base, TYPE_FLAG)
        found = w.fn.call_external("_PyType_Lookup", "ptr", base, w.word(4, "ptr"))
        w.fail_if_null(found)
        w.set_slot(2, found)
    # slot[w2] ← getattr(slot[w3], w4)
    with step_function(module, layout, "read_attr") as w:
        made = w.fn.call_external("PyObject_GetAttr", "ptr", w.slot(3), w.word(4, "ptr"))
        with w.fn.if_(w.fn.is_null(made)):
            kind = w.fn.address_of_external("PyExc_AttributeError")
            is_absent = w.fn.call_external("PyErr_ExceptionMatches", "i32", kind)
            with w.fn.if_(w.fn.compare("eq", is_absent, 0)):
                w.raise_()
            w.fn.call_external("PyErr_Clear", "void")
            w.fail()
        w.own(made)
        w.set_slot(2, made)


def _write_function_parts(module: Module, layout: Layout) -> None:
    def read(name: str, getter: str) -> Iterator[tuple[Writer, Value]]:
        with step_function(module, layout, name) as w:
            base = w.slot(3)
            with w.fn.if_not(w.is_exactly(base, "PyFunction_Type")):
                w.fail()
            part = w.fn.call_external(getter, "ptr", base)
            w.fail_if_null(part)
            yield w, part

    # slot[w2] ← slot[w3].__globals__
    for w, part in read("read_globals", "PyFunction_GetGlobals"):
        w.set_slot(2, part)
    # slot[w2] ← slot[w3].__closure__[w4].cell_contents
    for w, part in read("read_closure", "PyFunction_GetClosure"):
        w.fail_if(w.fn.compare("sge", w.word(4), w.length(part)))
        cell = w.fn.call_external("PyTuple_GetItem", "ptr", part, w.word(4))
        made = w.fn.call_external("PyCell_Get", "ptr", cell)
        w.fail_if_null(made)
        w.own(made)
        w.set_slot(2, made)
    # slot[w2] ← slot[w3].__defaults__[w4]
    for w, part in read("read_default", "PyFunction_GetDefaults"):
        w.fail_if(w.fn.compare("sge", w.word(4), w.length(part)))
        w.set_slot(2, w.fn.call_external("PyTuple_GetItem", "ptr", part, w.word(4)))
    # slot[w2] ← slot[w3].__kwdefaults__[w4]
    for w, part in read("read_kw_default", "PyFunction_GetKwDefaults"):
        found = w.fn.call_external("PyDict_GetItemWithError", "ptr", part, w.word(4, "ptr"))
        w.fail_if_null(found)
        w.set_slot(2, found)


def _write_items(module: Module, layout: Layout) -> None:
    def set_made(w: Writer, made: Value) -> None:
        """Put what a Python reader gave into slot[w2]; w7 stands for nothing."""
        w.raise_if_null(made)
        w.own(made)
        w.fail_if(w.fn.compare("eq", made, w.word(7, "ptr")))
        w.set_slot(2, made)

    # slot[w2] ← slot[w3][key w4], which is the int w5 unless that is the least int; w6 reads other containers
    with step_function(module, layout, "read_item") as w:
        base = w.slot(3)
        with w.fn.if_(w.has_flag(base, DICT_FLAG)):
            found = w.fn.call_external("PyDict_GetItemWithError", "ptr", base, w.word(4, "ptr"))
            w.fail_if_null(found)
            w.set_slot(2, found)
            w.go_on()
        has_index = w.fn.compare("ne", w.word(5), _NO_INDEX)
        for flag, getter in ((LIST_FLAG, "PyList_GetItem"), (TUPLE_FLAG, "PyTuple_GetItem")):
            is_kind = w.fn.binary("and", has_index, w.has_flag(base, flag))
            with w.fn.if_(is_kind):
                index, length = w.word(5), w.length(base)
                is_negative = w.fn.compare("slt", index, 0)
                index = w.fn.select(is_negative, w.fn.add(index, length), index)
                w.fail_if(w.fn.compare("slt", index, 0))
                w.fail_if(w.fn.compare("sge", index, length))
                w.set_slot(2, w.fn.call_external(getter, "ptr", base, index))
                w.go_on()
        set_made(w, w.call_python(w.word(6, "ptr"), [base, w.word(4, "ptr")]))
    # slot[w2] ← list(slot[w3])[w4], the key or (where w5 is 1) the value; w6 reads them of subclasses of dict
    with step_function(module, layout, "read_nth") as w:
        base = w.slot(3)
        with w.fn.if_not(w.is_exactly(base, "PyDict_Type")):
            set_made(w, w.call_python(w.word(6, "ptr"), [base]))
            w.go_on()
        position, key = w.fn.variable(i64(0)), w.fn.variable(NULL)
        value, left = w.fn.variable(NULL), w.fn.variable(w.word(4))
        with w.fn.while_() as loop:
            more = w.fn.call_external("PyDict_Next", "i32", base, position, key, value)
            w.fail_if(w.fn.compare("eq", more, 0))
            rest = w.fn.load("i64", left)
            with w.fn.if_(w.fn.compare("eq", rest, 0)):
                loop.leave()
            w.fn.store(w.fn.add(rest, -1), left)
        is_key = w.fn.compare("eq", w.word(5), 0)
        w.set_slot(2, w.fn.select(is_key, w.fn.load("ptr", key), w.fn.load("ptr", value)))


def _write_calculations(module: Module, layout: Layout) -> None:
    # slot[w2] ← function(slot[w3], …), the operands followed by the function and what it gives where it has no result
    for count in (1, 2):
        with step_function(module, layout, f"calculate_of_{count}") as w:
            operands = [w.slot(3 + number) for number in range(count)]
            made = w.call_python(w.word(3 + count, "ptr"), operands)
            w.raise_if_null(made)
            w.own(made)
            w.fail_if(w.fn.compare("eq", made, w.word(4 + count, "ptr")))
            w.set_slot(2, made)
