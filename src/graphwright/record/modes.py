"""The two modes through which torch calls the recorder.

In:  every public torch call and every ATen op while a recorder is active, whatever its arguments.
Out: recorded nodes.   Real tensors among a public call's arguments are replaced by their stand-ins before it runs, so
that autograd works on the stand-ins alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._ops import HigherOrderOperator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from graphwright.base.errors import Unsupported
from graphwright.record.abstract import AbstractTensor, data_access
from graphwright.record.substitutes import SUBSTITUTES


class ActiveRecorder(Protocol):
    """What the modes need of a recorder."""

    @property
    def is_paused(self) -> bool:
        """Whether calls go by unrecorded."""

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record an ATen op."""

    def note_call(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Note a public call."""

    def abstract_of(self, tensor: torch.Tensor) -> AbstractTensor:
        """Give a tensor's stand-in."""


_SETTLED: Final = frozenset((AbstractTensor, int, float, bool, str, type(None), torch.dtype))
"""Types of arguments that are taken as they are."""


_READS_DATA: Final = "its data is not allocated yet"
"""How torch's C++ puts it when it looks for a tensor's data and there is none."""


class RecordDispatchMode(TorchDispatchMode):
    """Hands ATen ops to the recorder."""

    supports_higher_order_operators = True  # they are refused, in the recorder's words

    def __init__(self, recorder: ActiveRecorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else torch wraps `__torch_dispatch__` in a function that imports its compile stack.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Record the op."""
        del types
        if isinstance(func, HigherOrderOperator):
            raise Unsupported(
                f"the operator `{func.name()}`, which takes functions",
                why="what the functions do is known only where they are called",
                remedy="write it with torch.where, a Python `if` or a loop, or move it out of the compiled function",
            )
        return self._recorder.dispatch(func, args, kwargs or {})


class RecordFunctionMode(TorchFunctionMode):
    """Sees public torch calls, outermost ones only: torch sets the mode aside while it runs."""

    def __init__(self, recorder: ActiveRecorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the call on stand-ins and note it."""
        del types
        recorder = self._recorder
        kwargs = kwargs or {}
        if recorder.is_paused:
            return func(*args, **kwargs)
        for value in args:
            if type(value) not in _SETTLED:
                args = [self._stand_in(item) for item in args]
                break
        if kwargs:
            kwargs = {name: self._stand_in(value) for name, value in kwargs.items()}
        try:
            result = SUBSTITUTES.get(func, func)(*args, **kwargs)
        except RuntimeError as error:
            if _READS_DATA in str(error):
                raise data_access(f"`{getattr(func, '__name__', func)}`") from error
            raise
        recorder.note_call(func, args, kwargs, result)
        return result

    def _stand_in(self, value: Any) -> Any:
        kind = type(value)
        if kind is AbstractTensor:
            return value
        if isinstance(value, torch.Tensor):
            if not _is_plain(kind) or is_functorch_wrapped_tensor(value):
                return value
            return self._recorder.abstract_of(value)
        is_sequence = kind is tuple or kind is list
        if is_sequence and any(isinstance(item, (torch.Tensor, tuple, list)) for item in value):
            return kind(self._stand_in(item) for item in value)
        return value


def _is_plain(kind: type[torch.Tensor]) -> bool:
    return (
        kind in (torch.Tensor, torch.nn.Parameter)
        or kind.__torch_dispatch__ is torch.Tensor.__torch_dispatch__
    )
