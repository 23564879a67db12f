"""Run an ATen graph node by node with eager kernels.

In: an `AtenGraph`, real input tensors, values of the size symbols.   Out: what eager would have returned.
Keeps: the graph's conventions on aliasing. Mutated inputs get their last values, outputs that alias an input or an
earlier output are views of it, every other output has memory of its own, with eager's strides.
Does not: record autograd history; gradients are the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch._ops import OpOverload

from graphwright.ir.arguments import NO_SYMBOLS, make_argument
from graphwright.ir.aten import (
    AtenGraph,
    AtenNode,
    ConstantTensor,
    GraphOutput,
    TensorMeta,
)
from graphwright.ir.dims import evaluate_dim
from graphwright.ir.overloads import find_overload, gives_view, schema_of
from graphwright.runtime.tensors import increment_versions, view, view_as


def execute(
    graph: AtenGraph, inputs: Sequence[torch.Tensor], symbols: Mapping[str, int] = NO_SYMBOLS
) -> list[torch.Tensor]:
    """Run `graph` on `inputs`.

    Args:
        graph: the program.
        inputs: one tensor for each of `graph.inputs`; those that the graph mutates are written to.
        symbols: the value of each size symbol.

    Returns:
        The graph's outputs. An output that aliases an input is a view of that very tensor, or the tensor itself.
    """
    with torch.no_grad():
        values: list[torch.Tensor | None] = list(inputs)
        values += [make_constant(constant) for constant in graph.constants]
        for node in graph.nodes:
            values.extend(_run_node(node, values, symbols))
        fresh = _detach_outputs(graph, values, symbols)
        pending = [
            (inputs[mutation.input_index], values[mutation.value_id])
            for mutation in graph.mutations
        ]
        _apply_mutations(pending)
    increment_versions([inputs[index] for index in graph.versioned_inputs])
    # In the caller's grad mode: autograd refuses some uses of a view that was made while gradients were off.
    return _alias_outputs(graph, inputs, fresh, symbols)


def make_constant(constant: ConstantTensor) -> torch.Tensor:
    """Give the tensor that `constant` describes, in memory of its own."""
    shape = tuple(int(extent) for extent in constant.meta.shape if isinstance(extent, int))
    if not constant.data:
        return torch.empty(shape, dtype=constant.meta.dtype.torch_dtype)
    data = bytearray(constant.data)
    return torch.frombuffer(data, dtype=constant.meta.dtype.torch_dtype).view(shape)


def _run_node(
    node: AtenNode, values: Sequence[torch.Tensor | None], symbols: Mapping[str, int]
) -> list[torch.Tensor | None]:
    args = [make_argument(arg, values, symbols) for arg in node.args]
    kwargs = {kwarg.name: make_argument(kwarg.value, values, symbols) for kwarg in node.kwargs}
    overload = find_overload(node.op)
    if schema_of(overload).is_mutable:
        returned = _run_on_copies(overload, args, kwargs)
    else:
        result = overload(*args, **kwargs)
        returned = [] if result is None else list(_iter_results(result))
    is_view = gives_view(overload)
    return [
        _laid_out(result, meta, symbols, is_view=is_view)
        for result, value_id, meta in zip(returned, node.results, node.metas, strict=True)
        if value_id >= 0
    ]


def _laid_out(
    result: object, meta: TensorMeta | None, symbols: Mapping[str, int], *, is_view: bool
) -> torch.Tensor | None:
    """Give a result as its metadata has it: nodes that a pass wrote may say another layout than eager would choose."""
    if not isinstance(result, torch.Tensor):
        return None
    if is_view or meta is None or result.stride() == meta.strides:
        return result
    return (
        result if _has_layout(result, meta, symbols) else _copy_with_layout(result, meta, symbols)
    )


def _run_on_copies(overload: OpOverload, args: list[Any], kwargs: dict[str, Any]) -> list[object]:
    """Run an op that writes to its arguments on copies; give its new tensors, then the copies."""
    copies: list[torch.Tensor | None] = []
    for position, argument in enumerate(schema_of(overload).arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        holder: Any = kwargs if argument.kwarg_only or position >= len(args) else args
        place: Any = argument.name if holder is kwargs else position
        written = holder.get(place) if holder is kwargs else holder[place]
        if isinstance(written, list):
            own = [_copy_in_place(tensor) for tensor in written]
            copies.extend(own)
            holder[place] = own
        elif written is not None:
            holder[place] = _copy_in_place(written)
            copies.append(holder[place])
        else:
            copies.append(None)
    returned = list(_iter_results(overload(*args, **kwargs)))
    new = [
        result
        for result in returned
        if isinstance(result, torch.Tensor) and all(result is not copy for copy in copies)
    ]
    return [*new, *copies]


def _copy_in_place(tensor: torch.Tensor) -> torch.Tensor:
    copy = torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
    )
    return copy.copy_(tensor)


def _iter_results(returned: object) -> Iterator[object]:
    if isinstance(returned, (tuple, list)):
        for item in returned:
            yield from _iter_results(item)
    else:
        yield returned


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _detach_outputs(
    graph: AtenGraph, values: Sequence[torch.Tensor | None], symbols: Mapping[str, int]
) -> list[torch.Tensor | None]:
    """Give the outputs that alias nothing, each in memory of its own and no view of what the caller does not get; None for the others."""
    taken = {_storage(value) for value in values[: len(graph.inputs)] if value is not None}
    taken |= {_storage(value) for value in _mutation_values(graph, values)}
    fresh: list[torch.Tensor | None] = []
    for output in graph.outputs:
        value = values[output.value_id]
        aliases = output.alias_of_input is not None or output.alias_of_output is not None
        if aliases or value is None:
            fresh.append(None)
            continue
        if output.is_part:
            value = _part(value, output.meta, symbols, is_taken=_storage(value) in taken)
        elif _storage(value) in taken or not _has_layout(value, output.meta, symbols):
            value = _copy_with_layout(value, output.meta, symbols)
        taken.add(_storage(value))
        is_given = any(value is other for other in fresh)
        # each output is an object of its own
        fresh.append(value.detach() if is_given or value._is_view() else value)  # noqa: SLF001  (the documented way)
    return fresh


def _part(
    whole: torch.Tensor, meta: TensorMeta, symbols: Mapping[str, int], *, is_taken: bool
) -> torch.Tensor:
    """Show a part of a memory, or of a copy of it where the caller gets it already."""
    if is_taken:
        copied = torch.empty_strided(whole.shape, whole.stride(), dtype=whole.dtype)
        whole = copied.copy_(whole)
    return view(whole, *_layout(meta, 0, symbols))


def _mutation_values(
    graph: AtenGraph, values: Sequence[torch.Tensor | None]
) -> Iterator[torch.Tensor]:
    for mutation in graph.mutations:
        value = values[mutation.value_id]
        if value is not None:
            yield value


def _apply_mutations(pending: Sequence[tuple[torch.Tensor, torch.Tensor | None]]) -> None:
    targets = {_storage(target) for target, _ in pending}
    sources = [
        value.clone() if value is not None and _storage(value) in targets else value
        for _, value in pending
    ]
    for (target, _), source in zip(pending, sources, strict=True):
        if source is not None:
            target.data.copy_(source)  # which raises no version


def _alias_outputs(
    graph: AtenGraph,
    inputs: Sequence[torch.Tensor],
    fresh: Sequence[torch.Tensor | None],
    symbols: Mapping[str, int],
) -> list[torch.Tensor]:
    outputs: list[torch.Tensor] = []
    for output, tensor in zip(graph.outputs, fresh, strict=True):
        if tensor is not None:
            outputs.append(tensor)
        elif output.alias_of_input is None:
            assert output.alias_of_output is not None, "an output without a value aliases another"
            of = graph.outputs[output.alias_of_output]
            base = outputs[output.alias_of_output]
            outputs.append(_view_output(base, output, _offset_bytes(of.meta, symbols), symbols))
        elif output.is_input_itself:
            outputs.append(inputs[output.alias_of_input])
        else:
            known = graph.inputs[output.alias_of_input]
            target = inputs[output.alias_of_input]
            outputs.append(_view_output(target, output, _offset_bytes(known, symbols), symbols))
    return outputs


def _offset_bytes(meta: TensorMeta, symbols: Mapping[str, int]) -> int:
    return evaluate_dim(meta.offset, symbols) * meta.dtype.size_bytes


def _view_output(
    base: torch.Tensor, output: GraphOutput, base_bytes: int, symbols: Mapping[str, int]
) -> torch.Tensor:
    """Give an output on the memory of `base`, which begins `base_bytes` into it as the graph knows it."""
    if output.is_of_detached:
        base = base.detach()
    return view_as(output.view_kind, base, *_layout(output.meta, base_bytes, symbols))


def _layout(
    meta: TensorMeta, base_bytes: int, symbols: Mapping[str, int]
) -> tuple[torch.dtype, list[int], list[int], int]:
    """Give dtype, shape, strides, and the offset from what begins `base_bytes` into the memory."""
    shape = [evaluate_dim(extent, symbols) for extent in meta.shape]
    strides = [evaluate_dim(stride, symbols) for stride in meta.strides]
    offset = (_offset_bytes(meta, symbols) - base_bytes) // meta.dtype.size_bytes
    return meta.dtype.torch_dtype, shape, strides, offset


def _has_layout(value: torch.Tensor, meta: TensorMeta, symbols: Mapping[str, int]) -> bool:
    return all(
        extent == 1 or stride == evaluate_dim(wanted, symbols)
        for extent, stride, wanted in zip(value.shape, value.stride(), meta.strides, strict=True)
    )


def _copy_with_layout(
    value: torch.Tensor, meta: TensorMeta, symbols: Mapping[str, int]
) -> torch.Tensor:
    shape = [evaluate_dim(extent, symbols) for extent in meta.shape]
    strides = [evaluate_dim(stride, symbols) for stride in meta.strides]
    copy = torch.empty_strided(shape, strides, dtype=value.dtype, device=value.device)
    # along a dimension that was expanded all elements are one, which is written once
    written = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in strides)
    copy[written].copy_(value[written])
    return copy
