"""What a row of a version's table can say.

In: the raw instruction (`Raw`).   Out: the normalised steps that stand for it, in order.

A *rule* is a function `Raw → steps`; the functions below make rules, so that a table is a plain mapping of names to calls such as
`name(Op.LOAD_GLOBAL)`. Jump targets in steps are still byte offsets, which `decode` turns into indices.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, Final, NamedTuple

from graphwright.capture.instructions import (
    CallShape,
    FunctionPart,
    InterpolationShape,
    Intrinsic,
    Op,
    SuperAttr,
    UnpackShape,
)

UNIT_BYTES: Final = 2
"""Size of a code unit: opcode and oparg."""


class Raw:
    """The raw instruction that is being decoded, with what its rule may need. One object serves a whole code object."""

    __slots__ = ("after", "arg", "cells", "consts", "free", "names", "next_name", "slots")

    def __init__(self, code: CodeType) -> None:
        self.arg = 0
        """With the bits of `EXTENDED_ARG`."""
        self.after = 0
        """Byte offset after the instruction and its caches: what jumps count from."""
        self.next_name = ""
        """Name of the raw opcode that follows."""
        self.consts = code.co_consts
        self.names = code.co_names
        plain = tuple(map(_apart_from(code.co_freevars), code.co_varnames))
        own_cells = tuple(name for name in code.co_cellvars if name not in code.co_varnames)
        self.slots = plain + own_cells + code.co_freevars
        """Names of parameters, locals, cell and free variables, by raw index."""
        self.cells = frozenset(code.co_cellvars + code.co_freevars)
        """Which of them are cell or free variables."""
        self.free = code.co_freevars
        """Names of the free variables, in order."""


Step = tuple[Op, Any]
Rule = Callable[[Raw], tuple[Step, ...]]


class VersionTable(NamedTuple):
    """How one CPython version's bytecode is normalised."""

    rules: Mapping[str, Rule]
    internal: frozenset[str]
    """Opcodes that never stand in `co_code`: interpreter internals."""
    keyword_names: str = ""
    """The opcode that gives the next `CALL` its keyword names (3.11, 3.12)."""
    keyword_call: str = ""
    """The opcode that calls with the keyword names that were loaded as a constant just before (3.13)."""
    has_null_below: bool = False
    """A call's NULL lies below the callable (3.11, 3.12), not above it."""


NULL_PUSH: Final[Step] = (Op.PUSH_NULL, None)
NULL_BELOW: Final[tuple[Step, ...]] = (NULL_PUSH, (Op.SWAP, 2))
"""A NULL put below the top of the stack."""

NB_OPERATORS: Final[tuple[Callable[[Any, Any], Any], ...]] = (
    operator.add,
    operator.and_,
    operator.floordiv,
    operator.lshift,
    operator.matmul,
    operator.mul,
    operator.mod,
    operator.or_,
    operator.pow,
    operator.rshift,
    operator.sub,
    operator.truediv,
    operator.xor,
    operator.iadd,
    operator.iand,
    operator.ifloordiv,
    operator.ilshift,
    operator.imatmul,
    operator.imul,
    operator.imod,
    operator.ior,
    operator.ipow,
    operator.irshift,
    operator.isub,
    operator.itruediv,
    operator.ixor,
    operator.getitem,
)
"""By oparg of `BINARY_OP`; the last one came with 3.14."""

COMPARISONS: Final[tuple[Callable[[Any, Any], Any], ...]] = (
    operator.lt,
    operator.le,
    operator.eq,
    operator.ne,
    operator.gt,
    operator.ge,
)

CONVERSIONS: Final[tuple[Callable[[Any], str] | None, ...]] = (None, str, repr, ascii)
"""By the conversion's number in f-strings."""

INTERPOLATION_CONVERSIONS: Final = (None, "s", "r", "a")

COMMON_CONSTANTS: Final = (AssertionError, NotImplementedError, tuple, all, any)
"""By oparg of `LOAD_COMMON_CONSTANT`."""

