"""What a capture makes of what users say of functions: the end of the graph, or one node.

In: `gw.graph_break`, and the functions that are allowed in the graph, see `capture/controls.py`.   Out: rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch

from graphwright.capture.constants import is_constant
from graphwright.capture.controls import ALLOWED, graph_break
from graphwright.capture.machine import Machine, Rule


def _break(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NoReturn:
    message = args[0] if args else kwargs.get("msg")
    raise machine.unsupported(
        "a call of gw.graph_break()",
        why=str(message or "the program asks for the graph to end here"),
        remedy="take the call away to have one graph",
    )


def _make_node_rule(function: Any) -> Rule:
    """Make the rule that shows a call as one node, whatever it does inside."""
    name = getattr(function, "__qualname__", repr(function))

    def rule(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        # Nothing tells whether what the function calls is the same in another process.
        machine.guards.keep_in_process(machine.target)
        own_args = [machine.materialise(value) for value in args]
        own_kwargs = {key: machine.materialise(value) for key, value in kwargs.items()}
        if not all(_is_data(machine, value) for value in (*own_args, *own_kwargs.values())):
            raise _refusal(
                machine, f"an argument of {name} that is neither a tensor nor plain data"
            )
        outer, machine.allowed = machine.allowed, function
        try:
            result = machine.recorder.call(function, *own_args, **own_kwargs)
        finally:
            machine.allowed = outer
        if not _is_made_of_tensors(result):
            raise _refusal(machine, f"a result of {name} that is no tensor")
        return result

    return rule


def _refusal(machine: Machine, met: str) -> Exception:
    return machine.unsupported(
        met,
        why="functions that are allowed in the graph take tensors, constants and containers of them, and give tensors",
        remedy="put what else there is to do in a function of its own",
    )


def _is_data(machine: Machine, value: Any) -> bool:
    """Tell whether a node of the torch-level graph can hold an argument."""
    kind = type(value)
    if kind is dict:
        return all(_is_data(machine, item) for item in value.values())
    if kind is tuple or kind is list:
        return all(_is_data(machine, item) for item in value)
    if kind is slice:
        return all(_is_data(machine, part) for part in (value.start, value.stop, value.step))
    return kind in machine.plain_types or is_constant(value)


def _is_made_of_tensors(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_made_of_tensors, value.values()))
    if isinstance(value, tuple | list):
        return all(map(_is_made_of_tensors, value))
    return value is None or isinstance(value, torch.Tensor)


def make_rules() -> dict[Any, Rule]:
    """Give the rules, those of the functions allowed so far among them."""
    return {graph_break: _break, **{function: _make_node_rule(function) for function in ALLOWED}}
