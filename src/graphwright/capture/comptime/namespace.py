"""`gw.comptime`: what users call, in the form that it has outside a program.

In: calls outside any capture.   Out: nothing, but for `print` and for what gives its argument back.
Does not: say what happens inside a program; there each function is called by the rule of its name in `rules.py`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Final, TextIO, TypeVar, final

from graphwright.capture.comptime.context import ComptimeContext

V = TypeVar("V")


def _do_nothing() -> None:
    """Stand for a fallback that was not given."""


@final
class Comptime:
    """Code that runs while the program around it is captured.

    As a decorator, it runs a function of one argument, the context (`ComptimeContext`), once for each capture. The function sees
    globals; it reaches locals through the context. The shortcuts are called straight from the program, and print to standard
    output or to `file`.
    """

    __slots__ = ()

    def __call__(
        self,
        fn: Callable[[ComptimeContext], object],  # noqa: ARG002  (what runs it is its rule)
        fallback_fn: Callable[[], object] = _do_nothing,
    ) -> None:
        """Run `fn` while capturing; outside a capture, call `fallback_fn`.

        Args:
            fn: takes the context.
            fallback_fn: takes nothing.
        """
        fallback_fn()

    def print(self, value: object, /, *, file: TextIO | None = None) -> None:
        """Print what is known of a value while capturing; outside, print the value."""
        builtins.print(value, file=file)

    def print_graph(self, *, verbose: bool = True, file: TextIO | None = None) -> None:
        """Print the torch-level graph so far."""

    def print_disas(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the bytecode of this function, with `-->` at the instruction that is being captured."""

    def print_value_stack(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the operands that wait on Python's value stack, the top one last."""

    def print_value_stack_and_return(
        self,
        value: V,
        /,
        *,
        file: TextIO | None = None,  # noqa: ARG002  (as above)
        stacklevel: int = 0,  # noqa: ARG002
    ) -> V:
        """Print the value stack and give `value`, for use inside an expression."""
        return value

    def print_locals(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the local variables, in the order in which they were bound."""

    def print_bt(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the calls that are being captured, the outermost first, as a traceback does."""

    def print_guards(self, *, file: TextIO | None = None) -> None:
        """Print the guards so far."""

    def sleep(self, seconds: float, /) -> None:
        """Sleep while capturing."""

    def graph_break(self, msg: str = "") -> None:
        """End the graph here."""

    def assert_static(self, value: object, /) -> None:
        """Fail while capturing where a number is symbolic."""

    def force_static(self, value: object, /) -> None:
        """Make a symbolic number a constant, guarded to have the value that it has in this call."""

    def is_dynamic(self, value: object, /) -> bool:  # noqa: ARG002
        """Tell whether a number is symbolic; outside a capture, none is."""
        return False

    def breakpoint(self) -> None:
        """Enter the debugger while capturing, with the context there as `ctx`."""


comptime: Final = Comptime()
"""The one that users call."""

SHORTCUTS: Final[dict[str, Any]] = {
    name: method for name, method in vars(Comptime).items() if not name.startswith("_")
}
"""The shortcuts, by name."""
