"""Functions whose every call breaks the graph, so that a program can end before the call without having begun it.

In: a function, and its code.   Out: the call of something that is never captured (`print`, `gw.graph_break()`, a disabled function)
which every call of the function comes to; or what has asked for the values of tensors before, and comes in every call.

    def talk(x):                   def f(x):
        y = x.sum()                    y = x * 2
        print(y)        ←              return talk(y)     ends before the call of `talk`; what stands before it is captured once
        return y

Keeps: what is found here is no more than where a capture ends. A global that means something else at another call, or a branch on a tensor
that is one on a number there, costs or saves a piece, and changes no result.
Does not: find what is called through attributes of objects, or on some ways only: that is met, and the call captured again.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from graphwright.capture.frames import CodeTable
from graphwright.capture.instructions import LEAVES, CallShape, Decoded, Op
from graphwright.capture.liveness import ways_on
from graphwright.capture.missing import ABSENT
from graphwright.capture.stack_layout import effect_of
from graphwright.capture.targets import is_compiled_alone

_MAX_DEPTH: Final = 4
"""How many functions that call each other are looked into."""


class GlobalCall(NamedTuple):
    """A call of what a global name, or an attribute of a module, stands for."""

    at: int
    """Number of the CALL instruction."""
    path: tuple[str, ...]
    """The name, and the attributes."""


class SureCall(NamedTuple):
    """A call that every call of a function comes to, or another instruction that is refused."""

    function: types.FunctionType
    """The function whose instruction it is."""
    at: int
    """Number of the instruction."""
    called: Any
    """`ABSENT` where it is no call."""


def find_sure_break(
    function: types.FunctionType,
    codes: CodeTable,
    is_refused: Callable[[Any], bool],
    depth: int = _MAX_DEPTH,
) -> list[SureCall]:
    """Give the calls that lead from a function to an instruction that is refused, and that; none where there is no such instruction.

    Args:
        function: the function.
        codes: what is known of code.
        is_refused: tells whether every call of something is refused.
        depth: how many functions are looked into.
    """
    info = codes.info(function.__code__)
    for at in info.met:
        if always_reaches(info.decoded, at):
            return [SureCall(function, at, ABSENT)]
    for call in global_calls(info.decoded):
        called = _find(function, call.path)
        further: list[SureCall] = []
        if depth > 1 and type(called) is types.FunctionType and is_compiled_alone(called):
            further = find_sure_break(called, codes, is_refused, depth - 1)
        if (further or is_refused(called)) and always_reaches(info.decoded, call.at):
            return [SureCall(function, call.at, called), *further]
    return []


def _find(function: Any, path: tuple[str, ...]) -> Any:
    """Give what a global name and attributes of modules stand for, or `ABSENT`."""
    first, *rest = path
    found = function.__globals__.get(first, function.__builtins__.get(first, ABSENT))
    for name in rest:
        if type(found) is not types.ModuleType:
            return ABSENT
        found = vars(found).get(name, ABSENT)
    return found


@functools.lru_cache(maxsize=256)
def global_calls(decoded: Decoded) -> tuple[GlobalCall, ...]:
    """Give the calls of globals in a code object, in its order."""
    return tuple(_iter_global_calls(decoded))


def _iter_global_calls(decoded: Decoded) -> Iterator[GlobalCall]:
    steps = decoded.instructions
    for first, step in enumerate(steps):
        if step.op is not Op.LOAD_GLOBAL:
            continue
        path = [step.arg]
        last = first
        while steps[last + 1].op is Op.LOAD_ATTR:
            last += 1
            path.append(steps[last].arg)
        call = _call_of(decoded, last)
        if call is not None:
            yield GlobalCall(call, tuple(path))


def _call_of(decoded: Decoded, index: int) -> int | None:
    """Give the CALL that calls what instruction `index` has pushed, or None where something else is done with it."""
    above = 0  # how many items lie on it
    at = index + 1
    while at > index:
        op, arg = decoded.instructions[at].op, decoded.instructions[at].arg
        if op is Op.CALL and arg.num_args in (above, above - 1):
            return at
        jumps = op is Op.JUMP or op is Op.FOR_ITER
        effect = effect_of(op, arg, jumps=jumps)
        if effect.takes > above or (op in LEAVES and not jumps):
            return None
        above += effect.gives - effect.takes
        if op is Op.SWAP:
            above = {0: arg - 1, arg - 1: 0}.get(above, above)
        at = arg if jumps else at + 1
    return None


@functools.lru_cache(maxsize=256)
def always_reaches(decoded: Decoded, index: int) -> bool:
    """Tell whether every run that returns, of code that is no generator's, comes to an instruction."""
    pending, seen = [0], {index}
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        if decoded.instructions[at].op is Op.RETURN_VALUE:
            return False
        pending += ways_on(decoded, at)
    return True


def constant_arguments(decoded: Decoded, index: int) -> tuple[list[Any], dict[str, Any]]:
    """Give the arguments of a CALL where all of them are constants; none otherwise."""
    shape: CallShape = decoded.instructions[index].arg
    steps = decoded.instructions[index - shape.num_args : index]
    if any(step.op is not Op.LOAD_CONST for step in steps):
        return [], {}
    values = [step.arg for step in steps]
    num_plain = len(values) - len(shape.keywords)
    return values[:num_plain], dict(zip(shape.keywords, values[num_plain:], strict=True))