SPECIAL_METHODS: Final = ("__enter__", "__exit__", "__aenter__", "__aexit__")
"""By oparg of `LOAD_SPECIAL`."""

INTRINSICS_1: Final = (
    None,
    Intrinsic.PRINT,
    Intrinsic.IMPORT_STAR,
    Intrinsic.STOPITERATION_ERROR,
    Intrinsic.ASYNC_GEN_WRAP,
    None,  # unary plus: an operator
    None,  # list to tuple: an instruction
    Intrinsic.TYPEVAR,
    Intrinsic.PARAMSPEC,
    Intrinsic.TYPEVARTUPLE,
    Intrinsic.SUBSCRIPT_GENERIC,
    Intrinsic.TYPEALIAS,
)
INTRINSIC_1_UNARY_POSITIVE: Final = 5
INTRINSIC_1_LIST_TO_TUPLE: Final = 6

INTRINSICS_2: Final = (
    None,
    Intrinsic.PREP_RERAISE_STAR,
    Intrinsic.TYPEVAR_WITH_BOUND,
    Intrinsic.TYPEVAR_WITH_CONSTRAINTS,
    Intrinsic.SET_FUNCTION_TYPE_PARAMS,
    Intrinsic.SET_TYPEPARAM_DEFAULT,
)

TRUTH_TESTERS: Final = frozenset({"POP_JUMP_IF_TRUE", "POP_JUMP_IF_FALSE", "UNARY_NOT"})


def _apart_from(free: tuple[str, ...]) -> Callable[[str], str]:
    """Name a plain slot of a class body apart from the free variable of the same name.

    A comprehension that runs in a class body's own frame (3.12, 3.13) has both when it reads the free variable; the plain one is
    always unbound.
    """
    return lambda variable: f"{variable} of the body" if variable in free else variable


def fixed(*steps: Step) -> Rule:
    """Always these steps."""

    def rule(raw: Raw) -> tuple[Step, ...]:
        del raw
        return steps

    return rule


def plain(op: Op) -> Rule:
    """One instruction with no argument."""
    return fixed((op, None))


def dropped(raw: Raw) -> tuple[Step, ...]:
    """No instruction at all."""
    del raw
    return ()


def count(op: Op) -> Rule:
    """One instruction whose argument is the raw number."""
    return lambda raw: ((op, raw.arg),)


def flag(op: Op) -> Rule:
    """One instruction whose argument is the raw number as a bool."""
    return lambda raw: ((op, bool(raw.arg)),)


def name(op: Op) -> Rule:
    """One instruction whose argument is `co_names[raw]`."""
    return lambda raw: ((op, raw.names[raw.arg]),)


def slot(op: Op) -> Rule:
    """One instruction whose argument is a slot's name."""
    return lambda raw: ((op, raw.slots[raw.arg]),)


def load_slot(raw: Raw) -> tuple[Step, ...]:
    """A load of a slot, which is a closure's cell when the slot is a cell variable (3.13 has one opcode for both)."""
    return (_load(raw, raw.arg),)


def slot_pair(first: Op, second: Op) -> Rule:
    """A superinstruction over two slots, four bits each."""

    def rule(raw: Raw) -> tuple[Step, ...]:
        return (_slot_step(raw, first, raw.arg >> 4), _slot_step(raw, second, raw.arg & 15))

    return rule


def forward(op: Op) -> Rule:
    """A jump forwards."""
    return lambda raw: ((op, raw.after + raw.arg * UNIT_BYTES),)


def backward(op: Op) -> Rule:
    """A jump backwards."""
    return lambda raw: ((op, raw.after - raw.arg * UNIT_BYTES),)


def forward_past(op: Op, skipped_units: int) -> Rule:
    """A jump forwards to what follows the `skipped_units` code units at its raw target."""
    return lambda raw: ((op, raw.after + (raw.arg + skipped_units) * UNIT_BYTES),)


