"""Marks of absence.

In: nothing.   Out: `ABSENT` and `DELETED`, which no program can hold; `Unread`, for what was not looked at.
"""

from __future__ import annotations

import enum
from typing import Final

from graphwright.ir.sources import Source


class Missing(enum.Enum):
    """Marks of absence that no program can hold."""

    ABSENT = "absent"
    """There is nothing under the name or key."""
    DELETED = "deleted"
    """The program deleted what was there."""


ABSENT: Final = Missing.ABSENT
DELETED: Final = Missing.DELETED


class Unread:
    """Stands for a value that existed before the call and that nobody has looked at.

    Args:
        value: the value.
        source: where it is.
    """

    __slots__ = ("source", "value")

    def __init__(self, value: object, source: Source) -> None:
        self.value = value
        self.source = source
