"""The errors that users of graphwright can meet, and the one that is our own fault.

In: what was met, where, why, and what to do instead, as fields.   Out: exceptions whose text is made from the fields.
"""

from __future__ import annotations


class GraphwrightError(Exception):
    """The base of every error that graphwright raises on purpose."""


class GraphwrightWarning(UserWarning):
    """Something does not run compiled, or not as it was asked for; the text says what and why."""


class Unsupported(GraphwrightError):  # noqa: N818  (the name is part of the public interface)
    """Something in the program cannot be captured.

    Args:
        met: what was met, in the user's terms (`a call of print`).
        why: why it is not captured.
        remedy: what to do instead.
        location: `file:line in function` of the user's line, or an empty string when it is not known yet.
    """

    def __init__(self, met: str, *, why: str, remedy: str, location: str = "") -> None:
        super().__init__(met)
        self.met = met
        self.why = why
        self.remedy = remedy
        self.location = location
        self.frames: tuple[str, ...] = ()
        """The lines that the user's frames were at, outermost first; written as `location` is."""

    def at(self, location: str) -> Unsupported:
        """Give an error that says the same of another place, and has not been raised."""
        return Unsupported(self.met, why=self.why, remedy=self.remedy, location=location)

    def add_obstacle(self, text: str) -> None:
        """Add a further reason, once."""
        if text not in self.why:
            self.why = f"{self.why}; {text}"

    def __str__(self) -> str:
        where = f"\n  where: {self.location}" if self.location else ""
        return f"cannot capture {self.met}{where}\n  why: {self.why}\n  what to do: {self.remedy}"


class RecompileError(GraphwrightError):
    """The stance forbids a recompile; the text says which guard failed."""


class RecompileLimitExceeded(GraphwrightError):  # noqa: N818  (the name is part of the public interface)
    """A program was compiled for more variants than `recompile_limit` allows, with `fullgraph=True`."""


class BackendError(GraphwrightError):
    """A user's backend raised; the original is the cause."""


class ComptimeError(GraphwrightError):
    """Code of the user's that runs while a program is captured (`gw.comptime`) raised; the original is the cause."""


class CacheArtifactError(GraphwrightError):
    """A blob of cache artifacts is damaged, foreign, or not signed as it must be; nothing was changed."""


class ConfigError(GraphwrightError):
    """A setting, option, mode or backend does not exist or has a value of the wrong type.

    Args:
        name: what the user wrote, or the whole message when nothing else is given.
        problem: what is wrong with it, the rest of a sentence that begins with the name.
        nearest: the existing name that was most likely meant, if one is near.
    """

    def __init__(self, name: str, *, problem: str = "", nearest: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.problem = problem
        self.nearest = nearest

    @classmethod
    def for_name(cls, name: str, *, what: str, nearest: str | None) -> ConfigError:
        """Make the error of a `what` (a setting, a mode, a backend) that does not exist."""
        return cls(name, problem=f"is not a {what} that graphwright knows", nearest=nearest)

    @classmethod
    def for_value(cls, name: str, value: object, *, expects: str) -> ConfigError:
        """Make the error of a value that `name` does not take."""
        found = f"{value!r} of type {type(value).__name__}"
        return cls(name, problem=f"takes {expects}, not {found}")

    def __str__(self) -> str:
        if not self.problem:
            return self.name
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"{self.name!r} {self.problem}{hint}"


class OverwrittenOutputError(GraphwrightError):
    """The memory of an output was overwritten by a later replay."""


class InternalError(GraphwrightError):
    """A bug of graphwright's own; the text holds what is needed to report it."""
