"""Names that a package gives out and loads when they are first asked for.

In: where each name is defined.   Out: the package's `__getattr__`.
What captures, lowers and writes code is most of graphwright, and a process that finds its programs in the cache needs none of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def load_when_asked(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Give the `__getattr__` of a package.

    Args:
        package: its name.
        homes: module → the names that the package gives out from it.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = getattr(importlib.import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
