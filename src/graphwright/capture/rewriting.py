"""Write a code object's bytecode anew: instructions with labels in, bytes and tables out.

In: `Unit`s in order, and the regions that handlers protect, in labels.   Out: `Assembled`: bytecode, line table and exception table
of the running CPython.
Keeps: the position of every unit in the user's file, columns included. Widths (`EXTENDED_ARG`) and distances of jumps follow from
where the units come to lie.
Formats: CPython's `Objects/locations.md` and `Objects/exception_handling_notes.txt`.
"""

from __future__ import annotations

import dis
import functools
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, MappingProxyType
from typing import Final, NamedTuple

import msgspec

from graphwright.capture.decode import iter_raw
from graphwright.capture.tables import TABLES
from graphwright.capture.tables.rules import UNIT_BYTES

Position = tuple[int | None, int | None, int | None, int | None]
"""First line, last line, first column, column after the last."""

Label = int
"""A place among the units. Those of the original are byte offsets in it; new ones are negative."""

MAX_ENTRY_UNITS: Final = 8
"""How many code units one entry of the line table can cover."""

LONG_FORM, NO_COLUMNS, NO_LOCATION = 14, 13, 15
"""Kinds of entries of the line table."""


class Unit(msgspec.Struct, frozen=True):
    """One instruction that is to be written."""

    name: str
    arg: int
    position: Position
    num_caches: int = 0
    target: Label | None = None
    """Of a jump, in place of `arg`."""
    label: Label | None = None
    """Of the place before it."""


class Protected(NamedTuple):
    """An entry of the exception table, in labels."""

    start: Label
    end: Label
    target: Label
    depth: int
    pushes_position: bool


CALL_HEADS: Final = frozenset({"KW_NAMES", "PRECALL"})
"""Raw instructions that are one with the call after them (3.11, 3.12)."""

METHOD_LOADS: Final = frozenset({"LOAD_ATTR", "LOAD_SUPER_ATTR"})
"""Raw instructions that load a method to call when the low bit of their argument is set (3.12 on)."""


class Assembled(NamedTuple):
    """What `CodeType.replace` wants."""

    bytecode: bytes
    line_table: bytes
    exception_table: bytes


