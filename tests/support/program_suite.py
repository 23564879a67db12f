"""All programs of `tests/programs/topics`, loaded once.

In: nothing.   Out: `all_cases()`, pairs of a readable id and the case.
Does not: load a topic called `from_3_12` and the like under an older version, which cannot read it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

from program_cases import Case, Topic

FOLDER = Path(__file__).parents[1] / "programs" / "topics"


@functools.cache
def all_cases() -> tuple[tuple[str, Case], ...]:
    """Load every topic and give its cases, by topic and name."""
    found = []
    for path in filter(_is_readable, sorted(FOLDER.glob("*.py"))):
        topic = _load(path)
        found += [(f"{topic.name}-{case.name}", case) for case in topic.cases]
    return tuple(found)


def _is_readable(path: Path) -> bool:
    word, _, version = path.stem.partition("_")
    return word != "from" or sys.version_info >= tuple(map(int, version.split("_")))


def _load(path: Path) -> Topic:
    name = f"program_topics_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    topic: Topic = module.TOPIC
    return topic
