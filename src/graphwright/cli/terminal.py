"""How tables are shown on the terminal.

In: figures.   Out: texts, and a console that a row of figures fits into.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console

_MIN_WIDTH: Final = 130


def wide_console() -> Console:
    """Make a console that a row of a table fits into, though it were printed to a file."""
    console = Console()
    return console if console.width >= _MIN_WIDTH else Console(width=_MIN_WIDTH)


def render_time(seconds: float) -> str:
    """Show a time with three or four digits and the unit that suits it."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"
