"""What one setting is: its type, default, role and text, and how a value for it is checked.

In: declarations in the body of a class (`recompile_limit = whole_number(8, …)`).   Out: typed attributes that refuse wrong
values, and text from the environment turned into values.
Does not: know any particular setting (see `config.py`).
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, Self, TypeVar, overload

from graphwright.base.errors import ConfigError

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

_TRUE_WORDS: Final = frozenset({"1", "true", "yes", "on"})
_FALSE_WORDS: Final = frozenset({"0", "false", "no", "off"})


class Role(enum.Enum):
    """What a setting has an influence on."""

    OUTPUT = "output"
    """What a program compiles to: its value is part of every cache key."""
    VIEW = "view"
    """Where things are kept, what is checked and what is shown; never what a program compiles to."""


class Owner(Protocol):
    """An object that holds the values of its settings."""

    def read(self, name: str) -> object:
        """Give the value of the setting `name`."""

    def write(self, name: str, value: object) -> None:
        """Set the setting `name` to a value that was checked."""


class Setting(Generic[T]):
    """One typed, documented setting; a descriptor of the class that lists the settings.

    Args:
        default: its value when nobody says otherwise.
        role: what it has an influence on.
        doc: one or two sentences for the user.
        expects: the values it takes, in words.
        convert: gives the value for what a user assigned, or `None` when it is not one.
        parse: gives the value for a text, or `None` when the text is not one.
    """

    def __init__(
        self,
        default: T,
        *,
        role: Role,
        doc: str,
        expects: str,
        convert: Callable[[object], T | None],
        parse: Callable[[str], T | None],
    ) -> None:
        self.default: Final = default
        self.role: Final = role
        self.expects: Final = expects
        self.name = ""
        self.__doc__ = doc
        self._convert: Final = convert
        self._parse: Final = parse

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, owner: None, owner_type: type) -> Self: ...
    @overload
    def __get__(self, owner: Owner, owner_type: type) -> T: ...
    def __get__(self, owner: Owner | None, owner_type: type) -> Self | T:
        return self if owner is None else owner.read(self.name)  # type: ignore[return-value]  # checked when it was set

    def __set__(self, owner: Owner, value: T | str) -> None:
        owner.write(self.name, self.checked(value))

    @property
    def environment_name(self) -> str:
        """The environment variable that sets the default."""
        return f"GRAPHWRIGHT_{self.name.upper()}"

    @property
    def is_output(self) -> bool:
        """Whether it changes what a program compiles to."""
        return self.role is Role.OUTPUT

    @property
    def doc(self) -> str:
        """The sentences for the user."""
        return self.__doc__ or ""

    def checked(self, value: object) -> T:
        """Give `value` as this setting keeps it.

        Raises:
            ConfigError: it is not a value for this setting.
        """
        converted = self._convert(value)
        if converted is None:
            raise ConfigError.for_value(self.name, value, expects=self.expects)
        return converted

    def parsed(self, text: str) -> T:
        """Give the value that `text`, from the environment, stands for.

        Raises:
            ConfigError: it stands for none.
        """
        value = self._parse(text.strip())
        if value is None:
            raise ConfigError.for_value(self.environment_name, text, expects=self.expects)
        return value


def flag(*, default: bool, role: Role, doc: str) -> Setting[bool]:
    """Declare a setting that is on or off."""
    return Setting(
        default,
        role=role,
        doc=doc,
        expects="True or False",
        convert=lambda value: value if isinstance(value, bool) else None,
        parse=_parse_flag,
    )


def whole_number(default: int, *, role: Role, doc: str, minimum: int = 0) -> Setting[int]:
    """Declare a setting that is a whole number of at least `minimum`."""

    def convert(value: object) -> int | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return value if value >= minimum else None

    def parse(text: str) -> int | None:
        return convert(int(text)) if text.removeprefix("-").isdecimal() else None

    expects = f"a whole number of at least {minimum}"
    return Setting(default, role=role, doc=doc, expects=expects, convert=convert, parse=parse)


def text(default: str, *, role: Role, doc: str) -> Setting[str]:
    """Declare a setting that is a text."""
    return Setting(
        default,
        role=role,
        doc=doc,
        expects="a text",
        convert=lambda value: value if isinstance(value, str) else None,
        parse=lambda value: value,
    )


def choice(default: E, *, role: Role, doc: str) -> Setting[E]:
    """Declare a setting that is one of the members of an enum; a member's text may be assigned too."""
    members = type(default)

    def convert(value: object) -> E | None:
        return next((member for member in members if member == value), None)

    expects = "one of " + ", ".join(repr(str(member)) for member in members)
    return Setting(default, role=role, doc=doc, expects=expects, convert=convert, parse=convert)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Give the one of `names` that `name` was most likely meant to be, or `None` when none is near."""
    by_folded = {str(known).lower(): str(known) for known in names}
    found = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.5)
    return by_folded[found[0]] if found else None


def _parse_flag(text: str) -> bool | None:
    word = text.lower()
    if word in _TRUE_WORDS:
        return True
    return False if word in _FALSE_WORDS else None
