"""Generated functions and their text.

In: a text, the objects that it names.   Out: the function, whose lines tracebacks and debuggers find.
"""

from __future__ import annotations

import linecache
import weakref
from collections.abc import Mapping
from typing import Any, Final, final


@final
class SourcePart:
    """One function of the readable source; it is compiled when it is asked for.

    Args:
        title: what it is, for tracebacks.
        text: its source.
        namespace: the objects that the text names.
    """

    def __init__(self, title: str, text: str, namespace: Mapping[str, object]) -> None:
        self.text: Final = text
        self._title = title
        self._namespace = namespace

    def function(self, name: str) -> Any:
        """Compile the text and give its function `name`."""
        filename = f"<graphwright {self._title} {id(self):x}>"
        lines = self.text.splitlines(keepends=True)
        linecache.cache[filename] = (len(self.text), None, lines, filename)
        weakref.finalize(self, linecache.cache.pop, filename, None)
        namespace = dict(self._namespace)
        exec(compile(self.text, filename, "exec"), namespace)
        return namespace[name]
