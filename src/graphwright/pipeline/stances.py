"""`gw.set_stance`: what all compiled functions and modules of the process do, for a while or from now on.

In: a stance by name.   Out: every target follows it.
Keeps: under the default stance no call looks at the stance; targets are told of a change.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, Self, TypeVar, final

from graphwright.capture import mark_outside
from graphwright.pipeline.options import checked_stance
from graphwright.pipeline.session import SESSION

P = ParamSpec("P")
R = TypeVar("R")


@final
class set_stance:  # noqa: N801  (PyTorch's name, used like a function)
    """Set what all compiled functions and modules do: from now on, inside a `with` block, or in each call of a decorated function.

    Args:
        stance: `"default"`; `"force_eager"`: run everything eagerly; `"eager_on_recompile"`: use what is compiled and run other
            calls eagerly; `"fail_on_recompile"`: use what is compiled and raise `gw.errors.RecompileError` for other calls.

    Raises:
        gw.errors.ConfigError: an unknown stance; the text names the nearest valid one.
    """

    @mark_outside
    def __init__(self, stance: str = "default") -> None:
        self._stance = checked_stance(stance)
        self._before = SESSION.change_stance(self._stance)

    @mark_outside
    def __enter__(self) -> Self:
        """Take the stance."""
        SESSION.change_stance(self._stance)
        return self

    @mark_outside
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the stance again that was there when this one was named."""
        SESSION.change_stance(self._before)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Give `function` in a form that takes the stance in each call; nothing changes until then."""
        SESSION.change_stance(self._before)
        stance = self._stance

        @functools.wraps(function)
        def with_stance(*args: P.args, **kwargs: P.kwargs) -> R:
            before = SESSION.change_stance(stance)
            try:
                return function(*args, **kwargs)
            finally:
                SESSION.change_stance(before)

        return mark_outside(with_stance)
