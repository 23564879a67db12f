"""Shape rules: what each ATen op gives, without running it.

In:  the op's arguments, tensors as `TensorSpec`s.   Out: the spec of each result.
A rule that finds the arguments wrong raises `ValueError`, `IndexError` or `TypeError`; one whose result's size depends
on values raises `LookupError`.

Read first: `pointwise.py`, `view.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from graphwright.record.shapes import (
    convolution,
    factory,
    index,
    loss,
    matmul,
    norm,
    pointwise,
    random,
    recurrent,
    reduction,
    spectral,
    view,
)

Rule = Callable[..., Any]


def _join(*tables: Mapping[str, Rule]) -> dict[str, Rule]:
    joined: dict[str, Rule] = {}
    for table in tables:
        for name, rule in table.items():
            if name in joined:
                msg = f"two shape rules for {name}: {joined[name].__module__} and {rule.__module__}"
                raise ValueError(msg)
            joined[name] = rule
    return joined


RULES: Final = _join(
    convolution.RULES,
    factory.RULES,
    index.RULES,
    loss.RULES,
    matmul.RULES,
    norm.RULES,
    pointwise.RULES,
    random.RULES,
    recurrent.RULES,
    reduction.RULES,
    spectral.RULES,
    view.RULES,
)
"""By overload (`aten.add.Tensor`) or, for all overloads of an op, by packet (`aten.add`)."""


def find_rule(overload_name: str) -> Rule | None:
    """Give the shape rule of an overload, if there is one."""
    rule = RULES.get(overload_name)
    if rule is None:
        rule = RULES.get(overload_name.rpartition(".")[0])
    return rule


__all__ = ["RULES", "Rule", "find_rule"]
