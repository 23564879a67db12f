"""One capture, from the call to the captured program.

In: the object that was compiled, and one call's arguments.   Out: `Captured`: the `Program`, its live pins, the torch-level graph, the
real tensors that are the graph's inputs.
Keeps: whatever happens, the user's objects, PyTorch's global state and the random streams are as they were.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import torch

from graphwright.base.errors import GraphwrightError, Unsupported
from graphwright.capture.assembly import OPCODES, make_machine, make_rules
from graphwright.capture.effects import iter_changed_values, make_effects
from graphwright.capture.faults import check_fault
from graphwright.capture.frames import CodeTable
from graphwright.capture.input_names import input_name
from graphwright.capture.machine import Machine
from graphwright.capture.recipes import Recipes
from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.ir.locations import Loc
from graphwright.ir.program import (
    ArgSource,
    CallPattern,
    DistinctTensorsGuard,
    GlobalStateGuard,
    GlobalStateKind,
    Guard,
    KwargSource,
    NoOverlapGuard,
    Program,
    Source,
    SymbolBinding,
    TargetSource,
    TensorGuard,
)
from graphwright.record import AbstractTensor, JointGraph, Recorder, TorchTrace, try_finish_joint
from graphwright.runtime import may_overlap, read_global_state

DimNames = Callable[[torch.Tensor, Source], Mapping[int, str]]
"""Says which dimensions of an input are symbolic, and the names of their symbols."""


def no_symbolic_dims(tensor: torch.Tensor, source: Source) -> Mapping[int, str]:
    """Make every dimension static."""
    return {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """What a capture may be told."""

    dynamic_dims: DimNames = no_symbolic_dims
    """Symbolic dimensions of each input."""
    has_backward: bool = False
    """Whether to record the gradients too, where outputs need them."""
    codes: CodeTable | None = None
    """What earlier captures learnt of code objects; shared to save time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Captured:
    """What a capture gives."""

    program: Program
    live_pins: tuple[object, ...]
    """The object of each pin, in the order of `program.pins`."""
    inputs: tuple[torch.Tensor, ...]
    """The real tensors of this call, one for each input of the graph."""
    trace: TorchTrace
    """The torch-level calls."""
    joint: JointGraph | None = None
    """Forward and backward in one graph, if it was asked for and an output needs a gradient."""

    @functools.cached_property
    def torch_graph(self) -> torch.fx.GraphModule:
        """The torch-level graph; built when it is asked for, as that takes as long as recording it did."""
        return torch.fx.GraphModule(dict(self.trace.constants), self.trace.build())


class ProgramRaised(GraphwrightError):  # noqa: N818  (it is no error of ours)
    """The program raised an exception while it was captured; run eagerly, it will raise it again.

    Args:
        error: the program's exception.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the program raised {type(error).__name__}: {error}")
        self.error = error


_NEUTRAL: Final = {
    GlobalStateKind.GLOBAL_MODULE_HOOKS: "hooks that are in force for every module",
    GlobalStateKind.TORCH_FUNCTION_MODES: "an active torch function mode",
    GlobalStateKind.DISPATCH_MODES: "an active torch dispatch mode",
}
"""State that must be absent for a capture: kind → what it is when it is there."""


class _Inputs:
    """The graph's inputs, as tensors are met."""

    def __init__(self, options: CaptureOptions) -> None:
        self.tensors: list[torch.Tensor] = []
        self.sources: list[Source] = []
        self.guard_positions: list[int] = []
        self.dims: list[Mapping[int, str]] = []
        self.names: dict[str, int] = {}
        self.options = options
        self.machine: Machine
        self.recorder: Recorder

    def add(self, tensor: torch.Tensor, source: Source) -> torch.Tensor:
        """Make an input of a tensor met at `source`, and give its stand-in."""
        with self.recorder.paused():
            return self._add(tensor, source)

    def _add(self, tensor: torch.Tensor, source: Source) -> torch.Tensor:
        self._check(tensor)
        guards = self.machine.guards
        self.guard_positions.append(len(guards.guards))
        guards.add(TensorGuard(source, _meta(tensor), guards.pin(type(tensor)), guards.locate()))
        dims = self.options.dynamic_dims(tensor, source)
        self.tensors.append(tensor)
        self.sources.append(source)
        self.dims.append(dims)
        name = input_name(source)
        count = self.names[name] = self.names.get(name, -1) + 1
        unique = f"{name}_{count}" if count else name
        return self.recorder.add_input(tensor, name=unique, dynamic_dims=dims)

    def _check(self, tensor: torch.Tensor) -> None:
        if type(tensor) is AbstractTensor:
            msg = "a tensor of another capture"
            raise self.machine.unsupported(
                msg,
                why="it has no data",
                remedy="do not keep tensors of a compiled function in global state",
            )
        is_ordinary = type(tensor) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
        if not is_ordinary or tensor.layout is not torch.strided or tensor.dtype not in FROM_TORCH:
            msg = f"a tensor of type {type(tensor).__name__}, layout {tensor.layout}, dtype {tensor.dtype}"
            raise self.machine.unsupported(
                msg,
                why="only strided tensors of PyTorch's own classes and ordinary dtypes are captured",
                remedy="convert it before the call",
            )
        if tensor.is_conj() or tensor.is_neg() or tensor.is_nested:
            msg = "a tensor with a pending conjugation or negation, or a nested tensor"
            raise self.machine.unsupported(
                msg,
                why="such tensors are not captured",
                remedy="call resolve_conj() or resolve_neg(), or pad the nested tensor",
            )


