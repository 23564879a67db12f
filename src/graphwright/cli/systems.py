"""The systems that are measured against each other.

In: a function or module, and which system.   Out: what that system makes of it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, assert_never

import torch

import graphwright as gw


class System(enum.StrEnum):
    """What can run a program."""

    EAGER = "eager"
    TORCH_COMPILE = "torch.compile"
    GRAPHWRIGHT = "graphwright"
    TORCH_COMPILE_FROZEN = "torch.compile-frozen"
    """With `freezing`: weights are taken as fixed."""
    GRAPHWRIGHT_FROZEN = "graphwright-frozen"


USUAL: Final = (System.EAGER, System.TORCH_COMPILE, System.GRAPHWRIGHT)
"""The systems that are measured where none is named."""


def compile_with(system: System, function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function`; for the compilers this is where their own modules are imported.

    graphwright must take all of it (`fullgraph`), so that a part which it left to eager is not measured as its own.
    """
    match system:
        case System.EAGER:
            return function
        case System.TORCH_COMPILE:
            return torch.compile(function)
        case System.GRAPHWRIGHT:
            return gw.compile(function, fullgraph=True)
        case System.TORCH_COMPILE_FROZEN:
            return _freeze_by_torch(function)
        case System.GRAPHWRIGHT_FROZEN:
            return gw.compile(function, fullgraph=True, options={"freezing": True})
        case _:
            assert_never(system)


def _freeze_by_torch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for `freezing` by torch.compile.

    Its capture asks the configuration, and not the options, whether parameters are fixed; with options alone it freezes nothing.
    """
    compiled = torch.compile(function, options={"freezing": True})
    is_captured = False

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_captured
        if is_captured:
            return compiled(*args, **kwargs)
        with torch._inductor.config.patch(freezing=True):  # noqa: SLF001, TID251  (the other compiler's)
            result = compiled(*args, **kwargs)
        is_captured = True
        return result

    return call
