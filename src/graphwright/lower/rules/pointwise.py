"""Pointwise ops: one row an overload.

In: nothing.   Out: `POINTWISE`, overload name → `PointwiseRow`.
Keeps: each row is computed as eager's CPU kernel computes it, for all dtypes but complex ones: operands promoted to the
common dtype, the computation in float32 for narrower floats, its result rounded where eager stores it.

A row's expression is over `x`, `y`, `z` (the positional operands) and named parameters. Ops whose expression depends on
an argument that is no number (`approximate`, `rounding_mode`, missing limits) are in `choices.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from graphwright.ir.ops import ScalarOp
from graphwright.lower.expressions import (
    Exact,
    Operand,
    Parameter,
    Truth,
    absolute,
    exp,
    expm1,
    function,
    is_nan,
    log1p,
    maximum,
    minimum,
    sigmoid,
    tanh,
    where,
)
from graphwright.lower.rules.rows import CommonDType, PointwiseRow, rows

x: Final = Operand(0, "self")
y: Final = Operand(1, "other")
z: Final = Operand(2)
exact_y: Final = Exact(y)
_both: Final = function(ScalarOp.BITWISE_AND)
_either: Final = function(ScalarOp.BITWISE_OR)
_is_inf: Final = function(ScalarOp.IS_INF)
alpha: Final = Operand(2, "alpha", 1)


def _unary(name: str, op: ScalarOp, dtype: CommonDType) -> PointwiseRow:
    return PointwiseRow(f"aten.{name}.default", function(op)(x), dtype)


_UNARY_FLOAT: Final = tuple(
    _unary(name, ScalarOp(name), CommonDType.RESULT)
    for name in [
        "reciprocal",
        "sqrt",
        "rsqrt",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "erf",
        "erfc",
        "sigmoid",
    ]
)
_UNARY_SAME: Final = tuple(
    _unary(name, ScalarOp(name), CommonDType.RESULT)
    for name in ("neg", "abs", "sign", "floor", "ceil", "round", "trunc", "bitwise_not")
)
_COMPARISONS: Final = tuple(
    PointwiseRow(f"aten.{name}.{overload}", function(ScalarOp(name))(x, y), CommonDType.PROMOTED)
    for name in ("eq", "ne", "lt", "le", "gt", "ge")
    for overload in ("Tensor", "Scalar")
)
_BITWISE: Final = tuple(
    PointwiseRow(f"aten.{name}.{overload}", function(ScalarOp(op))(x, y), CommonDType.RESULT)
    for name, op in (
        ("bitwise_and", "bitwise_and"),
        ("bitwise_or", "bitwise_or"),
        ("bitwise_xor", "bitwise_xor"),
        ("__and__", "bitwise_and"),
        ("__or__", "bitwise_or"),
        ("__xor__", "bitwise_xor"),
    )
    for overload in ("Tensor", "Scalar")
)
_PRODUCTS_WITH_LOGARITHMS: Final = tuple(
    PointwiseRow(
        f"aten.{name}.{overload}",
        where(is_nan(y), math.nan, where(x.equals(0), 0, x * function(op)(y))),
        rounds_each=True,
    )
    for name, op, overloads in (
        ("xlogy", ScalarOp.LOG, ("Tensor", "Scalar_Self", "Scalar_Other")),
        ("special_xlog1py", ScalarOp.LOG1P, ("default", "self_scalar", "other_scalar")),
    )
    for overload in overloads
)

POINTWISE: Final[Mapping[str, PointwiseRow]] = rows(
    *_UNARY_FLOAT,
    *_UNARY_SAME,
    *_COMPARISONS,
    *_BITWISE,
    # arithmetic
    PointwiseRow("aten.add.Tensor", x + y * alpha),
    PointwiseRow("aten.add.Scalar", x + y * alpha),
    PointwiseRow("aten.sub.Tensor", x - y * alpha),
    PointwiseRow("aten.sub.Scalar", x - y * alpha),
    PointwiseRow("aten.rsub.Tensor", y - x * alpha),
    PointwiseRow("aten.rsub.Scalar", y - x * alpha),
    PointwiseRow("aten.mul.Tensor", x * exact_y),
    PointwiseRow("aten.mul.Scalar", x * exact_y),
    PointwiseRow("aten.div.Tensor", x / exact_y),
    PointwiseRow("aten.div.Scalar", x / exact_y),
    PointwiseRow("aten.fmod.Tensor", function(ScalarOp.FMOD)(x, y), divides=True),
    PointwiseRow("aten.fmod.Scalar", function(ScalarOp.FMOD)(x, y), divides=True),
    PointwiseRow("aten.remainder.Tensor", function(ScalarOp.MOD)(x, y), divides=True),
    PointwiseRow("aten.remainder.Scalar", function(ScalarOp.MOD)(x, y), divides=True),
    PointwiseRow("aten.remainder.Scalar_Tensor", function(ScalarOp.MOD)(x, y), divides=True),
    PointwiseRow(
        "aten.floor_divide.default", function(ScalarOp.FLOOR_DIV)(x, exact_y), divides=True
    ),
    PointwiseRow("aten.maximum.default", maximum(x, y)),
    PointwiseRow("aten.minimum.default", minimum(x, y)),
    PointwiseRow("aten.fmax.default", function(ScalarOp.FMAX)(x, y)),
    PointwiseRow("aten.fmin.default", function(ScalarOp.FMIN)(x, y)),
    PointwiseRow("aten.atan2.default", function(ScalarOp.ATAN2)(x, y)),
    PointwiseRow("aten.copysign.Tensor", function(ScalarOp.COPYSIGN)(x, y)),
    PointwiseRow("aten.copysign.Scalar", function(ScalarOp.COPYSIGN)(x, y)),
    PointwiseRow("aten.addcmul.default", x + Parameter(3, "value", 1) * y * z),
    PointwiseRow("aten.addcdiv.default", x + Parameter(3, "value", 1) * y / z),
    PointwiseRow(
        "aten.lerp.Scalar",
        where(
            absolute(Parameter(2, "weight")) < 0.5,
            x + Parameter(2, "weight") * (y - x),
            y - (y - x) * (1 - Parameter(2, "weight")),
        ),
    ),
    PointwiseRow(
        "aten.lerp.Tensor", where(absolute(z) < 0.5, x + z * (y - x), y - (y - x) * (1 - z))
    ),
    PointwiseRow("aten.square.default", x * x),
    PointwiseRow("aten.frac.default", x - function(ScalarOp.TRUNC)(x)),
    PointwiseRow("aten.sgn.default", function(ScalarOp.SIGN)(x)),
    PointwiseRow(
        "aten.logaddexp.default",
        where(
            x.equals(y),
            x + math.log(2.0),
            maximum(x, y) + log1p(exp(-absolute(x - y))),
        ),
    ),
    PointwiseRow(
        "aten.logaddexp2.default",
        where(
            x.equals(y),
            x + 1,
            maximum(x, y) + function(ScalarOp.LOG2)(1 + function(ScalarOp.EXP2)(-absolute(x - y))),
        ),
    ),
    PointwiseRow("aten.heaviside.default", where(x.equals(0), y, where(x > 0, 1, 0))),
    *_PRODUCTS_WITH_LOGARITHMS,
    PointwiseRow(
        "aten.sinc.default",
        where(x.equals(0), 1, function(ScalarOp.SIN)(x * math.pi) / (x * math.pi)),
    ),
    PointwiseRow("aten.rad2deg.default", x * (180 / math.pi)),
    PointwiseRow("aten.deg2rad.default", x * (math.pi / 180)),
    # logic
    PointwiseRow("aten.logical_not.default", function(ScalarOp.LOGICAL_NOT)(Truth(x))),
    PointwiseRow("aten.logical_and.default", _both(Truth(x), Truth(y))),
    PointwiseRow("aten.logical_or.default", _either(Truth(x), Truth(y))),
    PointwiseRow("aten.logical_xor.default", function(ScalarOp.BITWISE_XOR)(Truth(x), Truth(y))),
    PointwiseRow("aten.isnan.default", is_nan(x), CommonDType.PROMOTED),
    PointwiseRow("aten.isinf.default", _is_inf(x), CommonDType.PROMOTED),
    PointwiseRow("aten.isposinf.default", _both(_is_inf(x), x > 0), CommonDType.PROMOTED),
    PointwiseRow("aten.isneginf.default", _both(_is_inf(x), x < 0), CommonDType.PROMOTED),
    PointwiseRow("aten.signbit.default", function(ScalarOp.SIGNBIT)(x), CommonDType.PROMOTED),
    # selection
    PointwiseRow("aten.where.self", where(Truth(x), y, z)),
    PointwiseRow("aten.where.ScalarOther", where(Truth(x), y, z)),
    PointwiseRow("aten.where.ScalarSelf", where(Truth(x), y, z)),
    PointwiseRow("aten.where.Scalar", where(Truth(x), y, z)),
    PointwiseRow("aten.masked_fill.Scalar", where(Truth(y), z, x)),
    PointwiseRow("aten.masked_fill.Tensor", where(Truth(y), z, x)),
    PointwiseRow("aten.clamp_min.default", maximum(x, Parameter(1, "min"))),
    PointwiseRow("aten.clamp_max.default", minimum(x, Parameter(1, "max"))),
    PointwiseRow("aten.clamp_min.Tensor", maximum(x, y)),
    PointwiseRow("aten.clamp_max.Tensor", minimum(x, y)),
    # copies
    PointwiseRow("aten.clone.default", x),
    PointwiseRow("aten._to_copy.default", x),
    PointwiseRow("aten.copy.default", y),
    PointwiseRow("aten.contiguous.default", x),
    PointwiseRow("aten.lift_fresh_copy.default", x),
    PointwiseRow("aten.fill.Scalar", y),
    PointwiseRow("aten.fill.Tensor", y),
    # activations
    PointwiseRow("aten.relu.default", where(x < 0, 0, x)),
    PointwiseRow(
        "aten.hardtanh.default",
        minimum(maximum(x, Parameter(1, "min_val", -1)), Parameter(2, "max_val", 1)),
    ),
    PointwiseRow("aten.hardswish.default", x * minimum(maximum(x + 3, 0), 6) * (1 / 6)),
    PointwiseRow("aten.hardsigmoid.default", minimum(maximum(x + 3, 0), 6) * (1 / 6)),
    PointwiseRow(
        "aten.leaky_relu.default",
        where(x > 0, x, x * Parameter(1, "negative_slope", 0.01)),
    ),
    PointwiseRow(
        "aten.elu.default",
        where(
            x < 0,
            expm1(x * Parameter(3, "input_scale", 1))
            * (Parameter(1, "alpha", 1) * Parameter(2, "scale", 1)),
            x * Parameter(2, "scale", 1),
        ),
    ),
    PointwiseRow("aten._prelu_kernel.default", where(x > 0, x, y * x)),
    PointwiseRow("aten.silu.default", x / (1 + exp(-x))),
    PointwiseRow("aten.mish.default", x * tanh(log1p(exp(x)))),
    PointwiseRow(
        "aten.softplus.default",
        where(
            x * Parameter(1, "beta", 1) > Parameter(2, "threshold", 20),
            x,
            log1p(exp(x * Parameter(1, "beta", 1))) / Parameter(1, "beta", 1),
        ),
    ),
    PointwiseRow(
        "aten.softshrink.default",
        where(
            x > Parameter(1, "lambd", 0.5),
            x - Parameter(1, "lambd", 0.5),
            where(x < -Parameter(1, "lambd", 0.5), x + Parameter(1, "lambd", 0.5), x * 0),
        ),
    ),
    PointwiseRow(
        "aten.hardshrink.default",
        where(
            _both(x >= -Operand(1, "lambd", 0.5), x <= Operand(1, "lambd", 0.5)),
            0,
            x,
        ),
    ),
    PointwiseRow(
        "aten.threshold.default",
        where(x <= Parameter(1, "threshold"), Parameter(2, "value"), x),
    ),
    # backward of activations; x is the gradient, y the forward's input or output
    PointwiseRow("aten.threshold_backward.default", where(y <= Parameter(2, "threshold"), 0, x)),
    PointwiseRow("aten.tanh_backward.default", x * (1 - y * y)),
    PointwiseRow("aten.silu_backward.default", x * sigmoid(y) * (1 + y * (1 - sigmoid(y)))),
    PointwiseRow(
        "aten.leaky_relu_backward.default",
        where(y > 0, x, x * Parameter(2, "negative_slope")),
    ),
    PointwiseRow(
        "aten.hardswish_backward.default",
        where(y <= -3, 0, where(y >= 3, x, x * (y / 3 + 0.5))),
    ),
    PointwiseRow(
        "aten.hardsigmoid_backward.default",
        where(
            _both(y > -3, y < 3),
            x * (1 / 6),
            0,
        ),
    ),
    PointwiseRow(
        "aten.hardtanh_backward.default",
        where(_both(y > Parameter(2, "min_val"), y < Parameter(3, "max_val")), x, 0),
    ),
    PointwiseRow(
        "aten.softplus_backward.default",
        where(
            y * Parameter(2, "beta") > Parameter(3, "threshold"),
            x,
            x * exp(y * Parameter(2, "beta")) / (exp(y * Parameter(2, "beta")) + 1),
        ),
    ),
    PointwiseRow(
        "aten.native_dropout_backward.default",
        x * y * Parameter(2, "scale"),
    ),
)
