"""What is known at a point of a function while it is written: names, buffers, lanes, mask.

In: statements' names.   Out: `Frame`, which turns names, dims and indices into operands.
Keeps: a loop variable of a vector loop, and each index made of it, stays *affine* (first lane and distance between lanes) for
as long as it is only used in indices, so that contiguous access is seen; it becomes a vector when it is computed with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.builder import Builder, Int, index_value
from graphwright.codegen.llvm.dims import emit_dim
from graphwright.codegen.llvm.target import Target
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Index
from graphwright.ir.symint import Dim, SymExpr


class Place:
    """An index: `base + lane * stride + vector[lane]`; uniform if the last two are nothing.

    `divisor` is known to divide `base` (0, which all numbers divide, stands for a base of 0).
    """

    __slots__ = ("base", "divisor", "stride", "vector")

    def __init__(
        self, base: Int, stride: int = 0, vector: Value | None = None, *, divisor: int = 1
    ) -> None:
        self.base = base
        self.stride = stride
        self.vector = vector
        self.divisor = base if isinstance(base, int) else divisor

    @property
    def is_uniform(self) -> bool:
        """True if all lanes have the same index."""
        return self.stride == 0 and self.vector is None


class Local:
    """A value of the kernel: its dtype, and an operand or (for int64) a place."""

    __slots__ = ("dtype", "value")

    def __init__(self, dtype: DType, value: Value | Place) -> None:
        self.dtype = dtype
        self.value = value


class Memory:
    """A buffer: pointer, element dtype, and what the pointer is known to be a multiple of."""

    __slots__ = ("align_bytes", "dtype", "pointer")

    def __init__(self, pointer: str, dtype: DType, align_bytes: int) -> None:
        self.pointer = pointer
        self.dtype = dtype
        self.align_bytes = align_bytes


class Frame:
    """The state of one function's emission. Changed as statements are written."""

    def __init__(
        self,
        builder: Builder,
        target: Target,
        buffers: Mapping[str, Memory],
        symbols: Mapping[str, str],
        locals_: Mapping[str, Local],
    ) -> None:
        self.builder = builder
        self.target = target
        self.buffers = dict(buffers)
        self.symbols = symbols
        self.locals = dict(locals_)
        self.lanes = 1
        self.mask: Value | None = None
        self._dims: dict[SymExpr, Int] = {}

    @contextmanager
    def in_lanes(self, lanes: int, mask: Value | None) -> Iterator[None]:
        """Write what follows for `lanes` lanes, of which those in `mask` count."""
        before = self.lanes, self.mask
        self.lanes, self.mask = lanes, mask
        yield
        self.lanes, self.mask = before

    def dim(self, dim: Dim) -> Int:
        """Give an extent; symbolic ones are computed once, in the function's first block."""
        if isinstance(dim, int):
            return dim
        if dim not in self._dims:
            builder = self.builder
            body, builder.lines = builder.lines, builder.entry
            self._dims[dim] = emit_dim(builder, dim, self.symbols)
            builder.lines = body
        return self._dims[dim]

    def local(self, name: str) -> Local:
        """Give what `name` stands for."""
        if name not in self.locals:
            raise InternalError(f"{name} is used before it is defined")
        return self.locals[name]

    def operand(self, name: str) -> Value:
        """Give `name` as an operand, with one lane or with all."""
        value = self.local(name).value
        return value if isinstance(value, Value) else self.spread(value)

    def spread(self, place: Place) -> Value:
        """Give an index as an i64 operand."""
        base = index_value(place.base)
        if place.is_uniform:
            return base
        offsets = self.offsets(place)
        return offsets if place.base == 0 else self.builder.binary("add", base, offsets)

    def offsets(self, place: Place) -> Value:
        """Give the part of an index that differs between lanes."""
        offsets = place.vector
        if place.stride != 0:
            numbers = ", ".join(f"i64 {lane * place.stride}" for lane in range(self.lanes))
            line = Value(f"<{numbers}>", Kind.I64, self.lanes)
            offsets = line if offsets is None else self.builder.binary("add", line, offsets)
        if offsets is None:
            raise InternalError("a uniform index has no offsets")
        return offsets

    def place(self, index: Index) -> Place:
        """Evaluate an index.

        Terms are added in the order in which their names were defined, so that sums of outer loops' terms stay out of
        inner loops.
        """
        builder = self.builder
        result = Place(self.dim(index.const))
        order = {name: position for position, name in enumerate(self.locals)}
        for term in sorted(index.terms, key=lambda term: order.get(term.name, -1)):
            value = self.local(term.name).value
            coeff = self.dim(term.coeff)
            factor = coeff if isinstance(coeff, int) else 1
            if isinstance(value, Value):
                result.divisor = math.gcd(result.divisor, factor)
                self._add_term(result, value, coeff)
                continue
            result.divisor = math.gcd(result.divisor, value.divisor * factor)
            result.base = builder.index_add(result.base, builder.index_multiply(value.base, coeff))
            if value.is_uniform:
                continue
            if value.vector is None and isinstance(coeff, int):
                result.stride += value.stride * coeff
            else:
                self._add_term(result, self.offsets(value), coeff)
        return result

    def _add_term(self, place: Place, value: Value, coeff: Int) -> None:
        builder = self.builder
        if value.lanes == 1:
            number: Int = int(value.text) if value.is_literal else value.text
            place.base = builder.index_add(place.base, builder.index_multiply(number, coeff))
            return
        scaled = value if coeff == 1 else builder.binary("mul", value, index_value(coeff))
        place.vector = (
            scaled if place.vector is None else builder.binary("add", place.vector, scaled)
        )

    def uniform(self, index: Index) -> Place:
        """Evaluate an index that must be the same for all lanes (a loop's bound)."""
        place = self.place(index)
        if not place.is_uniform:
            msg = "a loop's bound differs between lanes"
            raise InternalError(msg)
        return place
