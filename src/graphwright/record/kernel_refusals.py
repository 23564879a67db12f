"""What eager's kernels refuse that a shape rule takes: dtypes without a kernel, and numbers beyond what a kernel takes.

In:  an elementwise op or a reduction, and its arguments as shape rules take them.   Out: nothing, or eager's error.

No table says which dtypes a kernel is for; the kernel itself is asked, with tensors of one element in place of the arguments, once for
each op, dtypes and numbers of a process. The program is then run eagerly, so that the caller gets the error from eager itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import torch

from graphwright.record.arguments import CONSTANT_TYPES
from graphwright.record.operators import OpFacts
from graphwright.record.shapes import pointwise, reduction
from graphwright.record.specs import TensorSpec

_DESCRIBED_BY_RULES: Final = frozenset(
    name.removeprefix("aten.").partition(".")[0] for name in (*pointwise.RULES, *reduction.RULES)
)
_TELL_ELSE: Final = frozenset(
    {"var", "std", "var_mean", "std_mean", "glu", "glu_backward", "kthvalue", "topk"}
    | {"nonzero_static"}
)
"""They warn of one element, or need more of them, or give results of a size of their own."""
_LARGEST_TABLE: Final = 10_000

_ACCEPTED: Final[set[_Question]] = set()


class _Element(NamedTuple):
    """A tensor of one element, or of none where the program's has none."""

    dtype: torch.dtype
    shape: tuple[int, ...]


class _Items(NamedTuple):
    """A list."""

    items: tuple[Any, ...]


class _Question(NamedTuple):
    overload: Any
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]


class _CannotAsk(Exception):  # noqa: N818  (no error)
    """Something other than a dense tensor of the CPU, or a constant, is among the arguments."""


def can_ask(facts: OpFacts) -> bool:
    """Tell whether an op's kernel says of one element what it says of many."""
    name = facts.name.removeprefix("aten.").partition(".")[0]
    return name in _DESCRIBED_BY_RULES and name not in _TELL_ELSE and not facts.is_random


def question_of(facts: OpFacts, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Question | None:
    """Give what is to be asked of the kernel; None where it has been accepted, or nobody can tell."""
    try:
        given = tuple([_describe(value) for value in args])
        named = tuple([(name, _describe(value)) for name, value in kwargs.items()])
    except _CannotAsk:
        return None
    question = _Question(facts.overload, given, named)
    return None if question in _ACCEPTED else question


def ask(question: _Question) -> None:
    """Ask the kernel.

    Raises:
        Exception: eager's refusal.
    """
    args = [_make(value) for value in question.args]
    question.overload(*args, **{name: _make(value) for name, value in question.kwargs})
    if len(_ACCEPTED) >= _LARGEST_TABLE:
        _ACCEPTED.clear()
    _ACCEPTED.add(question)


def _describe(value: Any) -> Any:
    kind = type(value)
    if kind is TensorSpec:
        if value.device.type != "cpu":
            raise _CannotAsk
        shape = tuple([0 if type(extent) is int and not extent else 1 for extent in value.shape])
        return _Element(value.dtype, shape)
    if kind is list or kind is tuple:
        return _Items(tuple([_describe(item) for item in value]))
    if kind not in CONSTANT_TYPES:
        raise _CannotAsk
    return kind, value


def _make(described: Any) -> Any:
    if type(described) is _Element:
        return torch.ones(described.shape, dtype=described.dtype, device="cpu")
    if type(described) is _Items:
        return [_make(item) for item in described.items]
    return described[1]
