"""What recording an ATen op takes: its arguments as data, its results' specs, its nodes and tensors.

In:  an overload that is known (`KnownOp`) and its arguments.   Out: a node, and abstract tensors for its results.
Does not: choose how an overload is recorded (`dispatch.py`), nor write to tensors (`mutation.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import Arg, FloatArg, KwArg, ListArg, LiteralArg, Ref
from graphwright.record.abstract import (
    AbstractTensor,
    OpHandler,
    Origin,
    Storage,
    TensorState,
    ViewStep,
    data_access,
)
from graphwright.record.argument_checks import CHECKS
from graphwright.record.arguments import PLAIN, to_arg
from graphwright.record.functional import apply_step, read
from graphwright.record.kernel_refusals import ask, can_ask, question_of
from graphwright.record.layout import OutOfRangeError
from graphwright.record.meta_fallback import infer_on_meta
from graphwright.record.operators import OpFacts
from graphwright.record.shapes import Rule
from graphwright.record.specs import TensorSpec
from graphwright.record.symnodes import to_extent

if TYPE_CHECKING:
    from graphwright.record.builder import GraphBuilder

Handler = Callable[["KnownOp", Sequence[Any], Mapping[str, Any]], Any]


class KnownOp:
    """An overload that was met: its facts, its rule, and how it is recorded."""

    __slots__ = ("asks_kernel", "check", "facts", "handler", "rule")

    def __init__(self, facts: OpFacts, rule: Rule | None, handler: Handler) -> None:
        self.facts = facts
        self.check = CHECKS.get(facts.name)
        self.asks_kernel = can_ask(facts)
        self.rule = rule
        self.handler = handler


class OpRecording:
    """Records ATen ops that write to nothing, and has the pieces for those that do.

    Args:
        owner: the recorder that made the tensors it works on.
        builder: the graph that grows.
        wrap: makes the tensor for a state.
        abstract_of: gives a real tensor's stand-in.
        on_fallback: told the ops that have no shape rule.
        paused: suspends recording while an op runs for real.
    """

    def __init__(
        self,
        owner: OpHandler,
        builder: GraphBuilder,
        wrap: Callable[[TensorState], AbstractTensor],
        abstract_of: Callable[..., AbstractTensor],
        on_fallback: Callable[[str], None],
        paused: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._owner = owner
        self.builder = builder
        self.wrap = wrap
        self.abstract_of = abstract_of
        self.paused = paused
        self._on_fallback = on_fallback
        self._stream = _state_of_stream()

    def record_functional(
        self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record an op whose results are new tensors."""
        rule_args, ir_args = self.convert(args)
        rule_kwargs, ir_kwargs = self.convert_kwargs(kwargs)
        specs = self.infer(known, rule_args, rule_kwargs)
        if type(specs) is TensorSpec:
            value = self.builder.emit(known.facts.name, ir_args, ir_kwargs, specs)
            return self.fresh(specs, value)
        values = self.builder.emit_many(known.facts.name, ir_args, ir_kwargs, specs or ())
        if specs is None:
            return None
        results = [
            None if spec is None else self.fresh(spec, value)
            for spec, value in zip(specs, values, strict=True)
        ]
        return results if known.facts.num_returns == 1 else tuple(results)

    def record_view(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record an op whose results share the memory of its first argument."""
        viewed = self.state_of(args[0])
        rule_args, ir_args = self.convert(args)
        rule_kwargs, ir_kwargs = self.convert_kwargs(kwargs)
        specs = self.infer(known, rule_args, rule_kwargs)
        if type(specs) is TensorSpec:
            step = ViewStep(
                known.facts.name,
                tuple(ir_args[1:]),
                ir_kwargs,
                tuple(rule_args[1:]),
                viewed.spec,
                specs,
                None,
            )
            return self.take_view(viewed, step)
        source = read(self.builder, viewed)
        values = self.builder.emit_many(
            known.facts.name, (Ref(source), *ir_args[1:]), ir_kwargs, specs
        )
        results = []
        for index, (spec, value) in enumerate(zip(specs, values, strict=True)):
            step = ViewStep(
                known.facts.name,
                tuple(ir_args[1:]),
                ir_kwargs,
                tuple(rule_args[1:]),
                viewed.spec,
                spec,
                index,
            )
            results.append(
                self.wrap(TensorState(spec, viewed.storage, (*viewed.recipe, step), value))
            )
        return results

    def take_view(self, viewed: TensorState, step: ViewStep) -> AbstractTensor:
        """Give the tensor that one more view leads to."""
        value = apply_step(self.builder, step, read(self.builder, viewed))
        return self.wrap(TensorState(step.target, viewed.storage, (*viewed.recipe, step), value))

    def infer(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Give the specs of the results: by rule, else on `meta` tensors, which also give eager's own errors."""
        rule = known.rule
        if known.facts.is_random:
            with self.paused():
                self._check_stream()
        if known.check is not None:
            known.check(*args, **kwargs)
        if known.asks_kernel:
            question = question_of(known.facts, args, kwargs)
            if question is not None:
                with self.paused():
                    ask(question)
        if rule is not None:
            try:
                return rule(*args, **kwargs)
            except OutOfRangeError as error:
                self.run_on_meta(known, args, kwargs)
                raise IndexError(*error.args) from None
            except LookupError as error:
                if isinstance(error, IndexError):
                    return self.run_on_meta(known, args, kwargs)
                raise data_access(f"`{known.facts.name}` ({error})") from error
            except (ValueError, TypeError, ArithmeticError):
                return self.run_on_meta(known, args, kwargs)
        self._on_fallback(known.facts.name)
        return self.run_on_meta(known, args, kwargs)

    def run_on_meta(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Give the specs of the results as torch itself finds them, or raise what it raises."""
        with self.paused():
            return infer_on_meta(known.facts.overload, args, kwargs)

    def _check_stream(self) -> None:
        """Refuse to record a draw from a stream that was set anew since the recording began: a call would draw from its own."""
        if _state_of_stream() != self._stream:
            raise Unsupported(
                "random numbers drawn by code of PyTorch's that sets the stream first",
                why="the stream would be set once, while the program is captured, and not at each call",
                remedy="call `torch.manual_seed` in your own code, before",
            )

    def fresh(self, spec: TensorSpec, value: int) -> AbstractTensor:
        """Give a tensor with memory of its own that holds `value`."""
        return self.wrap(TensorState(spec, Storage(spec, value, Origin.COMPUTED), (), value))

    def state_of(self, tensor: torch.Tensor) -> TensorState:
        """Give what a tensor, or a real one's stand-in, is."""
        return self.abstract_of(tensor).state

    def convert(self, values: Sequence[Any]) -> tuple[list[Any], list[Arg]]:
        """Give arguments as shape rules take them and as nodes hold them."""
        rule_args: list[Any] = []
        ir_args: list[Arg] = []
        for value in values:
            kind = type(value)
            if kind is AbstractTensor:
                state = value.state
                if value.handler is not self._owner:
                    raise _foreign(value)
                rule_args.append(state.spec)
                ir_args.append(Ref(read(self.builder, state)))
            elif kind in PLAIN:
                rule_args.append(value)
                ir_args.append(LiteralArg(value))
            elif kind is float:
                rule_args.append(value)
                ir_args.append(FloatArg(value.hex()))
            else:
                rule_value, ir_value = self._convert_one(value)
                rule_args.append(rule_value)
                ir_args.append(ir_value)
        return rule_args, ir_args

    def _convert_one(self, value: Any) -> tuple[Any, Arg]:
        if isinstance(value, (list, tuple)):
            rule_items, ir_items = self.convert(value)
            return rule_items, ListArg(tuple(ir_items))
        if isinstance(value, torch.Tensor):
            state = self.state_of(value)
            return state.spec, Ref(read(self.builder, state))
        if isinstance(value, torch.SymInt):
            extent = to_extent(value)
            return extent, to_arg(extent)
        if isinstance(value, torch.SymFloat):
            number = float(value)
            return number, to_arg(number)
        if isinstance(value, torch.SymBool):
            truth = bool(value)
            return truth, LiteralArg(truth)
        return value, to_arg(value)

    def convert_kwargs(self, kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[KwArg, ...]]:
        """Give keyword arguments as shape rules take them and as nodes hold them."""
        if not kwargs:
            return {}, ()
        rule_values, ir_values = self.convert(tuple(kwargs.values()))
        ir_kwargs = tuple(
            [KwArg(name, value) for name, value in zip(kwargs, ir_values, strict=True)]
        )
        return dict(zip(kwargs, rule_values, strict=True)), ir_kwargs


def _foreign(tensor: AbstractTensor) -> Unsupported:
    return Unsupported(
        f"a tensor of another recording, of shape {list(tensor.state.spec.shape)}",
        why="it has no value in this graph: it outlived the recording that made it",
        remedy="keep tensors made inside a compiled function out of globals and attributes that other functions read",
    )


def _state_of_stream() -> bytes:
    state: bytes = torch.default_generator.get_state().numpy().tobytes()
    return state
