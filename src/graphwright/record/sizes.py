"""Symbolic sizes at work: the integers that torch, the shape rules and the user's program compute with.

In:  size symbols with the values they have in the example (hints).   Out: `SymbolicSize`s, and the shape guards taken.

A `SymbolicSize` is what shape rules calculate with: it has Python's operators (`symnodes.py` makes it a `torch.SymInt`).
Arithmetic is exact; a comparison gives a bool at once: from the ranges where they decide it, otherwise from the hints,
and then a `ShapeGuard` says so.

Keeps: one `SymbolicSize` object per expression and table, so `is` means structural equality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, assert_never

from graphwright.ir.dims import evaluate_dim, render_dim
from graphwright.ir.guards import Comparison, ShapeGuard
from graphwright.ir.symint import (
    Atom,
    Dim,
    FloorDiv,
    Max,
    Min,
    Mod,
    Monomial,
    Power,
    Symbol,
    SymExpr,
)
from graphwright.ir.symint_algebra import (
    add,
    as_expr,
    floordiv,
    free_symbols,
    maximum,
    minimum,
    mod,
    mul,
    neg,
    power,
    sub,
    substitute,
    symbol,
)
from graphwright.ir.symint_bounds import Interval, bounds

if TYPE_CHECKING:
    from graphwright.ir.locations import Loc


class SizeTable:
    """The symbols of one recording, what is known of them, and the guards taken so far."""

    def __init__(self, location: Callable[[], Loc | None]) -> None:
        self.hints: dict[str, int] = {}
        self.ranges: dict[str, Interval] = {}
        self.known: dict[str, Dim] = {}
        """Symbols that a guard has shown to equal something else."""
        self.constant_nodes: dict[int, object] = {}
        """The nodes that stand for ints towards torch (see `symnodes.py`)."""
        self._location = location
        self._guards: dict[tuple[Comparison, str, str], ShapeGuard] = {}
        self._interned: dict[SymExpr, SymbolicSize] = {}
        self._verdicts: dict[tuple[Comparison, Dim], bool] = {}

    @property
    def guards(self) -> tuple[ShapeGuard, ...]:
        """The guards taken so far, in order, each once."""
        return tuple(self._guards.values())

    def new_symbol(
        self, name: str, hint: int, *, minimum: int | None, maximum: int | None
    ) -> SymbolicSize:
        """Make the symbol `name`, guarded to lie in its range (None: no end); an existing one is given back.

        Raises:
            ValueError: the hint is out of range, or differs from the one that the symbol has.
        """
        if name in self.hints:
            if self.hints[name] != hint:
                msg = f"symbol {name} is {self.hints[name]} and cannot be {hint} too"
                raise ValueError(msg)
            return self.size_of(symbol(name))
        interval = Interval(minimum, maximum)
        if hint not in interval:
            msg = f"symbol {name} of value {hint} is not in its range {minimum} to {maximum}"
            raise ValueError(msg)
        self.hints[name] = hint
        self.ranges[name] = interval
        self._verdicts.clear()
        if minimum is not None:
            self._add_guard(minimum, Comparison.LE, symbol(name))
        if maximum is not None:
            self._add_guard(symbol(name), Comparison.LE, maximum)
        return self.size_of(symbol(name))

    def size_of(self, dim: Dim) -> SymbolicSize:
        """Give the one `SymbolicSize` for an expression."""
        expr = as_expr(dim)
        size = self._interned.get(expr)
        if size is None:
            size = SymbolicSize(self, dim, evaluate_dim(dim, self.hints))
            self._interned[expr] = size
        return size

    def extent_of(self, dim: Dim) -> Extent:
        """Give an int for a constant, else the `SymbolicSize`."""
        return dim if isinstance(dim, int) else self.size_of(dim)

    def simplify(self, dim: Dim) -> Dim:
        """Replace the symbols that guards have shown to equal something else."""
        if isinstance(dim, int) or not self.known:
            return dim
        return substitute(dim, self.known)

    def decide(self, left: Dim, comparison: Comparison, right: Dim) -> bool:
        """Give the truth of a comparison, taking a guard where the ranges leave it open."""
        distance = self.simplify(sub(left, right))
        key = (comparison, distance)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._prove(comparison, distance)
            if verdict is None:
                verdict = _compare(evaluate_dim(distance, self.hints), comparison)
                self._assume(self.simplify(left), comparison, self.simplify(right), is_true=verdict)
            self._verdicts[key] = verdict
        return verdict

    def can_prove(self, left: Dim, comparison: Comparison, right: Dim) -> bool:
        """True if the comparison holds whatever the symbols are; takes no guard."""
        return self._prove(comparison, self.simplify(sub(left, right))) is True

    def _prove(self, comparison: Comparison, distance: Dim) -> bool | None:
        if isinstance(distance, int):
            return _compare(distance, comparison)
        known = bounds(distance, self.ranges)
        is_below = known.high is not None and known.high < 0
        is_above = known.low is not None and known.low > 0
        match comparison:
            case Comparison.EQ:
                return False if is_below or is_above else None
            case Comparison.NE:
                return True if is_below or is_above else None
            case Comparison.LT:
                return (
                    True
                    if is_below
                    else (False if known.low is not None and known.low >= 0 else None)
                )
            case Comparison.LE:
                return (
                    False
                    if is_above
                    else (True if known.high is not None and known.high <= 0 else None)
                )
            case _:
                assert_never(comparison)

    def _assume(self, left: Dim, comparison: Comparison, right: Dim, *, is_true: bool) -> None:
        match comparison, is_true:
            case (Comparison.EQ, True) | (Comparison.NE, False):
                self._add_guard(left, Comparison.EQ, right)
                self._learn_equality(sub(left, right))
            case (Comparison.EQ, False) | (Comparison.NE, True):
                self._add_guard(left, Comparison.NE, right)
            case (Comparison.LT, True) | (Comparison.LE, True):
                self._add_guard(left, comparison, right)
                self._learn_bound(sub(left, right), strict=comparison is Comparison.LT)
            case (Comparison.LT, False):
                self._add_guard(right, Comparison.LE, left)
                self._learn_bound(sub(right, left), strict=False)
            case (Comparison.LE, False):
                self._add_guard(right, Comparison.LT, left)
                self._learn_bound(sub(right, left), strict=True)
            case _:
                msg = f"unknown comparison {comparison}"
                raise AssertionError(msg)

    def _add_guard(self, left: Dim, comparison: Comparison, right: Dim) -> None:
        key = (comparison, render_dim(left), render_dim(right))
        if key not in self._guards:
            guard = ShapeGuard(as_expr(left), comparison, as_expr(right), self._location())
            self._guards[key] = guard

    def _learn_equality(self, distance: Dim) -> None:
        """From `distance == 0`, express the newest symbol that occurs linearly by the rest."""
        if isinstance(distance, int):
            return
        solutions: dict[str, Dim] = {}
        for term in distance.terms:
            match term:
                case Monomial(coeff=coeff, factors=(Power(base=Symbol(name=name), exponent=1),)):
                    rest = sub(distance, SymExpr((term,)))
                    value = _exact_quotient(neg(rest), coeff)
                    if value is not None and name not in free_symbols(value):
                        solutions[name] = value
                case _:
                    pass
        for name in reversed(self.hints):
            if name in solutions:
                self._replace(name, solutions[name])
                return

    def _replace(self, name: str, value: Dim) -> None:
        replacement = {name: value}
        self.known = {old: substitute(dim, replacement) for old, dim in self.known.items()}
        self.known[name] = value
        self._verdicts.clear()

    def _learn_bound(self, distance: Dim, *, strict: bool) -> None:
        """From `distance < 0` (or `<= 0`) on one symbol, narrow its range."""
        if isinstance(distance, int):
            return
        match distance.terms:
            case (
                Monomial(coeff=coeff, factors=(Power(base=Symbol(name=name), exponent=1),)),
                *rest,
            ) if len(rest) < 2:
                if rest and rest[0].factors:
                    return
                limit = -(rest[0].coeff if rest else 0) - (1 if strict else 0)
                old = self.ranges[name]
                if coeff > 0:
                    high = limit // coeff
                    self.ranges[name] = Interval(
                        old.low, high if old.high is None else min(high, old.high)
                    )
                else:
                    low = -(limit // -coeff)
                    self.ranges[name] = Interval(
                        low if old.low is None else max(low, old.low), old.high
                    )
                self._verdicts.clear()
            case _:
                pass


def _exact_quotient(dim: Dim, divisor: int) -> Dim | None:
    quotient = floordiv(dim, divisor)
    return quotient if mul(quotient, divisor) == dim else None


def _compare(distance: int, comparison: Comparison) -> bool:
    match comparison:
        case Comparison.EQ:
            return distance == 0
        case Comparison.NE:
            return distance != 0
        case Comparison.LT:
            return distance < 0
        case Comparison.LE:
            return distance <= 0
        case _:
            assert_never(comparison)


_MOST: Final = 2**62
"""Numbers up to this are kept in 64 bits with room to spare."""
_MOST_EXTENT: Final = 2**40
"""What one extent of a tensor is at most: no memory holds more."""


def fits_64_bits(extent: Extent) -> bool:
    """Tell whether a number made of sizes fits the 64 bits that native code calculates in, parts of the sum included.

    The factors of a product are guarded not to be too large for that, where they are not in this call.
    """
    if isinstance(extent, int):
        return abs(extent) <= _MOST
    table, terms = extent.table, as_expr(extent.dim).terms
    degree = _degree(extent.dim)
    limit = 2 ** (60 // degree) if degree > 1 else _MOST_EXTENT
    names = free_symbols(extent.dim)
    if any(abs(table.hints[name]) > limit for name in names):
        return False
    if degree > 1:
        for name in names:
            table.decide(-limit, Comparison.LE, symbol(name))
            table.decide(symbol(name), Comparison.LE, limit)
    ranges = {name: table.ranges[name].within(limit) for name in names}
    parts = [bounds(SymExpr((term,)), ranges) for term in terms]
    if any(part.low is None or part.high is None for part in parts):
        return False
    return sum(max(abs(part.low or 0), abs(part.high or 0)) for part in parts) <= _MOST


def _degree(dim: Dim) -> int:
    """Give how many sizes are multiplied with each other at most, on the way to a number."""
    if isinstance(dim, int):
        return 0
    products = [
        sum(factor.exponent * _atom_degree(factor.base) for factor in term.factors)
        for term in dim.terms
    ]
    return max(products, default=0)


def _atom_degree(atom: Atom) -> int:
    match atom:
        case Symbol():
            return 1
        case FloorDiv(numerator=first, denominator=second) | Mod(value=first, modulus=second):
            return max(_degree(first), _degree(second))
        case Min(operands=operands) | Max(operands=operands):
            return max(map(_degree, operands))
        case _:
            assert_never(atom)


class SymbolicSize:
    """An integer that depends on size symbols; made by `SizeTable.size_of` only."""

    __slots__ = ("_memo", "_verdicts", "dim", "hint", "symint", "table")

    def __init__(self, table: SizeTable, dim: Dim, hint: int) -> None:
        self.table = table
        self.dim = dim
        self.hint = hint
        self.symint: object = None
        """The `torch.SymInt` made for it, if one was needed (see `symnodes.py`)."""
        self._memo: dict[tuple[str, int, bool], Extent] = {}
        self._verdicts: dict[tuple[Comparison, int, bool], bool] = {}
        """Comparisons decided before; a verdict never changes, since it was proven or guarded."""

    def __repr__(self) -> str:
        return render_dim(self.dim)

    __hash__ = object.__hash__

    def specialise(self) -> int:
        """Give the value it has in the example, guarding that it has no other."""
        self.table.decide(self.dim, Comparison.EQ, self.hint)
        return self.hint

    def __add__(self, other: Extent) -> Extent:
        return self._combine("+", add, other)

    def __radd__(self, other: int) -> Extent:
        return self._combine("+", add, other)

    def __sub__(self, other: Extent) -> Extent:
        return self._combine("-", sub, other)

    def __rsub__(self, other: int) -> Extent:
        return self._reverse(sub, other)

    def __mul__(self, other: Extent) -> Extent:
        return self._combine("*", mul, other)

    def __rmul__(self, other: int) -> Extent:
        return self._combine("*", mul, other)

    def __floordiv__(self, other: Extent) -> Extent:
        return self._combine("//", floordiv, other)

    def __rfloordiv__(self, other: int) -> Extent:
        return self._reverse(floordiv, other)

    def __mod__(self, other: Extent) -> Extent:
        return self._combine("%", mod, other)

    def __rmod__(self, other: int) -> Extent:
        return self._reverse(mod, other)

    def __neg__(self) -> Extent:
        return self._combine("*", mul, -1)

    def __pow__(self, exponent: int) -> Extent:
        return self.table.extent_of(power(self.dim, exponent))

    def minimum(self, other: Extent) -> Extent:
        """Give `min(self, other)` without deciding which."""
        return self._combine("min", _minimum, other)

    def maximum(self, other: Extent) -> Extent:
        """Give `max(self, other)` without deciding which."""
        return self._combine("max", _maximum, other)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, int | SymbolicSize):
            return NotImplemented
        return self._decide(Comparison.EQ, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Extent) -> bool:
        return self._decide(Comparison.LT, other)

    def __le__(self, other: Extent) -> bool:
        return self._decide(Comparison.LE, other)

    def __gt__(self, other: Extent) -> bool:
        return not self._decide(Comparison.LE, other)

    def __ge__(self, other: Extent) -> bool:
        return not self._decide(Comparison.LT, other)

    def __bool__(self) -> bool:
        return self != 0

    def _decide(self, comparison: Comparison, other: Extent) -> bool:
        key = (
            (comparison, other, True) if isinstance(other, int) else (comparison, id(other), False)
        )
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self.table.decide(self.dim, comparison, dim_of(other))
            self._verdicts[key] = verdict
        return verdict

    def _combine(self, name: str, operation: Callable[[Dim, Dim], Dim], other: Extent) -> Extent:
        key = (name, other, True) if isinstance(other, int) else (name, id(other), False)
        result = self._memo.get(key)
        if result is None:
            result = self.table.extent_of(operation(self.dim, dim_of(other)))
            self._memo[key] = result
        return result

    def _reverse(self, operation: Callable[[Dim, Dim], Dim], other: int) -> Extent:
        return self.table.extent_of(operation(other, self.dim))


Extent = int | SymbolicSize
"""An extent, stride or offset while recording."""


def dim_of(extent: Extent) -> Dim:
    """Give the data for an extent."""
    return extent if isinstance(extent, int) else extent.dim


def hint_of(extent: Extent) -> int:
    """Give the value in the example, with no guard."""
    return extent if isinstance(extent, int) else extent.hint


def least(left: Extent, right: Extent) -> Extent:
    """Give `min(left, right)`, undecided where it is symbolic."""
    if isinstance(left, int):
        return min(left, right) if isinstance(right, int) else right.minimum(left)
    return left.minimum(right)


def greatest(left: Extent, right: Extent) -> Extent:
    """Give `max(left, right)`, undecided where it is symbolic."""
    if isinstance(left, int):
        return max(left, right) if isinstance(right, int) else right.maximum(left)
    return left.maximum(right)


def compare(left: Extent, comparison: Comparison, right: Extent) -> bool:
    """Give the truth of a comparison, taking a guard where it is open."""
    match comparison:
        case Comparison.EQ:
            return bool(left == right)
        case Comparison.NE:
            return bool(left != right)
        case Comparison.LT:
            return bool(left < right)
        case Comparison.LE:
            return bool(left <= right)
        case _:
            assert_never(comparison)


def _minimum(left: Dim, right: Dim) -> Dim:
    return minimum((left, right))


def _maximum(left: Dim, right: Dim) -> Dim:
    return maximum((left, right))
