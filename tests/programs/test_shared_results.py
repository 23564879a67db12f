"""Results that share memory with each other or with inputs: their values, places and what a write to one does to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import graphwright as gw

_RESULTS = [
    # parts of one memory
    "y = x + 1; r = y[:4], y[4:]",
    "y = x + 1; r = y[4:], y[:4], y",
    "y = torch.ones(10); r = y[5:], y[:5]",
    "y = x.expand(3, 8) + 1; r = y[2], y[0], y[1]",
    "y = (x + 1).view(2, 4); r = y.t()[1:], y.t()[:1], y",
    "y = x + 1; r = y.unbind(), y.chunk(2)",
    "y = x.sum(); r = y.view(1), y.expand(3), y",
    "y = x + 1; v = y[:4]; v.add_(1); r = v, y",
    "y = x + 1; v = y[2:]; v.mul_(2); r = y[3:], v, y[:2]",
    "y = x + 1; v = y[2:]; y.mul_(2); r = v, y",
    "y = torch.zeros(4, 4); y[0] = x[:4]; r = y[1], y[0]",
    # equal values, which are one in the graph
    "y = torch.ones(10); z = torch.ones(10); r = y, z[:5], z[5:]",
    "y = torch.ones(10); z = torch.ones(10); r = y.view(5, 2), z.split([5, 5])",
    "y = x + 1; z = x + 1; r = y, z[4:], z[:4]",
    "y = x + 1; z = x + 1; r = y[:2], z[:3], z[3:], y",
    "y = (x.view(2, 4) + 1).t(); z = (x.view(2, 4) + 1).t(); r = y, z[1:], z[:1]",
    "y = x.view(2, 4).t().contiguous(); z = x.view(2, 4).t().contiguous(); r = y, z[1:], z[:1]",
    "y = x * 1; z = x * 1; r = y, z[1:], z[:1], x[1:], x",
    # other dtypes on one memory
    "y = x + 1; r = y.view(torch.int32), y[2:]",
    "y = x + 1; r = y.view(torch.int16)[6:], y[1:]",
    "y = x + 1; r = y[1:], y.view(torch.int16)[6:]",
    "y = x + 1; r = y.view(torch.int64), y, y[1:]",
    "y = x + 1; z = x + 1; r = y, z.view(torch.int32)[2:], z[1:]",
    "y = x.double(); z = x.double(); r = y, z[1:], z[:3], z.view(torch.int64)",
    "y = torch.complex(x, x); r = y.real, y",
    "y = torch.complex(x, x); r = y.real, y.imag, y[1:]",
    "y = torch.complex(x, x); r = torch.view_as_real(y)[1:], y[2:], y.imag",
    "y = torch.view_as_complex((x + 1).view(4, 2)); r = y.real, y.imag, y",
    "y = torch.complex(x, x); r = y.conj(), y, y.conj()[1:]",
    # inputs
    "r = x[1:], x[:2], x",
    "r = x.view(torch.int16)[6:], x[3:]",
    "r = x[3:].view(torch.int32), x.view(torch.int64)",
    "x.add_(1); r = x[3:], x[:3]",
]


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    else:
        for item in value:
            yield from _tensors(item)


def _run(program: Callable[..., Any], *, requires_grad: bool) -> list[Any]:
    memory = torch.arange(12.0)
    x = memory[4:].detach()
    leaf = x.clone().requires_grad_()
    results = list(_tensors(program(leaf * 1 if requires_grad else x)))
    first: dict[int, tuple[int, int]] = {}
    told: list[Any] = [[one.detach().resolve_conj().tolist() for one in results]]
    for number, one in enumerate(results):
        owner, place = first.setdefault(one.untyped_storage().data_ptr(), (number, one.data_ptr()))
        told.append((owner, one.data_ptr() - place, one.stride(), one.dtype, one.requires_grad))
    total = sum(one.abs().sum() * (n + 1) for n, one in enumerate(results) if one.requires_grad)
    if isinstance(total, torch.Tensor):
        total.backward()
        told.append(None if leaf.grad is None else leaf.grad.tolist())
    with torch.no_grad():
        for one in results:
            if 0 not in one.stride():
                one.add_(1)
    return [*told, [one.detach().resolve_conj().tolist() for one in results], memory.tolist()]


@pytest.mark.filterwarnings(
    "ignore::graphwright.base.errors.GraphwrightWarning"
)  # some run eagerly
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("text", _RESULTS)
def test_results_share_memory_as_in_eager(text: str, requires_grad: bool) -> None:
    names: dict[str, Any] = {"torch": torch}
    exec(f"def program(x):\n    {text}\n    return r\n", names)
    program = names["program"]
    expected = _run(program, requires_grad=requires_grad)
    assert _run(gw.compile(program), requires_grad=requires_grad) == expected
