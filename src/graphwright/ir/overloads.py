"""ATen overloads by name, and what their schemas say of them.

In: qualified overload names as the ATen graph writes them (`aten.add.Tensor`).   Out: `torch.ops` overloads and facts.
Keeps: every answer comes from the schema and tags of the registered op, so user ops are treated like ATen's own.
"""

from __future__ import annotations

from typing import Final

import torch
from torch._ops import OpOverload

from graphwright.base.errors import InternalError

UNDECLARED_VIEWS: Final = frozenset({"aten._unsafe_view.default"})
"""Ops that give a view though their schema says that they give a new tensor."""


def find_overload(name: str) -> OpOverload:
    """Give the registered overload called `name`.

    Args:
        name: `namespace.op.overload`; the op's own name may hold no dot.

    Returns:
        The callable of `torch.ops`.

    Raises:
        InternalError: nothing of that name is registered.
    """
    namespace, op_name, overload_name = name.split(".")
    try:
        overload = getattr(getattr(getattr(torch.ops, namespace), op_name), overload_name)
    except AttributeError as error:
        message = f"no overload {name} is registered with torch"
        raise InternalError(message) from error
    if not isinstance(overload, OpOverload):
        message = f"{name} is no overload"
        raise InternalError(message)
    return overload


def schema_of(overload: OpOverload) -> torch.FunctionSchema:
    """Give the op's schema: its arguments and returns with their alias annotations."""
    return overload._schema  # noqa: SLF001  (torch has no public name for it)


def is_random(overload: OpOverload) -> bool:
    """Tell whether the op draws from a random number generator."""
    return torch.Tag.nondeterministic_seeded in overload.tags


def is_effectful(overload: OpOverload) -> bool:
    """Tell whether a call does more than compute its results: it writes to an argument, or returns nothing."""
    schema = schema_of(overload)
    return schema.is_mutable or not schema.returns


def gives_view(overload: OpOverload) -> bool:
    """Tell whether the results share memory with an argument (without writing to it)."""
    return any(
        ret.alias_info is not None and not ret.alias_info.is_write
        for ret in schema_of(overload).returns
    )
