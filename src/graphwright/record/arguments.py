"""From the arguments of an ATen call to data.

In:  what torch passes to an op: numbers, dtypes, devices, lists, symbolic integers.   Out: `ir.aten.Arg`.
Does not: handle tensors; the recorder knows their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import (
    Arg,
    ComplexArg,
    DeviceArg,
    DTypeArg,
    FloatArg,
    LayoutArg,
    LiteralArg,
    MemoryFormatArg,
    SymArg,
)
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.ir.symint_algebra import as_expr
from graphwright.record.sizes import SymbolicSize

PLAIN: Final = frozenset((int, bool, str, type(None)))
"""Types of arguments that are their own data."""


def to_arg(value: Any) -> Arg:
    """Give the data for an argument that is no tensor, list or `torch.SymInt`.

    Raises:
        Unsupported: nothing stands for it in a graph (a generator, for one).
    """
    make = _MAKERS.get(type(value))
    if make is None:
        raise Unsupported(
            f"an argument of type {type(value).__name__}",
            why="a graph holds numbers, strings, dtypes, devices and tensors only",
            remedy="leave the argument out, or move the call out of the compiled function",
        )
    return make(value)


def _dtype_arg(dtype: torch.dtype) -> Arg:
    known = FROM_TORCH.get(dtype)
    if known is None:
        raise Unsupported(
            f"the dtype {dtype}",
            why="graphwright has no element type for it",
            remedy="convert the tensor first",
        )
    return DTypeArg(known)


_MAKERS: Final[dict[type, Callable[[Any], Arg]]] = {
    int: LiteralArg,
    bool: LiteralArg,
    str: LiteralArg,
    type(None): LiteralArg,
    float: lambda value: FloatArg(value.hex()),
    complex: lambda value: ComplexArg(value.real.hex(), value.imag.hex()),
    torch.dtype: _dtype_arg,
    torch.device: lambda value: DeviceArg(str(value)),
    torch.layout: lambda value: LayoutArg(str(value).removeprefix("torch.")),
    torch.memory_format: lambda value: MemoryFormatArg(str(value).removeprefix("torch.")),
    SymbolicSize: lambda value: SymArg(as_expr(value.dim)),
}

CONSTANT_TYPES: Final = frozenset(_MAKERS) - {SymbolicSize}
"""Types of arguments that are the same at each call."""
