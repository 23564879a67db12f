"""Which frames are of this package, and which of the user's.

In: a frame.   Out: whose it is.
"""

from __future__ import annotations

import types
from typing import Final

_OWN_PACKAGE: Final = __name__.partition(".")[0]


def is_own_frame(frame: types.FrameType) -> bool:
    """Tell whether a frame runs code of this package, or code that was generated."""
    name = str(frame.f_globals.get("__name__", ""))
    is_generated = frame.f_code.co_filename.startswith(f"<{_OWN_PACKAGE}")
    return is_generated or name.partition(".")[0] == _OWN_PACKAGE
