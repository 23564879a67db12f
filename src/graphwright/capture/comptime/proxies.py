"""Tensors of the program in the hands of comptime functions: what is done with them is added to the graph.

In: an abstract tensor.   Out: `GraphProxy`, on which torch's functions, operators and methods work.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch

from graphwright.record import Recorder


@final
class GraphProxy:
    """A tensor in the graph that is being captured."""

    def __init__(self, recorder: Recorder, value: torch.Tensor) -> None:
        self._recorder: Final = recorder
        self._value: Final = value

    def __repr__(self) -> str:
        return f"GraphProxy({self._value!r})"

    def __getattr__(self, name: str) -> Any:
        with self._recorder.resumed():
            found = getattr(self._value, name)
        if not callable(found) or isinstance(found, torch.Tensor):
            return _wrap(self._recorder, found)

        def call(*args: Any, **kwargs: Any) -> Any:
            return _apply(self._recorder, found, args, kwargs)

        return call

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        _types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Add a call of a function of torch's."""
        kwargs = kwargs or {}
        recorder = _recorder_in((*args, *kwargs.values()))
        # Torch has set the recorder's function mode aside by now, so the call is noted by hand.
        return _apply(recorder, functools.partial(recorder.call, func), args, kwargs)


def _recorder_in(values: Sequence[Any]) -> Recorder:
    for value in values:
        if isinstance(value, GraphProxy):
            return value._recorder  # noqa: SLF001  (its own module)
        if isinstance(value, list | tuple) and any(isinstance(item, GraphProxy) for item in value):
            return _recorder_in(value)
    message = "no proxy among the arguments of a call on proxies"
    raise AssertionError(message)


def _apply(
    recorder: Recorder, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    with recorder.resumed():
        result = func(
            *map(_unwrap, args), **{name: _unwrap(value) for name, value in kwargs.items()}
        )
    return _wrap(recorder, result)


def _unwrap(value: Any) -> Any:
    if isinstance(value, GraphProxy):
        return value._value  # noqa: SLF001  (its own module)
    if type(value) is list or type(value) is tuple:
        return type(value)(map(_unwrap, value))
    return value


def _wrap(recorder: Recorder, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return GraphProxy(recorder, value)
    if type(value) is list or type(value) is tuple:
        return type(value)(_wrap(recorder, item) for item in value)
    return value


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make the method of an operator."""

    def method(self: GraphProxy, *others: Any) -> Any:
        return _apply(self._recorder, function, (self, *others), {})

    return method


def _reversed_method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make the method of an operator whose right operand is the proxy."""

    def method(self: GraphProxy, other: Any) -> Any:
        return _apply(self._recorder, function, (other, self), {})

    return method


_PLAIN: Final = ("neg", "pos", "abs", "invert", "getitem", "lt", "le", "gt", "ge", "eq", "ne")
_WITH_REVERSE: Final = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
_BITWISE: Final = ("and", "or", "xor", "lshift", "rshift")

for _name in (*_PLAIN, *_WITH_REVERSE, *_BITWISE):
    setattr(GraphProxy, f"__{_name}__", _method(getattr(operator, f"__{_name}__")))
for _name in (*_WITH_REVERSE, *_BITWISE):
    setattr(GraphProxy, f"__r{_name}__", _reversed_method(getattr(operator, f"__{_name}__")))
