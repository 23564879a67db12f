"""A small language for writing math functions: operations on vectors, with Python numbers as literals.

In: a builder and the kind of the values.   Out: `Arithmetic`, whose methods write one or a few instructions.
Keeps: no fast-math flag: what is rounded here is rounded in the machine, in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.integers import any_lane
from graphwright.codegen.llvm.types import INT_OF_BITS, Kind, Value, type_text

MathFunction = Callable[..., Value]
"""Builder, operands → result; operands and result have one kind."""

Number = Value | float


class Format(msgspec.Struct, frozen=True):
    """Layout of a float kind."""

    mantissa_bits: int
    exponent_bias: int
    magic: float
    """1.5 * 2**mantissa_bits: adding it rounds to an integer, which then stands in the low bits."""
    least_normal: float


FORMATS: Final = {
    Kind.F32: Format(23, 127, 12582912.0, 2.0**-126),
    Kind.F64: Format(52, 1023, 6755399441055744.0, 2.0**-1022),
}


class Arithmetic:
    """Writes operations on values of one float kind; numbers become literals."""

    def __init__(self, builder: Builder, kind: Kind) -> None:
        self.builder = builder
        self.kind = kind
        self.format = FORMATS[kind]
        self.int_kind = INT_OF_BITS[kind.bits]

    def value(self, number: Number) -> Value:
        """Give a float operand."""
        return number if isinstance(number, Value) else self.builder.const(number, self.kind)

    def int_value(self, number: Value | int) -> Value:
        """Give an operand of the integer kind of the same width."""
        return number if isinstance(number, Value) else self.builder.const(number, self.int_kind)

    # floats

    def add(self, left: Number, right: Number) -> Value:
        """Write `left + right`."""
        return self.builder.binary("fadd", self.value(left), self.value(right))

    def sub(self, left: Number, right: Number) -> Value:
        """Write `left - right`."""
        return self.builder.binary("fsub", self.value(left), self.value(right))

    def mul(self, left: Number, right: Number) -> Value:
        """Write `left * right`."""
        return self.builder.binary("fmul", self.value(left), self.value(right))

    def div(self, left: Number, right: Number) -> Value:
        """Write `left / right`."""
        return self.builder.binary("fdiv", self.value(left), self.value(right))

    def fma(self, left: Number, right: Number, addend: Number) -> Value:
        """Write `left * right + addend`, rounded once."""
        return self.builder.intrinsic(
            "fma", self.value(left), self.value(right), self.value(addend)
        )

    def neg(self, value: Value) -> Value:
        """Write `-value`."""
        return self.builder.unary("fneg", value)

    def abs(self, value: Value) -> Value:
        """Write `|value|`."""
        return self.builder.intrinsic("fabs", value)

    def sqrt(self, value: Value) -> Value:
        """Write the square root."""
        return self.builder.intrinsic("sqrt", value)

    def copysign(self, magnitude: Number, sign: Value) -> Value:
        """Give `magnitude` with the sign of `sign`."""
        return self.builder.intrinsic("copysign", self.value(magnitude), sign)

    def polynomial(self, coefficients: Sequence[float], x: Value) -> Value:
        """Write `Σ coefficients[i] * x**i` by Horner's rule."""
        result = self.value(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = self.fma(result, x, coefficient)
        return result

    def at_most(self, value: Value, limit: float) -> Value:
        """Give the smaller of both; NaN stays NaN."""
        bound = self.value(limit)
        return self.select(self.builder.compare("fcmp olt", bound, value), bound, value)

    def at_least(self, value: Value, limit: float) -> Value:
        """Give the greater of both; NaN stays NaN."""
        bound = self.value(limit)
        return self.select(self.builder.compare("fcmp ogt", bound, value), bound, value)

    # conditions

    def select(self, condition: Value, then: Number, otherwise: Number) -> Value:
        """Choose lane by lane."""
        return self.builder.select(condition, self.value(then), self.value(otherwise))

    def less(self, left: Number, right: Number) -> Value:
        """Write `left < right`, false for NaN."""
        return self.builder.compare("fcmp olt", self.value(left), self.value(right))

    def equal(self, left: Number, right: Number) -> Value:
        """Write `left == right`, false for NaN."""
        return self.builder.compare("fcmp oeq", self.value(left), self.value(right))

    def is_nan(self, value: Value) -> Value:
        """Write `value != value`."""
        return self.builder.compare("fcmp uno", value, value)

    def both(self, left: Value, right: Value) -> Value:
        """Write `left and right`."""
        return self.builder.binary("and", left, right)

    # bits

    def bits(self, value: Number) -> Value:
        """Give the bits as an integer."""
        return self.builder.convert("bitcast", self.value(value), self.int_kind)

    def from_bits(self, value: Value) -> Value:
        """Give the float of these bits."""
        return self.builder.convert("bitcast", value, self.kind)

    def integer(self, instruction: str, left: Value | int, right: Value | int) -> Value:
        """Write an integer instruction (`add`, `shl`, `and`, …)."""
        return self.builder.binary(instruction, self.int_value(left), self.int_value(right))

    def has_bit(self, value: Value, bit: int) -> Value:
        """Tell whether `bit` (a power of two) is set."""
        return self.builder.compare("icmp ne", self.integer("and", value, bit), self.int_value(0))

    def flip_sign_if(self, condition: Value, value: Value) -> Value:
        """Give `-value` where the condition holds."""
        return self.select(condition, self.neg(value), value)

    # scaling by powers of two

    def round_scaled(self, value: Value, scale: float) -> tuple[Value, Value]:
        """Give `n = round(value * scale)` as a float, and a float whose low bits are n as an integer."""
        shifted = self.fma(value, scale, self.format.magic)
        return self.sub(shifted, self.format.magic), shifted

    def integer_of(self, shifted: Value) -> Value:
        """Give the integer n of `round_scaled`, sign and all."""
        return self.integer("sub", self.bits(shifted), self.bits_of_magic())

    def bits_of_magic(self) -> int:
        """Give the bits of the magic number."""
        layout = self.format
        exponent = layout.exponent_bias + layout.mantissa_bits
        return (exponent << layout.mantissa_bits) + (1 << (layout.mantissa_bits - 1))

    def power_of_two(self, exponent: Value) -> Value:
        """Give `2**exponent` for an integer exponent in the normal range."""
        biased = self.integer("add", exponent, self.format.exponent_bias)
        return self.from_bits(self.integer("shl", biased, self.format.mantissa_bits))

    def scale(self, value: Value, n: Value, shifted: Value) -> Value:
        """Give `value * 2**n`, rounded once, for every n that `exp` meets (overflow and denormal results included).

        Args:
            value: of magnitude about 1.
            n: a whole number, as a float.
            shifted: the same as `round_scaled` gives it.

        Returns:
            The product. One instruction with AVX-512; elsewhere two multiplications, of which the first is exact.
        """
        if self._scales_at_once(value):
            return self._scale_avx512(value, n)
        exponent = self.integer_of(shifted)
        first = self.integer("ashr", exponent, 1)
        second = self.integer("sub", exponent, first)
        return self.mul(self.mul(value, self.power_of_two(first)), self.power_of_two(second))

    def scale_normal(self, value: Value, n: Value, shifted: Value) -> Value:
        """Give the same where `2**n` is a normal number: one multiplication where there is no instruction for it."""
        if self._scales_at_once(value):
            return self._scale_avx512(value, n)
        return self.mul(value, self.power_of_two(self.integer_of(shifted)))

    def _scales_at_once(self, value: Value) -> bool:
        return self.builder.has_avx512 and value.lanes >= _SCALE_LANES[self.kind]

    def _scale_avx512(self, value: Value, n: Value) -> Value:
        builder, kind = self.builder, self.kind
        lanes, step = value.lanes, min(value.lanes, 512 // kind.bits)
        wide, mask = type_text(kind, step), f"i{max(8, step)}"
        name = f"llvm.x86.avx512.mask.scalef.p{'s' if kind is Kind.F32 else 'd'}.{step * kind.bits}"
        rounding = ", i32 4" if step * kind.bits == 512 else ""
        builder.declare(name, wide, [wide, wide, wide, mask] + (["i32"] if rounding else []))
        parts = []
        for first in range(0, lanes, step):
            numbers = list(range(first, first + step))
            left = value if lanes == step else builder.shuffle(value, None, numbers)
            right = n if lanes == step else builder.shuffle(n, None, numbers)
            operands = f"{left!r}, {right!r}, {wide} zeroinitializer, {mask} -1{rounding}"
            parts.append(builder.emit(f"call {wide} @{name}({operands})", kind, step))
        return builder.concatenate(parts)

    # rare cases

    def rarely(self, condition: Value, otherwise: Value, rare: Callable[[], Value]) -> Value:
        """Give `rare()` in place of `otherwise` when the condition holds in any lane; a branch guards it.

        `rare` must be right for all lanes.
        """
        builder = self.builder
        start, then, done = builder.block, builder.label("rare"), builder.label("usual")
        builder.branch_if(any_lane(builder, condition).text, then, done, is_unlikely=True)
        builder.start_block(then)
        result = rare()
        end = builder.block
        builder.branch(done)
        builder.start_block(done)
        pairs = [(otherwise.text, start), (result.text, end)]
        return builder.phi(otherwise.kind, otherwise.lanes, pairs)


def through_double(
    builder: Builder, function: Callable[[Arithmetic, Value], Value], x: Value
) -> Value:
    """Compute a float32 function in float64."""
    wide = builder.convert("fpext", x, Kind.F64)
    return builder.convert("fptrunc", function(Arithmetic(builder, Kind.F64), wide), Kind.F32)


_SCALE_LANES: Final = {Kind.F32: 4, Kind.F64: 2}
"""Fewest lanes for which there is a vector form of the scaling instruction."""
