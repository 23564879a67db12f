"""What one call at a time uses of an entry: memory for intermediate values, tensors over it, parameters of kernels.

In: a `Plan`, the tensors that its extern calls take, its constants.   Out: `CallContext`, whose record native code works on.
Keeps: tensors over memory whose address changes from call to call (inputs, outputs) are made once; a *cell* is the word that
holds such an address, in a kernel's parameters or in a tensor's storage, and native code writes it when the address changes.
For size symbols that changed, the tensors are made anew.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch

from graphwright.base.errors import InternalError
from graphwright.ir.dims import evaluate_dim
from graphwright.ir.plan import ArenaPlace, Buffer, ConstantPlace, Plan, RunKernel, TensorArg
from graphwright.runtime.native.layout import Layout, dtype_number, torch_library
from graphwright.runtime.native.memory import Memory, offset_of, write_word
from graphwright.runtime.native.module import external_address
from graphwright.runtime.native.records import WORD, Context
from graphwright.runtime.plan_code import is_static
from graphwright.runtime.tensors import ALIGNMENT_BYTES, make_arena

_NEVER_MADE: Final = -(2**63)


@functools.cache
def _blob_maker() -> Any:
    function = torch_library("torch_cpu").aoti_torch_create_tensor_from_blob_v2
    pointer, number, small = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    function.argtypes = [
        *(pointer, number, pointer, pointer, number, small, small, small, pointer, small),
        *(pointer, number),
    ]
    function.restype = ctypes.c_int32
    return function


@functools.cache
def _wrapper() -> Any:
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(
        external_address("THPVariable_Wrap")
    )


def tensor_over(
    address: int, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int]
) -> torch.Tensor:
    """Give a tensor over memory that somebody else owns.

    Raises:
        InternalError: torch refuses to make it.
    """
    library = torch_library("torch_cpu")
    sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    steps = (ctypes.c_int64 * max(len(strides), 1))(*strides)
    handle = ctypes.c_void_p()
    error = _blob_maker()(
        *(address, len(shape), ctypes.addressof(sizes), ctypes.addressof(steps), 0),
        *(dtype_number(library, dtype), library.aoti_torch_device_type_cpu(), 0),
        *(ctypes.addressof(handle), library.aoti_torch_layout_strided(), None, 0),
    )
    if error:
        message = f"no tensor of {dtype} {tuple(shape)} can be made over memory"
        raise InternalError(message)
    made: torch.Tensor = _wrapper()(handle.value)
    library.aoti_torch_delete_tensor_object(handle)
    return made


@final
class ContextPlan:
    """What all contexts of an entry have in common.

    Args:
        plan: the plan.
        tensors: the tensors that extern calls take, by number.
        constants: the plan's constants.
        layout: where things are.
    """

    def __init__(
        self,
        plan: Plan,
        tensors: Mapping[TensorArg, int],
        constants: Sequence[torch.Tensor],
        layout: Layout,
    ) -> None:
        self.plan: Final = plan
        self.tensors: Final = tuple(tensors)
        self.constants: Final = constants
        self.layout: Final = layout
        self.kernels: Final = [step for step in plan.steps if isinstance(step, RunKernel)]
        starts: list[int] = []
        count = 0
        for step in self.kernels:
            starts.append(count)
            count += len(step.buffers)
        self.num_params: Final = count
        self.params_start: Final = tuple(starts)
        """For each kernel that is run, in order: where its parameters begin."""


@final
class CallContext:
    """The memory and tensors of one call at a time.

    Args:
        common: what all contexts of the entry have in common.
    """

    def __init__(self, common: ContextPlan) -> None:
        self._common = common
        self._memory = Memory()
        plan = common.plan
        num_buffers = len(plan.buffers)
        self._record = self._memory.writable(Context.SIZE // WORD)
        self._buffers = self._memory.writable(num_buffers)
        self._params = self._memory.writable(common.num_params)
        self._symbols = self._memory.writable(len(plan.symbols))
        self._owners = self._memory.writable(num_buffers)
        self._arena: torch.Tensor | None = None
        self._tensors: list[torch.Tensor] = []
        self._tables: Memory = Memory()
        self._symbol_values: tuple[int, ...] = ()
        self._rebuild = self.rebuild
        for index in range(len(plan.symbols)):
            self._symbols[index] = _NEVER_MADE
        self._set(Context.BUFFERS, ctypes.addressof(self._buffers))
        self._set(Context.OWNERS, ctypes.addressof(self._owners))
        self._set(Context.PARAMS, ctypes.addressof(self._params))
        self._set(Context.SYMBOLS, ctypes.addressof(self._symbols))
        self._set(Context.REBUILD, id(self._rebuild))
        self._set(Context.SYMBOLS_OBJECT, id(self._symbol_values))
        if not plan.symbols:
            self.rebuild(())

    @property
    def address(self) -> int:
        """The address of the record."""
        return ctypes.addressof(self._record)

    def _set(self, field: Context, value: int) -> None:
        write_word(self.address + field, value)

    def release(self) -> None:
        """Stop holding itself; native code does not ask for a rebuild any more."""
        del self._rebuild

    def rebuild(self, values: tuple[int, ...]) -> None:
        """Make the tensors, and place the intermediate values, for these values of the plan's size symbols."""
        common, plan = self._common, self._common.plan
        symbols = dict(zip(plan.symbols, values, strict=True))
        places = self._place_arena(symbols)
        tables = Memory()
        blank = tables.writable(ALIGNMENT_BYTES // WORD)
        with torch.inference_mode(mode=False):
            made = [
                tensor_over(
                    ctypes.addressof(blank),
                    arg.dtype.torch_dtype,
                    [evaluate_dim(dim, symbols) for dim in arg.shape],
                    [evaluate_dim(dim, symbols) for dim in arg.strides],
                )
                for arg in common.tensors
            ]
        self._write_cells(tables, made, symbols)
        slot = common.layout.tensor_impl
        self._set(Context.TENSORS, tables.words([id(tensor) + slot for tensor in made]))
        self._set(Context.OBJECTS, tables.words([id(tensor) for tensor in made]))
        self._set(Context.SYMBOLS_OBJECT, id(values))
        # The old tensors and tables go when the new ones are in place.
        self._tensors, self._tables, self._symbol_values = made, tables, values
        self._symbols[: len(values)] = list(values)
        for number, place in places.items():
            self._set_buffer(number, place)

    def _place_arena(self, symbols: Mapping[str, int]) -> dict[int, int]:
        """Give the base pointers of the buffers that stay where they are from call to call."""
        plan, constants = self._common.plan, self._common.constants
        end = plan.arena_bytes
        offsets: dict[int, int] = {}
        for number, buffer in enumerate(plan.buffers):
            match buffer.place:
                case ArenaPlace(offset_bytes) if is_static((*buffer.shape, *buffer.strides)):
                    offsets[number] = offset_bytes
                case ArenaPlace():
                    offsets[number] = end
                    end += _aligned(size_bytes_of(buffer, symbols))
                case _:
                    pass
        if self._arena is None or self._arena.numel() < end:
            with torch.inference_mode(mode=False):
                self._arena = make_arena(end)
        base = self._arena.data_ptr()
        places = {number: base + offset for number, offset in offsets.items()}
        for number, buffer in enumerate(plan.buffers):
            if isinstance(buffer.place, ConstantPlace):
                places[number] = constants[buffer.place.index].data_ptr()
        return places

    def _write_cells(
        self, tables: Memory, made: Sequence[torch.Tensor], symbols: Mapping[str, int]
    ) -> None:
        common = self._common
        cells: list[list[tuple[int, int]]] = [[] for _ in common.plan.buffers]
        params = ctypes.addressof(self._params)
        for step, start in zip(common.kernels, common.params_start, strict=True):
            offsets = step.offsets_bytes or (0,) * len(step.buffers)
            for index, (buffer, offset) in enumerate(zip(step.buffers, offsets, strict=True)):
                cells[buffer].append((params + offset_of(start + index), offset))
        for arg, tensor in zip(common.tensors, made, strict=True):
            cell = tensor.untyped_storage()._cdata + common.layout.data  # noqa: SLF001
            offset = evaluate_dim(arg.offset, symbols) * arg.dtype.size_bytes
            cells[arg.buffer].append((cell, offset))
        self._cells = cells
        lists: list[int] = []
        for found in cells:
            lists += (tables.words(number for cell in found for number in cell), len(found))
        self._set(Context.CELLS, tables.words(lists))
        for number in range(len(cells)):
            self._buffers[number] = 0

    def _set_buffer(self, number: int, base: int) -> None:
        self._buffers[number] = base
        for cell, offset in self._cells[number]:
            write_word(cell, base + offset)


def size_bytes_of(buffer: Buffer, symbols: Mapping[str, int]) -> int:
    """Give the bytes that a buffer needs for these values of the size symbols."""
    extents = [evaluate_dim(dim, symbols) for dim in buffer.shape]
    if 0 in extents:
        return 0
    strides = (evaluate_dim(dim, symbols) for dim in buffer.strides)
    last = sum((extent - 1) * step for extent, step in zip(extents, strides, strict=True))
    return (last + 1) * buffer.dtype.size_bytes


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
