"""One capture, from the call to the captured program.

In: the object that was compiled, and one call's arguments.   Out: `Captured`: the `Program`, its live pins, the torch-level graph, the
real tensors that are the graph's inputs.
Keeps: whatever happens, the user's objects, PyTorch's global state and the random streams are as they were.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import torch

from graphwright.base.errors import GraphwrightError, InternalError, Unsupported
from graphwright.capture.assembly import OPCODES, make_machine, make_rules
from graphwright.capture.breaks import Stopped, Stops, can_break, resume
from graphwright.capture.comptime import Blocks
from graphwright.capture.contexts import check_handed_over, leave_contexts
from graphwright.capture.controls import CAPTURING
from graphwright.capture.effects import iter_changed_values, make_effects
from graphwright.capture.faults import TooDeep, check_fault
from graphwright.capture.foreseen import CallPlace, Foreseen
from graphwright.capture.frames import CodeTable, Outermost
from graphwright.capture.histories import follow_histories
from graphwright.capture.inputs import GraphInputs
from graphwright.capture.late_calls import LateCalls, TextNeeded
from graphwright.capture.machine import Machine
from graphwright.capture.options import CaptureOptions
from graphwright.capture.recipes import Recipes
from graphwright.capture.targets import Callee, Continuation, ProgramRaised, code_of_target
from graphwright.ir.aten import AtenGraph
from graphwright.ir.guards import (
    DistinctTensorsGuard,
    GlobalStateGuard,
    GlobalStateKind,
    Guard,
    NoOverlapGuard,
    TensorGuard,
)
from graphwright.ir.joint import Joint
from graphwright.ir.locations import Loc
from graphwright.ir.program import CallPattern, Program, SymbolBinding
from graphwright.ir.recipes import (
    Effect,
    FromSource,
    NestAutocastEffect,
    SetAttrEffect,
    SetGlobalStateEffect,
)
from graphwright.ir.sources import (
    ArgSource,
    KwargSource,
    TargetSource,
)
from graphwright.record import (
    AbstractTensor,
    Gradients,
    Recorder,
    TorchTrace,
)
from graphwright.runtime import (
    WRITABLE_STATE,
    autocast_nesting,
    global_state_kept,
    may_overlap,
    read_global_state,
    share_storage,
)


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
    symbol_values: Mapping[str, int]
    """What each size symbol is in this call."""
    foreseen: Foreseen | None = None
    """What is known of the call that the program ends before."""
    joint: Joint | None = None
    """Forward and backward in one graph, if it was asked for and an output needs a gradient."""
    writes_history: bool = False
    """It writes to a tensor whose history autograd keeps by the operations as they happen, which graphs cannot stand for."""

    @functools.cached_property
    def torch_graph(self) -> torch.fx.GraphModule:
        """The torch-level graph; built when it is asked for, as that takes as long as recording it did."""
        return torch.fx.GraphModule(dict(self.trace.constants), self.trace.build())


_NEUTRAL: Final = {
    GlobalStateKind.GLOBAL_MODULE_HOOKS: "hooks that are in force for every module",
    GlobalStateKind.TORCH_FUNCTION_MODES: "an active torch function mode",
    GlobalStateKind.DISPATCH_MODES: "an active torch dispatch mode",
    GlobalStateKind.JIT_TRACING: "a run of torch.jit.trace",
    GlobalStateKind.FORWARD_AD_LEVELS: "a level of forward-mode differentiation",
}
"""State that must be absent for a capture: kind → what it is when it is there."""


_NEEDED_KEYS: Final = (torch._C.DispatchKey.Python, torch._C.DispatchKey.AutogradCPU)  # noqa: SLF001  (no public name)
"""Keys of PyTorch's dispatcher without which operators are not recorded, or not with their gradients."""


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
    if any(map(torch._C._dispatch_tls_is_dispatch_key_excluded, _NEEDED_KEYS)):  # noqa: SLF001  (no public reader)
        raise Unsupported(
            "a guard of PyTorch's dispatcher that is in force",
            why="it switches off what tells of the program's operations",
            remedy="compile and call without it",
        )
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


