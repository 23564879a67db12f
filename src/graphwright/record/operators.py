"""What an ATen overload does to its arguments, read off its schema.

In:  a `torch._ops.OpOverload`.   Out: `OpFacts`.
"""

from __future__ import annotations

import enum
import functools
from typing import Any, Final

import torch

from graphwright.ir.overloads import find_overload, is_random, schema_of


class OpKind(enum.Enum):
    """How the results of an op relate to its arguments."""

    FUNCTIONAL = "functional"
    VIEW = "view"
    """The results share the memory of the first argument."""
    MUTATING = "mutating"
    """Arguments are written to; results, if any, are those arguments (or new tensors after them)."""


class Mutated:
    """An argument that an op writes to."""

    __slots__ = ("is_out", "name", "position")

    def __init__(self, name: str, position: int | None, *, is_out: bool) -> None:
        self.name = name
        self.position = position
        """Place among the positional arguments; None for keyword-only ones."""
        self.is_out = is_out
        """Only written to, never read (`out=`)."""


@functools.cache
def facts_of(overload: Any) -> OpFacts:
    """Give the facts of an overload; they never change, so each is looked up once a process."""
    return OpFacts(overload)


class OpFacts:
    """What is known of one overload."""

    __slots__ = (
        "functional",
        "functional_defaults",
        "is_random",
        "kind",
        "mutated",
        "name",
        "num_returns",
        "out_tells_dtype",
        "overload",
        "return_sources",
    )

    def __init__(self, overload: Any) -> None:
        schema = schema_of(overload)
        self.overload = overload
        self.name = str(overload)
        self.mutated = tuple(_mutated_arguments(schema))
        self.return_sources = tuple(_return_sources(schema))
        """For each result, the name of the argument that it is, or None for a new tensor."""
        self.num_returns = len(schema.returns)
        self.is_random = is_random(overload)
        is_view = any(
            ret.alias_info is not None and not ret.alias_info.is_write for ret in schema.returns
        )
        if self.mutated:
            self.kind = OpKind.MUTATING
        elif is_view:
            self.kind = OpKind.VIEW
        else:
            self.kind = OpKind.FUNCTIONAL
        self.functional = _functional_twin(overload, self.mutated) if self.mutated else None
        self.functional_defaults = _extra_defaults(schema, self.functional)
        """Values for positional arguments of the twin that it demands and this op has defaults for, by position."""
        self.out_tells_dtype = _is_dtype_told_by_out(schema, self.functional)
        """The twin is told the dtype of its result, which this op reads off its `out=`."""


def _extra_defaults(schema: Any, twin: Any) -> dict[int, Any]:
    if twin is None:
        return {}
    own = {argument.name: argument for argument in schema.arguments}
    return {
        position: own[argument.name].default_value
        for position, argument in enumerate(schema_of(twin).arguments)
        if not argument.has_default_value()
        and argument.name in own
        and own[argument.name].has_default_value()
    }


def _is_dtype_told_by_out(schema: Any, twin: Any) -> bool:
    names = [argument.name for argument in schema.arguments]
    return (
        twin is not None
        and any(argument.is_out for argument in schema.arguments)
        and "dtype" not in names
        and any(argument.name == "dtype" for argument in schema_of(twin).arguments)
    )


def _mutated_arguments(schema: Any) -> list[Mutated]:
    found = []
    for position, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            place = None if argument.kwarg_only else position
            found.append(Mutated(argument.name, place, is_out=argument.is_out))
    return found


def _return_sources(schema: Any) -> list[str | None]:
    owner = {
        name: argument.name
        for argument in schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
        for name in argument.alias_info.before_set
    }
    return [
        next((owner[name] for name in ret.alias_info.before_set if name in owner), None)
        if ret.alias_info is not None
        else None
        for ret in schema.returns
    ]


_TWINS: Final = {
    "aten.normal_.default": "aten.normal_functional.default",
    "aten.bernoulli_.float": "aten.bernoulli.p",
    "aten._index_put_impl_.default": "aten.index_put.default",
}
"""Twins whose name or arguments do not follow from the in-place op's."""


def _functional_twin(overload: Any, mutated: tuple[Mutated, ...]) -> Any:
    """Find the op that gives as new tensors what this one writes, or None."""
    special = _TWINS.get(str(overload))
    if special is not None:
        return find_overload(special)
    schema = schema_of(overload)
    namespace, _, base = schema.name.partition("::")
    is_out = all(argument.is_out for argument in mutated)
    if not is_out:
        if not base.endswith("_"):
            return None
        base = base.removesuffix("_")
    packet = getattr(getattr(torch.ops, namespace), base, None)
    if packet is None:
        return None
    wanted = [_signature(argument) for argument in schema.arguments if not argument.is_out]
    for name in packet.overloads():
        candidate = getattr(packet, name)
        own = schema_of(candidate)
        if any(argument.alias_info is not None for argument in own.arguments):
            continue
        signature = [_signature(argument) for argument in own.arguments]
        if signature == wanted or (
            is_out and _without_options(signature) == _without_options(wanted)
        ):
            return candidate
    return None


_OPTIONS: Final = frozenset(("dtype", "layout", "device", "pin_memory", "memory_format"))


def _signature(argument: Any) -> tuple[str, str]:
    return argument.name, str(argument.type)


def _without_options(signature: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [entry for entry in signature if entry[0] not in _OPTIONS]
