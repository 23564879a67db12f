"""The steps of a plan as a table of native steps.

In: a `Plan`, machine code, the guards' slots.   Out: a `StepTable`, the descriptions of outputs and result.
Keeps: the plan's order. The interpreter lock is released around stretches of steps that touch no Python object and take long.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, assert_never, final

import torch

from graphwright.ir.aten import TensorMeta
from graphwright.ir.constants import make_object
from graphwright.ir.dims import evaluate_dim
from graphwright.ir.plan import (
    Buffer,
    CallExtern,
    ExternArg,
    ExternKind,
    InputOutput,
    NewOutput,
    OutputPlace,
    Plan,
    PlanOutput,
    Release,
    RunKernel,
    TensorArg,
    TupleArg,
    ViewOfInput,
    ViewOfOutput,
)
from graphwright.ir.plan_text import iter_tensor_args
from graphwright.ir.program import Program
from graphwright.ir.recipes import BuildTuple, FromConstant, FromOutput, FromSource, Recipe
from graphwright.ir.sources import EnumConst
from graphwright.ir.symint import Dim
from graphwright.runtime.guard_steps import GuardSteps
from graphwright.runtime.kept_memory import KEPT_MEMORY, LARGE_BYTES
from graphwright.runtime.native.contexts import ContextPlan, size_bytes_of
from graphwright.runtime.native.expressions import Positions, encode_dim
from graphwright.runtime.native.extern_calls import (
    PythonCall,
    Shim,
    bind_arguments,
    find_shim,
    make_python_call,
    number_tensors,
)
from graphwright.runtime.native.layout import Layout, dtype_number, torch_library
from graphwright.runtime.native.memory import Memory, StepTable, offset_of
from graphwright.runtime.native.module import NativeRefusal, address_in
from graphwright.runtime.native.records import ItemKind, OutputKind
from graphwright.runtime.native.run_functions import shim_step_name
from graphwright.runtime.pins import PinTable
from graphwright.runtime.plan_code import Code, is_buffer_itself, is_static
from graphwright.runtime.tensors import increment_versions, view_as

_ABSENT: Final = -1


@final
class PlanTables:
    """Turns a plan into native steps.

    Args:
        program: the program.
        plan: its plan.
        code: machine code of the plan's kernels.
        steps: the program's guards, lowered; say in which slots the inputs are.
        constants: the plan's constants.
        memory: what holds the objects and arrays.
        table: the steps.
        layout: where things are.
        positions: where a frame keeps each size symbol.

    Raises:
        NativeRefusal: the plan is not for the CPU.
    """

    def __init__(  # noqa: PLR0913  (all of them are parts of one entry)
        self,
        program: Program,
        plan: Plan,
        code: Code,
        *,
        steps: GuardSteps,
        constants: Sequence[torch.Tensor],
        memory: Memory,
        table: StepTable,
        layout: Layout,
        positions: Positions,
    ) -> None:
        if any(buffer.device != "cpu" for buffer in plan.buffers):
            message = "the plan has buffers on another device than the CPU"
            raise NativeRefusal(message)
        self._program = program
        self._plan = plan
        self._code = code
        self._steps = steps
        self._memory = memory
        self._table = table
        self._positions = positions
        self._library = torch_library("torch_cpu")
        externs = [step for step in plan.steps if isinstance(step, CallExtern)]
        calls = [make_python_call(plan, step) for step in externs]
        self._calls: Final = {id(step): call for step, call in zip(externs, calls, strict=True)}
        self._shims: Final = {id(step): self._try_shim(step) for step in externs}
        self._tensor_numbers: Final = number_tensors(tensors for _, tensors in calls)
        self.contexts: Final = ContextPlan(plan, self._tensor_numbers, constants, layout)
        self.num_owned = 0
        self._described_inputs = memory.words(
            word
            for slot, meta in zip(steps.input_slots, plan.inputs, strict=True)
            for word in (offset_of(slot), meta.dtype.size_bytes)
        )

    def _try_shim(self, step: CallExtern) -> tuple[Shim, int] | None:
        shim = find_shim(step)
        if shim is None:
            return None
        try:
            return shim, address_in(self._library, shim.symbol)
        except AttributeError:  # this torch has no such function
            return None

    def add_all(self) -> None:
        """Append every step."""
        plan = self._plan
        num_inputs = len(plan.inputs)
        if plan.symbols:
            self._table.add("take_symbols", 0, len(plan.symbols))
        self._table.add("take_inputs", 0, self._described_inputs, num_inputs)
        if self._may_switch_threads():
            held = (*self._steps.input_slots, *self._steps.recipe_slots)
            words = self._memory.words(word for slot in held for word in (offset_of(slot), 0))
            self.num_owned += len(held)
            self._table.add("hold_objects", 0, words, len(held))
        for number, buffer in enumerate(plan.buffers):
            if isinstance(buffer.place, OutputPlace):
                self._add_allocation(number, buffer)
        self._add_steps()
        if plan.versioned_inputs:
            slots = [offset_of(self._steps.input_slots[index]) for index in plan.versioned_inputs]
            tell = self._memory.hold(_increment_all)
            self._table.add("tell_python", 0, tell, self._memory.words(slots), len(slots))
        for number, output in enumerate(plan.outputs):
            described = self._memory.words(self._output_words(number, output))
            self._table.add("make_output", 0, described, offset_of(number))

    # Steps.

    def _is_native(self, step: RunKernel | CallExtern | Release) -> bool:
        """Tell whether a step needs no Python, unless it is to raise."""
        is_call = isinstance(step, CallExtern) and step.kind is not ExternKind.CHECK
        return not is_call or self._shims[id(step)] is not None

    def _is_long(self, step: RunKernel | CallExtern | Release) -> bool:
        match step:
            case RunKernel():
                return self._plan.is_long
            case CallExtern():
                return step.is_long
            case Release():
                return False
            case _:
                assert_never(step)

    def _may_switch_threads(self) -> bool:
        return any(self._is_long(step) or not self._is_native(step) for step in self._plan.steps)

    def _add_steps(self) -> None:
        kernel = 0
        is_released = False
        steps = self._plan.steps
        starts_long = self._long_stretches()
        for position, step in enumerate(steps):
            is_native = self._is_native(step)
            if is_released and not is_native:
                self._table.add("take_lock_step", 0)
                is_released = False
            if not is_released and is_native and starts_long[position]:
                self._table.add("release_lock", 0)
                is_released = True
            match step:
                case RunKernel():
                    self._add_kernel(step, kernel)
                    kernel += 1
                case CallExtern():
                    self._add_extern(step)
                case Release(buffer):
                    self._table.add("release", 0, offset_of(buffer))
                case _:
                    assert_never(step)
        if is_released:
            self._table.add("take_lock_step", 0)

    def _long_stretches(self) -> list[bool]:
        """For each step: whether a long one comes with it or after it, before the next that needs the lock."""
        found: list[bool] = []
        is_long = False
        for step in reversed(self._plan.steps):
            is_long = self._is_native(step) and (is_long or self._is_long(step))
            found.append(is_long)
        return found[::-1]

    def _add_kernel(self, step: RunKernel, number: int) -> None:
        address = self._code.address(self._plan.kernels[step.kernel].symbol)
        self._table.add("run_kernel", 0, address, offset_of(self.contexts.params_start[number]))

    def _add_allocation(self, number: int, buffer: Buffer) -> None:
        device_type = self._library.aoti_torch_device_type_cpu()
        head = [
            dtype_number(self._library, buffer.dtype.torch_dtype),
            device_type,
            0,
            len(buffer.shape),
        ]
        extents = (*buffer.shape, *buffer.strides)
        by_python = self._memory.hold(functools.partial(_make_empty, self._plan, buffer))
        rest = (by_python, buffer.dtype.size_bytes)
        if is_static(extents):
            words = self._memory.words(
                [*head, *(int(dim) for dim in extents if isinstance(dim, int))]
            )
            is_large = size_bytes_of(buffer, {}) >= LARGE_BYTES
            step = "allocate_in_python" if is_large else "allocate"
            self._table.add(step, 0, offset_of(number), words, *rest)
            return
        codes = [self._memory.words(encode_dim(dim, self._positions)) for dim in extents]
        words = self._memory.words([*head, *codes])
        self._table.add("allocate_symbolic", 0, offset_of(number), words, *rest)

    # Extern calls.

    def _python_operands(self, step: CallExtern) -> list[int]:
        call, tensors = self._calls[id(step)]
        offsets = [offset_of(self._tensor_numbers[tensor]) for tensor in tensors]
        outs = self._kept_results(step)
        return [
            self._hold_call(call),
            self._memory.words(offsets),
            len(offsets),
            self._memory.words(outs),
            len(outs) // 2,
        ]

    def _hold_call(self, call: PythonCall) -> int:
        return self._memory.hold(call)

    def _kept_results(self, step: CallExtern) -> list[int]:
        if step.kind is not ExternKind.FUNCTIONAL:
            return []
        return [
            word
            for out in step.outs
            if out is not None
            for word in (offset_of(out.buffer), out.dtype.size_bytes)
        ]

    def _add_extern(self, step: CallExtern) -> None:
        found = self._shims[id(step)]
        by_python = self._python_operands(step)
        if step.kind is ExternKind.CHECK:
            (flag,) = iter_tensor_args(step.args[0])
            self._table.add("call_python_if", 0, *by_python, offset_of(flag.buffer))
            return
        if found is None:
            self._table.add("call_python", 0, *by_python)
            return
        shim, address = found
        out = step.outs[0]
        layout: list[Dim] = []
        if out is not None and "r" in shim.signature:
            layout = [len(out.shape), *out.shape, *out.strides]
        described = self._memory.words(
            [*by_python, *(dim for dim in layout if isinstance(dim, int))]
        )
        operands = self._memory.words(self._shim_operands(step, shim))
        self._table.add(shim_step_name(shim.signature), 0, address, operands, described)

    def _shim_operands(self, step: CallExtern, shim: Shim) -> list[int]:
        bound = bind_arguments(step)
        operands: list[int] = []
        for letter, name in zip(shim.signature, shim.arguments, strict=False):
            operands += self._shim_operand(letter, bound[name])
        return operands

    def _shim_operand(self, letter: str, arg: ExternArg) -> list[int]:
        if isinstance(arg, TensorArg):
            return [offset_of(self._tensor_numbers[arg])]
        values = [_number(item) for item in arg.items] if isinstance(arg, TupleArg) else []
        match letter:
            case "o":
                return [_ABSENT]
            case "L":
                return [self._memory.words(int(value or 0) for value in values), len(values)]
            case "p":
                value = _number(arg)
                return [0 if value is None else self._memory.words([double_bits(float(value))])]
            case "d":
                return [double_bits(float(_number(arg) or 0))]
            case _:
                return [int(_number(arg) or 0)]

    # Outputs and result.

    def _output_words(self, number: int, output: PlanOutput) -> list[int]:
        slots = self._steps.input_slots
        match output:
            case NewOutput(buffer, meta):
                if self._is_relaid(number, output):
                    return self._relaid_words(buffer, meta)
                return [OutputKind.NEW, offset_of(buffer)]
            case InputOutput(index):
                return [OutputKind.INPUT, offset_of(slots[index])]
            case ViewOfInput(index):
                by_python = self._memory.hold(_view_maker(self._plan, output))
                return [OutputKind.VIEW_OF_INPUT, offset_of(slots[index]), by_python]
            case ViewOfOutput(index):
                by_python = self._memory.hold(_view_maker(self._plan, output))
                return [OutputKind.VIEW_OF_OUTPUT, offset_of(index), by_python]
            case _:
                assert_never(output)

    def _is_relaid(self, number: int, output: NewOutput) -> bool:
        if not is_buffer_itself(self._plan.buffers[output.buffer], output.meta):
            return True
        later = self._plan.outputs[number + 1 :]
        return any(isinstance(o, NewOutput) and o.buffer == output.buffer for o in later)

    def _relaid_words(self, buffer: int, meta: TensorMeta) -> list[int]:
        if self._plan.buffers[buffer].dtype is not meta.dtype:
            message = "an output shows its buffer as numbers of another dtype"
            raise NativeRefusal(message)
        extents = (*meta.shape, *meta.strides, meta.offset)
        if not is_static(extents):
            message = "an output of symbolic layout differs from its buffer's layout"
            raise NativeRefusal(message)
        numbers = [int(dim) for dim in extents if isinstance(dim, int)]
        layout = self._memory.words([len(meta.shape), numbers[-1], *numbers[:-1]])
        return [OutputKind.RELAID, offset_of(buffer), layout]


def result_words(
    program: Program, steps: GuardSteps, pins: PinTable, memory: Memory
) -> tuple[str, int] | None:
    """Give the native function that makes the result, and what it works by; None when Python makes it."""
    if program.effects or program.built or program.ends_at is not None:
        return None
    match program.result:
        case FromOutput(index):
            return "finish_with_output", offset_of(index)
        case BuildTuple(items, None) if all(map(_is_simple, items)):
            words = [len(items)]
            for item in items:
                words += _item_words(item, steps, pins, memory)
            return "finish_with_tuple", memory.words(words)
        case _:
            return None


def _is_simple(recipe: Recipe) -> bool:
    match recipe:
        case FromOutput() | FromSource():
            return True
        case FromConstant(value):
            return not isinstance(value, EnumConst) and not hasattr(value, "items")
        case _:
            return False


def _item_words(
    recipe: Recipe, steps: GuardSteps, pins: PinTable, memory: Memory
) -> tuple[int, int]:
    match recipe:
        case FromOutput(index):
            return ItemKind.OUTPUT, offset_of(index)
        case FromSource(source):
            number = steps.recipe_sources.index(source)
            return ItemKind.SLOT, offset_of(steps.recipe_slots[number])
        case FromConstant(value):
            return ItemKind.OBJECT, memory.hold(make_object(value, pins.objects))
        case _:
            message = f"{type(recipe).__name__} is made by Python"
            raise NativeRefusal(message)


def double_bits(value: float) -> int:
    """Give the bits of a float as an int."""
    bits: int = struct.unpack("=q", struct.pack("=d", value))[0]
    return bits


def _number(arg: ExternArg) -> Any:
    return getattr(arg, "value", None)


def _symbols_of(plan: Plan, values: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(plan.symbols, values, strict=True))


def _make_empty(plan: Plan, buffer: Buffer, values: tuple[int, ...]) -> torch.Tensor:
    symbols = _symbols_of(plan, values)
    shape = [evaluate_dim(dim, symbols) for dim in buffer.shape]
    strides = [evaluate_dim(dim, symbols) for dim in buffer.strides]
    dtype, size_bytes = buffer.dtype.torch_dtype, size_bytes_of(buffer, symbols)
    if size_bytes < LARGE_BYTES:
        return torch.empty_strided(shape, strides, dtype=dtype)
    return KEPT_MEMORY.empty_strided(shape, strides, dtype, size_bytes)


def _view_maker(
    plan: Plan, output: ViewOfInput | ViewOfOutput
) -> Callable[[torch.Tensor, tuple[int, ...]], torch.Tensor]:
    """Give what makes an output of its base and the sizes; a layout that depends on none is worked out here."""
    meta, kind, dtype = output.meta, output.kind, output.meta.dtype.torch_dtype
    is_of_detached = output.is_of_detached

    def layout_of(symbols: Mapping[str, int]) -> tuple[list[int], list[int], int]:
        shape = [evaluate_dim(dim, symbols) for dim in meta.shape]
        strides = [evaluate_dim(dim, symbols) for dim in meta.strides]
        return shape, strides, evaluate_dim(meta.offset, symbols)

    is_fixed = is_static((*meta.shape, *meta.strides, meta.offset))
    fixed = layout_of({}) if is_fixed else None

    def make(base: torch.Tensor, values: tuple[int, ...]) -> torch.Tensor:
        shape, strides, offset = fixed or layout_of(_symbols_of(plan, values))
        base = base.detach() if is_of_detached else base
        return view_as(kind, base, dtype, shape, strides, offset)

    return make


def _increment_all(*tensors: torch.Tensor) -> None:
    increment_versions(tensors)