def make_code_table() -> CodeTable:
    """Make an empty table for `CaptureOptions.codes`."""
    return CodeTable(OPCODES)


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
    foreseen = options.foreseen
    call = _Call(target, args, kwargs, Blocks(() if foreseen is None else foreseen.outcomes))
    outermost = Outermost(may_stop=lambda: can_break(target) and options.may_break())
    outermost.foreseen = foreseen
    found = _try_capture(call, options, outermost)
    try:
        if isinstance(found, Captured):
            return found
        if isinstance(found, TextNeeded):
            return capture_call(
                target, args, kwargs, options=dataclasses.replace(options, has_late_texts=False)
            )
        if not can_break(target) or not options.may_break():
            raise found
        captured = _capture_again(call, options, outermost, found)
        if captured is not None:
            return captured
        if not outermost.has_late_calls:
            raise outermost.met or found
    finally:
        del found, outermost  # see Note [No cycles through exceptions]
    # What a late call gives may be in the way; a break at that call is not.
    return capture_call(
        target, args, kwargs, options=dataclasses.replace(options, has_late_calls=False)
    )


def _capture_again(
    call: _Call, options: CaptureOptions, outermost: Outermost, found: Unsupported
) -> Captured | None:
    """Capture a call as far as it can be, after a first attempt; that changed nothing, so that it can be thrown away."""
    stops = Stops(outermost.last_step)
    if outermost.is_over:
        stops.refuse(outermost, found)  # what the program ends with cannot be made again
    if outermost.met is None:
        reason = _Reason(found, was_nested=False)
        if outermost.was_nested and not isinstance(found, TooDeep):
            reason = _Reason(found, was_nested=True, calls=tuple(reversed(outermost.met_in)))
        return capture_until(call, options, stops, reason)
    # It did end before what could not be captured, but its state there cannot be handed over.
    outermost.met.add_obstacle(_no_break(found))
    stops.refuse(outermost, found)
    return capture_until(call, options, stops, _Reason(outermost.met, was_nested=False))


def _no_break(found: Unsupported) -> str:
    return f"nor can the graph be broken there: {found.met}"


def capture_until(
    call: _Call, options: CaptureOptions, stops: Stops, reason: _Reason
) -> Captured | None:
    """Capture a call as far as a step of the outermost frame where it can end, or give None where there is none."""
    while stops.next is not None:
        outermost = Outermost(stops.next)
        found = _try_capture(call, options, outermost, reason)
        if isinstance(found, Captured):
            return found
        reason.error.add_obstacle(_no_break(found))
        stops.refuse(outermost, found)
        # What is met in a function that the frame calls is met at the last step; at an earlier one, that function runs as it is.
        reason = reason._replace(was_nested=False, calls=())
    return None


def _try_capture(
    call: _Call, options: CaptureOptions, outermost: Outermost, reason: _Reason | None = None
) -> Captured | Unsupported:
    """Capture a call, or give what cannot be captured.

    It is given, not raised: an exception that the program raises in the next attempt must not take it for its context.
    """
    try:
        return _capture_until(call, options, outermost, reason)
    except Unsupported as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)  # whose frames would hold those who are given it
    except InternalError as error:
        if options.on_fault is None or not can_break(call.target) or not options.may_break():
            raise
        if reason is None:
            options.on_fault(error)
        return Unsupported(
            "an instruction that graphwright fails on",
            why=f"a bug of graphwright's: {error}",
            remedy="report it, with the program; its results are right, as the instruction runs in plain Python",
        )


class _Call(NamedTuple):
    """The call that is captured."""

    target: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    blocks: Blocks
    """What comptime code gave in earlier attempts."""


class _Reason(NamedTuple):
    """Why a capture ends early."""

    error: Unsupported
    was_nested: bool
    """It was met in a function that the outermost frame called."""
    calls: tuple[CallPlace, ...] = ()
    """Where, in that function and those that it called, outermost first; none where that function was not captured."""


