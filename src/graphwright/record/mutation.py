"""Ops that write to their arguments: in place, or to `out=`.

In:  the op and, where there is one, its functional twin.   Out: the twin's node, and new values for what is written to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.ir.aten import DTypeArg, KwArg, Ref
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.record.abstract import NeedsValues, TensorState
from graphwright.record.dtype_names import CPP_NAMES, SCALAR_NAMES
from graphwright.record.functional import check_places_differ, write
from graphwright.record.layout import same_extents, strides_like
from graphwright.record.op_recording import KnownOp, OpRecording
from graphwright.record.operators import Mutated, OpFacts
from graphwright.record.overlap_checks import check_overlaps
from graphwright.record.reshaping import resize
from graphwright.record.specs import TensorSpec


def mutate(
    recording: OpRecording,
    known: KnownOp,
    twin: KnownOp | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Record an op that writes to arguments: its functional twin, then the writes."""
    facts = known.facts
    targets = [_argument(mutated, args, kwargs) for mutated in facts.mutated]
    check_overlaps(recording, facts, targets, args)
    if twin is None or (
        facts.is_random and not _fills_in_order(recording.state_of(targets[0]).spec)
    ):
        return mutate_copies(recording, known, args, kwargs)
    kept = {name: value for name, value in kwargs.items() if not _is_out(facts, name)}
    for position, default in facts.functional_defaults.items():
        if position == len(args):
            args = (*args, default)
    if facts.out_tells_dtype:
        kept["dtype"] = recording.state_of(targets[0]).spec.dtype
    rule_args, ir_args = recording.convert(args)
    rule_kwargs, ir_kwargs = recording.convert_kwargs(kept)
    specs = recording.infer(twin, rule_args, rule_kwargs)
    several = (specs,) if type(specs) is TensorSpec else tuple(specs)
    values = recording.builder.emit_many(twin.facts.name, ir_args, ir_kwargs, several)
    written = _flat_tensors(targets)
    is_out = all(mutated.is_out for mutated in facts.mutated)
    if is_out and _converts(recording, facts.name, written, several):
        _check_dtypes(recording, known, args, kwargs)
    if len(written) != len(values):
        raise AssertionError(
            f"{facts.name} writes {len(written)} tensors, its twin gives {len(values)}"
        )
    for target, value in zip(written, values, strict=True):
        if target is not None:
            if is_out:
                _fit(recording, target, recording.builder.specs[value])
            store_result(recording, recording.state_of(target), value)
    return _returned(facts, targets)


def _check_dtypes(
    recording: OpRecording, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Let torch itself tell whether an op converts its result to the dtype of `out=`: many do, some raise."""
    with contextlib.suppress(NeedsValues):
        recording.run_on_meta(
            known, recording.convert(args)[0], recording.convert_kwargs(kwargs)[0]
        )


def _converts(
    recording: OpRecording, op: str, written: Sequence[Any], results: Sequence[TensorSpec]
) -> bool:
    """Tell whether an `out=` has another dtype than its result.

    Raises:
        RuntimeError: the op refuses that, in eager's words; torch does not tell for `meta` tensors.
    """
    for target, result in zip(written, results, strict=True):
        own = recording.state_of(target).spec.dtype
        if own is not result.dtype:
            names, refusal = _KEEP_DTYPE.get(op.split(".")[1], (None, ""))
            if names is not None:
                raise RuntimeError(refusal.format(result=names[result.dtype], own=names[own]))
            return True
    return False


def _fit(recording: OpRecording, target: Any, result: TensorSpec) -> None:
    """Give an `out=` tensor the shape of what is written to it, as eager does."""
    own = recording.state_of(target).spec
    if not same_extents(own.shape, result.shape):
        check_places_differ(own)
        resize(recording, target, result.shape, result.strides)


def store(recording: OpRecording, target: TensorState, value: int) -> None:
    """Write a value into a tensor, converted to its dtype."""
    spec = recording.builder.specs[value]
    if not same_extents(spec.shape, target.spec.shape):
        msg = f"output with shape {list(target.spec.shape)} doesn't match the broadcast shape {list(spec.shape)}"
        raise RuntimeError(msg)
    if spec.dtype is not target.spec.dtype:
        value = _converted(recording, value, target.spec.dtype)
    write(recording.builder, target, value)


def store_result(recording: OpRecording, target: TensorState, value: int) -> None:
    """Write an op's result into a tensor, where eager allows its dtype there."""
    own, wanted = recording.builder.specs[value].dtype, target.spec.dtype
    if own is not wanted and not torch.can_cast(own, wanted):
        names = (SCALAR_NAMES[own], SCALAR_NAMES[wanted])
        message = "result type {} can't be cast to the desired output type {}".format(*names)
        raise RuntimeError(message)
    store(recording, target, value)


def _converted(recording: OpRecording, value: int, dtype: torch.dtype) -> int:
    own = recording.builder.specs[value]
    spec = TensorSpec(own.shape, strides_like(own.shape, own.strides), dtype, own.device)
    kwargs = (KwArg("dtype", DTypeArg(FROM_TORCH[dtype])),)
    return recording.builder.emit("aten._to_copy.default", (Ref(value),), kwargs, spec)


def mutate_copies(
    recording: OpRecording, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Record an op that writes to its arguments and has no functional twin: its node works on copies."""
    facts = known.facts
    targets = _flat_tensors([_argument(mutated, args, kwargs) for mutated in facts.mutated])
    rule_args, ir_args = recording.convert(args)
    rule_kwargs, ir_kwargs = recording.convert_kwargs(kwargs)
    states = [None if target is None else recording.state_of(target) for target in targets]
    if any(source is not None for source in facts.return_sources):
        results: tuple[TensorSpec | None, ...] = ()
    else:
        inferred = recording.infer(known, rule_args, rule_kwargs) if facts.num_returns else ()
        results = (inferred,) if isinstance(inferred, TensorSpec) else tuple(inferred)
    written = tuple(None if state is None else state.spec for state in states)
    values = recording.builder.emit_many(facts.name, ir_args, ir_kwargs, (*results, *written))
    fresh = [
        None if spec is None else recording.fresh(spec, value)
        for spec, value in zip(results, values[: len(results)], strict=True)
    ]
    for state, value in zip(states, values[len(results) :], strict=True):
        if state is not None:
            write(recording.builder, state, value)
    if any(source is not None for source in facts.return_sources):
        return _returned(facts, targets)
    return fresh[0] if len(fresh) == 1 else (tuple(fresh) if fresh else None)


def _returned(facts: OpFacts, targets: Sequence[Any]) -> Any:
    by_name = {
        mutated.name: target for mutated, target in zip(facts.mutated, targets, strict=False)
    }
    returned = [None if source is None else by_name[source] for source in facts.return_sources]
    if not returned:
        return None
    return returned[0] if len(returned) == 1 else tuple(returned)


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


_OF_ARGUMENT: Final = (
    "Expected object of scalar type {result} but got scalar type {own} for argument 'out'"
)

_KEEP_DTYPE: Final[Mapping[str, tuple[Mapping[torch.dtype, str], str]]] = {
    "aminmax": (CPP_NAMES, "Expected out tensor to have dtype {result}, but got {own} instead"),
    "complex": (SCALAR_NAMES, _OF_ARGUMENT),
    "multinomial": (SCALAR_NAMES, "multinomial expects Long tensor out, got: {own}"),
    "polar": (SCALAR_NAMES, _OF_ARGUMENT),
}
"""How ops refuse an `out=` of another dtype, with the names of dtypes in the text."""