def _meta(tensor: torch.Tensor) -> TensorMeta:
    return TensorMeta(
        dtype=FROM_TORCH[tensor.dtype],
        shape=tuple(tensor.shape),
        strides=tuple(tensor.stride()),
        device=str(tensor.device),
        offset=int(tensor.storage_offset()),
        requires_grad=tensor.requires_grad,
    )


@contextlib.contextmanager
def _state_kept() -> Iterator[None]:
    """Put back, at the end, whatever of PyTorch's state a program can change."""
    is_grad = torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_grad_enabled(is_grad)


def _guard_global_state(machine: Machine) -> dict[GlobalStateKind, str]:
    state = {kind: read_global_state(kind) for kind in GlobalStateKind}
    for kind, text in state.items():
        if kind in _NEUTRAL and text not in ("0", "off"):
            raise Unsupported(
                _NEUTRAL[kind],
                why="it would see every operation of the program",
                remedy="compile and call without it",
            )
        machine.guards.add(GlobalStateGuard(kind, text))
    return state


def _parameter_names(target: object) -> list[str]:
    function: Any = target
    if isinstance(target, torch.nn.Module):
        function = target.forward
    elif not isinstance(target, types.FunctionType | types.MethodType):
        function = getattr(type(target), "__call__", None)  # noqa: B004  (the function itself)
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if code is None:
        return []
    names = list(code.co_varnames[: code.co_argcount])
    return names if isinstance(target, types.FunctionType) else names[1:]


def _name_and_loc(target: object) -> tuple[str, Loc | None]:
    function: Any = getattr(target, "forward", target)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    if code is None:
        return name, None
    return name, Loc(code.co_filename, code.co_firstlineno, code.co_name)


_CAPTURING: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("capturing", default=False)


def make_code_table() -> CodeTable:
    """Make an empty table for `CaptureOptions.codes`."""
    return CodeTable(OPCODES)


def is_capturing() -> bool:
    """Tell whether this thread is inside a capture."""
    return _CAPTURING.get()


def capture_call(
    target: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    options: CaptureOptions | None = None,
) -> Captured:
    """Capture one call of `target(*args, **kwargs)`.

    Nothing is computed, and nothing that existed before the call is changed.

    Raises:
        Unsupported: something in the program cannot be captured.
        ProgramRaised: the program raised an exception.
    """
    options = options or CaptureOptions()
    codes = options.codes or make_code_table()
    inputs = _Inputs(options)
    machine = make_machine(codes, make_rules(), AbstractTensor, inputs.add)
    recorder = Recorder(
        location=machine.loc,
        on_real_tensor=lambda tensor: _known_tensor(machine, tensor),
    )
    inputs.machine, inputs.recorder = machine, recorder
    token = _CAPTURING.set(True)
    try:
        with _state_kept():
            state = _guard_global_state(machine)
            with recorder:
                try:
                    result = _run(machine, target, args, kwargs)
                finally:
                    machine.leave_contexts()
                _check_state(machine, state)
            pattern = CallPattern(len(args), tuple(kwargs))
            return _finish(machine, recorder, inputs, target, pattern, result)
    finally:
        _CAPTURING.reset(token)
        machine.is_over = True


def _known_tensor(machine: Machine, tensor: torch.Tensor) -> AbstractTensor | None:
    known = machine.world.standin_of(tensor)
    return known if isinstance(known, AbstractTensor) else None


