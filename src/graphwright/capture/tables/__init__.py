"""One table a CPython version: raw opcode name → how it is normalised.

In: nothing.   Out: `TABLES`, by `(major, minor)`. Read `rules.py` first, then `py311.py`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from graphwright.capture.tables.py311 import PY311
from graphwright.capture.tables.py312 import PY312
from graphwright.capture.tables.py313 import PY313
from graphwright.capture.tables.py314 import PY314
from graphwright.capture.tables.rules import VersionTable

TABLES: Final = MappingProxyType[tuple[int, int], VersionTable](
    {(3, 11): PY311, (3, 12): PY312, (3, 13): PY313, (3, 14): PY314}
)

__all__ = ["TABLES", "VersionTable"]
