"""Late calls: PyTorch functions whose result has a size, or is a number, list or array, that only values decide.

In: a function that asked for values while it was captured, and its arguments.   Out: a `LateResult`, which the program may
return, keep, or hand to further PyTorch functions; these are late too.

    y = torch.nonzero(x * 2)        graph: %1 = mul(%0, 2)
    return y, x + 1                 result: (nonzero(output 0), output 1)

The call is made by the recipe of the result, in the program's order, once the graph has run. Keeps: its tensors are those
that the function was given, so what it gives shares memory as in eager; none of them is written to after it in the program;
the modes at its place are those at the end; it draws no random numbers, whose order would be another.
Does not: let the program look at a late result; what follows from its values cannot be captured.
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, final

import torch

from graphwright.base.counters import counters
from graphwright.base.errors import Unsupported
from graphwright.capture.faults import natively
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.policy import is_torch_class, is_torch_module_name
from graphwright.ir.guards import GlobalStateKind
from graphwright.ir.overloads import is_random
from graphwright.record import REFUSED, AbstractTensor, NeedsValues, Recorder
from graphwright.runtime import WRITABLE_STATE, read_global_state

_NO_KEYWORDS: Final[Mapping[str, Any]] = types.MappingProxyType({})


class TextNeeded(Unsupported):
    """A late text, or what follows from one, that the program looks at: made at once, it is a constant like any other."""


@final
class LateResult:
    """Stands for what a late call gives."""

    __slots__ = ("args", "function", "is_foreign", "kwargs", "name", "sample", "versions")

    def __init__(
        self,
        function: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] = _NO_KEYWORDS,
        *,
        sample: Any = ABSENT,
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.sample = _sample(function, args) if sample is ABSENT else sample
        """A number or text such as it gives: of the same type; `ABSENT` where that is not known."""
        self.is_foreign = _is_foreign(function, args)
        """Whether it is an array of NumPy's or a list, whose methods are others than a tensor's of the same names."""
        self.name = str(getattr(function, "__name__", function))
        self.versions = _versions((args, kwargs))

    def _refuse(self, *_args: object) -> NoReturn:
        raise used_late(self)

    # Whatever would look at it without asking this module, CPython's own containers and formatting too, is refused.
    __bool__ = __int__ = __float__ = __complex__ = __index__ = _refuse
    __str__ = __repr__ = __format__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = _refuse
    __iter__ = __len__ = __contains__ = __getitem__ = _refuse


@final
class LateCalls:
    """The late calls of one program, in its order.

    Args:
        recorder: what records the program.
        is_on: whether calls may be late; otherwise one that asks for values cannot be captured.
        may_be_texts: whether texts may be late.
    """

    def __init__(
        self, recorder: Recorder, *, is_on: bool = True, may_be_texts: bool = True
    ) -> None:
        self._is_on: Final = is_on
        self.may_be_texts: Final = may_be_texts
        self._has_texts = False
        self._recorder: Final = recorder
        self.results: Final[list[LateResult]] = []
        self._modes: Final = _modes()
        self._has_gradients: Final = torch.is_grad_enabled()

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a native function now or, where it asks for values, late.

        Raises:
            Unsupported: it asks for values, and cannot be called late.
        """
        if (self.results or self._has_texts) and holds_late_result((args, kwargs)):
            return self._call_late(function, args, kwargs, None)
        before, refused = self._recorder.mark(), REFUSED.count
        try:
            result = natively(function, *args, **kwargs)
        except Exception as raised:
            error = raised if isinstance(raised, NeedsValues) else REFUSED.since(refused)
            if error is None:
                raise
        else:
            error = REFUSED.since(refused)
            if error is None:
                return result
        if not self._is_on or self._recorder.has_effects_since(before):
            raise error
        REFUSED.count = refused  # nobody has caught this one
        return self._call_late(function, args, kwargs, error)

    def make(self, function: Any, args: tuple[Any, ...], *, sample: Any) -> LateResult:
        """Make the result of a late call that changes nothing and raises nothing: it is made only if somebody is given it.

        Args:
            function: what is called.
            args: with what: numbers, texts, late results.
            sample: what it gives for numbers like these.
        """
        self._has_texts = True
        return LateResult(function, args, sample=sample)

    def _call_late(
        self,
        function: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        error: Unsupported | None,
    ) -> LateResult:
        function = _of_real_tensors(function, args, kwargs)
        holder = getattr(function, "__self__", None)
        if isinstance(holder, torch.Tensor | LateResult):
            function, args = getattr(torch.Tensor, function.__name__), (holder, *args)
        outs = _tensors_in(kwargs.get("out"))
        if (
            not _may_be_late(function)
            or not _are_plain((args, kwargs))
            or not self._is_as_at_the_end(args, kwargs)
            or not all(self._recorder.is_input(out) for out in outs)
        ):
            raise error or used_late(_first_late((args, kwargs)))
        for out in outs:
            out.state.storage.is_late = True
        made = LateResult(function, _copied(tuple(args)), _copied(dict(kwargs)))
        self.results.append(made)
        return made

    def _is_as_at_the_end(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Tell whether the call gives, once the graph has run, what it gives here: in a `with torch.no_grad()`, it has no history."""
        if _modes() != self._modes:
            return False
        is_same = torch.is_grad_enabled() == self._has_gradients
        return is_same or not _may_have_history((args, kwargs))

    def check(self, machine: Machine) -> None:
        """Check, at the end of the program, that no late call would see a later value of its arguments.

        Raises:
            Unsupported: one would.
        """
        for result in self.results:
            counters.add("late_calls", result.name)
            if _versions((result.args, result.kwargs)) != result.versions:
                raise machine.unsupported(
                    f"a write to an argument of `{result.name}`, after its call",
                    why="that call is made after the graph has run, as the size or value of its result depends on values",
                    remedy="give it a clone of the tensor",
                )


def _modes() -> dict[GlobalStateKind, str]:
    """Give the modes that a program may set and PyTorch's functions follow, but for whether gradients are on."""
    kinds = {*WRITABLE_STATE, GlobalStateKind.INFERENCE_MODE} - {GlobalStateKind.GRAD_MODE}
    return {kind: read_global_state(kind) for kind in kinds}


def _may_have_history(value: Any) -> bool:
    """Tell whether what is made of a nesting of arguments may have a history."""
    if isinstance(value, torch.Tensor):
        return value.requires_grad
    if type(value) is LateResult:
        return _may_have_history((value.args, value.kwargs))
    if isinstance(value, dict):
        return any(map(_may_have_history, value.values()))
    return isinstance(value, list | tuple) and any(map(_may_have_history, value))


def _of_real_tensors(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Give the method of real tensors that one of stand-ins is for, if it makes something of the values and may be called late."""
    if function is AbstractTensor.tolist:
        return torch.Tensor.tolist
    if function is not AbstractTensor.numpy:
        return function
    # Of a tensor with a gradient or a flag it is an error, which must come where it is called.
    tensor = args[0]
    is_bare = not (tensor.requires_grad or tensor.is_conj() or tensor.is_neg())
    return torch.Tensor.numpy if is_bare or kwargs.get("force") else function


_OPERATORS: Final = frozenset(
    getattr(operator, name)
    for name in (
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"),
        *("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "invert", "getitem"),
    )
)
"""Operators that make a result and change nothing."""


def _is_foreign(function: Any, args: tuple[Any, ...]) -> bool:
    """Tell whether a late call gives an array or a list."""
    return function in (torch.Tensor.numpy, torch.Tensor.tolist) or (
        function in _OPERATORS
        and any(value.is_foreign for value in args if type(value) is LateResult)
    )


_SAMPLED: Final = _OPERATORS - {operator.pow, operator.getitem}
"""Those whose result has a type that the types of their operands tell."""


def _sample(function: Any, args: tuple[Any, ...]) -> Any:
    """Give what a late call gives for numbers like those that it is given; `ABSENT` where that is not known."""
    if function is torch.Tensor.item and isinstance(args[0], torch.Tensor):
        return _NUMBERS.get(args[0].dtype, 1)
    if function not in _SAMPLED:
        return ABSENT
    samples = [value.sample if type(value) is LateResult else value for value in args]
    if not all(type(sample) in (bool, int, float, str) for sample in samples):
        return ABSENT
    try:
        return natively(function, *samples)
    except (ArithmeticError, TypeError, ValueError):  # for the call itself to raise
        return ABSENT


_NUMBERS: Final[Mapping[torch.dtype, Any]] = {
    torch.bool: True,
    **dict.fromkeys((torch.float16, torch.bfloat16, torch.float32, torch.float64), 1.0),
    **dict.fromkeys((torch.complex64, torch.complex128), 1j),
}
"""Numbers such as tensors of a dtype hold; of any other dtype, they are ints."""


def _follows_from_numbers(result: LateResult) -> bool:
    """Tell whether no value of a tensor goes into a late result."""
    return not any(map(_holds_tensor, (*result.args, *result.kwargs.values())))


def _holds_tensor(value: Any) -> bool:
    if type(value) is LateResult:
        return not _follows_from_numbers(value)
    if isinstance(value, list | tuple):
        return any(map(_holds_tensor, value))
    return isinstance(value, torch.Tensor)


def used_late(result: LateResult) -> Unsupported:
    """Make the error for a program that looks at a late result."""
    kind = TextNeeded if _follows_from_numbers(result) else Unsupported
    return kind(
        f"a use of what `{result.name}` gives",
        why="its size or value depends on the values of tensors, which are not known while the program is captured",
        remedy="return it as it is, or move this line and what follows from it out of the compiled function",
    )


def holds_late_result(value: Any) -> bool:
    """Tell whether a late result is in a nesting of arguments."""
    return next(_iter_late(value), None) is not None


def check_none_late(value: Any) -> None:
    """Refuse a nesting of values that holds a late result.

    Raises:
        Unsupported: it does.
    """
    found = next(_iter_late(value), None)
    if found is not None:
        raise used_late(found)


def _first_late(value: Any) -> LateResult:
    return next(_iter_late(value))


def _iter_late(value: Any) -> Iterator[LateResult]:
    if type(value) is LateResult:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _iter_late(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iter_late(item)
    elif isinstance(value, slice):
        yield from _iter_late((value.start, value.stop, value.step))


def _copied(value: Any) -> Any:
    """Copy the containers of a nesting as they are now.

    What the program does to them later is not for a call that came before; those from before the call have other contents when late
    calls are made, before anything is stored in them.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(map(_copied, value))
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    return value


def _versions(value: Any) -> tuple[int, ...]:
    """Give how often the memory of each tensor of a nesting was written to."""
    if isinstance(value, AbstractTensor):
        return (value.state.storage.version,)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return tuple(version for item in value for version in _versions(item))
    return ()


_PLAIN: Final = (
    *(bool, int, float, complex, str, type(None), type(...), slice, dict, list, tuple),
    *(torch.Tensor, torch.dtype, torch.device, torch.layout, torch.memory_format, LateResult),
)


def _are_plain(value: Any) -> bool:
    """Tell whether no object of the user's, whose methods the call would run, is in a nesting of arguments."""
    if not isinstance(value, _PLAIN):
        return False
    if isinstance(value, dict):
        value = tuple(value.values())
    return not isinstance(value, list | tuple) or all(map(_are_plain, value))


def _tensors_in(value: Any) -> list[Any]:
    """Give the tensors of `out=`."""
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _may_draw(function: Any) -> bool:
    """Tell whether a function of PyTorch's may draw random numbers, by its name and those that its code uses."""
    code = getattr(function, "__code__", None)
    used = () if code is None else code.co_names
    return any(map(_draws, (getattr(function, "__name__", ""), *used)))


@functools.cache
def _draws(name: str) -> bool:
    """Tell whether an operator of this name draws random numbers."""
    packet = None if name.startswith("__") else getattr(torch.ops.aten, name, None)
    overloads = [] if packet is None else [getattr(packet, one) for one in packet.overloads()]
    return any(map(is_random, overloads))


def _may_be_late(function: Any) -> bool:
    """Tell whether a function is one of PyTorch's that makes a result, into `out=` perhaps, and does nothing else."""
    name = getattr(function, "__name__", "")
    is_in_place = name.endswith("_") and not name.endswith("__")
    if function in _OPERATORS:
        return True
    if is_in_place or _may_draw(function):
        return False
    if isinstance(function, types.MethodDescriptorType):
        return is_torch_class(function.__objclass__)
    if isinstance(function, types.WrapperDescriptorType):
        return is_torch_class(function.__objclass__) and name == "__getitem__"
    if isinstance(function, types.BuiltinFunctionType):
        holder = function.__self__
        return (isinstance(holder, type) and is_torch_class(holder)) or is_torch_module_name(
            getattr(holder, "__name__", None) or function.__module__
        )
    return isinstance(function, types.FunctionType) and is_torch_module_name(function.__module__)
