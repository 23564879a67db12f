"""The structured trace: what happened in a process, one record at a time.

In: an envelope (plain data) and a payload (a text) for each thing that happened.   Out: records of the Python logger
`graphwright.trace`, which carry `.metadata` and `.payload`; with a folder, also one JSON-lines file for each process.
Keeps: with nobody listening nothing is made; a forked process writes a file of its own; a folder that cannot be written to is
reported once and stops no compile.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO, final

TRACE_LOGGER: Final = "graphwright.trace"
"""The name of the Python logger that all records go through."""


@final
class TraceRecord(logging.LogRecord):
    """One thing that happened.

    Args:
        metadata: the envelope; `kind` and `name` are always there.
        payload: the text that the envelope describes, when there is one.
    """

    def __init__(self, metadata: Mapping[str, object], payload: str | None) -> None:
        name = str(metadata["name"])
        super().__init__(TRACE_LOGGER, logging.INFO, "", 0, name, None, None)
        self.metadata: Final = dict(metadata)
        self.payload: Final = payload


def is_tracing() -> bool:
    """Whether anybody listens to the trace."""
    return bool(logging.getLogger(TRACE_LOGGER).handlers)


def emit_trace(
    kind: str, name: str, facts: Mapping[str, object], *, payload: str | None = None
) -> None:
    """Write one record, if anybody listens.

    Args:
        kind: what the record is about (`span`, `artifact`, `event`).
        name: which one.
        facts: further plain data for the envelope.
        payload: the text that goes with it.
    """
    if not is_tracing():
        return
    stamp = {"time_ns": time.time_ns(), "pid": os.getpid(), "thread": threading.get_ident()}
    envelope = {"kind": kind, "name": name, **stamp, **facts}
    record = TraceRecord(envelope, payload)
    # Only those who listen here are told: the records are data, not lines for the program's ordinary logs.
    for handler in tuple(logging.getLogger(TRACE_LOGGER).handlers):
        handler.handle(record)


def apply_trace(folder: str) -> None:
    """Write the trace into `folder` from now on; empty means into no folder."""
    logger = logging.getLogger(TRACE_LOGGER)
    for handler in [item for item in logger.handlers if isinstance(item, _TraceFileHandler)]:
        if str(handler.folder) == folder:
            return
        logger.removeHandler(handler)
        handler.close()
    if folder:
        logger.addHandler(_TraceFileHandler(Path(folder)))


@final
class _TraceFileHandler(logging.Handler):
    """Appends each record as one line of JSON to `folder/graphwright-<pid>-<time>.jsonl`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder: Final = folder
        self._file: TextIO | None = None
        self._pid = 0
        self._has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        if not isinstance(record, TraceRecord) or self._has_failed:
            return
        line = json.dumps({**record.metadata, "payload": record.payload}, default=str)
        try:
            file = self._open_file()
            file.write(line + "\n")
            file.flush()
        except OSError as error:
            self._has_failed = True
            message = f"the trace cannot be written to {self.folder}: {error}"
            warnings.warn(message, stacklevel=2)

    def close(self) -> None:
        if self._file is not None and self._pid == os.getpid():
            self._file.close()
        self._file = None
        super().close()

    def _open_file(self) -> TextIO:
        pid = os.getpid()
        if self._file is None or self._pid != pid:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"graphwright-{pid}-{time.time_ns()}.jsonl"
            self._file = path.open("a", encoding="utf-8")
            self._pid = pid
        return self._file