def _run(machine: Machine, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    names = _parameter_names(target)
    names += [f"arg{i}" for i in range(len(names), len(args))]
    function = machine.world.enter(target, TargetSource())
    own_args = [machine.world.enter(value, ArgSource(i, names[i])) for i, value in enumerate(args)]
    own_kwargs = {
        name: machine.world.enter(value, KwargSource(name)) for name, value in kwargs.items()
    }
    try:
        return machine.call(function, own_args, own_kwargs)
    except GraphwrightError:
        raise
    except BaseException as error:
        check_fault(machine, error)
        raise ProgramRaised(error) from error


def _check_state(machine: Machine, before: Mapping[GlobalStateKind, str]) -> None:
    for kind, text in before.items():
        now = read_global_state(kind)
        if now != text and kind not in _NEUTRAL:
            msg = f"a lasting change of PyTorch's {kind.value.replace('_', ' ')} (from {text} to {now})"
            raise machine.unsupported(
                msg,
                why="the program leaves global state changed, and such changes are not replayed",
                remedy="use the context manager, or change the state outside the compiled function",
            )


def _finish(
    machine: Machine,
    recorder: Recorder,
    inputs: _Inputs,
    target: Any,
    pattern: CallPattern,
    result: Any,
) -> Captured:
    recipes = Recipes(machine)
    recipes.note(result)
    for value in iter_changed_values(machine):
        recipes.note(value)
    result_recipe = recipes.make(result)
    effects = make_effects(machine, recipes)
    machine.world.guard_changed_apart()
    graph = recorder.finish(recipes.outputs)
    joint = _try_joint(recorder, recipes.outputs) if inputs.options.has_backward else None
    guards = _final_guards(machine, recorder, inputs, graph)
    name, loc = _name_and_loc(target)
    program = Program(
        name=name,
        pattern=pattern,
        pins=tuple(machine.guards.pins),
        guards=guards,
        symbols=_bindings(inputs, graph),
        inputs=tuple(inputs.sources),
        graph=graph,
        built=tuple(recipes.built),
        result=result_recipe,
        effects=tuple(effects),
        loc=loc,
    )
    return Captured(
        program=program,
        live_pins=tuple(machine.guards.live_pins),
        inputs=tuple(inputs.tensors),
        trace=recorder.trace,
        joint=joint,
    )


def _try_joint(recorder: Recorder, outputs: Sequence[torch.Tensor]) -> JointGraph | None:
    with recorder:
        return try_finish_joint(recorder, outputs)


def _final_guards(
    machine: Machine, recorder: Recorder, inputs: _Inputs, graph: AtenGraph
) -> tuple[Guard, ...]:
    guards = machine.guards.guards
    for position, meta in zip(inputs.guard_positions, graph.inputs, strict=True):
        guard = guards[position]
        assert isinstance(guard, TensorGuard), "a tensor guard has moved"
        final = msgspec.structs.replace(
            guard.meta, shape=meta.shape, strides=meta.strides, offset=meta.offset
        )
        guards[position] = msgspec.structs.replace(guard, meta=final)
    if len(inputs.sources) > 1:
        guards.append(DistinctTensorsGuard(tuple(inputs.sources)))
    for mutation in graph.mutations:
        guards.extend(_overlap_guards(machine, inputs, mutation.input_index))
    return (*guards, *recorder.shape_guards)


def _overlap_guards(machine: Machine, inputs: _Inputs, index: int) -> Iterator[Guard]:
    others = [i for i in range(len(inputs.tensors)) if i != index]
    for i in others:
        if may_overlap(inputs.tensors[index], inputs.tensors[i]):
            msg = "a write to a tensor that shares memory with another input"
            raise machine.unsupported(
                msg,
                why="what the other input then holds is not tracked",
                remedy="pass a clone of one of them",
            )
    if others:
        yield NoOverlapGuard(inputs.sources[index], tuple(inputs.sources[i] for i in others))


def _bindings(inputs: _Inputs, graph: AtenGraph) -> tuple[SymbolBinding, ...]:
    """Bind each symbol at the first dimension that is the symbol itself."""
    bound: dict[str, SymbolBinding] = {}
    for source, dims in zip(inputs.sources, inputs.dims, strict=True):
        for dim, name in dims.items():
            if name in graph.symbols:
                bound.setdefault(name, SymbolBinding(name, source, dim))
    return tuple(bound[name] for name in graph.symbols if name in bound)
