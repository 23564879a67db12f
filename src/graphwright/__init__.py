"""graphwright: a compiler for ordinary PyTorch programs.

`import graphwright as gw; fast = gw.compile(model)`. What is named in `__all__` is public and stable; everything else is
private. The names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

from graphwright.base.garbage import GARBAGE_COLLECTIONS

if TYPE_CHECKING:
    from graphwright import testing as testing
    from graphwright.api import allow_in_graph as allow_in_graph
    from graphwright.api import compile as compile
    from graphwright.api import disable as disable
    from graphwright.api import explain as explain
    from graphwright.api import reset as reset
    from graphwright.base import errors as errors
    from graphwright.base import logging as logging
    from graphwright.base.config import config as config
    from graphwright.base.counters import counters as counters
    from graphwright.capture import graph_break as graph_break
    from graphwright.capture import is_compiling as is_compiling
    from graphwright.capture.comptime import comptime as comptime
    from graphwright.pipeline import mark_dynamic as mark_dynamic
    from graphwright.pipeline import mark_static as mark_static
    from graphwright.pipeline import maybe_mark_dynamic as maybe_mark_dynamic
    from graphwright.pipeline import set_stance as set_stance

__all__ = [
    "allow_in_graph",
    "compile",
    "comptime",
    "config",
    "counters",
    "disable",
    "errors",
    "explain",
    "graph_break",
    "is_compiling",
    "logging",
    "mark_dynamic",
    "mark_static",
    "maybe_mark_dynamic",
    "reset",
    "set_stance",
    "testing",
]

__version__ = "0.1.0"

_HOMES: Final = {
    "allow_in_graph": "graphwright.api",
    "compile": "graphwright.api",
    "comptime": "graphwright.capture.comptime",
    "config": "graphwright.base.config",
    "counters": "graphwright.base.counters",
    "disable": "graphwright.api",
    "explain": "graphwright.api",
    "graph_break": "graphwright.capture",
    "is_compiling": "graphwright.capture",
    "mark_dynamic": "graphwright.pipeline",
    "mark_static": "graphwright.pipeline",
    "maybe_mark_dynamic": "graphwright.pipeline",
    "reset": "graphwright.api",
    "set_stance": "graphwright.pipeline",
}
"""Public name → the module that defines it."""

_MODULES: Final = {
    "errors": "graphwright.base.errors",
    "logging": "graphwright.base.logging",
    "testing": "graphwright.testing",
}
"""Public name → the module that it is."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        with GARBAGE_COLLECTIONS.put_off(leaves_garbage=False):
            value = getattr(importlib.import_module(_HOMES[name]), name)
        _fill_in()
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        message = f"module 'graphwright' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def _fill_in() -> None:
    """Bind the names whose modules are loaded by now, so that it does not matter to guards which of them a process has asked for."""
    for name, home in _HOMES.items():
        module = sys.modules.get(home)
        if name not in globals() and hasattr(module, name):
            globals()[name] = getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
