"""Functions that keep their results and do more than to compute them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

import graphwright as gw
from graphwright.base.errors import Unsupported

_TOTAL = 0


def _appending(kept: list[int], buffer: torch.Tensor) -> Callable[[int], Any]:
    del buffer
    return functools.cache(lambda n: kept.append(n) or n)


def _writing_to_a_tensor(kept: list[int], buffer: torch.Tensor) -> Callable[[int], Any]:
    del kept
    return functools.cache(lambda n: buffer.add_(n).sum() * 0 + n)


def _drawing_numbers(kept: list[int], buffer: torch.Tensor) -> Callable[[int], Any]:
    del kept, buffer
    return functools.cache(lambda n: torch.rand(()) + n)


def _storing_in_a_cell(kept: list[int], buffer: torch.Tensor) -> Callable[[int], Any]:
    del buffer
    count = 0

    @functools.cache
    def store(n: int) -> int:
        nonlocal count
        count += n
        return count

    return store


def _storing_in_a_global(kept: list[int], buffer: torch.Tensor) -> Callable[[int], Any]:
    del kept, buffer

    @functools.cache
    def store(n: int) -> int:
        global _TOTAL  # noqa: PLW0603  (what is tested)
        _TOTAL += n
        return _TOTAL

    return store


_MAKERS = [
    _appending,
    _writing_to_a_tensor,
    _drawing_numbers,
    _storing_in_a_cell,
    _storing_in_a_global,
]


def _run(make: Callable[..., Callable[[int], Any]], *, is_compiled: bool) -> list[Any]:
    global _TOTAL  # noqa: PLW0603
    _TOTAL = 0
    kept: list[int] = []
    buffer = torch.zeros(2)
    cached = make(kept, buffer)

    def program(x: torch.Tensor, n: int) -> torch.Tensor:
        return torch.sin(x) * cached(n) + cached(n)

    run = gw.compile(program) if is_compiled else program
    torch.manual_seed(0)
    results = [run(torch.ones(3), n).tolist() for n in (3, 3, 4, 3)]
    return [*results, kept, buffer.tolist(), torch.rand(()).item(), _TOTAL]


@pytest.mark.parametrize("make", _MAKERS, ids=lambda make: make.__name__.strip("_"))
def test_what_they_do_happens_once(make: Callable[..., Callable[[int], Any]]) -> None:
    assert _run(make, is_compiled=True) == _run(make, is_compiled=False)


def test_the_refusal_says_why() -> None:
    kept: list[int] = []
    cached = _appending(kept, torch.zeros(2))
    with pytest.raises(Unsupported, match=r"keeps its results and does more than to compute"):
        gw.compile(lambda x: x + cached(2), fullgraph=True)(torch.ones(3))
    assert kept == []
