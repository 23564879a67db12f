"""Rules for what programs do with autograd by themselves: backward passes, gradients, hooks.

In: the call.   Out: gradients that are part of the graph (`torch.autograd.grad`), or an end of it before a call that changes what autograd
keeps of tensors: a stand-in has a history of its own, of which the caller's tensors learn nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.capture.machine import Machine, Rule
from graphwright.capture.natives import call_native, is_native_callable, materialise

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

BACKWARD: Final = (torch.Tensor.backward, torch.autograd.backward)
"""What sends gradients back, and adds them to `.grad`."""

_HOOKS: Final = (
    torch.Tensor.register_hook,
    torch.Tensor.register_post_accumulate_grad_hook,
)


def _refuse_backward(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    raise machine.unsupported(
        "a call of backward()",
        why="it adds to the gradients of tensors that existed before, and runs their hooks",
        remedy="call it outside the compiled function, or take the gradients with torch.autograd.grad",
    )


def _refuse_hook(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    raise machine.unsupported(
        "a hook on a tensor",
        why="it would be called while gradients are computed, after the program has ended",
        remedy="register it outside the compiled function",
    )


def _grad(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`torch.autograd.grad(...)`: the gradient is part of the graph.

    Raises:
        Unsupported: a tensor of the caller's has a history or hooks, which its stand-in does not have.
    """
    for tensor in machine.recorder.inputs:
        if tensor.requires_grad:
            _check_begins_here(machine, tensor)
    gradients = call_native(machine, torch.autograd.grad, args, kwargs)
    create_graph = args[4] if len(args) > 4 else kwargs.get("create_graph", False)
    retain_graph = args[3] if len(args) > 3 else kwargs.get("retain_graph")
    if not (create_graph if retain_graph is None else retain_graph):
        machine.freed_histories.append(gradients)
        machine.outermost.note_made(gradients)
    return gradients


def _check_begins_here(machine: Machine, tensor: torch.Tensor) -> None:
    has_history = not machine.load_attr(tensor, "is_leaf")
    if has_history or machine.load_attr(tensor, "_backward_hooks") is not None:
        raise machine.unsupported(
            "torch.autograd.grad, where a tensor from before has a history or hooks",
            why="gradients go through what happened before, too",
            remedy="call it outside the compiled function, or detach the tensor",
        )


_APPLY: Final = torch.autograd.Function.apply.__func__  # type: ignore[attr-defined]  # a class method
_OWN_CODE: Final = ("forward", "setup_context", "backward", "vjp", "jvp")
"""What a function with a gradient of its own may define, as its users write it."""


def _apply(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`Function.apply(...)`: PyTorch's own code calls what the user has written, which is interpreted, and so guarded.

    The torch-level graph has one node for it: the operations alone have other gradients.
    """
    function, *rest = args
    found = {name: machine.load_attr(function, name) for name in _OWN_CODE}
    interpreted = {
        name: staticmethod(materialise(machine, one))
        for name, one in found.items()
        if not is_native_callable(machine, one)
    }
    twin = type(function)(function.__name__, (function,), interpreted)

    def run(*args: Any, **kwargs: Any) -> Any:
        return call_native(machine, _APPLY, [twin, *args], kwargs)

    return machine.recorder.call_as(_applied(function), run, *rest, **kwargs)


def _applied(function: Any) -> Any:
    """Give `function.apply` as a plain function, which a graph's code can name."""

    def apply(*args: Any, **kwargs: Any) -> Any:
        return function.apply(*args, **kwargs)

    apply.__name__ = apply.__qualname__ = function.__name__
    return apply


def _detach_in_place(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`x.detach_()`, of a tensor of the program's own."""
    if machine.world.source_of(args[0]) is not None:
        raise machine.unsupported(
            "detach_() of a tensor that existed before",
            why="it lets go of a history that only the tensor itself has, or is refused as that of a view",
            remedy="use detach()",
        )
    return call_native(machine, torch.Tensor.detach_, args, kwargs)


def make_rules() -> dict[Any, Rule]:
    """Give the rules."""
    return {
        torch.autograd.grad: _grad,
        _APPLY: _apply,
        torch.Tensor.detach_: _detach_in_place,
        torch.detach_: _detach_in_place,
        **dict.fromkeys(BACKWARD, _refuse_backward),
        **dict.fromkeys(_HOOKS, _refuse_hook),
    }
