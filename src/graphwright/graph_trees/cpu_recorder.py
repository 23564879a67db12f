"""The CPU recorder: a run is noted as the list of ATen ops it made, and replayed without the function's Python.

In: a function of a list of inputs, run without autograd.   Out: `Recorded`.

Keeps:
- each op is repeated with the same arguments, in order, on the inputs of the replay, so that random ops draw from the
  generator of the moment and mutations of inputs, parameters and other captured tensors happen again;
- a tensor that the function met but was not given stays alive and is read again at each replay.

Does not: see what a function does to tensors, or learns of their values, by other ways than ATen ops (native kernels,
`tolist`, `numpy`, an address): such a function is for `RepeatRecorder`. Python side effects are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from graphwright.graph_trees.outputs import storage_identity
from graphwright.graph_trees.recorder import (
    CannotReplay,
    RecordableFunction,
    Recorded,
    Value,
)

_UNSAFE_TAGS: Final = (
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.cudagraph_unsafe,
)


class Slot(msgspec.Struct, frozen=True):
    """Tensor number `index` of a recording."""

    index: int


class Plain(msgspec.Struct, frozen=True):
    """An output that is no tensor, and so the same each time."""

    value: Value


class OpStep(msgspec.Struct, frozen=True):
    """One op; tensors among the arguments are slots."""

    op: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[int | None, ...]
    """The slot of each tensor result; None for a result that is no tensor."""
    dead: tuple[int, ...] = ()
    """Slots that no later step reads."""


class CpuRecorder:
    """Records what functions do to CPU tensors."""

    def record(
        self, function: RecordableFunction, inputs: list[Value], may_mutate: Sequence[bool]
    ) -> Recorded:
        """Run `function` and note its ops; see `Recorder`."""
        notes = _Notes(inputs, may_mutate)
        num_inputs = len(inputs)
        with notes:
            outputs = tuple(function(inputs))
        if notes.reason is not None:
            raise CannotReplay(notes.reason, outputs=outputs)
        places = [notes.place_of(output) for output in outputs]
        known = [place for place in places if place is not None]
        if len(known) < len(places):
            reason = "an output that no op of the function made"
            raise CannotReplay(reason, outputs=outputs)
        replay = OpReplay(notes.steps, notes.captured, known, num_inputs)
        return Recorded(outputs, replay, captured=tuple(notes.captured.values()))


class RepeatRecorder:
    """Records a function that is fit to be run each time, such as a plan: the replay runs it again."""

    def record(
        self,
        function: RecordableFunction,
        inputs: list[Value],
        may_mutate: Sequence[bool],  # noqa: ARG002  (nothing is watched)
    ) -> Recorded:
        """Run `function`; see `Recorder`."""
        return Recorded(function(inputs), lambda again: function(list(again)))


class OpReplay:
    """Runs the steps of a recording."""

    def __init__(
        self,
        steps: Sequence[OpStep],
        captured: Mapping[int, torch.Tensor],
        outputs: Sequence[Slot | Plain],
        num_inputs: int,
    ) -> None:
        kept = {output.index for output in outputs if isinstance(output, Slot)} | set(captured)
        self._steps = _with_deaths(steps, kept)
        self._captured = dict(captured)
        self._outputs = tuple(outputs)
        self._num_inputs = num_inputs

    def __call__(self, inputs: Sequence[Value]) -> list[Value]:
        """Give the outputs for these inputs."""
        slots: dict[int, Any] = dict(enumerate(inputs[: self._num_inputs]))
        slots.update(self._captured)
        for step in self._steps:
            args = _fill(step.args, slots)
            kwargs = {name: _fill((value,), slots)[0] for name, value in step.kwargs.items()}
            results = _as_tuple(step.op(*args, **kwargs))
            made = zip(step.results, results, strict=True)
            slots.update((index, result) for index, result in made if index is not None)
            for index in step.dead:
                del slots[index]
        return [
            slots[each.index] if isinstance(each, Slot) else each.value for each in self._outputs
        ]


class _Notes(TorchDispatchMode):
    """Notes the ops that run while it is active."""

    def __init__(self, inputs: Sequence[Value], may_mutate: Sequence[bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[OpStep] = []
        self.captured: dict[int, torch.Tensor] = {}
        self.reason: str | None = None
        self._next = len(inputs)
        self._fixed = {
            storage_identity(value)
            for value, is_fixed in zip(inputs, may_mutate, strict=True)
            if is_fixed and isinstance(value, torch.Tensor)
        }
        self._changing = {
            storage_identity(value): index
            for index, value in enumerate(inputs)
            if isinstance(value, torch.Tensor)
        }
        self._slots = {
            id(value): index
            for index, value in enumerate(inputs)
            if isinstance(value, torch.Tensor)
        }
        self._alive = [value for value in inputs if isinstance(value, torch.Tensor)]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else torch wraps `__torch_dispatch__` in a function that imports its compile stack.
        return False

    def slot_of(self, tensor: torch.Tensor) -> int:
        """Give the slot of a tensor; one that no step made is captured."""
        known = self._slots.get(id(tensor))
        if known is not None:
            return known
        index = self._new_slot(tensor)
        self.captured[index] = tensor
        return index

    def place_of(self, output: Value) -> Slot | Plain | None:
        """Give the slot of an output that is a tensor, None when it is unknown; other values are their own place."""
        if not isinstance(output, torch.Tensor):
            return Plain(output)
        index = self._slots.get(id(output))
        return None if index is None else Slot(index)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one op and note it."""
        kwargs = kwargs or {}
        self._check(func, args, kwargs)
        slotted = tree_map_only(
            torch.Tensor, lambda tensor: Slot(self.slot_of(tensor)), (args, kwargs)
        )
        results = func(*args, **kwargs)
        places = tuple(
            self._result_slot(result) if isinstance(result, torch.Tensor) else None
            for result in _as_tuple(results)
        )
        self.steps.append(OpStep(func, slotted[0], slotted[1], places))
        return results

    def _result_slot(self, result: torch.Tensor) -> int:
        known = self._slots.get(id(result))
        return self._new_slot(result) if known is None else known

    def _new_slot(self, tensor: torch.Tensor) -> int:
        index = self._next
        self._next += 1
        self._slots[id(tensor)] = index
        self._alive.append(tensor)
        return index

    def _check(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        if self.reason is not None:
            return
        if _depends_on_values(func, args):
            self.reason = f"incompatible op {func}"
            return
        for position, argument in enumerate(func._schema.arguments):  # noqa: SLF001  (the schema is not public)
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            targets = value if isinstance(value, (list, tuple)) else [value]
            if any(isinstance(each, torch.Tensor) and self._is_foreign(each) for each in targets):
                self.reason = f"mutated inputs (1 instances). Found from: {func}"

    def _is_foreign(self, tensor: torch.Tensor) -> bool:
        key = storage_identity(tensor)
        return key in self._changing and key not in self._fixed


def _depends_on_values(func: Any, args: tuple[Any, ...]) -> bool:
    """Tell whether a result's shape, or a plain result, depends on the values of tensors."""
    if func is torch.ops.aten.index.Tensor:
        # It has the tag for the sake of masks; with numbers as indices the shape is known.
        masks = (torch.bool, torch.uint8)
        return any(index is not None and index.dtype in masks for index in args[1])
    return any(tag in func.tags for tag in _UNSAFE_TAGS)


def _fill(template: Sequence[Any], slots: Mapping[int, Any]) -> list[Any]:
    """Put tensors in the place of slots; arguments of ATen ops are nested in lists at most."""
    return [
        slots[each.index]
        if type(each) is Slot
        else (_fill(each, slots) if type(each) is list else each)
        for each in template
    ]


def _as_tuple(results: Any) -> tuple[Any, ...]:
    if isinstance(results, (list, tuple)):
        return tuple(results)
    return (results,)


def _with_deaths(steps: Sequence[OpStep], kept: set[int]) -> tuple[OpStep, ...]:
    """Say after each step which slots are not read any more."""
    seen = set(kept)
    finished: list[OpStep] = []
    for step in reversed(steps):
        touched: dict[int, None] = {index: None for index in step.results if index is not None}
        tree_map_only(Slot, lambda slot: touched.setdefault(slot.index), (step.args, step.kwargs))  # noqa: B023
        dead = tuple(index for index in touched if index not in seen)
        seen |= set(touched)
        finished.append(msgspec.structs.replace(step, dead=dead))
    return tuple(reversed(finished))