def jump_or_pop(op: Op) -> Rule:
    """A jump that keeps the value when taken and pops it when not (3.11)."""
    return lambda raw: ((Op.COPY, 1), (op, raw.after + raw.arg * UNIT_BYTES), (Op.POP, None))


def constant(raw: Raw) -> tuple[Step, ...]:
    """A load of `co_consts[raw]`."""
    return ((Op.LOAD_CONST, raw.consts[raw.arg]),)


def small_int(raw: Raw) -> tuple[Step, ...]:
    """A load of the raw number itself."""
    return ((Op.LOAD_CONST, raw.arg),)


def common_constant(raw: Raw) -> tuple[Step, ...]:
    """A load of one of the builtins that the compiler names directly."""
    return ((Op.LOAD_CONST, COMMON_CONSTANTS[raw.arg]),)


def return_constant(raw: Raw) -> tuple[Step, ...]:
    """A return of `co_consts[raw]`."""
    return ((Op.LOAD_CONST, raw.consts[raw.arg]), (Op.RETURN_VALUE, None))


def global_null_first(raw: Raw) -> tuple[Step, ...]:
    """A load of a global, with a NULL below it when the low bit is set."""
    load: Step = (Op.LOAD_GLOBAL, raw.names[raw.arg >> 1])
    return (NULL_PUSH, load) if raw.arg & 1 else (load,)


def global_null_last(raw: Raw) -> tuple[Step, ...]:
    """A load of a global, with a NULL above it when the low bit is set."""
    load: Step = (Op.LOAD_GLOBAL, raw.names[raw.arg >> 1])
    return (load, NULL_PUSH) if raw.arg & 1 else (load,)


def method(raw: Raw) -> tuple[Step, ...]:
    """A load of a method that is about to be called: a NULL and the bound attribute (3.11)."""
    return ((Op.LOAD_ATTR, raw.names[raw.arg]), *NULL_BELOW)


def attribute(*null: Step) -> Rule:
    """A load of an attribute, as a method to call when the low bit is set: `null` are the steps that put its NULL in place."""

    def rule(raw: Raw) -> tuple[Step, ...]:
        load: Step = (Op.LOAD_ATTR, raw.names[raw.arg >> 1])
        return (load, *null) if raw.arg & 1 else (load,)

    return rule


def super_attribute(*null: Step) -> Rule:
    """`super().name`: low bit, as a method to call (`null` as in `attribute`); next bit, `super` was given its arguments."""

    def rule(raw: Raw) -> tuple[Step, ...]:
        load: Step = (
            Op.LOAD_SUPER_ATTR,
            SuperAttr(raw.names[raw.arg >> 2], bool(raw.arg & 2)),
        )
        return (load, *null) if raw.arg & 1 else (load,)

    return rule


def special(raw: Raw) -> tuple[Step, ...]:
    """A load of a special method to call: the bound method and a NULL (3.14)."""
    return ((Op.LOAD_SPECIAL, SPECIAL_METHODS[raw.arg]), NULL_PUSH)


def enter_context(enter: str, leave: str) -> Rule:
    """The start of a `with` block: `manager → exit result of enter`, in 3.14's steps."""
    return fixed(
        (Op.COPY, 1),
        (Op.LOAD_SPECIAL, leave),
        (Op.SWAP, 2),
        (Op.LOAD_SPECIAL, enter),
        NULL_PUSH,
        (Op.CALL, CallShape(0, ())),
    )


def unary(function: Callable[[Any], Any]) -> Rule:
    """A unary operator."""
    return fixed((Op.UNARY_OP, function))


def binary(raw: Raw) -> tuple[Step, ...]:
    """A binary operator, by number."""
    return ((Op.BINARY_OP, NB_OPERATORS[raw.arg]),)


def comparison(shift: int) -> Rule:
    """A comparison whose number stands above `shift` low bits."""
    return lambda raw: ((Op.COMPARE_OP, COMPARISONS[raw.arg >> shift]),)


