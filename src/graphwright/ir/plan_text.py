"""A plan for people, and the check of what a plan must keep.

In: a `Plan`.   Out: its text (`render_plan`), or `InternalError` with everything that is wrong with it (`verify_plan`).

    plan(inputs: 1, arena: 256 bytes):
      b0: float32 (8, 8) strides (8, 1) = input 0
      b1: float32 (8, 8) strides (8, 1) = output
      run relu_sin(b0, b1)                                      # model.py:3 in f
      return (new b1 (8, 8) strides (8, 1))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, assert_never

from graphwright.base.errors import InternalError
from graphwright.ir.aten import (
    ComplexArg,
    DeviceArg,
    DTypeArg,
    FloatArg,
    LayoutArg,
    LiteralArg,
    MemoryFormatArg,
    SymArg,
    TensorMeta,
)
from graphwright.ir.aten_text import render_graph
from graphwright.ir.dims import render_dim, render_dims
from graphwright.ir.locations import Loc
from graphwright.ir.loops import Access, Kernel
from graphwright.ir.plan import (
    ArenaPlace,
    Buffer,
    CallExtern,
    ConstantPlace,
    ExternArg,
    ExternKind,
    ExternPlace,
    InputOutput,
    InputPlace,
    NewOutput,
    OutputPlace,
    Place,
    Plan,
    PlanOutput,
    Release,
    RunKernel,
    Step,
    TensorArg,
    TupleArg,
    ViewOfInput,
    ViewOfOutput,
)
from graphwright.ir.symint import Dim

_ALIGNMENT_BYTES: Final = 64


def render_plan(plan: Plan) -> str:
    """Give `plan` as text, one line a buffer and a step."""
    symbols = f", symbols: {', '.join(plan.symbols)}" if plan.symbols else ""
    lines = [f"plan(inputs: {len(plan.inputs)}, arena: {plan.arena_bytes} bytes{symbols}):"]
    for number, buffer in enumerate(plan.buffers):
        where = "" if buffer.device == "cpu" else f" on {buffer.device}"
        layout = render_layout(buffer.dtype.value, buffer.shape, buffer.strides)
        lines.append(f"  b{number}: {layout}{where} = {_render_place(buffer.place)}")
    if plan.fold is not None:
        given = ", ".join(f"input {index}" for index in plan.fold.inputs)
        lines.append(f"  folded once, of {given}:")
        lines += [f"    {line}" for line in render_graph(plan.fold.graph).splitlines()]
    lines += [f"  {render_step(plan, step)}" for step in plan.steps]
    outputs = ", ".join(map(_render_output, plan.outputs))
    lines.append(f"  return ({outputs})")
    if plan.mutated_inputs:
        lines.append(f"  writes inputs {', '.join(map(str, plan.mutated_inputs))}")
    if plan.versioned_inputs:
        lines.append(f"  raises versions of inputs {', '.join(map(str, plan.versioned_inputs))}")
    return "\n".join(lines) + "\n"


def render_layout(dtype: str, shape: tuple[Dim, ...], strides: tuple[Dim, ...]) -> str:
    """Give element type, shape and strides as text."""
    return f"{dtype} {render_dims(shape)} strides {render_dims(strides)}"


def render_step(plan: Plan, step: Step) -> str:
    """Give one step as a line."""
    match step:
        case RunKernel():
            offsets = step.offsets_bytes or (0,) * len(step.buffers)
            buffers = ", ".join(
                f"b{buffer}" + (f"+{offset}" if offset else "")
                for buffer, offset in zip(step.buffers, offsets, strict=True)
            )
            symbol = plan.kernels[step.kernel].symbol
            return f"run {symbol}({buffers}){_render_loc(step.loc)}"
        case CallExtern():
            return _render_extern(step)
        case Release(buffer):
            return f"release b{buffer}"
        case _:
            assert_never(step)


def _render_extern(step: CallExtern) -> str:
    parts = [render_extern_arg(arg) for arg in step.args]
    parts += [f"{kwarg.name}={render_extern_arg(kwarg.value)}" for kwarg in step.kwargs]
    outs = ", ".join("_" if out is None else render_extern_arg(out) for out in step.outs)
    arrow = f" -> {outs}" if outs else ""
    return f"{step.kind.value} {step.op}({', '.join(parts)}){arrow}{_render_loc(step.loc)}"


def render_extern_arg(arg: ExternArg) -> str:  # noqa: C901  (one arm for each case of a closed union)
    """Give an argument of an extern call as text."""
    match arg:
        case TensorArg():
            offset = f" + {render_dim(arg.offset)}" if arg.offset != 0 else ""
            return (
                f"b{arg.buffer}{offset}: {render_layout(arg.dtype.value, arg.shape, arg.strides)}"
            )
        case TupleArg(items):
            return f"[{', '.join(map(render_extern_arg, items))}]"
        case DTypeArg(dtype):
            return dtype.value
        case DeviceArg(device):
            return device
        case LayoutArg(layout):
            return layout
        case MemoryFormatArg(memory_format):
            return memory_format
        case FloatArg(text):
            return repr(float.fromhex(text))
        case ComplexArg(real, imag):
            return repr(complex(float.fromhex(real), float.fromhex(imag)))
        case SymArg(expr):
            return render_dim(expr)
        case LiteralArg(value):
            return repr(value)
        case _:
            assert_never(arg)


def _render_place(place: Place) -> str:
    match place:
        case InputPlace(index):
            return f"input {index}"
        case ArenaPlace(offset_bytes):
            return f"arena at {offset_bytes}"
        case OutputPlace():
            return "output"
        case ExternPlace():
            return "extern"
        case ConstantPlace(index):
            return f"constant {index}"
        case _:
            assert_never(place)


def _render_output(output: PlanOutput) -> str:
    match output:
        case NewOutput(buffer, meta):
            return f"new b{buffer} {_render_meta(meta)}"
        case InputOutput(index):
            return f"input {index}"
        case ViewOfInput(index, meta):
            return f"{_render_kind(output)} of input {index} {_render_meta(meta)}"
        case ViewOfOutput(index, meta):
            return f"{_render_kind(output)} of output {index} {_render_meta(meta)}"
        case _:
            assert_never(output)


def _render_kind(output: ViewOfInput | ViewOfOutput) -> str:
    return f"{output.kind.value} of the detach" if output.is_of_detached else output.kind.value


def _render_meta(meta: TensorMeta) -> str:
    offset = f" + {render_dim(meta.offset)}" if meta.offset != 0 else ""
    return f"{render_layout(meta.dtype.value, meta.shape, meta.strides)}{offset}"


def _render_loc(loc: Loc | None) -> str:
    return f"  # {loc.render()}" if loc else ""


def verify_plan(plan: Plan, kernels: Sequence[Kernel] = ()) -> None:
    """Check what a plan must keep.

    Args:
        plan: the plan.
        kernels: its kernels, from which is known what a step reads and writes; without them, steps of kernels are taken to read
            what is there.

    Raises:
        InternalError: it does not; the text lists every fault, with the plan below.
    """
    faults = [*_iter_buffer_faults(plan), *_iter_step_faults(plan, kernels)]
    faults += [*_iter_output_faults(plan), *_iter_mutation_faults(plan)]
    if faults:
        listing = "\n".join(f"- {fault}" for fault in faults)
        message = f"a plan is wrong:\n{listing}\n{render_plan(plan)}"
        raise InternalError(message)


def _iter_buffer_faults(plan: Plan) -> Iterator[str]:
    if len(plan.buffers) < len(plan.inputs):
        yield "there are fewer buffers than inputs"
    for number, buffer in enumerate(plan.buffers):
        if len(buffer.shape) != len(buffer.strides):
            yield f"b{number} has {len(buffer.shape)} extents and {len(buffer.strides)} strides"
        yield from _iter_place_faults(plan, number, buffer)


def _iter_place_faults(plan: Plan, number: int, buffer: Buffer) -> Iterator[str]:
    is_input = number < len(plan.inputs)
    match buffer.place:
        case InputPlace(index):
            if not is_input or index != number:
                yield f"b{number} is input {index}; the first buffers are the inputs, in order"
        case ArenaPlace(offset_bytes):
            if offset_bytes % _ALIGNMENT_BYTES:
                yield f"b{number} begins at byte {offset_bytes} of the arena, which is not aligned"
            if _is_static(buffer) and offset_bytes + buffer.size_bytes > plan.arena_bytes:
                yield f"b{number} ends behind the arena's {plan.arena_bytes} bytes"
        case ConstantPlace(index):
            yield from _iter_constant_faults(plan, number, index)
        case OutputPlace() | ExternPlace():
            pass
        case _:
            assert_never(buffer.place)
    if is_input and not isinstance(buffer.place, InputPlace):
        yield f"b{number} stands for input {number} and is placed elsewhere"


def _iter_constant_faults(plan: Plan, number: int, index: int) -> Iterator[str]:
    if not 0 <= index < len(plan.constants):
        yield f"b{number} is constant {index} of {len(plan.constants)}"
        return
    folded = plan.constants[index].folded
    num_folded = 0 if plan.fold is None else len(plan.fold.graph.outputs)
    if folded is not None and not 0 <= folded < num_folded:
        yield f"b{number} is output {folded} of the fold, which has {num_folded}"


def _is_static(buffer: Buffer) -> bool:
    return all(isinstance(dim, int) for dim in (*buffer.shape, *buffer.strides))


def _iter_step_faults(plan: Plan, kernels: Sequence[Kernel]) -> Iterator[str]:
    accesses = {kernel.name: [param.access for param in kernel.params] for kernel in kernels}
    numbers = set(range(len(plan.buffers)))
    defined = {
        number
        for number, buffer in enumerate(plan.buffers)
        if _is_there_before(buffer, are_writes_known=bool(kernels))
    }
    for position, step in enumerate(plan.steps):
        where = f"step {position}"
        match step:
            case RunKernel():
                yield from _iter_kernel_faults(plan, step, where)
                written = _buffers_written(plan, step, accesses)
                read = tuple([number for number in step.buffers if number not in written])
                yield from _iter_unknown(plan, read, defined, where)
                defined |= written
            case CallExtern():
                yield from _iter_unknown(plan, _buffers_read(step), defined, where)
                yield from _iter_extern_faults(plan, step, where)
                outs = tuple([out.buffer for out in step.outs if out is not None])
                yield from _iter_unknown(plan, outs, numbers, where)
                defined |= set(outs)
                if step.kind is ExternKind.INPLACE:
                    defined |= {tensor.buffer for tensor in iter_tensor_args(step.args[0])}
            case Release(buffer):
                yield from _iter_unknown(plan, (buffer,), defined, where)
                if buffer in range(len(plan.buffers)) and not isinstance(
                    plan.buffers[buffer].place, ExternPlace
                ):
                    yield f"{where} releases b{buffer}, which no extern call made"
                defined.discard(buffer)
            case _:
                assert_never(step)
    for position, output in enumerate(plan.outputs):
        if isinstance(output, NewOutput):
            yield from _iter_unknown(plan, (output.buffer,), defined, f"output {position}")


def _is_there_before(buffer: Buffer, *, are_writes_known: bool) -> bool:
    """Tell whether a buffer may be read before any step has run."""
    match buffer.place:
        case InputPlace() | ConstantPlace():
            return True
        case ArenaPlace() | OutputPlace():
            return not are_writes_known or buffer.size_bytes == 0
        case ExternPlace():
            return False
        case _:
            assert_never(buffer.place)


def _buffers_written(
    plan: Plan, step: RunKernel, accesses: Mapping[str, Sequence[Access]]
) -> set[int]:
    """Give the buffers that a kernel writes to, and may read afterwards."""
    if not 0 <= step.kernel < len(plan.kernels):
        return set()
    known = accesses.get(plan.kernels[step.kernel].symbol, ())
    pairs = zip(step.buffers, known, strict=False)
    return {number for number, access in pairs if access is not Access.READ}


def _iter_kernel_faults(plan: Plan, step: RunKernel, where: str) -> Iterator[str]:
    if not 0 <= step.kernel < len(plan.kernels):
        yield f"{where} runs kernel {step.kernel} of {len(plan.kernels)}"
    if step.offsets_bytes and len(step.offsets_bytes) != len(step.buffers):
        yield f"{where} has {len(step.offsets_bytes)} offsets for {len(step.buffers)} buffers"


def _iter_extern_faults(plan: Plan, step: CallExtern, where: str) -> Iterator[str]:
    if step.kind in (ExternKind.INPLACE, ExternKind.CHECK) and step.outs:
        yield f"{where} ({step.kind.value}) has outs"
    if step.kind is ExternKind.CHECK and not isinstance(step.args[0], TensorArg):
        yield f"{where} checks what is no tensor"
    if step.kind is ExternKind.FUNCTIONAL:
        for out in step.outs:
            if out is not None and not isinstance(plan.buffers[out.buffer].place, ExternPlace):
                yield f"{where} returns b{out.buffer}, whose place is not an extern call's"


def _iter_unknown(
    plan: Plan, buffers: tuple[int, ...], defined: set[int], where: str
) -> Iterator[str]:
    for buffer in buffers:
        if not 0 <= buffer < len(plan.buffers):
            yield f"{where} names b{buffer} of {len(plan.buffers)}"
        elif buffer not in defined:
            yield f"{where} reads b{buffer}, which is not there yet or not any more"


def _buffers_read(step: CallExtern) -> tuple[int, ...]:
    args = [*step.args, *(kwarg.value for kwarg in step.kwargs)]
    if step.kind is ExternKind.INPLACE:
        args = args[1:]  # It may be written to only.
    return tuple(tensor.buffer for arg in args for tensor in iter_tensor_args(arg))


def iter_tensor_args(arg: ExternArg) -> Iterator[TensorArg]:
    """Give the tensors in an argument of an extern call, in order."""
    match arg:
        case TensorArg():
            yield arg
        case TupleArg(items):
            for item in items:
                yield from iter_tensor_args(item)
        case _:
            return


def _iter_output_faults(plan: Plan) -> Iterator[str]:
    for position, output in enumerate(plan.outputs):
        match output:
            case NewOutput(buffer):
                is_known = 0 <= buffer < len(plan.buffers)
                if is_known and not isinstance(
                    plan.buffers[buffer].place, OutputPlace | ExternPlace
                ):
                    yield f"output {position} is b{buffer}, whose memory is not the caller's"
            case InputOutput(index) | ViewOfInput(index):
                if not 0 <= index < len(plan.inputs):
                    yield f"output {position} names input {index} of {len(plan.inputs)}"
            case ViewOfOutput(index):
                if not 0 <= index < position:
                    yield f"output {position} is a view of output {index}, which is not earlier"
            case _:
                assert_never(output)


def _iter_mutation_faults(plan: Plan) -> Iterator[str]:
    for index in (*plan.mutated_inputs, *plan.versioned_inputs):
        if not 0 <= index < len(plan.inputs):
            yield f"input {index} of {len(plan.inputs)} is said to be written"
