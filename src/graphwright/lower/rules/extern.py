"""Ops that are called as they are, but into planned memory.

In: nothing.   Out: `OUT_VARIANTS`, overload name → the out-variant that computes the same into given memory.
Keeps: only out-variants that write straight into `out`; those that compute elsewhere and copy are no gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OUT_VARIANTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        f"aten.{name}.default": f"aten.{name}.out"
        for name in ("mm", "addmm", "bmm", "baddbmm", "addmv", "mv")
    }
)