def comparison_to_bool(raw: Raw) -> tuple[Step, ...]:
    """A comparison, its result turned into a bool when bit 4 is set (3.13)."""
    compare: Step = (Op.COMPARE_OP, COMPARISONS[raw.arg >> 5])
    return (compare, *to_bool(raw)) if raw.arg & 16 else (compare,)


def to_bool(raw: Raw) -> tuple[Step, ...]:
    """A truth test, left out where the next instruction tests the truth itself."""
    return () if raw.next_name in TRUTH_TESTERS else ((Op.TO_BOOL, None),)


def unpack_ex(raw: Raw) -> tuple[Step, ...]:
    """A starred unpacking."""
    return ((Op.UNPACK_EX, UnpackShape(raw.arg & 0xFF, raw.arg >> 8)),)


def format_value(raw: Raw) -> tuple[Step, ...]:
    """An f-string's field: conversion in the low two bits, then whether a spec is on the stack (3.11, 3.12)."""
    conversion = CONVERSIONS[raw.arg & 3]
    if not raw.arg & 4:
        last: Step = (Op.FORMAT_SIMPLE, None)
        return (last,) if conversion is None else ((Op.CONVERT_VALUE, conversion), last)
    last = (Op.FORMAT_WITH_SPEC, None)
    if conversion is None:
        return (last,)
    return ((Op.SWAP, 2), (Op.CONVERT_VALUE, conversion), (Op.SWAP, 2), last)


def convert_value(raw: Raw) -> tuple[Step, ...]:
    """A conversion of an f-string's field (3.13)."""
    return ((Op.CONVERT_VALUE, CONVERSIONS[raw.arg]),)


def interpolation(raw: Raw) -> tuple[Step, ...]:
    """A field of a t-string (3.14)."""
    shape = InterpolationShape(INTERPOLATION_CONVERSIONS[raw.arg >> 2], bool(raw.arg & 1))
    return ((Op.BUILD_INTERPOLATION, shape),)


def call(raw: Raw) -> tuple[Step, ...]:
    """A call without keywords."""
    return ((Op.CALL, CallShape(raw.arg, ())),)


def make_function(raw: Raw) -> tuple[Step, ...]:
    """A function with all its parts, which lie below the code in the order of their flags (3.11, 3.12)."""
    parts = (
        FunctionPart.CLOSURE,
        FunctionPart.ANNOTATIONS,
        FunctionPart.KW_DEFAULTS,
        FunctionPart.DEFAULTS,
    )
    chosen = tuple((Op.SET_FUNCTION_PART, part) for part in parts if raw.arg & part.value)
    return ((Op.MAKE_FUNCTION, None), *chosen)


def function_part(raw: Raw) -> tuple[Step, ...]:
    """One part of a function (3.13)."""
    return ((Op.SET_FUNCTION_PART, FunctionPart(raw.arg)),)


def free_variables(raw: Raw) -> tuple[Step, ...]:
    """The closure's cells into their slots."""
    return ((Op.COPY_FREE_VARS, raw.free),)


def intrinsic_1(raw: Raw) -> tuple[Step, ...]:
    """A helper of the compiler, of one argument."""
    if raw.arg == INTRINSIC_1_UNARY_POSITIVE:
        return ((Op.UNARY_OP, operator.pos),)
    if raw.arg == INTRINSIC_1_LIST_TO_TUPLE:
        return ((Op.LIST_TO_TUPLE, None),)
    return ((Op.INTRINSIC_1, INTRINSICS_1[raw.arg]),)


def intrinsic_2(raw: Raw) -> tuple[Step, ...]:
    """A helper of the compiler, of two arguments."""
    return ((Op.INTRINSIC_2, INTRINSICS_2[raw.arg]),)


def _load(raw: Raw, index: int) -> Step:
    slot_name = raw.slots[index]
    return (Op.LOAD_CLOSURE if slot_name in raw.cells else Op.LOAD_FAST, slot_name)


def _slot_step(raw: Raw, op: Op, index: int) -> Step:
    return _load(raw, index) if op is Op.LOAD_FAST else (op, raw.slots[index])
