"""Lazy tensors: what a program holds while its ops wait to be run.

In: ops of PyTorch on them.   Out: the same ops handed to the session, which records them.
Keeps: shape, dtype and strides are known at once; autograd runs on lazy tensors for real; only a read of values makes
the session run what was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graphwright.record import AbstractTensor

# Note [Dispatch without DTensor]
# The first time that torch calls the `__torch_dispatch__` of a tensor's class, it imports torch.distributed.tensor, to know
# whether the tensor is a DTensor; with it come symbolic_shapes and sympy (about 2 s, torch 2.13). A dispatch mode is
# asked before, so that inside of a session's `with` block the class is never asked. Outside of it all works the same.


class OpSink(Protocol):
    """What a lazy tensor needs of its session."""

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record one ATen op."""

    def read(self, tensor: LazyTensor) -> torch.Tensor:
        """Run what is needed and give the values."""


class LazyTensor(torch.Tensor):
    """A tensor whose values come later; made by a session only.

    It is `computed` (values are there), or stands for a value of the recording of the moment (`recorded`), or both.
    """

    sink: OpSink
    computed: torch.Tensor | None
    recorded: AbstractTensor | None

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # noqa: SLF001

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        _types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Hand the op to the session."""
        kwargs = kwargs or {}
        tensors = iter_lazy([*args, *kwargs.values()])
        return tensors[0].sink.dispatch(func, args, kwargs)

    def __repr__(self, **_options: object) -> str:  # type: ignore[override]
        """Give the values, which are computed for it."""
        return repr(self.sink.read(self)).replace("tensor(", "LazyTensor(", 1)

    def cpu(self, *_args: object, **_kwargs: object) -> torch.Tensor:
        """Give the values as an ordinary tensor with memory of its own."""
        return self.sink.read(self).clone()

    def numpy(self, *, force: bool = False) -> Any:
        """Give the values as an array."""
        return self.cpu().numpy(force=force)

    def tolist(self) -> Any:
        """Give the values as a list."""
        return self.sink.read(self).tolist()

    def __array__(self, dtype: Any = None) -> Any:
        """Give the values as an array."""
        return self.cpu().__array__(dtype)


class SessionMode(TorchDispatchMode):
    """Hands ops on lazy tensors to their session, and lets others by."""

    def __init__(self, sink: OpSink) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sink = sink

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
        """Record the op, or run it."""
        del types
        kwargs = kwargs or {}
        if iter_lazy([*args, *kwargs.values()]):
            return self._sink.dispatch(func, args, kwargs)
        return func(*args, **kwargs)


def make_lazy(
    sink: OpSink,
    like: torch.Tensor,
    *,
    computed: torch.Tensor | None,
    recorded: AbstractTensor | None,
) -> LazyTensor:
    """Make a lazy tensor with the metadata of `like`."""
    made: LazyTensor = torch.Tensor._make_wrapper_subclass(  # noqa: SLF001
        LazyTensor,
        like.shape,
        like.stride(),
        like.storage_offset(),
        None,
        like.dtype,
        torch.strided,
        like.device,
    )
    made.sink = sink
    made.computed = computed
    made.recorded = recorded
    return made


def iter_lazy(values: Sequence[Any]) -> list[LazyTensor]:
    """Give the lazy tensors among arguments, lists included, in order."""
    found: list[LazyTensor] = []
    for value in values:
        if isinstance(value, LazyTensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found.extend(iter_lazy(value))
    return found
