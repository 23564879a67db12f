"""The named logs: what graphwright tells about itself, each under a name that can be switched on.

In: texts from the rooms, the names a user asks for (`set_logs`, `GRAPHWRIGHT_LOGS`).   Out: records of the Python loggers
`graphwright.<name>`, which any handler of the user's can take; without one they are printed on standard error.
Keeps: a log that is off costs one look at its level.
"""

from __future__ import annotations

import enum
import logging
import sys
from collections.abc import Iterable
from typing import final

from graphwright.base.config import config
from graphwright.base.errors import ConfigError
from graphwright.base.settings import nearest

__all__ = ["LogName", "apply_logs", "log", "set_logs"]


class LogName(enum.StrEnum):
    """The logs there are."""

    GRAPH_BREAKS = "graph_breaks"
    """What could not be captured, where, and why."""
    RECOMPILES = "recompiles"
    """Which guard made a function be compiled again."""
    GUARDS = "guards"
    """What is checked before a compiled program is run."""
    GRAPH = "graph"
    """The torch-level graph of a program, as captured."""
    ATEN = "aten"
    """The graph of ATen ops, as recorded and as simplified."""
    SCHEDULE = "schedule"
    """The loop nests and how they were fused."""
    FREEZING = "freezing"
    """When constants were made from frozen tensors, and made again because these had changed."""
    OUTPUT_CODE = "output_code"
    """The readable source of what runs."""


def log(name: LogName) -> logging.Logger:
    """Give the Python logger of the log `name`."""
    return logging.getLogger(f"graphwright.{name}")


def set_logs(**is_on: bool) -> None:
    """Switch on the logs that are named, and all others off: `set_logs(graph_breaks=True, guards=True)`.

    Raises:
        ConfigError: a log of that name does not exist.
    """
    names = {_log_name(name): chosen for name, chosen in is_on.items()}
    config.logs = ",".join(name for name, chosen in names.items() if chosen)
    apply_logs(config.logs)


def apply_logs(names: str) -> None:
    """Switch on the logs in `names`, a text with commas, and off those that an earlier text switched on.

    A level that the program has given to a logger itself is left alone.

    Raises:
        ConfigError: a log of that name does not exist.
    """
    parent = logging.getLogger("graphwright")
    handler = next((item for item in parent.handlers if isinstance(item, _FallbackHandler)), None)
    if names == (handler.names if handler else ""):
        return
    chosen = {_log_name(name.strip()) for name in names.split(",") if name.strip()}
    if handler is None:
        handler = _FallbackHandler()
        parent.addHandler(handler)
    for name in handler.chosen - chosen:
        log(name).setLevel(logging.NOTSET)
    for name in chosen:
        log(name).setLevel(logging.INFO)
    handler.names, handler.chosen = names, frozenset(chosen)


def _log_name(name: str) -> LogName:
    known: Iterable[str] = list(LogName)
    if name not in known:
        raise ConfigError.for_name(name, what="log", nearest=nearest(name, known))
    return LogName(name)


@final
class _FallbackHandler(logging.Handler):
    """Prints on standard error, unless the program has set up logging of its own; remembers what was switched on."""

    def __init__(self) -> None:
        super().__init__()
        self.names = ""
        self.chosen: frozenset[LogName] = frozenset()
        self.setFormatter(logging.Formatter("[%(name)s] %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            # Looked up each time: the program may have replaced it meanwhile.
            sys.stderr.write(self.format(record) + "\n")
