"""How a capture meets `gw.comptime`: its functions run for real, with the recorder paused.

In: the machine and a call's arguments.   Out: None, or what the shortcut gives.
Keeps: an exception of the user's comptime code reaches the user as `ComptimeError`, and never the program; a program with comptime code
is captured anew in each process, so that the code runs there too.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphwright.base.errors import ComptimeError, GraphwrightError
from graphwright.capture.comptime.context import ComptimeContext
from graphwright.capture.comptime.namespace import SHORTCUTS, comptime
from graphwright.capture.comptime.values import ComptimeValue
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.missing import ABSENT
from graphwright.record import RecordingMark

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

_TAKES_A_VALUE: Final = frozenset({"print", "assert_static", "force_static", "is_dynamic"})


def _run(machine: Machine, call: Callable[[ComptimeContext], Any]) -> Any:
    """Run comptime code on the frame that is being captured, unless an earlier attempt to capture the call has."""
    machine.comptime = comptime
    machine.guards.keep_in_process(machine.target)
    known = machine.blocks.take()
    if known is not ABSENT:
        return known
    before = _extent(machine)
    result = _run_now(machine, call)
    if _extent(machine) == before and (result is None or isinstance(result, bool)):
        machine.blocks.keep(result)
    return result


def _extent(machine: Machine) -> tuple[RecordingMark, int]:
    """Give how far the program has come, for what comptime code adds to it."""
    return machine.recorder.mark(), len(machine.guards.guards)


def _run_now(machine: Machine, call: Callable[[ComptimeContext], Any]) -> Any:
    assert machine.frame is not None, "comptime code with no frame"
    context = ComptimeContext(machine, (*machine.callers, machine.frame))
    try:
        with machine.recorder.paused():
            return call(context)
    except GraphwrightError:
        raise
    except Exception as error:
        loc = machine.frame.loc()
        message = f"code that runs while capturing raised {type(error).__name__}: {error}\n  where: {loc.render()}"
        raise ComptimeError(message) from error


def run_block(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`comptime(fn)`: run a function of the user's."""
    function = args[0] if args else kwargs["fn"]
    is_own = machine.world.source_of(function) is None and isinstance(function, types.FunctionType)
    if is_own and function.__closure__:
        names = ", ".join(map(repr, function.__code__.co_freevars))
        message = (
            f"a comptime function must not have free variables, and {function.__qualname__} has {names}; "
            "use globals, or ctx.get_local(name)"
        )
        raise ComptimeError(message)
    _run(machine, function)


def _make_rule(name: str) -> Rule:
    """Make the rule of a shortcut: the context's method of the same name."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        own = list(args[1:])
        if name in _TAKES_A_VALUE:
            own[:1] = [ComptimeValue(machine, value) for value in own[:1]]
        return _run(machine, lambda context: getattr(context, name)(*own, **kwargs))

    return rule


def _print_value_stack_and_return(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`comptime.print_value_stack_and_return(value)`: of what it gives, nothing is kept."""
    _, value = args
    _run(machine, lambda context: context.print_value_stack(**kwargs))
    return value


def make_rules() -> dict[Any, Rule]:
    """Give the rules."""
    rules = {name: _make_rule(name) for name in SHORTCUTS}
    rules["print_value_stack_and_return"] = _print_value_stack_and_return
    return {comptime: run_block, **{SHORTCUTS[name]: rule for name, rule in rules.items()}}