def raw_instructions(code: CodeType) -> tuple[Unit, ...]:
    """Give the instructions of `code` as units that are each labelled by their byte offset."""
    positions = list(code.co_positions())
    found = []
    for opcode, arg, start, own, end in iter_raw(
        code.co_code, dis.opmap["CACHE"], dis.opmap["EXTENDED_ARG"]
    ):
        name = dis.opname[opcode]
        distance = -arg if "BACKWARD" in name else arg
        found.append(
            Unit(
                name=name,
                arg=arg,
                position=positions[own // UNIT_BYTES],
                num_caches=(end - own) // UNIT_BYTES - 1,
                target=end + distance * UNIT_BYTES if opcode in dis.hasjrel else None,
                label=start,
            )
        )
    return tuple(found)


def assemble(
    units: Sequence[Unit], handlers: Sequence[Protected], *, first_line: int, end_label: Label
) -> Assembled:
    """Write `units`; `end_label` is the label behind the last of them, `first_line` the code's `co_firstlineno`."""
    index_of = {unit.label: i for i, unit in enumerate(units) if unit.label is not None}
    index_of[end_label] = len(units)
    starts, args = _lay_out(units, index_of)
    return Assembled(
        bytecode=b"".join(
            _encode_unit(unit, arg, end - start)
            for unit, arg, start, end in zip(units, args, starts[:-1], starts[1:], strict=True)
        ),
        line_table=_line_table(units, starts, first_line),
        exception_table=b"".join(
            _encode_handler(one, starts, index_of)
            for one in sorted(handlers, key=lambda one: starts[index_of[one.start]])
        ),
    )


def plain_load(unit: Unit) -> Unit | None:
    """Give the load of an attribute that stands in for the load of a method, or None when `unit` is not one.

    The latter leaves a method and its object, or a NULL and an attribute, depending on what it finds.
    """
    if unit.name == "LOAD_METHOD":
        return Unit("LOAD_ATTR", unit.arg, unit.position, cache_counts().get("LOAD_ATTR", 0))
    marks_methods = "LOAD_METHOD" not in TABLES[sys.version_info[:2]].rules
    is_method = unit.name in METHOD_LOADS and marks_methods and unit.arg & 1
    return msgspec.structs.replace(unit, arg=unit.arg & ~1, label=None) if is_method else None


@functools.cache
def cache_counts() -> Mapping[str, int]:
    """Give how many caches stand behind the instructions that are written anew, as the interpreter's own compiler does it."""
    module = compile("def f(x):\n  if x.a: x()", "<caches>", "exec")
    function = next(one for one in module.co_consts if isinstance(one, CodeType))
    return MappingProxyType({one.name: one.num_caches for one in raw_instructions(function)})


def _num_extended(arg: int) -> int:
    """Give how many `EXTENDED_ARG` an argument needs."""
    return max(0, (arg.bit_length() - 1) // 8)


def _lay_out(units: Sequence[Unit], index_of: Mapping[Label, int]) -> tuple[list[int], list[int]]:
    """Give where each unit starts, in code units and with the end as the last one, and its argument.

    Widths only grow, so this ends.
    """
    extended = [_num_extended(unit.arg) if unit.target is None else 0 for unit in units]
    while True:
        sizes = (wide + 1 + unit.num_caches for wide, unit in zip(extended, units, strict=True))
        starts = list(itertools.accumulate(sizes, initial=0))
        args = [
            unit.arg if unit.target is None else abs(starts[index_of[unit.target]] - starts[i + 1])
            for i, unit in enumerate(units)
        ]
        needed = [max(wide, _num_extended(arg)) for wide, arg in zip(extended, args, strict=True)]
        if needed == extended:
            return starts, args
        extended = needed


def _encode_unit(unit: Unit, arg: int, num_units: int) -> bytes:
    opcode, extended = dis.opmap[unit.name], dis.opmap["EXTENDED_ARG"]
    *high, low = arg.to_bytes(num_units - unit.num_caches, "big")
    prefix = b"".join(bytes((extended, byte)) for byte in high)
    return prefix + bytes((opcode, low)) + bytes(UNIT_BYTES * unit.num_caches)


def _line_table(units: Sequence[Unit], starts: Sequence[int], first_line: int) -> bytes:
    line = first_line
    entries = bytearray()
    for unit, start, end in zip(units, starts[:-1], starts[1:], strict=True):
        for first in range(start, end, MAX_ENTRY_UNITS):
            num_units = min(MAX_ENTRY_UNITS, end - first)
            entries += _encode_location(unit.position, num_units, line)
            line = line if unit.position[0] is None else unit.position[0]
    return bytes(entries)


def _encode_location(position: Position, num_units: int, line_before: int) -> bytes:
    line, last_line, column, end_column = position
    if line is None:
        return bytes((_entry_head(NO_LOCATION, num_units),))
    numbers = [_signed(line - line_before)]
    if last_line is None or column is None or end_column is None:
        kind = NO_COLUMNS
    else:
        kind = LONG_FORM
        numbers += [last_line - line, column + 1, end_column + 1]
    return bytes((_entry_head(kind, num_units), *itertools.chain(*map(_low_first, numbers))))


def _entry_head(kind: int, num_units: int) -> int:
    return 0x80 | (kind << 3) | (num_units - 1)


def _signed(number: int) -> int:
    return (-number << 1) | 1 if number < 0 else number << 1


def _low_first(number: int) -> Iterator[int]:
    """Give a number of the line table: six bits a byte, lowest first."""
    while number > 0x3F:
        yield 0x40 | (number & 0x3F)
        number >>= 6
    yield number


def _encode_handler(
    handler: Protected, starts: Sequence[int], index_of: Mapping[Label, int]
) -> bytes:
    start, end, target = (starts[index_of[one]] for one in handler[:3])
    numbers = (start, end - start, target, handler.depth << 1 | handler.pushes_position)
    content = bytearray(itertools.chain(*map(_high_first, numbers)))
    content[0] |= 0x80
    return bytes(content)


def _high_first(number: int) -> Iterator[int]:
    """Give a number of the exception table: six bits a byte, highest first."""
    for shift in range(max(0, (number.bit_length() - 1) // 6) * 6, 0, -6):
        yield 0x40 | ((number >> shift) & 0x3F)
    yield number & 0x3F
