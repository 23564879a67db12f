"""The scalar program of a kernel: a graph of values, each a function of the loop variables (*atoms*).

In: the calls of lowering rules on a `ScalarBuilder`.   Out: `Scalar` values, equal ones made once.
Keeps: a scalar knows the atoms it depends on (`mask`), and after how many reductions over the kernel's reduced atoms it is
known (`level`): where it is computed, and how often, is decided later, by `nests.py`.
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Sequence
from typing import Final

import torch

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import FACTS, ReduceOp, ScalarOp
from graphwright.lower.affine import Affine, atom_affine, range_of

Number = bool | int | float


class ScalarKind(enum.Enum):
    """How a scalar comes about."""

    CONST = "const"
    INDEX = "index"
    """The int64 value of an affine index."""
    LOAD = "load"
    COMPUTE = "compute"
    REDUCE = "reduce"
    PRODUCT = "product"
    """An element of a product of matrices."""
    CARRIED = "carried"
    """What a scan has gathered before the element at hand."""


class Scalar:
    """One value of a scalar program. Made by `ScalarBuilder` only, and never changed."""

    __slots__ = (
        "affine",
        "args",
        "cost",
        "dtype",
        "kind",
        "level",
        "mask",
        "number",
        "op",
        "reduce_op",
        "source",
        "text",
    )

    def __init__(self, number: int, kind: ScalarKind, dtype: DType) -> None:
        self.number = number
        self.kind = kind
        self.dtype = dtype
        self.op: ScalarOp | None = None
        self.reduce_op: ReduceOp | None = None
        self.args: tuple[Scalar, ...] = ()
        """Operands; for `REDUCE` the update, and for an arg-reduction the index after it."""
        self.affine: Affine | None = None
        self.source = -1
        """For `LOAD`: the graph value whose memory is read."""
        self.text = ""
        """For `CONST`: the value as the loop IR writes it."""
        self.mask = 0
        """Atoms that the value depends on, as a bit set."""
        self.level = 0
        """The number of reductions that must be finished before it is known."""
        self.cost = 0
        """Rough cost of this operation alone, in multiplications."""


class ScalarBuilder:
    """Makes the scalars of one kernel over given atoms.

    Args:
        extents: extent of each atom.
        reduced_mask: the atoms that the kernel's reductions run over, as a bit set.
        rounds_between: a value that is rounded to a narrower float and widened again has changed.
    """

    def __init__(
        self, extents: Sequence[int], reduced_mask: int, *, rounds_between: bool = True
    ) -> None:
        self.rounds_between = rounds_between
        self.extents = list(extents)
        self.num_atoms = len(extents)
        self.reduced_mask = reduced_mask
        self.dynamic: dict[int, Scalar] = {}
        """Computed integers that occur in indices, by atom number (at least `num_atoms`)."""
        self.scalars: list[Scalar] = []
        self._known: dict[tuple[object, ...], Scalar] = {}
        self._dynamic_atoms: dict[tuple[int, int], int] = {}

    def const(self, value: Number, dtype: DType) -> Scalar:
        """Give a constant of `dtype`, converted as `Tensor.to` converts."""
        text = render_constant(value, dtype)
        key = (ScalarKind.CONST, text, dtype)
        known = self._known.get(key)
        if known is None:
            known = self._add(key, ScalarKind.CONST, dtype)
            known.text = text
        return known

    def copy_const(self, scalar: Scalar) -> Scalar:
        """Give the constant that `scalar`, of another builder, is."""
        return self.const(constant_value(scalar), scalar.dtype)

    def index(self, affine: Affine) -> Scalar:
        """Give an index as an int64 value."""
        if not affine.terms:
            return self.const(affine.const, DType.INT64)
        if len(affine.terms) == 1 and affine.terms[0][0] >= self.num_atoms:
            atom, coeff = affine.terms[0]
            if coeff == 1 and not affine.const:
                return self.dynamic[atom]
        key = (ScalarKind.INDEX, affine)
        known = self._known.get(key)
        if known is None:
            known = self._add(key, ScalarKind.INDEX, DType.INT64)
            self._set_affine(known, affine)
            known.cost = 1
        return known

    def load(self, source: int, affine: Affine, dtype: DType) -> Scalar:
        """Give element `affine` of the memory of graph value `source`, seen as `dtype`."""
        key = (ScalarKind.LOAD, source, affine, dtype)
        known = self._known.get(key)
        if known is None:
            known = self._add(key, ScalarKind.LOAD, dtype)
            self._set_affine(known, affine)
            known.source = source
            known.cost = 1
        return known

    def compute(self, op: ScalarOp, args: Sequence[Scalar], dtype: DType) -> Scalar:
        """Give `op(args)`, simplified where that keeps the value bit for bit."""
        simpler = self._simplify(op, args, dtype)
        if simpler is not None:
            return simpler
        args = tuple(args)
        key = (op, dtype, *[arg.number for arg in args])
        known = self._known.get(key)
        if known is None:
            known = self._add(key, ScalarKind.COMPUTE, dtype)
            known.op, known.args, known.cost = op, args, FACTS[op].cost
            self._depend(known, args)
        return known

    def cast(self, value: Scalar, dtype: DType) -> Scalar:
        """Convert as `Tensor.to` converts."""
        return self.compute(ScalarOp.CAST, (value,), dtype)

    def reduce(
        self, op: ReduceOp, update: Scalar, index: Scalar | None, reduced_mask: int
    ) -> Scalar:
        """Give the reduction of `update` over the atoms of `reduced_mask`; arg-reductions give `index` where it is extreme."""
        args = (update,) if index is None else (update, index)
        key = (op, reduced_mask, *[arg.number for arg in args])
        known = self._known.get(key)
        if known is None:
            dtype = update.dtype if index is None else DType.INT64
            known = self._add(key, ScalarKind.REDUCE, dtype)
            known.reduce_op, known.args, known.cost = op, args, 1
            self._depend(known, args)
            known.mask &= ~reduced_mask
            known.level += 1
        return known

    def product(self, dtype: DType) -> Scalar:
        """Give the element of the kernel's product of matrices at the place at hand."""
        scalar = self._add((ScalarKind.PRODUCT,), ScalarKind.PRODUCT, dtype)
        scalar.mask = (1 << self.num_atoms) - 1
        return scalar

    def carried(self, number: int, dtype: DType) -> Scalar:
        """Give what a scan has gathered in its state `number`: it may differ in each iteration."""
        key = (ScalarKind.CARRIED, number, dtype)
        known = self._known.get(key)
        if known is None:
            known = self._add(key, ScalarKind.CARRIED, dtype)
            known.mask = (1 << self.num_atoms) - 1
        return known

    def dynamic_index(self, value: Scalar, extent: int) -> Affine:
        """Give a computed int64 in `0..extent` as an index."""
        key = (value.number, extent)
        atom = self._dynamic_atoms.get(key)
        if atom is None:
            atom = len(self.extents)
            self.extents.append(extent)
            self.dynamic[atom] = value
            self._dynamic_atoms[key] = atom
        return atom_affine(atom)

    def dependencies(self, scalar: Scalar) -> list[Scalar]:
        """Give the scalars that must be known to compute this one."""
        if scalar.affine is None:
            return list(scalar.args)
        return [*scalar.args, *self.dynamic_parts(scalar.affine)]

    def dynamic_parts(self, affine: Affine) -> list[Scalar]:
        """Give the computed integers that occur in an index."""
        return [self.dynamic[atom] for atom, _ in affine.terms if atom in self.dynamic]

    def mask_of(self, affine: Affine) -> int:
        """Give the atoms that an index depends on, by way of computed integers too."""
        mask = 0
        for atom, _ in affine.terms:
            dynamic = self.dynamic.get(atom)
            mask |= 1 << atom if dynamic is None else dynamic.mask
        return mask

    def _add(self, key: tuple[object, ...], kind: ScalarKind, dtype: DType) -> Scalar:
        scalar = Scalar(len(self.scalars), kind, dtype)
        self.scalars.append(scalar)
        self._known[key] = scalar
        return scalar

    def _depend(self, scalar: Scalar, others: Sequence[Scalar]) -> None:
        for other in others:
            scalar.mask |= other.mask
            scalar.level = max(scalar.level, other.level)

    def _set_affine(self, scalar: Scalar, affine: Affine) -> None:
        scalar.affine = affine
        for atom, _ in affine.terms:
            if atom < self.num_atoms:
                scalar.mask |= 1 << atom
            else:
                self._depend(scalar, (self.dynamic[atom],))

    def _simplify(self, op: ScalarOp, args: Sequence[Scalar], dtype: DType) -> Scalar | None:
        """Give a known scalar that has the value of `op(args)`, if there is one."""
        first = args[0]
        match op:
            case ScalarOp.CAST:
                return self._simplify_cast(first, dtype)
            case ScalarOp.MUL:
                return args[1] if _is_one(first) else first if _is_one(args[1]) else None
            case ScalarOp.DIV:
                return self._simplify_division(first, args[1], dtype)
            case ScalarOp.WHERE if first.kind is ScalarKind.CONST:
                return args[1] if first.text == "true" else args[2]
            case ScalarOp.IS_NAN | ScalarOp.IS_INF if not first.dtype.is_float:
                return self.const(value=False, dtype=DType.BOOL)
            case ScalarOp.LT | ScalarOp.LE | ScalarOp.GT | ScalarOp.GE:
                return self._decide(op, first, args[1])
            case _:
                return first if _changes_nothing(op, dtype) else None

    def _simplify_cast(self, value: Scalar, dtype: DType) -> Scalar | None:
        if value.dtype is dtype:
            return value
        if value.kind is ScalarKind.CONST:
            return self.const(constant_value(value), dtype)
        if value.op is ScalarOp.CAST and value.args[0].dtype is dtype:
            if not self.rounds_between and value.dtype in _NARROW_FLOATS and dtype.is_float:
                return value.args[0]
            return value.args[0] if value.dtype in _EXACT_WIDENINGS.get(dtype, ()) else None
        return self._narrow_again(value, dtype) if dtype in _NARROW_FLOATS else None

    def _narrow_again(self, value: Scalar, dtype: DType) -> Scalar | None:
        """Give in a narrow dtype what was widened, and only chosen or given another sign since: there is nothing to round."""
        match value.op:
            case ScalarOp.WHERE:
                chosen = [_narrow_value(self, arg, dtype) for arg in value.args[1:]]
                operands = [arg for arg in chosen if arg is not None]
                is_narrow = len(operands) == len(chosen)
                return (
                    self.compute(value.op, (value.args[0], *operands), dtype) if is_narrow else None
                )
            case ScalarOp.ABS | ScalarOp.NEG:
                narrow = _narrow_value(self, value.args[0], dtype)
                return None if narrow is None else self._with_sign_bit(value.op, narrow)
            case _:
                return None

    def _with_sign_bit(self, op: ScalarOp, value: Scalar) -> Scalar:
        """Give a narrow float with its sign cleared (`ABS`) or turned (`NEG`)."""
        bits = self.compute(ScalarOp.BITCAST, (value,), DType.INT16)
        is_abs = op is ScalarOp.ABS
        mask = self.const(0x7FFF if is_abs else -0x8000, DType.INT16)
        bitwise = ScalarOp.BITWISE_AND if is_abs else ScalarOp.BITWISE_XOR
        bits = self.compute(bitwise, (bits, mask), DType.INT16)
        return self.compute(ScalarOp.BITCAST, (bits,), value.dtype)

    def _simplify_division(self, first: Scalar, divisor: Scalar, dtype: DType) -> Scalar | None:
        """X / 1 → x;  x / 2**k → x * 2**-k, which rounds alike."""
        if _is_one(divisor):
            return first
        if divisor.kind is ScalarKind.CONST and dtype in (DType.FLOAT32, DType.FLOAT64):
            value = float(constant_value(divisor))
            if math.isfinite(value) and value and abs(math.frexp(value)[0]) == 0.5:
                inverse = 1.0 / value
                if abs(inverse) >= 2.0**-126 and abs(inverse) <= 2.0**126:
                    return self.compute(ScalarOp.MUL, (first, self.const(inverse, dtype)), dtype)
        return None

    def _decide(self, op: ScalarOp, first: Scalar, second: Scalar) -> Scalar | None:
        """A comparison of an index with a constant that has one answer over the whole range."""
        if first.kind is not ScalarKind.INDEX or second.kind is not ScalarKind.CONST:
            return None
        assert first.affine is not None, "an INDEX scalar has its affine value"
        low, high = range_of(first.affine, self.extents)
        bound = int(constant_value(second))
        always, never = {
            ScalarOp.LT: (high < bound, low >= bound),
            ScalarOp.LE: (high <= bound, low > bound),
            ScalarOp.GT: (low > bound, high <= bound),
            ScalarOp.GE: (low >= bound, high < bound),
        }[op]
        return self.const(always, DType.BOOL) if always or never else None


