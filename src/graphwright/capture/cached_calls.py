"""Calls of functions that keep their results (`functools.lru_cache`).

In: such a function and a call of it.   Out: what the function it wraps gives, once for each set of arguments.
Keeps: what the wrapped function does besides happens when it happens in plain Python: once, not in each call of the program.
Does not: look into the function's own cache. What its body reads is guarded like anything else that the program reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from graphwright.capture.constants import is_constant
from graphwright.capture.faults import natively
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT


def is_cached(function: Any) -> bool:
    """Tell whether a callable keeps its results."""
    return hasattr(function, "cache_info") and getattr(function, "__wrapped__", None) is not None


def call_cached(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Give the result of the program's first call with these arguments, which is interpreted.

    Raises:
        Unsupported: that call does more than to give a result.
    """
    results = machine.cached_results.setdefault(id(function), (function, {}))[1]
    key = _key(args, kwargs)
    if key is not None and key in results:
        return results[key][1]
    is_own = machine.world.source_of(function) is None
    before = machine.world.num_writes, machine.recorder.mark()
    result = machine.call(machine.load_attr(function, "__wrapped__"), args, kwargs)
    if not is_own and (
        machine.world.num_writes != before[0] or machine.recorder.has_effects_since(before[1])
    ):
        name = getattr(function, "__qualname__", repr(function))
        raise machine.unsupported(
            f"a call of {name}, which keeps its results and does more than to compute them",
            why="what it does besides happens in the first call with these arguments alone",
            remedy="call it outside the compiled function, or leave the cache out",
        )
    if not is_own and not (is_constant(result) or isinstance(result, torch.Tensor)):
        machine.outermost.note_made(result)
        machine.kept_results[id(result)] = result
    if key is not None:
        results[key] = (args, kwargs), result
    return result


def _key(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Give what tells the arguments apart as the cache does; None where only their own `__eq__` could."""
    parts = [_part(value) for value in (*args, *kwargs.values())]
    return None if ABSENT in parts else (*parts, len(args), *kwargs)


def _part(value: Any) -> Any:
    kind: Any = type(value)
    if kind.__hash__ is None:
        natively(hash, value)  # as the cache does, which raises
    if is_constant(value):
        return value
    by_identity = kind.__hash__ is object.__hash__ and kind.__eq__ is object.__eq__
    return (object, id(value)) if by_identity else ABSENT
