"""Loop IR read from its text.

In:  what `render_kernel` writes (see `ir/loops_text.py`).   Out: the kernel.
Does not: check what the text means; that is `verify_kernel`'s.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final, TypeVar

from graphwright.ir.aten_text import SHORT_NAMES
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.loops import (
    Access,
    Ahead,
    Carry,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Kernel,
    Load,
    Loop,
    LoopKind,
    MatmulTile,
    Param,
    Scratch,
    Stmt,
    Store,
    Term,
    TransposeTile,
)
from graphwright.ir.loops_text import INDENT
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.ir.symint import Dim
from graphwright.ir.symint_parse import parse_dim

_DTYPES: Final = {name: dtype for dtype, name in SHORT_NAMES.items()}
_HEADER: Final = re.compile(r"kernel (\w+)(?:<(.*?)>)?\((.*)\)( uncontracted)?:")
_PARAM: Final = re.compile(r"(\w+): (\w+) (\w+)(?: aliases (\w+))?(?: align (\d+))?")
_SCRATCH: Final = re.compile(r"scratch (\w+): (\w+)\[(\d+)\]")
_ESTIMATE: Final = re.compile(r"# moves (\d+) bytes, computes (\d+)")
_LOC: Final = re.compile(r"# (.*):(\d+) in (.*)")
_CONST: Final = re.compile(r"(\w+) = const (\S+): (\w+)")
_INDEX: Final = re.compile(r"(\w+) = index (.*)")
_LOAD: Final = re.compile(r"(\w+) = load (\w+)\[(.*)\](?: ahead (\d+))?")
_COMPUTE: Final = re.compile(r"(\w+) = (\w+)\((.*)\): (\w+)")
_STORE: Final = re.compile(r"(store|stream) (\w+)\[(.*)\] = (\w+)")
_IF: Final = re.compile(r"if (\w+):")
_LOOP: Final = re.compile(r"(\w+) (\w+) in (.*?)\.\.(.*?)(?: step (\d+))?(?: grain (\d+))?:")
_CARRY: Final = re.compile(r"carry (\w+) = (\w+)\((\w+)(?:, (\w+))?\): (\w+)")
_STRIDE: Final = r"(-?\d+|\(.*?\))"
_TRANSPOSE: Final = re.compile(
    rf"transpose (\w+)\[(.*?)\] by {_STRIDE} = (\w+)\[(.*?)\] by {_STRIDE}, (\d+) x (\d+)"
)
_MATMUL: Final = re.compile(
    rf"matmul (\w+)\[(.*?)\] by {_STRIDE} (\+?=) (\w+)\[(.*?)\] by {_STRIDE}, {_STRIDE}"
    rf" @ (\w+)\[(.*?)\] by {_STRIDE}, (\d+) x (\d+) x (\d+)"
    rf"(?:, ahead (\w+)\[(.*?)\] (rows|columns) by {_STRIDE})?"
)
_TERM: Final = re.compile(r"([A-Za-z_]\w*)(?:\*(-?\d+|\(.*\)))?")
_Kind = TypeVar("_Kind", bound=enum.Enum)


def parse_kernel(text: str) -> Kernel:
    """Give the kernel of a text.

    Raises:
        ValueError: the text is no kernel; the message has the line.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    return _Parser(lines).parse()