def render_constant(value: Number, dtype: DType) -> str:
    """Write a number as the loop IR writes a constant of `dtype`, rounded or wrapped to it."""
    if dtype is DType.BOOL:
        return "true" if value else "false"
    if dtype.is_float:
        return _round_float(float(value), dtype).hex()
    bits = 8 * dtype.size_bytes
    whole = int(value) & ((1 << bits) - 1)
    if dtype.is_signed and whole >> (bits - 1):
        whole -= 1 << bits
    return str(whole)


def constant_value(scalar: Scalar) -> Number:
    """Give the number that a `CONST` scalar stands for."""
    if scalar.dtype is DType.BOOL:
        return scalar.text == "true"
    return float.fromhex(scalar.text) if scalar.dtype.is_float else int(scalar.text)


def _narrow_value(builder: ScalarBuilder, value: Scalar, dtype: DType) -> Scalar | None:
    """Give `value` as it was before it was widened from `dtype`; a constant where it has that value there."""
    if value.op is ScalarOp.CAST and value.args[0].dtype is dtype:
        return value.args[0]
    if value.kind is not ScalarKind.CONST:
        return None
    narrow = builder.const(constant_value(value), dtype)
    return narrow if narrow.text == value.text else None


_ROUNDINGS: Final = frozenset({ScalarOp.FLOOR, ScalarOp.CEIL, ScalarOp.ROUND, ScalarOp.TRUNC})
_EXACT_WIDENINGS: Final = {
    DType.BFLOAT16: (DType.FLOAT32, DType.FLOAT64),
    DType.FLOAT16: (DType.FLOAT32, DType.FLOAT64),
    DType.FLOAT32: (DType.FLOAT64,),
}
"""Where a value of the first dtype survives the way through the others."""
_NARROW_FLOATS: Final = (DType.FLOAT16, DType.BFLOAT16)
_ONES: Final = frozenset({"1", (1.0).hex()})


def _changes_nothing(op: ScalarOp, dtype: DType) -> bool:
    """Tell whether an operation gives back what it is given: integers are whole, unsigned ones have no sign."""
    if op in _ROUNDINGS:
        return not dtype.is_float
    is_unsigned = dtype is DType.BOOL or not dtype.is_signed
    return (op is ScalarOp.ABS and is_unsigned) or (op is ScalarOp.SIGN and dtype is DType.BOOL)


def _is_one(scalar: Scalar) -> bool:
    return (
        scalar.kind is ScalarKind.CONST and scalar.text in _ONES and scalar.dtype is not DType.BOOL
    )


def _round_float(value: float, dtype: DType) -> float:
    if dtype is DType.FLOAT64 or not math.isfinite(value):
        return value
    if dtype is DType.FLOAT32:
        try:
            packed: float = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            return math.copysign(math.inf, value)
        return packed
    rounded: float = torch.tensor(value, dtype=dtype.torch_dtype).item()
    return rounded
