"""One ATen op at a time: arguments in, nodes and abstract tensors out.

In:  an overload and its arguments.   Out: abstract tensors, or what the op answers from metadata.

Each overload gets a handler when it is first met: functional, view, in-place or `out=`, or one of the special cases at
the end. Results' specs come from the op's shape rule; an op without one is decomposed where torch composes it of
others, and else run on `meta` tensors, which is slow the first time (torch loads much Python for it) and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import torch

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import Arg, DTypeArg, FloatArg, KwArg, ListArg, LiteralArg, Ref
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.record.abstract import (
    AbstractTensor,
    Origin,
    Storage,
    TensorState,
    ViewStep,
    data_access,
)
from graphwright.record.arguments import PLAIN, to_arg
from graphwright.record.functional import apply_step, read, write
from graphwright.record.layout import same_extents
from graphwright.record.meta_fallback import infer_on_meta
from graphwright.record.operators import Mutated, OpFacts, OpKind, find_overload
from graphwright.record.shapes import Rule, find_rule
from graphwright.record.specs import TensorSpec
from graphwright.record.symnodes import to_extent

if TYPE_CHECKING:
    from graphwright.record.builder import GraphBuilder
    from graphwright.record.modes import RecordDispatchMode

Handler = Callable[["KnownOp", Sequence[Any], Mapping[str, Any]], Any]


class KnownOp:
    """An overload that was met: its facts, its rule, and how it is recorded."""

    __slots__ = ("facts", "handler", "rule")

    def __init__(self, facts: OpFacts, rule: Rule | None, handler: Handler) -> None:
        self.facts = facts
        self.rule = rule
        self.handler = handler


class Dispatcher:
    """Records ATen ops into a graph builder."""

    dispatch_mode: RecordDispatchMode

    def __init__(
        self,
        builder: GraphBuilder,
        wrap: Callable[[TensorState], AbstractTensor],
        abstract_of: Callable[..., AbstractTensor],
        on_fallback: Callable[[str], None],
        paused: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._builder = builder
        self._wrap = wrap
        self._abstract_of = abstract_of
        self._on_fallback = on_fallback
        self._paused = paused
        self._known: dict[Any, KnownOp] = {}

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record one op and give its results."""
        known = self._known.get(func)
        if known is None:
            known = self._known[func] = self._learn(func)
        return known.handler(known, args, kwargs)

    def _learn(self, func: Any) -> KnownOp:
        facts = OpFacts(func)
        special = _SPECIAL.get(facts.name)
        rule = find_rule(facts.name)
        if special is not None:
            return KnownOp(
                facts, rule, lambda known, args, kwargs: special(self, known, args, kwargs)
            )
        if facts.name in _DATA_DEPENDENT:
            return KnownOp(facts, rule, self._refuse)
        if rule is None and facts.kind is not OpKind.MUTATING and _is_composite(func):
            return KnownOp(facts, rule, self._decompose)
        if facts.kind is OpKind.VIEW:
            return KnownOp(facts, rule, self._view)
        if facts.kind is OpKind.FUNCTIONAL:
            return KnownOp(facts, rule, self._functional)
        if facts.functional is None and _is_composite(func):
            return KnownOp(facts, rule, self._decompose)
        return KnownOp(facts, rule, self._mutating)

    # --- handlers

    def _functional(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        rule_args, ir_args = self._convert(args)
        rule_kwargs, ir_kwargs = self._convert_kwargs(kwargs)
        specs = self._infer(known, rule_args, rule_kwargs)
        if type(specs) is TensorSpec:
            value = self._builder.emit(known.facts.name, ir_args, ir_kwargs, specs)
            return self._fresh(specs, value)
        values = self._builder.emit_many(known.facts.name, ir_args, ir_kwargs, specs)
        results = [
            None if spec is None else self._fresh(spec, value)
            for spec, value in zip(specs, values, strict=True)
        ]
        return results if known.facts.num_returns == 1 else tuple(results)

    def _view(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        viewed = self._state_of(args[0])
        rule_args, ir_args = self._convert(args)
        rule_kwargs, ir_kwargs = self._convert_kwargs(kwargs)
        specs = self._infer(known, rule_args, rule_kwargs)
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
            return self._take_view(viewed, step)
        source = read(self._builder, viewed)
        values = self._builder.emit_many(
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
                self._wrap(TensorState(spec, viewed.storage, (*viewed.recipe, step), value))
            )
        return results

    def _take_view(self, viewed: TensorState, step: ViewStep) -> AbstractTensor:
        value = apply_step(self._builder, step, read(self._builder, viewed))
        return self._wrap(TensorState(step.target, viewed.storage, (*viewed.recipe, step), value))

    def _mutating(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        facts = known.facts
        if facts.functional is None or (
            facts.is_random and not _fills_in_order(self._state_of(args[0]).spec)
        ):
            return self._mutating_on_copies(known, args, kwargs)
        targets = [_argument(mutated, args, kwargs) for mutated in facts.mutated]
        kept = {name: value for name, value in kwargs.items() if not _is_out(facts, name)}
        twin = self._known_twin(facts.functional)
        for position, default in facts.functional_defaults.items():
            if position == len(args):
                args = (*args, default)
        rule_args, ir_args = self._convert(args)
        rule_kwargs, ir_kwargs = self._convert_kwargs(kept)
        specs = self._infer(twin, rule_args, rule_kwargs)
        several = (specs,) if type(specs) is TensorSpec else tuple(specs)
        values = self._builder.emit_many(twin.facts.name, ir_args, ir_kwargs, several)
        written = _flat_tensors(targets)
        if len(written) != len(values):
            raise AssertionError(
                f"{facts.name} writes {len(written)} tensors, its twin gives {len(values)}"
            )
        for target, value in zip(written, values, strict=True):
            if target is not None:
                self._store_result(self._state_of(target), value)
        return self._returned(facts, targets)

    def _store(self, target: TensorState, value: int) -> None:
        """Write a value into a tensor, converted to its dtype."""
        spec = self._builder.specs[value]
        if not same_extents(spec.shape, target.spec.shape):
            msg = f"output with shape {list(target.spec.shape)} doesn't match the broadcast shape {list(spec.shape)}"
            raise RuntimeError(msg)
        if spec.dtype is not target.spec.dtype:
            value = self._converted(value, target.spec.dtype)
        write(self._builder, target, value)

    def _store_result(self, target: TensorState, value: int) -> None:
        """Write an op's result into a tensor, where eager allows its dtype there."""
        own, wanted = self._builder.specs[value].dtype, target.spec.dtype
        if own is not wanted and not torch.can_cast(own, wanted):
            names = (_SCALAR_NAMES[own], _SCALAR_NAMES[wanted])
            message = "result type {} can't be cast to the desired output type {}".format(*names)
            raise RuntimeError(message)
        self._store(target, value)

    def _converted(self, value: int, dtype: torch.dtype) -> int:
        spec = msgspec.structs.replace(self._builder.specs[value], dtype=dtype)
        kwargs = (KwArg("dtype", DTypeArg(FROM_TORCH[dtype])),)
        return self._builder.emit("aten._to_copy.default", (Ref(value),), kwargs, spec)

    def _mutating_on_copies(
        self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record an op that writes to its arguments and has no functional twin: its node works on copies."""
        facts = known.facts
        targets = _flat_tensors([_argument(mutated, args, kwargs) for mutated in facts.mutated])
        rule_args, ir_args = self._convert(args)
        rule_kwargs, ir_kwargs = self._convert_kwargs(kwargs)
        states = [None if target is None else self._state_of(target) for target in targets]
        if any(source is not None for source in facts.return_sources):
            results: tuple[TensorSpec | None, ...] = ()
        else:
            inferred = self._infer(known, rule_args, rule_kwargs) if facts.num_returns else ()
            results = (inferred,) if isinstance(inferred, TensorSpec) else tuple(inferred)
        written = tuple(None if state is None else state.spec for state in states)
        values = self._builder.emit_many(facts.name, ir_args, ir_kwargs, (*results, *written))
        fresh = [
            None if spec is None else self._fresh(spec, value)
            for spec, value in zip(results, values[: len(results)], strict=True)
        ]
        for state, value in zip(states, values[len(results) :], strict=True):
            if state is not None:
                write(self._builder, state, value)
        if any(source is not None for source in facts.return_sources):
            return self._returned(facts, targets)
        return fresh[0] if len(fresh) == 1 else (tuple(fresh) if fresh else None)

    def _decompose(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        with self.dispatch_mode:
            return known.facts.overload._op_dk(
                torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs
            )

    @staticmethod
    def _refuse(known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        del args, kwargs
        raise data_access(f"`{known.facts.name}`")

    # --- pieces

    def _known_twin(self, func: Any) -> KnownOp:
        known = self._known.get(func)
        if known is None:
            known = self._known[func] = self._learn(func)
        return known

    def _infer(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Give the specs of the results: by rule, else on `meta` tensors, which also give eager's own errors."""
        rule = known.rule
        if rule is not None:
            try:
                return rule(*args, **kwargs)
            except LookupError as error:
                if isinstance(error, IndexError):
                    return self._infer_on_meta(known, args, kwargs)
                raise data_access(f"`{known.facts.name}` ({error})") from error
            except (ValueError, TypeError):
                return self._infer_on_meta(known, args, kwargs)
        self._on_fallback(known.facts.name)
        return self._infer_on_meta(known, args, kwargs)

    def _infer_on_meta(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        with self._paused():
            return infer_on_meta(known.facts.overload, args, kwargs)

    @staticmethod
    def _returned(facts: OpFacts, targets: Sequence[Any]) -> Any:
        by_name = {
            mutated.name: target for mutated, target in zip(facts.mutated, targets, strict=False)
        }
        returned = [None if source is None else by_name[source] for source in facts.return_sources]
        if not returned:
            return None
        return returned[0] if len(returned) == 1 else tuple(returned)

    def _fresh(self, spec: TensorSpec, value: int) -> AbstractTensor:
        return self._wrap(TensorState(spec, Storage(spec, value, Origin.COMPUTED), (), value))

    def _state_of(self, tensor: torch.Tensor) -> TensorState:
        return self._abstract_of(tensor).state

    def _convert(self, values: Sequence[Any]) -> tuple[list[Any], list[Arg]]:
        """Give arguments as shape rules take them and as nodes hold them."""
        rule_args: list[Any] = []
        ir_args: list[Arg] = []
        for value in values:
            kind = type(value)
            if kind is AbstractTensor:
                state = value.state
                rule_args.append(state.spec)
                ir_args.append(Ref(read(self._builder, state)))
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
            rule_items, ir_items = self._convert(value)
            return rule_items, ListArg(tuple(ir_items))
        if isinstance(value, torch.Tensor):
            state = self._state_of(value)
            return state.spec, Ref(read(self._builder, state))
        if isinstance(value, torch.SymInt):
            extent = to_extent(value)
            return extent, to_arg(extent)
        if isinstance(value, torch.SymFloat):
            number = value.node.guard_float("", 0)
            return number, to_arg(number)
        if isinstance(value, torch.SymBool):
            truth = bool(value)
            return truth, LiteralArg(truth)
        return value, to_arg(value)

    def _convert_kwargs(
        self, kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], tuple[KwArg, ...]]:
        if not kwargs:
            return {}, ()
        rule_values, ir_values = self._convert(tuple(kwargs.values()))
        ir_kwargs = tuple(
            [KwArg(name, value) for name, value in zip(kwargs, ir_values, strict=True)]
        )
        return dict(zip(kwargs, rule_values, strict=True)), ir_kwargs

    # --- special cases

    def detach(self, _known: KnownOp, args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Any:
        """Give another tensor on the same memory; no node."""
        state = self._state_of(args[0])
        value = read(self._builder, state)
        return self._wrap(TensorState(state.spec, state.storage, state.recipe, value))

    def lift_fresh(self, _known: KnownOp, args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Any:
        """Take in a tensor that the program has just made from literal data."""
        return self._abstract_of(args[0], is_fresh=True)

    def copy_into(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record `copy_`: where nothing is converted or broadcast, the source's value is the result."""
        target, source = self._state_of(args[0]), self._state_of(args[1])
        is_same_shape = same_extents(target.spec.shape, source.spec.shape)
        if is_same_shape and target.spec.device == source.spec.device:
            self._store(target, read(self._builder, source))
            return args[0]
        return self._mutating(known, args, kwargs)

    def view_in_place(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record `t_`, `unsqueeze_` and their like: the tensor itself becomes the view."""
        tensor = args[0]
        state = self._state_of(tensor)
        if state.storage.origin is not Origin.COMPUTED and not state.recipe:
            raise Unsupported(
                f"`{known.facts.name}` on a tensor that existed before the call",
                why="its shape would have to be changed for the caller too",
                remedy="use the op without the underscore",
            )
        view = self.dispatch(find_overload(_VIEW_TWINS[known.facts.name]), args, kwargs)
        with self._paused(), torch._C._DisableTorchDispatch():
            known.facts.overload(*args, **kwargs)  # only sizes and strides change
        tensor.state = view.state
        return tensor

    def as_strided(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record `as_strided`, which addresses the storage whatever view it is called on."""
        state = self._state_of(args[0])
        rule_args, ir_args = self._convert(args)
        rule_kwargs, _ = self._convert_kwargs(kwargs)
        spec = self._infer(known, rule_args, rule_kwargs)
        storage = state.storage
        if any(step.source.dtype is not step.target.dtype for step in state.recipe):
            raise Unsupported(
                "as_strided on a view of another dtype",
                why="its strides count other elements than the viewed tensor's",
                remedy="call as_strided first, then view the dtype",
            )
        offset = spec.offset - storage.root.offset
        root = TensorState(storage.root, storage, (), storage.value)
        place = (ir_args[1], ir_args[2], to_arg(offset))
        step = ViewStep(known.facts.name, place, (), (), storage.root, spec, None)
        return self._take_view(root, step)

    def unsafe_split(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record a split whose results are used on their own: they share memory that nobody reads again."""
        name = known.facts.name.replace("unsafe_", "")
        rule_args, ir_args = self._convert(args)
        rule_kwargs, ir_kwargs = self._convert_kwargs(kwargs)
        specs = [
            msgspec.structs.replace(spec, offset=0)
            for spec in self._infer(self._known_twin(find_overload(name)), rule_args, rule_kwargs)
        ]
        values = self._builder.emit_many(name, ir_args, ir_kwargs, specs)
        return [self._fresh(spec, value) for spec, value in zip(specs, values, strict=True)]

    def fused_attention_choice(
        self, _known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> int:
        """Answer which attention kernel eager takes on the CPU: 1 is flash, 0 the composition of plain ops."""
        states = [self._state_of(tensor).spec for tensor in args[:3]]
        mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
        dropout = args[4] if len(args) > 4 else kwargs.get("dropout_p", 0.0)
        mask_spec = None if mask is None else self._state_of(mask).spec
        needs_grad = mask is not None and mask.requires_grad
        return int(_can_use_flash(states, mask_spec, dropout, mask_needs_grad=needs_grad))

    def native_batch_norm(
        self, _known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record batch norm, whose running statistics are written to in training though its schema is silent."""
        is_training = bool(args[5])
        mean, variance = args[3], args[4]
        if not is_training or mean is None or variance is None:
            rest = _BATCH_NORM_PLAIN
            op = self._known_twin(find_overload(rest))
            return self._functional(op, args, kwargs)
        op = self._known_twin(find_overload("aten._native_batch_norm_legit_functional.default"))
        *results, new_mean, new_variance = self._functional(op, args, kwargs)
        self._store(self._state_of(mean), read(self._builder, new_mean.state))
        self._store(self._state_of(variance), read(self._builder, new_variance.state))
        return tuple(results)


_BATCH_NORM_PLAIN: Final = "aten.native_batch_norm.default"


def _can_use_flash(
    specs: Sequence[TensorSpec], mask: TensorSpec | None, dropout: float, *, mask_needs_grad: bool
) -> bool:
    """Tell whether eager's flash kernel for the CPU takes these operands."""
    query, key, value = specs
    if any(spec.device.type != "cpu" or spec.ndim != 4 for spec in specs) or dropout != 0.0:
        return False
    if query.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return False
    if not torch._C._get_flash_sdp_enabled() or mask_needs_grad:
        return False
    if any(extent == 0 for spec in specs for extent in spec.shape):
        return False
    if (
        query.shape[0] != key.shape[0]
        or query.shape[1] != key.shape[1]
        or key.shape[:2] != value.shape[:2]
    ):
        return False
    if query.shape[3] != key.shape[3] or key.shape[3] != value.shape[3]:
        return False
    if any(spec.strides[3] != 1 for spec in specs):
        return False
    return mask is None or _mask_fits(query, key, mask)


def _mask_fits(query: TensorSpec, key: TensorSpec, mask: TensorSpec) -> bool:
    if mask.dtype not in (torch.bool, torch.float32) and mask.dtype is not query.dtype:
        return False
    if mask.ndim not in (2, 4):
        return False
    lengths = (query.shape[2], key.shape[2])
    if any(
        own != 1 and own != wanted for own, wanted in zip(mask.shape[-2:], lengths, strict=True)
    ):
        return False
    outer = zip(mask.shape[:-2], query.shape[:2], strict=False)
    return mask.ndim == 2 or all(own == 1 or own == wanted for own, wanted in outer)


def _is_composite(func: Any) -> bool:
    return bool(
        torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    )


def _fills_in_order(spec: TensorSpec) -> bool:
    """True if numbers drawn into the tensor come in the order of a contiguous one, as its functional twin draws them."""
    return spec.is_contiguous()


def _argument(mutated: Mutated, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if mutated.position is not None and mutated.position < len(args):
        return args[mutated.position]
    return kwargs.get(mutated.name)


def _is_out(facts: OpFacts, name: str) -> bool:
    return any(mutated.is_out and mutated.name == name for mutated in facts.mutated)


def _flat_tensors(values: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        if isinstance(value, (list, tuple)):
            flat.extend(value)
        else:
            flat.append(value)
    return flat


_SCALAR_NAMES: Final = {
    torch.bool: "Bool",
    torch.uint8: "Byte",
    torch.int8: "Char",
    torch.int16: "Short",
    torch.int32: "Int",
    torch.int64: "Long",
    torch.float16: "Half",
    torch.bfloat16: "BFloat16",
    torch.float32: "Float",
    torch.float64: "Double",
    torch.complex64: "ComplexFloat",
    torch.complex128: "ComplexDouble",
}
"""What PyTorch's errors call the dtypes."""

_VIEW_TWINS: Final = {
    "aten.as_strided_.default": "aten.as_strided.default",
    "aten.squeeze_.default": "aten.squeeze.default",
    "aten.squeeze_.dim": "aten.squeeze.dim",
    "aten.squeeze_.dims": "aten.squeeze.dims",
    "aten.t_.default": "aten.t.default",
    "aten.transpose_.default": "aten.transpose.int",
    "aten.unsqueeze_.default": "aten.unsqueeze.default",
}
"""Ops that change the shape of a tensor itself, and those that give a view of that shape."""

_SPECIAL: Final[
    dict[str, Callable[[Dispatcher, KnownOp, Sequence[Any], Mapping[str, Any]], Any]]
] = {
    "aten.detach.default": Dispatcher.detach,
    "aten.unsafe_split.Tensor": Dispatcher.unsafe_split,
    "aten.unsafe_split_with_sizes.default": Dispatcher.unsafe_split,
    "aten.alias.default": Dispatcher.detach,
    "aten.lift_fresh.default": Dispatcher.lift_fresh,
    "aten.copy_.default": Dispatcher.copy_into,
    "aten.as_strided.default": Dispatcher.as_strided,
    **dict.fromkeys(_VIEW_TWINS, Dispatcher.view_in_place),
    "aten._fused_sdp_choice.default": Dispatcher.fused_attention_choice,
    "aten.native_batch_norm.default": Dispatcher.native_batch_norm,
}

_DATA_DEPENDENT: Final = frozenset(
    f"aten.{name}"
    for name in (
        "_local_scalar_dense.default",
        "item.default",
        "is_nonzero.default",
        "equal.default",
        "nonzero.default",
        "nonzero_numpy.default",
        "argwhere.default",
        "masked_select.default",
        "unique_dim.default",
        "_unique2.default",
        "unique_consecutive.default",
        "repeat_interleave.Tensor",
        "bincount.default",
        "allclose.default",
    )
)
"""Ops whose answer, or the size of whose result, depends on values."""
