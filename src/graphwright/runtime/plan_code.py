"""The steps of a plan as readable Python.

In: a `Plan`, the addresses of its kernels.   Out: the source of `call(inputs, symbols)`, which gives the graph's outputs, and the
objects that it names.
Keeps: the plan's order; only the caller's inputs, the arena and fresh outputs are written; grad mode and autocast are those of
the plan (off) while steps run, and the caller's when views of inputs are made.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, assert_never, final

import torch

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
    ViewKind,
)
from graphwright.ir.dims import render_dim, render_dims, symbols_of
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.lookups import check_lookup
from graphwright.ir.overloads import find_overload
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
from graphwright.ir.plan_text import iter_tensor_args, render_layout, render_step
from graphwright.ir.symint import Dim
from graphwright.runtime import tensors


class Code(Protocol):
    """Machine code in memory."""

    def address(self, symbol: str) -> int:
        """Give the address of a function."""


_KERNEL_TYPE: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


@final
class KernelCall:
    """A compiled kernel, called with tensors.

    Args:
        address: where its machine code is.
    """

    def __init__(self, address: int) -> None:
        self._function = _KERNEL_TYPE(address)

    def __call__(
        self,
        buffers: Sequence[torch.Tensor],
        symbols: Sequence[int] = (),
        offsets: Sequence[int] = (),
    ) -> None:
        """Run the kernel on the memory of `buffers`, each moved by its number of bytes."""
        shifts = offsets or (0,) * len(buffers)
        pointers = (ctypes.c_void_p * max(len(buffers), 1))(
            *(b.data_ptr() + shift for b, shift in zip(buffers, shifts, strict=True))
        )
        values = (ctypes.c_int64 * max(len(symbols), 1))(*symbols)
        self._function(ctypes.addressof(pointers), ctypes.addressof(values))


def is_static(dims: Iterable[Dim]) -> bool:
    """Tell whether no extent is symbolic."""
    return all(isinstance(dim, int) for dim in dims)


def is_buffer_itself(buffer: Buffer, arg: TensorArg | TensorMeta) -> bool:
    """Tell whether a tensor over `buffer` has the buffer's own layout."""
    return (arg.dtype, arg.shape, arg.strides, arg.offset) == (
        buffer.dtype,
        buffer.shape,
        buffer.strides,
        0,
    )


