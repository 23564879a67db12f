"""Make code whose calls go elsewhere.

In: a code object, and a function that is given what the code is about to call.   Out: code that calls what that function gives.

    def f(x):                        def f(x):
        return g(x) + x.size(0)  →       return redirect(g)(x) + redirect(x.size)(0)

Keeps: what is called sees its caller's frame (`super()`, `locals()`), and the position of every instruction.
Does not: redirect what operators, loops and `with` call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any, Final

import msgspec

from graphwright.capture.decode import iter_raw_handlers
from graphwright.capture.rewriting import (
    CALL_HEADS,
    Protected,
    Unit,
    assemble,
    cache_counts,
    plain_load,
    raw_instructions,
)
from graphwright.capture.tables import TABLES

_EXTRA_DEPTH: Final = 2
"""What the call of the redirecting function needs of the stack."""


def make_redirecting_code(code: CodeType, redirect: Callable[[Any], Any]) -> CodeType:
    """Make code that does what `code` does, but for its calls.

    Args:
        code: any code object.
        redirect: given a callable, gives what to call instead.
    """
    units = list(_iter_redirected(raw_instructions(code), number=len(code.co_consts)))
    handlers = [Protected(*one) for one in iter_raw_handlers(code.co_exceptiontable)]
    made = assemble(units, handlers, first_line=code.co_firstlineno, end_label=len(code.co_code))
    return code.replace(
        co_code=made.bytecode,
        co_consts=(*code.co_consts, redirect),
        co_linetable=made.line_table,
        co_exceptiontable=made.exception_table,
        co_stacksize=code.co_stacksize + _EXTRA_DEPTH,
    )


def _iter_redirected(units: Sequence[Unit], number: int) -> Iterator[Unit]:
    """Give the new instructions; constant `number` is the redirecting function."""
    group: list[Unit] = []
    for unit in units:
        group.append(unit)
        if unit.name in CALL_HEADS:
            continue
        depth = _depth_of_callable(unit)
        load = plain_load(unit)
        if depth is not None:
            yield from _starting_at(group[0], [*_redirected(unit, depth, number), *group])
        elif load is not None:
            yield from _starting_at(unit, [load, *_pushed_null(unit)])
        else:
            yield from group
        group.clear()


def _depth_of_callable(unit: Unit) -> int | None:
    """Give where on the stack an instruction finds what it calls, 1 for the top; None when it is no call."""
    table = TABLES[sys.version_info[:2]]
    null_above = not table.has_null_below
    if unit.name == "CALL":
        return unit.arg + 1 + null_above
    if unit.name == table.keyword_call:
        return unit.arg + 2 + null_above
    if unit.name == "CALL_FUNCTION_EX":
        has_kwargs = sys.version_info >= (3, 14) or unit.arg & 1
        return 2 + has_kwargs + null_above
    return None


def _redirected(unit: Unit, depth: int, number: int) -> list[Unit]:
    """Exchange what is at a depth of the stack for what the redirecting function gives for it."""
    table = TABLES[sys.version_info[:2]]
    reach = [_new(unit, "SWAP", depth)] if depth > 1 else []
    pushes = [_new(unit, "PUSH_NULL"), _new(unit, "LOAD_CONST", number)]
    if not table.has_null_below:
        pushes.reverse()
    below = [step for push in pushes for step in (push, _new(unit, "SWAP", 2))]
    precall = [_new(unit, "PRECALL", 1)] if "PRECALL" in table.rules else []
    return [*reach, *below, *precall, _new(unit, "CALL", 1), *reach]


def _pushed_null(unit: Unit) -> list[Unit]:
    """Push the NULL that belongs to a callable that was loaded without it."""
    swap = [_new(unit, "SWAP", 2)] if TABLES[sys.version_info[:2]].has_null_below else []
    return [_new(unit, "PUSH_NULL"), *swap]


def _new(like: Unit, name: str, arg: int = 0) -> Unit:
    """Make an instruction that stands where another does in the user's file."""
    return Unit(name, arg, like.position, cache_counts().get(name, 0))


def _starting_at(first: Unit, units: Sequence[Unit]) -> Iterator[Unit]:
    """Give units that take the place of some that began with `first`; each of those keeps its label but `first`."""
    for i, unit in enumerate(units):
        label = first.label if i == 0 else unit.label if unit is not first else None
        yield msgspec.structs.replace(unit, label=label)
