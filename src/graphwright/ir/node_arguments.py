"""Reading the arguments of a node.

In: an `AtenNode`.   Out: an argument by position or keyword, and the numbers and lists in it.
"""

from __future__ import annotations

from graphwright.base.errors import InternalError
from graphwright.ir.aten import Arg, AtenNode, FloatArg, ListArg, LiteralArg

Number = bool | int | float


def argument(node: AtenNode, position: int, name: str) -> Arg | None:
    """Give the argument at `position`, or the keyword `name`; None where it was not given."""
    if position < len(node.args):
        return node.args[position]
    if name:
        for kwarg in node.kwargs:
            if kwarg.name == name:
                return kwarg.value
    return None


def number_of(arg: Arg | None) -> Number:
    """Give the number that `arg` is."""
    match arg:
        case FloatArg():
            return arg.value
        case LiteralArg(value=bool() | int() as value):
            return value
        case _:
            message = f"no number: {arg}"
            raise InternalError(message)


def is_given(node: AtenNode, position: int, name: str) -> bool:
    """Tell whether an argument was given, and is not None."""
    given = argument(node, position, name)
    return given is not None and given != LiteralArg(None)


def is_number(arg: Arg | None) -> bool:
    """Tell whether `arg` is a number that is known when compiling."""
    match arg:
        case FloatArg() | LiteralArg(value=bool() | int()):
            return True
        case _:
            return False


def integer_of(node: AtenNode, position: int, name: str, default: int) -> int:
    """Give an integer argument."""
    given = argument(node, position, name)
    return default if given is None else int(number_of(given))


def flag_of(node: AtenNode, position: int, name: str) -> bool:
    """Give a boolean argument, False where it was not given."""
    given = argument(node, position, name)
    return isinstance(given, LiteralArg) and given.value is True


def integers_of(arg: Arg | None) -> tuple[int, ...] | None:
    """Give a list of integers (or one as a list of one); None where `arg` is None or not given."""
    match arg:
        case ListArg():
            return tuple(int(number_of(item)) for item in arg.items)
        case LiteralArg(value=int() as value) if not isinstance(value, bool):
            return (value,)
        case _:
            return None
