"""Methods and operators of values that are known only when the graph has run: arrays, lists, numbers, tensors of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphwright as gw

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # what numpy and PyTorch call deprecated is tested too

_NUMBERS = [
    "x.sum().item().is_integer()",
    "x.sum().item().real, x.sum().item().imag",
    "x.sum().item().conjugate()",
    "x.sum().item().hex()",
    "x.sum().item() + 1, 2 * x.sum().item(), -x.sum().item()",
    "round(x.sum().item()), int(x.sum().item()), str(x.sum().item())",
    "x.sum().item() == 3, x.sum().item() < 2",
    "x.sum().item() // 2, x.sum().item() % 2, divmod(x.sum().item(), 2)",
    "x.long().sum().item().bit_length()",
    "x.long().sum().item().real, x.long().sum().item().denominator",
    "x.long().sum().item() << 2, x.long().sum().item() ** 2, ~x.long().sum().item()",
    "x.cfloat().sum().item().imag, x.cfloat().sum().item().conjugate()",
    "x.bool().any().item() + 1, not x.bool().all().item()",
    "x.sum().item().nothing",
    "hasattr(x.sum().item(), 'real'), type(x.sum().item()), isinstance(x.sum().item(), float)",
]
_LISTS = [
    "x.tolist().index(2.0)",
    "x.tolist().index(7.0)",
    "x.tolist().count(0)",
    "x.tolist().sort()",
    "x.tolist().copy()",
    "x.tolist() + [1], [1] + x.tolist()",
    "x.tolist() * 2",
    "x.tolist()[1], x.tolist()[1:], x.tolist()[-1]",
    "x.tolist()[9]",
    "x.tolist() == [1.0, 0, 2, 0]",
    "x.tolist() < [2.0]",
    "2.0 in x.tolist(), len(x.tolist()), sum(x.tolist()), max(x.tolist())",
    "sorted(x.tolist()), [*reversed(x.tolist())], [one + 1 for one in x.tolist()]",
    "x.tolist().append(1), x.tolist().pop()",
    "m.tolist()[1][0], m.tolist()[0] + m.tolist()[1]",
    "type(x.tolist()), isinstance(x.tolist(), list), hasattr(x.tolist(), 'append')",
]
_ARRAYS = [
    "m.numpy().sum(axis=0), m.numpy().mean(0), m.numpy().std()",
    "m.numpy().reshape(3, 2), m.numpy().reshape((3, -1))",
    "m.numpy().ndim, m.numpy().size, m.numpy().shape, m.numpy().dtype",
    "m.numpy() + 1, 1 - m.numpy(), -m.numpy(), m.numpy() ** 2",
    "m.numpy() @ m.numpy().T, m.numpy().dot(m.numpy().T)",
    "m.numpy() == 1, m.numpy() > 2, (m.numpy() > 2).any()",
    "m.numpy()[:, 1], m.numpy()[0], m.numpy()[1, 2], m.numpy()[m.numpy() > 2]",
    "m.numpy().astype('int32'), m.numpy().astype(np.float64).dtype",
    "np.concatenate([m.numpy(), m.numpy()]), np.where(m.numpy() > 2, 1, 0)",
    "torch.tensor(m.numpy()), torch.from_numpy(m.numpy()) + 1",
    "m + torch.from_numpy(m.numpy())",
    "m.numpy() + m",
    "m + m.numpy()",
    "len(m.numpy()), [*m.numpy()], m.numpy().tolist()",
    "m.numpy().nothing",
    "m.numpy().reshape(5)",
    "hasattr(m.numpy(), 'unsqueeze'), hasattr(m.numpy(), 'astype')",
    "isinstance(m.numpy(), torch.Tensor), isinstance(m.numpy(), np.ndarray), type(m.numpy())",
]
_TENSORS = [
    "torch.unique(x, return_counts=True)",
    "torch.unique(x, return_counts=True)[0].sum()",
    "[one + 1 for one in torch.unique(x, return_counts=True)]",
    "len(torch.unique(x, return_counts=True)), type(torch.unique(x, return_counts=True))",
    "torch.unique(x, return_counts=True).count(3)",
    "torch.unique(x, return_counts=True) + (1,)",
    "torch.nonzero(x, as_tuple=True)[0] + 1",
    "torch.nonzero(x, as_tuple=True) * 2",
    "torch.nonzero(x).shape, torch.nonzero(x).size(0), torch.nonzero(x).numel()",
    "len(torch.nonzero(x)), torch.nonzero(x).ndim, torch.nonzero(x).dtype",
    "x[x > 0].sum(), x[x > 0].sum().item() + 1",
    "x[x > 0].numpy(), x[x > 0].tolist()",
    "x[x > 0].T, x[x > 0].dtype, x[x > 0].device",
    "x[x > 0].view(2, 1), x[x > 0].unsqueeze(0).shape",
    "x[x > 0] * 2, -x[x > 0], x[x > 0] @ x[x > 0], x[x > 0] == 2",
    "x[x > 0].add_(1), x[x > 0].nothing",
    "m[m > 1].max(), m[m > 1].sort(), m[m > 1].argmax().item()",
]
SHOWING_ADDRESSES = ("base", "ctypes", "data", "flat")
METHODS_OF_ARRAYS = [
    name for name in dir(np.ndarray) if not name.startswith("__") and name not in SHOWING_ADDRESSES
]


def _told(value: Any) -> Any:
    """Give a value as plain data, its type included."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return type(value), value.dtype, value.shape, str(value.tolist())
    if isinstance(value, list | tuple):
        return type(value), [_told(one) for one in value]
    return type(value), str(value)


def _run(program: Callable[..., Any]) -> Any:
    x, m = torch.tensor([1.0, 0, 2, 0]), torch.arange(6.0).reshape(2, 3)
    try:
        told = _told(program(x, m))
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        told = type(error), str(error)
    return told, _told((x, m))


def _check(body: str) -> None:
    names: dict[str, Any] = {"np": np, "torch": torch}
    exec(f"def program(x, m):\n    {body}\n", names)
    program = names["program"]
    with gw.config.patch(strict=True):
        compiled = gw.compile(program)
        for _ in range(2):  # what is captured, and what serves afterwards
            assert _run(compiled) == _run(program)


@pytest.mark.parametrize("text", _NUMBERS + _LISTS + _ARRAYS + _TENSORS)
def test_methods_and_operators(text: str) -> None:
    _check(f"return {text}")


@pytest.mark.parametrize("name", METHODS_OF_ARRAYS)
def test_methods_of_arrays(name: str) -> None:
    is_called = callable(getattr(np.zeros((1, 1)), name))
    _check(f"return (m + 0).numpy().{name}{'()' if is_called else ''}")
    _check(f"kept = m.numpy().{name}; return kept() if callable(kept) else kept")
