"""Turn a code object of the running CPython into normalised instructions.

In: a code object.   Out: `Decoded`. What `instructions.py` describes is what comes out, whatever the version.

Keeps: the order of instructions; the line of each; stack depths, so that the exception table holds.
"""

from __future__ import annotations

import dis
import functools
import sys
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Final, NamedTuple

import msgspec

from graphwright.base.errors import InternalError, Unsupported
from graphwright.capture.instructions import JUMPS, CallShape, Decoded, Handler, Instruction, Op
from graphwright.capture.tables import TABLES, VersionTable
from graphwright.capture.tables.rules import UNIT_BYTES, Raw, Rule, Step

FIRST_PSEUDO_OPCODE: Final = 256

ABSENT: Final = -1
"""Stands for an opcode that a version does not have."""


class RawInstruction(NamedTuple):
    """An instruction as CPython has it, with its extended arguments and its caches."""

    opcode: int
    arg: int
    """With the bits of `EXTENDED_ARG`."""
    start: int
    """Byte offset of its first `EXTENDED_ARG`, or of itself when it has none."""
    own: int
    """Byte offset of itself."""
    end: int
    """Byte offset after its caches: what jumps count from."""


class RawHandler(NamedTuple):
    """An entry of the exception table, in byte offsets."""

    start: int
    end: int
    target: int
    depth: int
    pushes_position: bool


class Decoder:
    """Decodes code objects by one version's table. Has no state but its tables, so one may serve all threads.

    Args:
        table: the version's table.
        opmap: opcode numbers by name, as `dis.opmap` gives them.

    Raises:
        InternalError: the table does not know an opcode of `opmap`.
    """

    def __init__(self, table: VersionTable, opmap: Mapping[str, int]) -> None:
        unknown = unmapped_opcodes(table, opmap)
        if unknown:
            message = f"no row for the opcodes {unknown} in the table of this Python version"
            raise InternalError(message)
        self._rules: list[Rule | None] = [None] * FIRST_PSEUDO_OPCODE
        self._opnames = [""] * FIRST_PSEUDO_OPCODE
        for name, opcode in opmap.items():
            if opcode < FIRST_PSEUDO_OPCODE:
                self._rules[opcode] = table.rules.get(name)
                self._opnames[opcode] = name
        self._cache = opmap["CACHE"]
        self._extended = opmap["EXTENDED_ARG"]
        self._call = opmap["CALL"]
        self._keyword_names = opmap.get(table.keyword_names, ABSENT)
        self._keyword_call = opmap.get(table.keyword_call, ABSENT)

    def decode(self, code: CodeType) -> Decoded:
        """Decode `code`."""
        raw = Raw(code)
        lines = _Lines(code)
        made: list[Instruction] = []
        keywords: tuple[str, ...] = ()
        for opcode, start in self._iter_raw(code.co_code, raw):
            if opcode == self._keyword_names:
                keywords = raw.consts[raw.arg]
                continue
            steps: tuple[Step, ...]
            if opcode == self._keyword_call:
                steps = ((Op.CALL, CallShape(raw.arg, made.pop().arg)),)
            elif opcode == self._call:
                steps = ((Op.CALL, CallShape(raw.arg, keywords)),)
                keywords = ()
            else:
                rule = self._rules[opcode]
                if rule is None:
                    raise self._error_of(code, opcode, start)
                steps = rule(raw)
            line = lines.at(start)
            for op, arg in steps:
                made.append(Instruction(op, arg, line, start))
        offsets = [instruction.offset for instruction in made]
        return Decoded(
            code=code,
            instructions=tuple(
                _with_index(instruction, offsets) if instruction.op in JUMPS else instruction
                for instruction in made
            ),
            handlers=tuple(_iter_handlers(code.co_exceptiontable, offsets)),
        )

    def _iter_raw(self, content: bytes, raw: Raw) -> Iterator[tuple[int, int]]:
        """Give opcode and offset of each raw instruction, with `raw` set for it."""
        size_bytes, opnames = len(content), self._opnames
        for opcode, arg, start, _, end in iter_raw(content, self._cache, self._extended):
            raw.arg = arg
            raw.after = end
            raw.next_name = opnames[content[end]] if end < size_bytes else ""
            yield opcode, start

    def _error_of(self, code: CodeType, opcode: int, start: int) -> InternalError:
        opname = self._opnames[opcode] or str(opcode)
        return InternalError(
            f"opcode {opname} in the bytecode of {code.co_qualname}, at byte {start}"
        )


