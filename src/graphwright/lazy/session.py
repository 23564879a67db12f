"""A session of lazy tensors: ops are recorded as they happen, and run at the end of a step.

In: real tensors, ops on the lazy tensors made of them.   Out: at `mark_step`, values for every lazy tensor that is held.

    session = LazySession()     `with session:` around the program saves 2 s at its first op
    x = session.tensor(torch.ones(3))
    y = (x + 1).relu()          recorded; nothing has run
    session.mark_step()         one graph was compiled (or found) and run; x and y have values
    y.tolist()                  a read of values would have ended the step, too

Keeps: what a lazy program computes is what the same program computes eagerly, aliasing and mutations of lazy tensors
included; a step with the same ops, shapes, scalars and live tensors as an earlier one is not compiled again; random ops
draw from the generator at the end of the step, in program order.

Does not: give lazy tensors a device of their own (theirs is that of the real tensors), reuse nodes between steps, or run a
step in the background.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, final

import torch

from graphwright.base.counters import Counters
from graphwright.base.counters import counters as process_counters
from graphwright.base.errors import Unsupported
from graphwright.graph import execute
from graphwright.ir.aten import AtenGraph
from graphwright.lazy.compiled import CompiledGraphs, CompileGraph, RunGraph
from graphwright.lazy.memory import InputTable
from graphwright.lazy.tensor import LazyTensor, SessionMode, iter_lazy, make_lazy
from graphwright.record import AbstractTensor, Recorder


def run_eagerly(graph: AtenGraph) -> RunGraph:
    """Compile nothing: the graph is run node by node."""
    return functools.partial(execute, graph)


@final
class LazySession:
    """Lazy tensors that belong together.

    Args:
        compile_graph: makes the function that runs a step's graph; it gets real inputs, and gives real outputs.
        counters: where steps, hits, misses and fallbacks are counted, in the group `lazy`.
    """

    def __init__(
        self, compile_graph: CompileGraph = run_eagerly, *, counters: Counters = process_counters
    ) -> None:
        self._counters = counters
        self._compiled = CompiledGraphs(compile_graph, counters)
        self._live: weakref.WeakValueDictionary[int, LazyTensor] = weakref.WeakValueDictionary()
        self._num_made = 0
        self._lock = threading.RLock()
        self._stack = ExitStack()
        self._begin()

    def __enter__(self) -> Self:
        """Make ops on lazy tensors reach the session without `__torch_dispatch__`, see Note [Dispatch without DTensor]."""
        self._stack.enter_context(SessionMode(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End what `__enter__` began; what was recorded stays."""
        self._stack.close()

    def tensor(self, real: torch.Tensor) -> LazyTensor:
        """Give a lazy copy of a real tensor; it requires grad if `real` is a leaf that does."""
        made = self._track(make_lazy(self, real, computed=real.detach().clone(), recorded=None))
        return made.requires_grad_(real.requires_grad and real.is_leaf)  # type: ignore[return-value]

    def mark_step(self) -> None:
        """Run what was recorded; every lazy tensor that is held has a value afterwards.

        An error of the run comes out here; the tensors that were to be computed are lost then, the others are as before.
        """
        with self._lock:
            try:
                pending = [tensor for tensor in self._held() if tensor.computed is None]
                if pending or self._recorder.num_nodes:
                    self._run(pending)
            finally:
                self._begin()
            self._counters.add("lazy", "steps")

    def read(self, tensor: LazyTensor) -> torch.Tensor:
        """Give the values of a lazy tensor, ending the step if they are not there; the memory is the lazy tensor's."""
        with self._lock:
            if tensor.computed is None or self._recorder.num_nodes:
                self.mark_step()
            return _value_of(tensor)

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record one ATen op, or run it where it cannot be recorded (its result's shape depends on values, say).

        Raises:
            RuntimeError: an operand is a tensor that is not lazy (and is no scalar), or is of another session.
            Unsupported: the op changes a tensor's shape in place.
        """
        with self._lock, torch.no_grad():
            _check_operands([*args, *kwargs.values()])
            _check_keeps_shape(func)
            if func is torch.ops.aten._local_scalar_dense.default:  # noqa: SLF001
                return self.read(args[0]).item()
            try:
                return self._record(func, args, kwargs)
            except Unsupported:
                return self._run_now(func, args, kwargs)

    def _begin(self) -> None:
        held = self._held()
        for tensor in held:
            tensor.recorded = None
        self._recorder = Recorder(has_torch_graph=False)
        reals = [tensor.computed for tensor in held if tensor.computed is not None]
        self._inputs = InputTable(self._recorder, reals)

    def _run(self, pending: Sequence[LazyTensor]) -> None:
        recorded = [(tensor, tensor.recorded) for tensor in pending if tensor.recorded is not None]
        self._recorder.check_inputs_kept()
        graph = self._recorder.finish([stand_in for _, stand_in in recorded])
        self._counters.add("lazy", "ir_nodes_created", len(graph.nodes))
        outputs = self._compiled.find(graph)(self._inputs.inputs)
        for (tensor, _), output in zip(recorded, outputs, strict=True):
            tensor.computed = output

    def _record(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        lazy = iter_lazy([*args, *kwargs.values()])
        known = {id(self._abstract_of(tensor)): tensor for tensor in lazy}
        with self._recorder.dispatch_mode:
            results = func(
                *_replace(args, self._abstract_of),
                **{name: _replace([value], self._abstract_of)[0] for name, value in kwargs.items()},
            )
        return self._wrap(results, known)

    def _run_now(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run an op on values."""
        self.mark_step()
        lazy = iter_lazy([*args, *kwargs.values()])
        known = {id(tensor.computed): tensor for tensor in lazy}
        results = func(
            *_replace(args, self.read),
            **{name: _replace([value], self.read)[0] for name, value in kwargs.items()},
        )
        self._counters.add("lazy", "fallback")
        wrapped = self._wrap(results, known)
        self._begin()
        return wrapped

    def _wrap(self, results: Any, known: Mapping[int, LazyTensor]) -> Any:
        if isinstance(results, (list, tuple)):
            return type(results)(self._wrap(result, known) for result in results)
        if not isinstance(results, torch.Tensor):
            return results
        if id(results) in known:
            return known[id(results)]
        if isinstance(results, AbstractTensor):
            return self._track(make_lazy(self, results, computed=None, recorded=results))
        return self._track(make_lazy(self, results, computed=results, recorded=None))

    def _abstract_of(self, tensor: LazyTensor) -> AbstractTensor:
        if tensor.sink is not self:
            message = "tensors of two lazy sessions meet in one op"
            raise RuntimeError(message)
        if tensor.recorded is None:
            tensor.recorded = self._inputs.add(_value_of(tensor))
        return tensor.recorded

    def _track(self, tensor: LazyTensor) -> LazyTensor:
        self._live[self._num_made] = tensor
        self._num_made += 1
        return tensor

    def _held(self) -> list[LazyTensor]:
        return [tensor for _, tensor in sorted(self._live.items(), key=lambda item: item[0])]


def _replace(values: Sequence[Any], replace: Any) -> list[Any]:
    return [
        replace(value)
        if isinstance(value, LazyTensor)
        else (_replace(value, replace) if isinstance(value, (list, tuple)) else value)
        for value in values
    ]


def _check_operands(values: Sequence[Any]) -> None:
    for value in values:
        if isinstance(value, (list, tuple)):
            _check_operands(value)
        elif isinstance(value, torch.Tensor) and not isinstance(value, LazyTensor) and value.ndim:
            message = (
                f"a tensor of shape {tuple(value.shape)} is not a lazy tensor; "
                "make it one with LazySession.tensor"
            )
            raise RuntimeError(message)


def _check_keeps_shape(func: Any) -> None:
    if torch.Tag.inplace_view in func.tags:
        raise Unsupported(
            f"{func} on a lazy tensor",
            why="it changes the tensor's shape in place, which a lazy tensor cannot follow",
            remedy="use the form of the op that gives a new tensor",
        )


def _value_of(tensor: LazyTensor) -> torch.Tensor:
    if tensor.computed is None:
        message = "a lazy tensor has no value, since the step that was to compute it failed"
        raise RuntimeError(message)
    return tensor.computed
