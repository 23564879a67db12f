"""What a call gives back: which values become outputs, which must be copied, which inputs are written.

In: `Values` of a graph.   Out: `Targets`: copies (as nodes added to the values) and, for each output, where it comes from.
Keeps: two outputs share memory only where eager's do; an output that eager made anew is never an input's memory.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import AtenNode, GraphOutput, LiteralArg, Ref, TensorMeta
from graphwright.ir.plan import InputOutput, NewOutput, PlanOutput, ViewOfInput, ViewOfOutput
from graphwright.lower.promotion import SUPPORTED
from graphwright.lower.values import Layout, ValueKind, Values, static, static_dims

COPY: str = "aten.clone.default"


class NewTensor(msgspec.Struct, frozen=True):
    """An output with memory of its own: the memory of `value`'s base."""

    value: int
    """No view of an input; the output shows it with `meta` relative to its base."""
    meta: TensorMeta


class Targets(msgspec.Struct, frozen=True):
    """Where results go."""

    outputs: tuple[NewTensor | InputOutput | ViewOfInput | ViewOfOutput, ...]
    written: dict[int, int]
    """Copy (value) → the input whose memory it is."""
    held: tuple[int, ...]
    """Copies in memory of their own, from which inputs are written once nobody needs the old values any more."""

    def stored(self) -> list[int]:
        """Give the values that must be in memory."""
        new = [out.value for out in self.outputs if isinstance(out, NewTensor)]
        return [*self.held, *self.written, *new]


def find_targets(values: Values, detours: Collection[int] = ()) -> Targets:
    """Add the copies that outputs and mutations need, and say what every output is.

    Args:
        values: the graph's values; grows with the copies.
        detours: inputs whose new value must be complete before any input is written.
    """
    graph = values.graph
    outputs: list[NewTensor | InputOutput | ViewOfInput | ViewOfOutput] = []
    taken: dict[int, int] = {}
    for number, output in enumerate(graph.outputs):
        outputs.append(_output(values, output, number, taken))
    changes = [
        mutation
        for mutation in graph.mutations
        if not _is_unchanged(values, mutation.input_index, mutation.value_id)
    ]
    held: dict[int, int] = {}
    for mutation in changes:
        if mutation.input_index in detours:
            meta = graph.inputs[mutation.input_index]
            held[mutation.input_index] = _add_copy(values, mutation.value_id, meta)
    written: dict[int, int] = {}
    for mutation in changes:
        source = held.get(mutation.input_index, mutation.value_id)
        copy = _add_copy(values, source, graph.inputs[mutation.input_index])
        written[copy] = mutation.input_index
    return Targets(tuple(outputs), written, tuple(held.values()))


def plan_output(output: NewTensor | PlanOutput, buffer_of: dict[int, int]) -> PlanOutput:
    """Give the plan's form of an output, `buffer_of` telling each value's buffer."""
    if isinstance(output, NewTensor):
        return NewOutput(buffer_of[output.value], output.meta)
    return output


def _output(
    values: Values, output: GraphOutput, number: int, taken: dict[int, int]
) -> NewTensor | InputOutput | ViewOfInput | ViewOfOutput:
    meta = output.meta
    if output.alias_of_input is not None:
        if output.is_input_itself:
            return InputOutput(output.alias_of_input)
        shifted = _relative(meta, values.graph.inputs[output.alias_of_input])
        return ViewOfInput(output.alias_of_input, shifted, output.view_kind, output.is_of_detached)
    if output.alias_of_output is not None:
        shifted = _relative(meta, values.graph.outputs[output.alias_of_output].meta)
        return ViewOfOutput(
            output.alias_of_output, shifted, output.view_kind, output.is_of_detached
        )
    value = output.value_id
    if output.is_part:
        whole = values.metas[value]
        if values.bases[value] in taken or not _can_be_output(values, value, whole):
            value = _add_copy(values, value, whole)
        taken[values.bases[value]] = number
        return NewTensor(values.bases[value], _relative(meta, whole, values.layouts[value].offset))
    shown = meta
    if values.bases[value] in taken or not _can_be_output(values, value, meta):
        value, shown = _add_shown_copy(values, value, meta)
    taken[values.bases[value]] = number
    relative = msgspec.structs.replace(shown, offset=values.layouts[value].offset)
    return NewTensor(values.bases[value], relative)


