"""Marks: what stands in the interpreter's places where no value of the program's does.

In: nothing.   Out: `ABSENT`, `DELETED`, `UNUSED` and `Handled`, which no program can hold; `Unread`, for what was not looked at;
`Unmakeable`, for what cannot stand at a program's end.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from graphwright.base.errors import Unsupported
from graphwright.ir.sources import Source


class Missing(enum.Enum):
    """Marks of absence that no program can hold."""

    ABSENT = "absent"
    """There is nothing under the name or key."""
    DELETED = "deleted"
    """The program deleted what was there."""
    UNUSED = "unused"
    """The program takes no notice of this place of a stack any more (see `StackItem`)."""


ABSENT: Final = Missing.ABSENT
DELETED: Final = Missing.DELETED
UNUSED: Final = Missing.UNUSED


class Handled(NamedTuple):
    """Stands, on the stack of a frame in a handler, for the exception that was being handled before."""

    before: BaseException | None


class Unmakeable(Unsupported):
    """Something that a program would have to make again at its end, and that there is no recipe for.

    Args:
        value: what it is, or (of a state of PyTorch's) the context manager that set it.
        met: as for `Unsupported`, as are the others.
    """

    def __init__(self, value: object, met: str, *, why: str, remedy: str, location: str) -> None:
        super().__init__(met, why=why, remedy=remedy, location=location)
        self.value = value


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
