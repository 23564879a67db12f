"""Marks of absence.

In: nothing.   Out: `ABSENT` and `DELETED`, which no program can hold.
"""

from __future__ import annotations

import enum
from typing import Final


class Missing(enum.Enum):
    """Marks of absence that no program can hold."""

    ABSENT = "absent"
    """There is nothing under the name or key."""
    DELETED = "deleted"
    """The program deleted what was there."""


ABSENT: Final = Missing.ABSENT
DELETED: Final = Missing.DELETED