@final
class PlanCode:
    """Writes `call(inputs, symbols)` and collects the objects that its text names.

    Args:
        plan: the steps.
        code: the machine code of the plan's kernels.
        constants: the plan's constants.
        kernel_texts: for each kernel, what to say of it (its loop IR); may be empty.
        turns_off_autocast: the program runs with autocast on, which the graph has already applied.
    """

    def __init__(
        self,
        plan: Plan,
        code: Code,
        constants: Sequence[torch.Tensor] = (),
        kernel_texts: Sequence[str] = (),
        *,
        turns_off_autocast: bool = False,
    ) -> None:
        self._plan = plan
        self._kernel_texts = kernel_texts
        self._turns_off_autocast = turns_off_autocast
        kernels: dict[str, Callable[..., None]] = {
            f"kernel{number}": KernelCall(code.address(kernel.symbol))
            for number, kernel in enumerate(plan.kernels)
        }
        self.namespace: dict[str, object] = {
            "torch": torch,
            check_lookup.__name__: check_lookup,
            ViewKind.__name__: ViewKind,
            "constants_of_plan": constants,
            **{name: getattr(tensors, name) for name in _TENSOR_FUNCTIONS},
            **kernels,
        }

    def render(self) -> str:
        """Give the source text."""
        plan = self._plan
        lines = list(self._iter_kernel_notes())
        lines.append("def call(inputs, symbols):")
        body = [f"{_tuple(plan.symbols)} = symbols"] if plan.symbols else []
        body.append(self._render_modes())
        steps = list(self._iter_allocations())
        for step in plan.steps:
            steps += self._render_step(step)
        steps += self._iter_mutations()
        steps += self._iter_new_outputs()
        body += [f"    {line}" for line in steps or ["pass"]]
        body += self._iter_view_outputs()
        outputs = ", ".join(f"out{number}" for number in range(len(plan.outputs)))
        body.append(f"return [{outputs}]")
        return "\n".join([*lines, *(f"    {line}" for line in body)]) + "\n"

    def _iter_kernel_notes(self) -> Iterable[str]:
        for number, text in enumerate(self._kernel_texts):
            yield f"# kernel{number} is {self._plan.kernels[number].symbol}:"
            yield from (f"#   {line}".rstrip() for line in text.splitlines())

    def _render_modes(self) -> str:
        if not self._turns_off_autocast:
            return "with torch.no_grad():"
        kinds = sorted({buffer.device.partition(":")[0] for buffer in self._plan.buffers} | {"cpu"})
        off = ", ".join(f"torch.autocast({kind!r}, enabled=False)" for kind in kinds)
        return f"with torch.no_grad(), {off}:"

    def _iter_allocations(self) -> Iterable[str]:
        plan = self._plan
        device = next((b.device for b in plan.buffers if isinstance(b.place, ArenaPlace)), None)
        if device is not None:  # of no bytes, where all that is in it is empty
            yield f"arena = make_arena({plan.arena_bytes}, {device!r})"
        for number, buffer in enumerate(plan.buffers):
            text = self._render_buffer(buffer)
            if text:
                note = render_layout(buffer.dtype.value, buffer.shape, buffer.strides)
                yield f"b{number} = {text}  # {note}"

    def _render_buffer(self, buffer: Buffer) -> str:
        match buffer.place:
            case InputPlace(index):
                return f"inputs[{index}]"
            case ConstantPlace(index):
                return f"constants_of_plan[{index}]"
            case ArenaPlace(offset_bytes) if is_static((*buffer.shape, *buffer.strides)):
                return f"arena_view(arena, {offset_bytes}, {render_form(buffer)})"
            case ArenaPlace() | OutputPlace():
                layout = f"{render_dims(buffer.shape)}, {render_dims(buffer.strides)}"
                options = f"dtype={_dtype(buffer.dtype)}, device={buffer.device!r}"
                return f"torch.empty_strided({layout}, {options})"
            case ExternPlace():
                return ""
            case _:
                assert_never(buffer.place)

    def _render_step(self, step: Step) -> list[str]:
        match step:
            case RunKernel():
                return [self._render_kernel(step)]
            case CallExtern():
                return self._render_extern(step)
            case Release(buffer):
                return [f"del b{buffer}"]
            case _:
                assert_never(step)

    def _render_kernel(self, step: RunKernel) -> str:
        buffers = ", ".join(f"b{buffer}" for buffer in step.buffers)
        symbols = ", symbols" if self._plan.symbols else ""
        offsets = f", offsets={step.offsets_bytes}" if any(step.offsets_bytes) else ""
        note = f"  # {self._plan.kernels[step.kernel].symbol}{_at(step.loc)}"
        return f"kernel{step.kernel}([{buffers}]{symbols}{offsets}){note}"

    def _render_extern(self, step: CallExtern) -> list[str]:
        find_overload(step.op)
        args = [self.render_arg(arg) for arg in step.args]
        args += [f"{kwarg.name}={self.render_arg(kwarg.value)}" for kwarg in step.kwargs]
        note = f"  # {render_step(self._plan, step).partition('  # ')[2]}" if step.loc else ""
        if step.kind is ExternKind.OUT:
            names = out_names(step.op)
            args += [
                f"{name}={self.render_arg(out)}"
                for name, out in zip(names, step.outs, strict=True)
                if out is not None
            ]
        call = f"{called_name(step)}({', '.join(args)})"
        if step.kind is not ExternKind.FUNCTIONAL:
            return [f"{call}{note}"]
        return [f"results = list(iter_results({call})){note}", *self._iter_adopted(step)]

    def _iter_adopted(self, step: CallExtern) -> Iterable[str]:
        args = [*step.args, *(kwarg.value for kwarg in step.kwargs)]
        buffers = dict.fromkeys(t.buffer for arg in args for t in iter_tensor_args(arg))
        arguments = _tuple(f"b{buffer}" for buffer in buffers)
        for number, out in enumerate(step.outs):
            if out is not None:
                yield f"b{out.buffer} = adopt(results[{number}], {arguments}, {render_form(out)})"
        yield "del results"

    def render_arg(self, arg: ExternArg) -> str:  # noqa: C901  (one arm for each case of a closed union)
        """Give an argument of an extern call as an expression."""
        match arg:
            case TensorArg():
                return self._render_tensor(f"b{arg.buffer}", self._plan.buffers[arg.buffer], arg)
            case TupleArg(items):
                return f"[{', '.join(map(self.render_arg, items))}]"
            case DTypeArg(dtype):
                return _dtype(dtype)
            case DeviceArg(device):
                return f"torch.device({device!r})"
            case LayoutArg(layout):
                return f"torch.{layout}"
            case MemoryFormatArg(memory_format):
                return f"torch.{memory_format}"
            case FloatArg(text):
                return _float(text)
            case ComplexArg(real, imag):
                return f"complex({_float(real)}, {_float(imag)})"
            case SymArg(expr):
                return render_dim(expr)
            case LiteralArg(value):
                return repr(value)
            case _:
                assert_never(arg)

    def _render_tensor(self, name: str, buffer: Buffer, arg: TensorArg | TensorMeta) -> str:
        if is_buffer_itself(buffer, arg):
            return name
        return _render_view(name, arg)

    def _iter_mutations(self) -> Iterable[str]:
        if self._plan.versioned_inputs:
            written = _tuple(f"b{index}" for index in self._plan.versioned_inputs)
            yield f"increment_versions({written})"

    def _iter_new_outputs(self) -> Iterable[str]:
        for number, output in enumerate(self._plan.outputs):
            if isinstance(output, NewOutput):
                buffer = self._plan.buffers[output.buffer]
                yield f"out{number} = {self._render_tensor(f'b{output.buffer}', buffer, output.meta)}"

    def _iter_view_outputs(self) -> Iterable[str]:
        for number, output in enumerate(self._plan.outputs):
            text = self._render_view_output(output)
            if text:
                yield f"out{number} = {text}"

    def _render_view_output(self, output: PlanOutput) -> str:
        match output:
            case NewOutput():
                return ""
            case InputOutput(index):
                return f"inputs[{index}]"
            case ViewOfInput(index, meta, kind, is_of_detached):
                base = f"inputs[{index}]"
            case ViewOfOutput(index, meta, kind, is_of_detached):
                base = f"out{index}"
            case _:
                assert_never(output)
        return _render_view(f"{base}.detach()" if is_of_detached else base, meta, kind)