class _Parser:
    """Reads the lines of one kernel, from the first to the last."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._position = 0

    def parse(self) -> Kernel:
        """Read the whole kernel."""
        header = self._match(_HEADER, "a kernel's first line")
        params = tuple(map(self._param, _split(header[3])))
        origins: tuple[str, ...] = ()
        loc: Loc | None = None
        estimates = (0, 0)
        while (line := self._peek()).startswith("#"):
            self._position += 1
            if line.startswith("# from "):
                origins = tuple(_split(line.removeprefix("# from ")))
            elif found := _ESTIMATE.fullmatch(line):
                estimates = int(found[1]), int(found[2])
            elif found := _LOC.fullmatch(line):
                loc = Loc(found[1], int(found[2]), found[3])
        scratch = []
        while found := _SCRATCH.fullmatch(self._peek()):
            self._position += 1
            scratch.append(Scratch(found[1], self._dtype(found[2]), int(found[3])))
        body, carries = self._block(1)
        if carries or self._position < len(self._lines):
            self._position += 1
            raise self._fail("a statement here")
        symbols = tuple(_split(header[2] or ""))
        return Kernel(
            header[1],
            params,
            tuple(scratch),
            symbols,
            body,
            origins,
            loc,
            *estimates,
            can_contract=not header[4],
        )

    # lines

    def _peek(self) -> str:
        """Give the next line without its indentation; nothing at the end."""
        return self._lines[self._position].strip() if self._position < len(self._lines) else ""

    def _match(self, pattern: re.Pattern[str], wanted: str) -> re.Match[str]:
        """Take the next line, which must have a form."""
        found = pattern.fullmatch(self._peek())
        self._position += 1
        if found is None:
            raise self._fail(wanted)
        return found

    def _depth(self) -> int:
        line = self._lines[self._position]
        return (len(line) - len(line.lstrip())) // len(INDENT)

    def _fail(self, wanted: str) -> ValueError:
        """Give the error for the line that was taken last."""
        number = min(self._position, len(self._lines))
        line = self._lines[number - 1].strip() if number else ""
        msg = f"line {number} of a kernel is not {wanted}: {line!r}"
        return ValueError(msg)

    # statements

    def _block(self, depth: int) -> tuple[tuple[Stmt, ...], tuple[Carry, ...]]:
        """Read the statements of one depth, and the carries that end them."""
        body: list[Stmt] = []
        carries: list[Carry] = []
        while self._position < len(self._lines) and self._depth() == depth:
            if found := _CARRY.fullmatch(self._peek()):
                self._position += 1
                op = self._member(ReduceOp, found[2])
                dtype = self._dtype(found[5])
                carries.append(Carry(found[1], op, found[3], dtype, found[4]))
            else:
                body.append(self._statement(depth))
        return tuple(body), tuple(carries)

    def _statement(self, depth: int) -> Stmt:
        line = self._peek()
        self._position += 1
        for pattern, read in self._readers():
            if found := pattern.fullmatch(line):
                return read(found)
        if found := _IF.fullmatch(line):
            return If(found[1], self._block(depth + 1)[0])
        if found := _LOOP.fullmatch(line):
            return self._loop(found, depth)
        raise self._fail("a statement")

    def _readers(self) -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Stmt]], ...]:
        return (
            (_CONST, lambda m: Const(m[1], m[2], self._dtype(m[3]))),
            (_INDEX, lambda m: IndexValue(m[1], self._index(m[2]))),
            (_LOAD, lambda m: Load(m[1], m[2], self._index(m[3]), int(m[4] or 0))),
            (_STORE, lambda m: Store(m[2], self._index(m[3]), m[4], m[1] == "stream")),
            (_TRANSPOSE, self._transpose),
            (_MATMUL, self._matmul),
            (_COMPUTE, self._compute),
        )

    def _compute(self, found: re.Match[str]) -> Compute:
        op = self._member(ScalarOp, found[2])
        return Compute(found[1], op, tuple(_split(found[3])), self._dtype(found[4]))

    def _loop(self, found: re.Match[str], depth: int) -> Loop:
        kind = self._member(LoopKind, found[1])
        start = self._index(found[3])
        stops = found[4]
        parts = _split(stops[4:-1]) if stops.startswith("min(") else [stops]
        body, carries = self._block(depth + 1)
        return Loop(
            found[2],
            start,
            tuple(map(self._index, parts)),
            kind,
            body,
            int(found[5] or 1),
            carries,
            int(found[6] or 1),
        )

    def _transpose(self, found: re.Match[str]) -> TransposeTile:
        return TransposeTile(
            found[1],
            self._index(found[2]),
            self._dim(found[3]),
            found[4],
            self._index(found[5]),
            self._dim(found[6]),
            int(found[7]),
            int(found[8]),
        )

    def _matmul(self, found: re.Match[str]) -> MatmulTile:
        return MatmulTile(
            target=found[1],
            target_index=self._index(found[2]),
            target_stride=self._dim(found[3]),
            left=found[5],
            left_index=self._index(found[6]),
            left_row_stride=self._dim(found[7]),
            left_depth_stride=self._dim(found[8]),
            right=found[9],
            right_index=self._index(found[10]),
            right_stride=self._dim(found[11]),
            rows=int(found[12]),
            cols=int(found[13]),
            depth=int(found[14]),
            accumulates=found[4] == "+=",
            ahead=self._ahead(found),
        )

    def _ahead(self, found: re.Match[str]) -> Ahead | None:
        if found[15] is None:
            return None
        return Ahead(
            found[15], self._index(found[16]), self._dim(found[18]), found[17] == "columns"
        )

    # parts

    def _param(self, text: str) -> Param:
        found = _PARAM.fullmatch(text)
        if found is None:
            raise self._fail(f"a list of params ({text!r})")
        access = self._member(Access, found[3])
        return Param(found[1], self._dtype(found[2]), access, found[4], int(found[5] or 0))

    def _dtype(self, name: str) -> DType:
        if name not in _DTYPES:
            raise self._fail(f"about a known element type ({name!r})")
        return _DTYPES[name]

    def _member(self, kind: type[_Kind], name: str) -> _Kind:
        try:
            return kind(name)
        except ValueError:
            raise self._fail(f"about a known {kind.__name__} ({name!r})") from None

    def _index(self, text: str) -> Index:
        terms: list[Term] = []
        const: Dim = 0
        for part in _split(text, " + "):
            if found := _TERM.fullmatch(part):
                terms.append(Term(found[1], self._dim(found[2] or "1")))
            else:
                const = self._dim(part)
        return Index(tuple(terms), const)

    def _dim(self, text: str) -> Dim:
        try:
            return parse_dim(text)
        except ValueError as error:
            raise self._fail(f"about sizes ({text!r})") from error


def _split(text: str, separator: str = ", ") -> list[str]:
    """Split at the separators that stand in no bracket."""
    parts: list[str] = []
    depth = 0
    for piece in text.split(separator) if text else []:
        if depth:
            parts[-1] += separator + piece
        else:
            parts.append(piece)
        depth += piece.count("(") - piece.count(")")
    return parts