class _Lines:
    """The line of each raw instruction; offsets must be asked for in ascending order."""

    def __init__(self, code: CodeType) -> None:
        self._ranges = code.co_lines()
        self._end = 0
        self._line = 0

    def at(self, offset: int) -> int:
        """Give the line, or 0 when there is none."""
        while offset >= self._end:
            _, self._end, line = next(self._ranges)
            self._line = line or 0
        return self._line


def decode(code: CodeType) -> Decoded:
    """Decode a code object of the interpreter that runs this.

    Raises:
        Unsupported: see `running_decoder`.
    """
    return running_decoder().decode(code)


def unmapped_opcodes(table: VersionTable, opmap: Mapping[str, int]) -> list[str]:
    """Give the names in `opmap` that `table` does not speak of: none, when the table fits the interpreter."""
    return sorted(
        name
        for name, opcode in opmap.items()
        if opcode < FIRST_PSEUDO_OPCODE
        and not name.startswith("INSTRUMENTED_")
        and name not in table.rules
        and name not in table.internal
        and name not in {table.keyword_names, table.keyword_call}
    )


@functools.cache
def running_decoder() -> Decoder:
    """Make the decoder for the interpreter that runs this.

    Raises:
        Unsupported: there is no table for this version of CPython, or it is another implementation of Python.
    """
    version = (sys.version_info.major, sys.version_info.minor)
    table = TABLES.get(version)
    if table is None or sys.implementation.name != "cpython":
        running = f"{sys.implementation.name} {version[0]}.{version[1]}"
        known = ", ".join(f"{major}.{minor}" for major, minor in TABLES)
        met = f"a program under {running}"
        why = f"its bytecode is not known; there are tables for CPython {known}"
        raise Unsupported(
            met, why=why, remedy="run under one of these versions, or upgrade graphwright"
        )
    return Decoder(table, dis.opmap)


def iter_raw(content: bytes, cache: int, extended: int) -> Iterator[RawInstruction]:
    """Give the raw instructions of bytecode; `cache` and `extended` are the opcodes `CACHE` and `EXTENDED_ARG`, not given."""
    size_bytes = len(content)
    position = start = arg = 0
    while position < size_bytes:
        opcode = content[position]
        arg |= content[position + 1]
        own = position
        position += UNIT_BYTES
        if opcode == extended:
            arg <<= 8
            continue
        while position < size_bytes and content[position] == cache:
            position += UNIT_BYTES
        yield RawInstruction(opcode, arg, start, own, position)
        start = position
        arg = 0


def iter_raw_handlers(table: bytes) -> Iterator[RawHandler]:
    """Read an exception table: numbers of six bits a byte, the first byte of an entry marked by its top bit."""
    numbers = _iter_numbers(table)
    for start in numbers:
        length, target, depth_and_flag = next(numbers), next(numbers), next(numbers)
        yield RawHandler(
            start=start * UNIT_BYTES,
            end=(start + length) * UNIT_BYTES,
            target=target * UNIT_BYTES,
            depth=depth_and_flag >> 1,
            pushes_position=bool(depth_and_flag & 1),
        )


def _with_index(instruction: Instruction, offsets: list[int]) -> Instruction:
    """Turn a jump's byte offset into the index of the instruction there."""
    return msgspec.structs.replace(instruction, arg=bisect_left(offsets, instruction.arg))


def _iter_handlers(table: bytes, offsets: list[int]) -> Iterator[Handler]:
    """Read the exception table in indices of instructions."""
    for raw in iter_raw_handlers(table):
        first = bisect_left(offsets, raw.start)
        end = bisect_left(offsets, raw.end)
        if first < end:
            yield Handler(
                start=first,
                end=end,
                target=bisect_left(offsets, raw.target),
                depth=raw.depth,
                pushes_position=raw.pushes_position,
            )


def _iter_numbers(table: bytes) -> Iterator[int]:
    number = 0
    for byte in table:
        number = (number << 6) | (byte & 0x3F)
        if not byte & 0x40:
            yield number
            number = 0
