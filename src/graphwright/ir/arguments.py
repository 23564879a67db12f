"""The Python values of a node's arguments.

In: an `Arg`, the tensors by number, the values of the size symbols.   Out: what the op is called with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, assert_never

import torch

from graphwright.ir.aten import (
    Arg,
    ComplexArg,
    DeviceArg,
    DTypeArg,
    FloatArg,
    LayoutArg,
    ListArg,
    LiteralArg,
    MemoryFormatArg,
    Ref,
    SymArg,
)
from graphwright.ir.dims import evaluate_dim

NO_SYMBOLS: Final[Mapping[str, int]] = MappingProxyType({})


def make_argument(
    arg: Arg, values: Sequence[torch.Tensor | None], symbols: Mapping[str, int] = NO_SYMBOLS
) -> Any:
    """Give the value that `arg` stands for."""
    match arg:
        case Ref():
            return values[arg.id]
        case ListArg():
            return [make_argument(item, values, symbols) for item in arg.items]
        case LiteralArg() | FloatArg():
            return arg.value
        case SymArg():
            return evaluate_dim(arg.expr, symbols)
        case DTypeArg():
            return arg.dtype.torch_dtype
        case DeviceArg():
            return torch.device(arg.device)
        case LayoutArg():
            return getattr(torch, arg.layout)
        case MemoryFormatArg():
            return getattr(torch, arg.memory_format)
        case ComplexArg():
            return complex(float.fromhex(arg.real), float.fromhex(arg.imag))
        case _:
            assert_never(arg)