def _capture_until(
    call: _Call, options: CaptureOptions, outermost: Outermost, reason: _Reason | None = None
) -> Captured:
    """Capture a call, to its end or to where the outermost frame is to stop."""
    codes = options.codes or make_code_table()
    inputs = GraphInputs(options)
    machine = make_machine(codes, make_rules(), AbstractTensor, inputs)
    machine.outermost = outermost
    recorder = Recorder(
        location=machine.loc,
        place_of_input=inputs.place_of,
        on_float=inputs.float_input,
        on_real_tensor=lambda tensor: _known_tensor(machine, tensor),
    )
    recorder.gradients = _Gradients(machine)
    inputs.machine, inputs.recorder = machine, recorder
    machine.recorder, machine.target = recorder, call.target
    machine.late_calls = late_calls = LateCalls(
        recorder, is_on=options.has_late_calls, may_be_texts=options.has_late_texts
    )
    machine.blocks = call.blocks
    call.blocks.rewind()
    token = CAPTURING.set(True)
    try:
        with global_state_kept():
            state, nesting = _guard_global_state(machine), autocast_nesting()
            with recorder:
                try:
                    result = _run(machine, call)
                    changes = _changes_of_state(machine, state, nesting)
                finally:
                    leave_contexts(machine)
            machine.check_raised()
            late_calls.check(machine)
            if outermost.met is not None:
                reason = _reason_of(outermost)
            return _finish(machine, recorder, inputs, call, result, changes, reason)
    finally:
        CAPTURING.reset(token)
        machine.restore_raised()
        outermost.has_late_calls = bool(late_calls.results)
        _let_go(machine, inputs)
        outermost.stack_before.clear()


class _Gradients(Gradients):
    """The gradients as the program sees them: those of the caller's tensors, and what it stored there.

    PyTorch's own Python, which is not interpreted, asks here.

    Args:
        machine: the machine.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def get(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Give the gradient of a tensor."""
        found: torch.Tensor | None = self._machine.load_attr(tensor, "grad")
        return found

    def set(self, tensor: torch.Tensor, value: torch.Tensor | None) -> None:
        """Make `value` the gradient of a tensor, at the program's end."""
        self._machine.store_attr(tensor, "grad", value)


def _reason_of(outermost: Outermost) -> _Reason:
    """Give why the outermost frame has stopped by itself."""
    assert outermost.met is not None, "it has met nothing"
    foreseen = outermost.foreseen if outermost.is_before_callee else None
    calls = () if foreseen is None else foreseen.calls[1:]
    return _Reason(outermost.met, outermost.is_before_callee, calls)


def _let_go(machine: Machine, inputs: GraphInputs) -> None:
    """Cut the ties between the parts of a capture that has ended.

    They know each other, so that objects of the call would otherwise live on until the garbage is collected.
    """
    machine.is_over = True  # generators of the program that end with it run none of its code
    machine.recorder.let_go()
    for part in (machine.world, machine, inputs):
        vars(part).clear()


def _known_tensor(machine: Machine, tensor: torch.Tensor) -> AbstractTensor | None:
    known = machine.world.standin_of(tensor)
    if isinstance(known, AbstractTensor):
        return known
    if machine.allowed is not None:
        name = getattr(machine.allowed, "__qualname__", machine.allowed)
        msg = f"a tensor that {name} finds by itself"
        raise machine.unsupported(
            msg,
            why="the function is allowed in the graph as it is, so that nothing it reads is guarded",
            remedy="pass the tensor to it as an argument",
        )
    if tensor.requires_grad:
        raise machine.unsupported(
            "a tensor with a gradient that PyTorch's own code finds by itself",
            why="nothing says where it comes from, and as a constant it would get no gradient",
            remedy="call that code outside the compiled function",
        )
    return None


def _run(machine: Machine, call: _Call) -> Any:
    try:
        if isinstance(call.target, Continuation):
            return resume(machine, call.target, call.args)
        return _run_from_start(machine, call.target, call.args, call.kwargs)
    except GraphwrightError:
        raise
    except BaseException as error:
        check_fault(machine, error)
        if isinstance(call.target, Continuation) and machine.world.source_of(error) is not None:
            raise _raised_again(machine, error) from error
        raise ProgramRaised(error) from error