def _render_view(name: str, arg: TensorArg | TensorMeta, kind: ViewKind | None = None) -> str:
    offset = "" if arg.offset == 0 else f", {render_dim(arg.offset)}"
    called = "view(" if kind is None else f"view_as(ViewKind.{kind.name}, "
    return f"{called}{name}, {render_form(arg)}{offset})"


def render_form(arg: TensorArg | TensorMeta | Buffer) -> str:
    """Give dtype, shape and strides as arguments of a call."""
    return f"{_dtype(arg.dtype)}, {render_dims(arg.shape)}, {render_dims(arg.strides)}"


def called_name(step: CallExtern) -> str:
    """Give the expression of what an extern call calls."""
    return check_lookup.__name__ if step.kind is ExternKind.CHECK else f"torch.ops.{step.op}"


def out_names(op: str) -> tuple[str, ...]:
    """Give the names of the arguments that an out-variant writes to, in the schema's order."""
    schema = find_overload(op)._schema  # noqa: SLF001  (no public reader)
    return tuple(
        argument.name
        for argument in schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    )


def arg_symbols(arg: ExternArg) -> frozenset[str]:
    """Give the size symbols that an argument of an extern call depends on."""
    match arg:
        case TensorArg():
            dims: tuple[Dim, ...] = (*arg.shape, *arg.strides, arg.offset)
            return frozenset().union(*map(symbols_of, dims))
        case TupleArg(items):
            return frozenset().union(*map(arg_symbols, items))
        case SymArg(expr):
            return symbols_of(expr)
        case _:
            return frozenset()


def _dtype(dtype: DType) -> str:
    return f"torch.{dtype.value}"


def _float(text: str) -> str:
    value = float.fromhex(text)
    return repr(value) if value - value == 0 else f"float({text!r})"


def _tuple(parts: Iterable[str]) -> str:
    listed = list(parts)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def _at(loc: Loc | None) -> str:
    return f" at {loc.render()}" if loc else ""


_TENSOR_FUNCTIONS: Final = (
    "view",
    "view_as",
    "make_arena",
    "arena_view",
    "iter_results",
    "adopt",
    "increment_versions",
)
