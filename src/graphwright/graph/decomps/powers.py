"""Products with powers of two, in terms of both.

In: nothing.   Out: `POWERS`, overload name → `Decomposition`.
Keeps: an exponent that is a float gives a power of its own dtype; one that is an integer is added to the number's own, so that 1e-30 may
take 2**150 in float32.
Does not: integer exponents of float64, whose powers would need more than float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, tensor
from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType

_MOST: Final = 600
"""Takes the least float32 beyond the largest, and the largest below the least."""


def _ldexp(emit: Emitter, node: AtenNode) -> bool:
    """ldexp(x, exponent): x·2**exponent."""
    x, exponent = tensor(node, 0), tensor(node, 1)
    result, dtype = result_meta(node).dtype, emit.dtype(exponent)
    if dtype.is_float:
        power = emit.pointwise("aten.pow.Scalar", 2.0, exponent)
        give(emit, node, emit.pointwise("aten.mul.Tensor", x, power, dtype=result))
        return True
    if dtype not in _INTEGERS or emit.dtype(x) not in _SERVED or result is not emit.dtype(x):
        return False
    exponent = emit.cast(exponent, DType.INT32)
    limited = emit.pointwise("aten.clamp.default", exponent, -_MOST, _MOST)
    power = emit.pointwise("aten.pow.Scalar", 2.0, emit.cast(limited, _WIDE))
    product = emit.pointwise("aten.mul.Tensor", emit.cast(x, _WIDE), power)
    give(emit, node, emit.cast(product, result))
    return True


_INTEGERS: Final = frozenset({DType.INT16, DType.INT32, DType.INT64})
_SERVED: Final = frozenset({DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16})
_WIDE: Final = DType.FLOAT64

POWERS: Final[Mapping[str, Decomposition]] = rows(Decomposition("aten.ldexp.Tensor", _ldexp))
