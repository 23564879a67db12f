"""Arithmetic on places between the elements of an image, and weights of the elements around them.

In: scalars of one float dtype.   Out: scalars.
"""

from __future__ import annotations

from typing import Final

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp
from graphwright.lower.scalars import Number, Scalar, ScalarBuilder

_CUBIC: Final = -0.75
"""The polynomials' parameter in eager (Keys 1981 has -0.5)."""


class Arithmetic:
    """Computes in the dtype that elements are computed in."""

    def __init__(self, builder: ScalarBuilder, dtype: DType) -> None:
        self.builder = builder
        self.dtype = dtype

    def of(self, op: ScalarOp, *operands: Scalar | Number) -> Scalar:
        """Apply an operation; numbers get the dtype of the scalars."""
        dtype = next(one.dtype for one in operands if isinstance(one, Scalar))
        scalars = [
            one if isinstance(one, Scalar) else self.builder.const(one, dtype) for one in operands
        ]
        return self.builder.compute(op, scalars, dtype)

    def clamped(self, value: Scalar, low: Number, high: Number) -> Scalar:
        """Give low <= value <= high."""
        return self.of(ScalarOp.MINIMUM, self.of(ScalarOp.MAXIMUM, value, low), high)

    def whole(self, value: Scalar) -> Scalar:
        """Give a whole number as an integer."""
        return self.builder.cast(value, DType.INT64)

    def rest(self, value: Scalar) -> Scalar:
        """Give 1 - value."""
        return self.of(ScalarOp.ADD, self.of(ScalarOp.NEG, value), 1.0)

    def polynomial(self, x: Scalar, *coefficients: float) -> Scalar:
        """Give the polynomial's value, its highest coefficient first."""
        value = self.of(ScalarOp.MUL, x, coefficients[0])
        for coefficient in coefficients[1:-1]:
            value = self.of(ScalarOp.MUL, self.of(ScalarOp.ADD, value, coefficient), x)
        return self.of(ScalarOp.ADD, value, coefficients[-1])

    def cubic_weights(self, past: Scalar) -> tuple[Scalar, ...]:
        """Give what the four elements around a place count that is `past` the second of them (Keys 1981, equation 4)."""
        rest = self.rest(past)
        near = (_CUBIC + 2, -(_CUBIC + 3), 0.0, 1.0)
        far = (_CUBIC, -5 * _CUBIC, 8 * _CUBIC, -4 * _CUBIC)
        return (
            self.polynomial(self.of(ScalarOp.ADD, past, 1.0), *far),
            self.polynomial(past, *near),
            self.polynomial(rest, *near),
            self.polynomial(self.of(ScalarOp.ADD, rest, 1.0), *far),
        )
