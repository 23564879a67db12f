"""The writing side of what can be seen of a compile: spans, artifacts and events; reading them is the business of `tools`.

In: names, texts and plain data from every room.   Out: spans and artifacts kept by an `Observer`, lines in the named logs,
and the structured trace. Read first: `observer.py`, then `trace.py`.
"""

from graphwright.observe.observer import Artifact, Observer, Span
from graphwright.observe.trace import TRACE_LOGGER, TraceRecord, apply_trace, emit_trace, is_tracing

__all__ = [
    "TRACE_LOGGER",
    "Artifact",
    "Observer",
    "Span",
    "TraceRecord",
    "apply_trace",
    "emit_trace",
    "is_tracing",
]
