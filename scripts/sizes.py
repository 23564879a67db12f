"""Print what is longer than the house style aims at: modules past 500 lines, functions past 60, rooms past 20 files.

In: the sources below `src` and `tests`.   Out: the total by room, then what is worth a second look. Nothing here is a gate.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MAX_MODULE_LINES: Final = 500
MAX_TEST_LINES: Final = 800
MAX_FUNCTION_LINES: Final = 60
MAX_ROOM_FILES: Final = 20


def count_lines_by_room() -> Counter[str]:
    """Count the lines of each room, and of all tests."""
    lines: Counter[str] = Counter()
    for path in sorted((ROOT / "src" / "graphwright").rglob("*.py")):
        parts = path.relative_to(ROOT / "src" / "graphwright").parts
        lines[parts[0] if len(parts) > 1 else "graphwright"] += _count_lines(path)
    lines["tests"] = sum(_count_lines(path) for path in (ROOT / "tests").rglob("*.py"))
    return lines


def iter_remarks() -> Iterator[str]:
    """Give a line for everything that is past its aim."""
    for top, limit in (("src", MAX_MODULE_LINES), ("tests", MAX_TEST_LINES)):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = path.relative_to(ROOT)
            if _count_lines(path) > limit:
                yield f"{name}: {_count_lines(path)} lines"
            yield from (f"{name}:{remark}" for remark in _long_functions(path))
    for folder in sorted(path for path in (ROOT / "src").rglob("*") if path.is_dir()):
        num_files = len(list(folder.glob("*.py")))
        if num_files > MAX_ROOM_FILES:
            yield f"{folder.relative_to(ROOT)}: {num_files} files"


def main() -> int:
    """Print the sizes."""
    for room, num_lines in count_lines_by_room().most_common():
        sys.stdout.write(f"{num_lines:7,}  {room}\n")
    for remark in iter_remarks():
        sys.stdout.write(f"look again: {remark}\n")
    return 0


def _long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if num_lines > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {num_lines} lines"


def _count_lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


if __name__ == "__main__":
    sys.exit(main())
