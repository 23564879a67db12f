"""Members of enumerations that native code made: guarded by identity, and shown to native code as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import graphwright as gw


def _attend(x: torch.Tensor, backends: Any) -> torch.Tensor:
    with sdpa_kernel(backends):
        return torch.nn.functional.scaled_dot_product_attention(x, x, x)


@sdpa_kernel(SDPBackend.MATH)
def _decorated(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.scaled_dot_product_attention(x, x, x)


def test_backends_from_before_the_call_choose_the_kernel_of_attention() -> None:
    x = torch.randn(1, 2, 8, 16)
    compiled = gw.compile(_attend, fullgraph=True)
    for backends in (SDPBackend.MATH, [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
        torch.testing.assert_close(compiled(x, backends), _attend(x, backends))
    torch.testing.assert_close(gw.compile(_decorated, fullgraph=True)(x), _decorated(x))


def test_another_member_is_another_program() -> None:
    def name_of(x: torch.Tensor, backend: SDPBackend) -> tuple[torch.Tensor, str, bool]:
        return x + 1, backend.name, backend == SDPBackend.MATH

    compiled = gw.compile(name_of, fullgraph=True)
    x = torch.zeros(2)
    for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION, SDPBackend.MATH):
        assert compiled(x, backend)[1:] == name_of(x, backend)[1:]