def _relative(meta: TensorMeta, base: TensorMeta, shift: int = 0) -> TensorMeta:
    """Give a tensor's meta with its offset from the first element of another on the same memory, which may be of another dtype.

    Args:
        meta: the tensor's.
        base: the other's.
        shift: where the other begins, in its own elements, from where the result is to be counted.

    Raises:
        Unsupported: the place is none of an element of the dtype.
    """
    own, other = meta.dtype.size_bytes, base.dtype.size_bytes
    distance = static(meta.offset) * own - (static(base.offset) - shift) * other
    if distance % own:
        raise Unsupported(
            "results of different dtypes on one memory, whose places do not fit together",
            why="the second is made as a view of the first, by whole elements",
            remedy="return one of them, or a clone()",
        )
    return msgspec.structs.replace(meta, offset=distance // own)


def _can_be_output(values: Values, value: int, meta: TensorMeta) -> bool:
    base = values.bases[value]
    if values.kinds[base] is ValueKind.SOURCE or values.dtype(base) is not meta.dtype:
        return False
    layout = values.layouts[value]
    return all(
        extent == 1 or stride == wanted
        for extent, stride, wanted in zip(
            layout.shape, layout.strides, static_dims(meta.strides), strict=True
        )
    )


def _add_shown_copy(values: Values, value: int, meta: TensorMeta) -> tuple[int, TensorMeta]:
    """Copy a value to be shown as `meta`; of an expanded one, which repeats elements, each once.

    Returns:
        The copy, and how it is shown: as `meta`, if its strides lead to the copy's elements.
    """
    shape, strides = static_dims(meta.shape), static_dims(meta.strides)
    kept = tuple(
        1 if stride == 0 and extent else extent
        for extent, stride in zip(shape, strides, strict=True)
    )
    if has_overlap(Layout(kept, strides)):
        copy = _add_copy(values, value, meta)
        return copy, msgspec.structs.replace(meta, strides=values.layouts[copy].strides)
    for axis, (extent, wanted) in enumerate(zip(shape, kept, strict=True)):
        if extent != wanted:
            value = _add_first(values, value, axis)
    return _add_copy(values, value, msgspec.structs.replace(meta, shape=kept)), meta


def _add_first(values: Values, value: int, axis: int) -> int:
    """See the first slice of a value along an axis."""
    node, meta = values.nodes[value], values.metas[value]
    shape = tuple(1 if place == axis else extent for place, extent in enumerate(meta.shape))
    sliced = msgspec.structs.replace(meta, shape=shape)
    place = [LiteralArg(number) for number in (axis, 0, 1)]
    slicing = AtenNode(
        op="aten.slice.Tensor",
        args=(Ref(value), *place),
        kwargs=(),
        results=(len(values.kinds),),
        metas=(sliced,),
        loc=None if node is None else node.loc,
    )
    return values.add_view(sliced, slicing, value)


def _is_unchanged(values: Values, input_index: int, value: int) -> bool:
    layout, own = values.layouts[value], values.layouts[input_index]
    return values.bases[value] == input_index and layout == own


def _add_copy(values: Values, value: int, meta: TensorMeta) -> int:
    copied = msgspec.structs.replace(meta, offset=0, strides=_writable_strides(meta))
    source = values.nodes[value]
    node = AtenNode(
        op=COPY,
        args=(Ref(value),),
        kwargs=(),
        results=(len(values.kinds),),
        metas=(copied,),
        loc=None if source is None else source.loc,
    )
    is_plain = meta.dtype in SUPPORTED and meta.device == "cpu"
    return values.add_computed(ValueKind.POINTWISE if is_plain else ValueKind.EXTERN, copied, node)


def _writable_strides(meta: TensorMeta) -> tuple[int, ...]:
    """Give strides that put each element in a place of its own: the given ones, where they do."""
    shape, strides = static_dims(meta.shape), static_dims(meta.strides)
    if not has_overlap(Layout(shape, strides)):
        return strides
    contiguous = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        contiguous[axis] = contiguous[axis + 1] * max(shape[axis + 1], 1)
    return tuple(contiguous)


def has_overlap(layout: Layout) -> bool:
    """Tell whether two elements may lie in one place."""
    reach = 0
    for stride, extent in sorted(zip(layout.strides, layout.shape, strict=True)):
        if extent > 1:
            if stride <= reach:
                return True
            reach += stride * (extent - 1)
    return False
