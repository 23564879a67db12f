"""Pointwise operators of narrow floats, and gradients of them, are rounded where eager rounds: nearly all elements have its bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, OpInfo, UnaryUfuncInfo

import graphwright as gw

UFUNCS = {
    f"{op.name} {op.variant_test_name}".strip(): op
    for op in op_db
    if isinstance(op, UnaryUfuncInfo | BinaryUfuncInfo)
    and not op.name.startswith(("jiterator", "chalf", "complex", "nn.functional.rrelu"))
}
"""Without what is for GPUs alone, gives complex numbers, or draws."""
LEAST_EQUAL = 0.98
"""Elementary functions round other elements the other way, in one of a hundred."""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", UFUNCS)
def test_elements_and_gradients_have_eagers_bits(name: str, dtype: torch.dtype) -> None:
    op: OpInfo = UFUNCS[name]
    if dtype not in op.supported_dtypes("cpu"):
        pytest.skip("eager has no kernel")
    sample = next(iter(op.sample_inputs("cpu", dtype)))
    generator = torch.Generator().manual_seed(5)
    operands = [torch.randn(2048, generator=generator).to(dtype)]
    others = sample.args
    if isinstance(op, BinaryUfuncInfo):
        operands.append((torch.randn(2048, generator=generator) * 2).to(dtype))
        others = sample.args[1:]
    direction = torch.randn(2048, generator=generator)
    has_gradients = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")

    def outcome(function: Callable[..., Any]) -> list[torch.Tensor]:
        given = [operand.clone().requires_grad_(has_gradients) for operand in operands]
        results = function(*given, *others, **sample.kwargs)
        found = [results] if isinstance(results, torch.Tensor) else list(results)
        if not found[0].requires_grad:
            return found
        by = torch.autograd.grad(found[0], given, direction.to(found[0].dtype), allow_unused=True)
        return [*found, *(torch.zeros(()) if item is None else item for item in by)]

    try:
        expected = outcome(op)
    except RuntimeError as error:
        pytest.skip(str(error))

    found = outcome(gw.compile(lambda *given, **options: op(*given, **options), fullgraph=True))

    for one, other in zip(found, expected, strict=True):
        is_equal = (one == other) | (one.isnan() & other.isnan())
        assert is_equal.double().mean() >= LEAST_EQUAL
