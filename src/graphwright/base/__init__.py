"""The bottom room: errors, settings, counters, logs and ids, which every other room may use.

In: nothing of graphwright.   Out: plain facilities with no knowledge of compiling.
Read first: `errors.py`, then `config.py`. Other rooms import the modules (`from graphwright.base.errors import Unsupported`).
"""

__all__: list[str] = []
