"""Context managers of PyTorch's: a capture enters and leaves them for real, and keeps account of them.

In: a call of `__enter__` or `__exit__`.   Out: what it gives; `Machine.entered` holds those that the program is inside of.
Keeps: what a capture has entered it leaves, innermost first, and nothing else: a manager that was made or entered before, in plain
Python, is entered and left there.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Final

import torch

from graphwright.base.errors import Unsupported
from graphwright.capture.machine import Machine
from graphwright.capture.policy import is_torch_class

STEPS: Final = frozenset({"__enter__", "__exit__"})
"""The methods that this is about."""

HANDED_OVER: Final = (torch.autocast, torch.no_grad, torch.enable_grad, torch.set_grad_enabled)
"""Those whose state a program that ends inside of one leaves set; any other is entered in plain Python there."""

_FOR_REUSE: Final = (*HANDED_OVER, torch.device)
"""Those that may be entered though they were made before: a capture changes nothing of the object."""

_WITHOUT_EFFECT: Final = (torch.autograd.profiler.record_function,)
"""Those that a graph has no place for: they name a part of the program in a profile."""

_PYBIND_HOLDER: Final = type(torch._C._dispatch_tls_is_dispatch_key_excluded.__self__)  # type: ignore[attr-defined]  # noqa: SLF001  (as good as any other)
"""What functions and methods written with pybind11 are bound to; a method gets its object as the first argument."""


def is_dispatch_guard(kind: type) -> bool:
    """Tell whether a class is a guard of PyTorch's dispatcher: it changes for the thread which code operators run, some once made."""
    return is_step_of_guard(getattr(kind, "__enter__", None))


def is_step_of_guard(function: Any) -> bool:
    """Tell whether a function enters or leaves a guard of PyTorch's dispatcher."""
    is_step = getattr(function, "__name__", "") in STEPS
    return is_step and type(getattr(function, "__self__", None)) is _PYBIND_HOLDER


def needs_account(manager: Any) -> bool:
    """Tell whether account is kept of a manager even where PyTorch's code for it is interpreted: no effect sets its state."""
    return is_torch_class(type(manager)) and not isinstance(manager, HANDED_OVER)


def call_of_context(machine: Machine, manager: Any, name: str, run: Callable[[], Any]) -> Any:
    """Enter or leave a context manager.

    Args:
        machine: the machine.
        manager: the context manager.
        name: `__enter__` or `__exit__`.
        run: calls it.

    Raises:
        Unsupported: it was made or entered before the call.
    """
    is_real = not isinstance(manager, _WITHOUT_EFFECT)
    if name == "__exit__":
        _note_left(machine, manager)
        return run() if is_real else None
    if machine.world.source_of(manager) is not None and not isinstance(manager, _FOR_REUSE):
        raise _refusal(machine, manager, "the beginning of a block", "made")
    result = run() if is_real else manager
    _note_entered(machine, manager)
    return result


def stand_in_of(machine: Machine, manager: Any, name: str) -> Any:
    """Give what is entered or left in place of a manager: of a region of autocast that existed before, one that does the same.

    To enter a region is to write to it what was set before, and a decorator `@torch.autocast(...)` keeps one for all calls.
    """
    if not isinstance(manager, torch.autocast) or machine.world.source_of(manager) is None:
        return manager
    if name == "__exit__":
        pairs = [machine.entered_for.get(id(one)) for one in machine.entered]
        known = [pair[0] for pair in pairs if pair is not None and pair[1] is manager]
        return known[-1] if known else manager
    device, dtype, is_on, has_cache = (
        machine.load_attr(manager, part)
        for part in ("device", "fast_dtype", "_enabled", "_cache_enabled")
    )
    made = torch.autocast(device, dtype, enabled=is_on, cache_enabled=has_cache)
    machine.entered_for[id(made)] = made, manager
    return made


def leave_contexts(machine: Machine) -> None:
    """Leave the context managers that the program is still inside of, innermost first."""
    while machine.entered:
        manager = machine.entered.pop()
        if isinstance(manager, types.GeneratorType):
            manager.close()
            continue
        machine.recorder.trace.note_region(manager, enters=False)
        if not isinstance(manager, _WITHOUT_EFFECT):
            type(manager).__exit__(manager, None, None, None)


def check_handed_over(machine: Machine) -> None:
    """Check that the state of the managers that a piece of the program ends inside of is handed over.

    Raises:
        Unmakeable: it is not, so that one has to be entered in plain Python.
    """
    for manager in machine.entered:
        is_stand_in = id(manager) in machine.entered_for
        if isinstance(manager, (types.GeneratorType, *HANDED_OVER)) and not is_stand_in:
            continue
        raise machine.unmakeable(
            manager,
            f"a block of {_name_of(manager)} that a piece of the program ends in",
            why="the state that it sets is not handed over",
            remedy="move what breaks the program out of the block",
        )


def _note_entered(machine: Machine, manager: Any) -> None:
    machine.recorder.trace.note_region(manager, enters=True)
    machine.entered.append(manager)
    machine.outermost.note_made(manager)


def _note_left(machine: Machine, manager: Any) -> None:
    machine.recorder.trace.note_region(manager, enters=False)
    # By identity, and once: devices that are equal are entered apart, and one may be entered twice.
    own = [place for place, one in enumerate(machine.entered) if one is manager]
    if own:
        del machine.entered[own[-1]]
    elif not isinstance(manager, HANDED_OVER):
        raise _refusal(machine, manager, "the end of a block", "entered")


def _refusal(machine: Machine, manager: Any, where: str, what: str) -> Unsupported:
    return machine.unsupported(
        f"{where} of {_name_of(manager)} that was {what} before",
        why="it changes a state that no recipe sets",
        remedy="move the whole block into the compiled function, or out of it",
    )


def _name_of(manager: Any) -> str:
    return f"{type(manager).__module__}.{type(manager).__qualname__}"
