"""Write the pages of `docs/` that are made from the code: the map of modules, the settings, and the tour.

In: the sources below `src/graphwright`, the declarations of settings.   Out: `docs/map.md`, `docs/config.md` and
`docs/tour.md`; with `--check` nothing is written, and the status is 1 when a page is not what would be written.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from graphwright.base.config import Config

ROOT: Final = Path(__file__).resolve().parents[1]
TOUR_PYTHON: Final = (3, 11)
"""The interpreter whose bytecode the tour shows."""
_PACKAGE: Final = ROOT / "src" / "graphwright"


def render_map() -> str:
    """Render the map: every module with the first sentence of its docstring."""
    lines = [
        "# Map",
        "",
        "Every module in a line: the first sentence of its docstring. Written by `make docs`.",
    ]
    room = None
    for path in _iter_modules():
        name = path.relative_to(_PACKAGE).as_posix()
        if path.parent != room:
            room = path.parent
            heading = "graphwright" if room == _PACKAGE else room.relative_to(_PACKAGE).as_posix()
            lines += ["", f"## {heading}", "", "| module | what it is |", "| --- | --- |"]
        lines.append(f"| [`{path.name}`](../src/graphwright/{name}) | {_first_sentence(path)} |")
    return "\n".join(lines) + "\n"


def render_config() -> str:
    """Render the page of settings, from their declarations."""
    lines = [
        "# Settings",
        "",
        "Each is an attribute of `gw.config`, can be changed for a while by `gw.config.patch(name=value)`, a context manager",
        "and decorator, and for one program by `gw.compile(…, options={name: value})`; the environment variable sets its",
        "default. Written by `make docs`.",
        "",
        "| setting | default | values | environment | changes the compiled code | what it does |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, setting in Config.settings().items():
        cells = (
            f"`{name}`",
            f"`{str(setting.default)!r}`"
            if isinstance(setting.default, str)
            else f"`{setting.default!r}`",
            setting.expects,
            f"`{setting.environment_name}`",
            "yes" if setting.is_output else "no",
            setting.doc,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def render_tour() -> str:
    """Render the tour, in a process of its own."""
    command = [sys.executable, str(ROOT / "scripts" / "tour.py")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "docs/config.md": render_config,
    "docs/map.md": render_map,
    **({"docs/tour.md": render_tour} if sys.version_info[:2] == TOUR_PYTHON else {}),
}
"""What is written where; the tour shows one interpreter's bytecode, and only that interpreter writes it."""


def stale_pages() -> list[str]:
    """Give the pages that are not what would be written."""
    return [name for name, render in PAGES.items() if _read(ROOT / name) != render()]


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    stale = stale_pages()
    if not parser.parse_args().check:
        for name in stale:
            (ROOT / name).write_text(PAGES[name](), "utf-8")
            sys.stdout.write(f"written: {name}\n")
        return 0
    for name in stale:
        sys.stdout.write(f"out of date: {name}; run make docs\n")
    return 1 if stale else 0


def _iter_modules() -> Iterator[Path]:
    """Give every module, room by room, `__init__.py` first."""
    folders = sorted({path.parent for path in _PACKAGE.rglob("*.py")})
    for folder in folders:
        yield from sorted(folder.glob("*.py"))


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return paragraph.removesuffix(".").replace("|", "\\|")


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
