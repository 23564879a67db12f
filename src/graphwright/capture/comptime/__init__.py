"""Comptime: code of the user's that runs while a program is captured, and leaves nothing in it.

In: calls of `gw.comptime` and its shortcuts, met in a program.   Out: what they print; a context for the user's own functions.

Read first: `namespace.py` (what users call), then `context.py` (what they are handed) and `rules.py` (how a capture meets them).
"""

from graphwright.capture.comptime.blocks import Blocks
from graphwright.capture.comptime.context import ComptimeContext
from graphwright.capture.comptime.namespace import comptime
from graphwright.capture.comptime.rules import make_rules
from graphwright.capture.comptime.values import ComptimeValue

__all__ = ["Blocks", "ComptimeContext", "ComptimeValue", "comptime", "make_rules"]