def _raised_again(machine: Machine, error: BaseException) -> Unsupported:
    """Refuse the exception that left the outermost frame: raised in plain Python, it keeps its traceback, and the rest is compiled."""
    frame = machine.outermost.frame
    assert frame is not None, "an exception has left it"
    machine.outermost.is_over = False
    loc = frame.loc().render()
    made = Unsupported(
        f"a {type(error).__qualname__} from before a graph break, raised again",
        why="its traceback is that of the frames it was raised in",
        remedy="nothing: it is raised in plain Python",
        location=loc,
    )
    made.frames = (loc,)
    return made


def _run_from_start(
    machine: Machine, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    is_callee = isinstance(target, Callee)
    names = ["function", *_parameter_names(args[0])] if is_callee else _parameter_names(target)
    names += [f"arg{i}" for i in range(len(names), len(args))]
    function = None if is_callee else machine.world.enter(target, TargetSource())
    own_args = [machine.world.enter(value, ArgSource(i, names[i])) for i, value in enumerate(args)]
    own_kwargs = {
        name: machine.world.enter(value, KwargSource(name)) for name, value in kwargs.items()
    }
    if is_callee:
        return machine.call(own_args[0], own_args[1:], own_kwargs)
    return machine.call(function, own_args, own_kwargs)


def _changes_of_state(
    machine: Machine, before: Mapping[GlobalStateKind, str], nesting: int
) -> list[SetGlobalStateEffect | NestAutocastEffect]:
    """Give what the program leaves changed of PyTorch's global state.

    Args:
        machine: the machine, at the program's end.
        before: the state at its beginning.
        nesting: the number of autocast regions around it.
    """
    changes: list[SetGlobalStateEffect | NestAutocastEffect] = []
    if autocast_nesting() != nesting:
        changes.append(NestAutocastEffect(autocast_nesting() - nesting))
    check_handed_over(machine)
    with machine.recorder.paused():  # PyTorch makes a tensor to tell the default device
        after = {kind: read_global_state(kind) for kind in before}
    for kind, text in before.items():
        now = after[kind]
        if now != text and kind in WRITABLE_STATE:
            changes.append(SetGlobalStateEffect(kind, now))
        elif now != text and kind not in _NEUTRAL:
            msg = f"a lasting change of PyTorch's {kind.value.replace('_', ' ')} (from {text} to {now})"
            raise machine.unsupported(
                msg,
                why="the program leaves global state changed, and such changes are not replayed",
                remedy="use the context manager, or change the state outside the compiled function",
            )
    return changes


def _finish(  # noqa: PLR0913  (what the parts of a capture have found out)
    machine: Machine,
    recorder: Recorder,
    inputs: GraphInputs,
    call: _Call,
    result: Any,
    changes: Sequence[SetGlobalStateEffect | NestAutocastEffect],
    reason: _Reason | None,
) -> Captured:
    recipes = Recipes(machine)
    stopped = Stopped(machine) if machine.outermost.is_stopped else None
    for value in (result,) if stopped is None else (stopped.function, *stopped.values):
        recipes.note(value)
    for value in iter_changed_values(machine):
        recipes.note(value)
    if machine.late_calls.results:
        recipes.put_gradients_first()
    for late in machine.late_calls.results:
        recipes.make(late)  # in the order in which they are to be called
    made = recipes.make(result) if stopped is None else stopped.make(recipes)
    reshaped = _reshaped_inputs(recorder, inputs, recipes)
    effects = [*make_effects(machine, recipes), *reshaped, *changes]
    machine.world.guard_changed_apart()
    machine.settings.guard(machine.guards, are_modes_kept=not changes)
    graph = recorder.finish(recipes.outputs)
    inputs.is_over = True
    has_backward = inputs.options.has_backward or recorder.trace.hides_calls
    histories = follow_histories(machine, recipes.outputs, has_backward=has_backward)
    guards = _final_guards(machine, recorder, inputs, graph)
    ends_at = foreseen = None
    if reason is not None and stopped is not None:
        ends_at = stopped.describe(reason.error, reason.was_nested)
        if reason.calls:
            foreseen = Foreseen(reason.calls, call.blocks.rest(), reason.error)
    if stopped is None:
        _forget_met(machine, call)
    name, loc = _name_and_loc(call.target)
    if isinstance(call.target, Continuation):
        loc = machine.codes.info(call.target.code).loc_at(call.target.place.index)
    program = Program(
        name=name,
        pattern=CallPattern(len(call.args), tuple(call.kwargs)),
        pins=tuple(machine.guards.pins),
        guards=guards,
        symbols=_bindings(inputs, recorder.symbol_hints),
        inputs=tuple(inputs.sources),
        graph=graph,
        built=tuple(recipes.built),
        result=made,
        effects=tuple(effects),
        loc=loc,
        ends_at=ends_at,
        entered=tuple(recipes.entered),
    )
    return Captured(
        program=program,
        live_pins=tuple(machine.guards.live_pins),
        inputs=tuple(inputs.tensors),
        trace=recorder.trace,
        symbol_values=dict(recorder.symbol_hints),
        joint=histories.joint,
        writes_history=histories.are_written,
        foreseen=foreseen,
    )


def _forget_met(machine: Machine, call: _Call) -> None:
    """Forget what was met in a function that a break was expected in, as this call of it has none."""
    code = code_of_target(call.target, call.args) if isinstance(call.target, Callee) else None
    if code is not None:
        machine.codes.info(code).met.clear()


def _reshaped_inputs(recorder: Recorder, inputs: GraphInputs, recipes: Recipes) -> Iterator[Effect]:
    """Make the caller's tensors follow those inputs that the program gave another shape (`unsqueeze_`, `resize_`)."""
    for index, tensor in recorder.reshaped_inputs().items():
        with recorder:
            value = tensor.detach()
        yield SetAttrEffect(FromSource(inputs.sources[index]), "data", recipes.make(value))


def _final_guards(
    machine: Machine, recorder: Recorder, inputs: GraphInputs, graph: AtenGraph
) -> tuple[Guard, ...]:
    guards = machine.guards.guards
    for position, meta in zip(inputs.guard_positions, graph.inputs, strict=True):
        if position is None:
            continue
        guard = guards[position]
        assert isinstance(guard, TensorGuard), "a tensor guard has moved"
        final = msgspec.structs.replace(
            guard.meta, shape=meta.shape, strides=meta.strides, offset=meta.offset
        )
        guards[position] = msgspec.structs.replace(guard, meta=final)
    guarded = tuple(inputs.sources[index] for index in inputs.of_the_call())
    if len(guarded) > 1:
        guards.append(DistinctTensorsGuard(guarded))
    for mutation in graph.mutations:
        guards.extend(_overlap_guards(machine, inputs, mutation.input_index, is_whole=False))
    for index in recorder.outgrown_inputs():
        guards.extend(_overlap_guards(machine, inputs, index, is_whole=True))
    return (*guards, *recorder.shape_guards)


def _overlap_guards(
    machine: Machine, inputs: GraphInputs, index: int, *, is_whole: bool
) -> Iterator[Guard]:
    is_shared = share_storage if is_whole else may_overlap
    others = [i for i in inputs.of_the_call() if i != index]
    for i in others:
        if is_shared(inputs.tensors[index], inputs.tensors[i]):
            msg = "a write to a tensor that shares memory with another input"
            raise machine.unsupported(
                msg,
                why="what the other input then holds is not tracked",
                remedy="pass a clone of one of them",
            )
    if others:
        yield NoOverlapGuard(
            inputs.sources[index], tuple(inputs.sources[i] for i in others), is_whole
        )


def _bindings(inputs: GraphInputs, symbols: Iterable[str]) -> tuple[SymbolBinding, ...]:
    """Bind each symbol at the int, or the first dimension, that is the symbol itself."""
    bound = {binding.symbol: binding for binding in inputs.ints}
    for source, dims in zip(inputs.sources, inputs.dims, strict=True):
        for dim, name in dims.items():
            bound.setdefault(name, SymbolBinding(name, source, dim))
    return tuple(bound[name] for name in symbols if name in bound)
