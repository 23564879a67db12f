"""What a program gets from its call: the graph's inputs, and the numbers that are not fixed.

In: tensors, ints and floats as the interpreter meets them, each with its source.   Out: stand-ins, guards, and the lists of inputs
that the program is made of.
Keeps: one input for each source; a float becomes an input when an op needs it, for calculations are made before the graph runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from graphwright.capture.input_names import input_name
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.number_sources import source_of_dim
from graphwright.capture.options import CaptureOptions
from graphwright.capture.symbolic_ints import SYMBOLIC_INTS
from graphwright.ir.aten import TensorMeta
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.ir.guards import ConstantGuard, StorageOffsetGuard, TensorGuard, TypeGuard
from graphwright.ir.program import SymbolBinding
from graphwright.ir.sources import FloatTensorSource, SizeSource, Source
from graphwright.record import (
    AbstractTensor,
    Number,
    Recorder,
    SymbolicNumber,
    dim_of,
    hint_of,
    number_of,
    to_extent,
)
from graphwright.runtime import make_float_tensor


class GraphInputs:
    """The graph's inputs, as tensors are met."""

    def __init__(self, options: CaptureOptions) -> None:
        self.tensors: list[torch.Tensor] = []
        self.sources: list[Source] = []
        self.guard_positions: list[int | None] = []
        """The number of each input's guard; None for one that holds a float."""
        self.dims: list[Mapping[int, str]] = []
        self.ints: list[SymbolBinding] = []
        self.is_over = False
        """The graph gets no more inputs."""
        self._floats: dict[Source, AbstractTensor] = {}
        """The inputs that hold floats, by their sources."""
        self.names: dict[str, int] = {}
        self.options = options
        self.machine: Machine
        self.recorder: Recorder

    def add(self, tensor: torch.Tensor, source: Source) -> torch.Tensor:
        """Make an input of a tensor met at `source`, and give its stand-in."""
        # A model has hundreds of parameters, and looking at one takes some thirty calls: torch need not show each to the recorder.
        with self.recorder.paused(), torch._C.DisableTorchFunction():  # noqa: SLF001
            return self._add(tensor, source)

    def _add(self, tensor: torch.Tensor, source: Source) -> torch.Tensor:
        self._check(tensor)
        guards = self.machine.guards
        self.guard_positions.append(len(guards.guards))
        guards.add(TensorGuard(source, _meta(tensor), guards.pin(type(tensor)), guards.locate()))
        dims = self.options.dynamic_dims(tensor, source)
        self.machine.has_symbols |= bool(dims)
        for dim, own in dims.items():
            low, high = self.options.symbol_ranges.get(own, (2, None))
            self.recorder.new_symbol(own, tensor.shape[dim], minimum=low, maximum=high)
        name = self._append(tensor, source, dims)
        return self.recorder.add_input(tensor, name=name, dynamic_dims=dims)

    def _append(self, tensor: torch.Tensor, source: Source, dims: Mapping[int, str]) -> str:
        """Append an input to the lists, and give it a name."""
        self.tensors.append(tensor)
        self.sources.append(source)
        self.dims.append(dims)
        name = input_name(source)
        count = self.names[name] = self.names.get(name, -1) + 1
        return f"{name}_{count}" if count else name

    def of_the_call(self) -> list[int]:
        """Give the numbers of the inputs that existed before the call."""
        return [i for i, position in enumerate(self.guard_positions) if position is not None]

    def place_of(self, index: int) -> int | None:
        """Give where in its memory input `index` begins, in bytes, and guard it; None for what is no input of the program."""
        if index >= len(self.tensors):
            return None
        tensor, guards = self.tensors[index], self.machine.guards
        with self.recorder.paused():
            offset = int(tensor.storage_offset())
        if guards.once(("storage offset", index)):
            guards.add(StorageOffsetGuard(self.sources[index], offset, guards.locate()))
        return offset * tensor.itemsize

    def int_symbol(self, value: int, source: Source) -> str | None:
        """Give the name of the symbol that an int met at `source` becomes, or None."""
        return self.options.dynamic_ints(value, source)

    def add_int(self, value: int, source: Source, name: str) -> int | torch.SymInt:
        """Make the int met at `source` the symbol `name`, and give its stand-in."""
        guards = self.machine.guards
        guards.add(TypeGuard(source, guards.pin(int), guards.locate()))
        self.ints.append(SymbolBinding(name, source, None))
        self.machine.has_symbols = True
        return self.recorder.new_symbol(
            name, value, minimum=SYMBOLIC_INTS.start, maximum=SYMBOLIC_INTS.stop - 1
        )

    def is_open(self, value: float, source: Source) -> bool:
        """Tell whether a float met at `source` is not fixed."""
        return self.options.is_open(value, source)

    def add_float(self, value: float, source: Source) -> torch.SymFloat:
        """Leave the float met at `source` open, and give its stand-in."""
        guards = self.machine.guards
        guards.add(TypeGuard(source, guards.pin(float), guards.locate()))
        self.machine.has_symbols = True
        return self.recorder.new_float(SymbolicNumber(value, source, self._guard_number))

    def number_of(self, value: Any) -> Number:
        """Give the number for one as the interpreter holds it."""
        if type(value) is not torch.SymInt:
            return number_of(value)
        extent = to_extent(value)
        if isinstance(extent, int):
            return extent
        source = source_of_dim(dim_of(extent), self._sources_of_symbols())
        return SymbolicNumber(hint_of(extent), source, self._guard_number)

    def sample_of(self, value: Any) -> Any:
        """Give what a number that is not fixed is in this call, without a guard; `ABSENT` for one that is."""
        if type(value) is torch.SymInt:
            extent = to_extent(value)
            return ABSENT if isinstance(extent, int) else hint_of(extent)
        if type(value) is torch.SymFloat:
            number = number_of(value)
            return number.value if isinstance(number, SymbolicNumber) else ABSENT
        return ABSENT

    def _sources_of_symbols(self) -> dict[str, Source]:
        sources: dict[str, Source] = {binding.symbol: binding.source for binding in self.ints}
        for tensor, dims in zip(self.sources, self.dims, strict=True):
            for dim, name in dims.items():
                sources.setdefault(name, SizeSource(tensor, dim))
        return sources

    def _guard_number(self, source: Source, value: bool | float) -> None:  # noqa: FBT001  (a value, no switch)
        guards = self.machine.guards
        if guards.once(("number", source)):
            guards.add(ConstantGuard(source, guards.constant(value), guards.locate()))

    def float_input(self, number: SymbolicNumber) -> AbstractTensor | None:
        """Give the input that holds a number; None where there is none and it is too late for one."""
        source = FloatTensorSource(number.source)
        known = self._floats.get(source)
        if known is None and not self.is_over:
            with self.recorder.paused():
                tensor = make_float_tensor(number.value)
            self.guard_positions.append(None)
            name = self._append(tensor, source, {})
            known = self._floats[source] = self.recorder.add_float_input(number, name=name)
        return known

    def _check(self, tensor: torch.Tensor) -> None:
        if type(tensor) is AbstractTensor:
            msg = "a tensor of another capture"
            raise self.machine.unsupported(
                msg,
                why="it has no data",
                remedy="do not keep tensors of a compiled function in global state",
            )
        is_ordinary = type(tensor) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
        if not is_ordinary or tensor.layout is not torch.strided or tensor.dtype not in FROM_TORCH:
            msg = f"a tensor of type {type(tensor).__name__}, layout {tensor.layout}, dtype {tensor.dtype}"
            raise self.machine.unsupported(
                msg,
                why="only strided tensors of PyTorch's own classes and ordinary dtypes are captured",
                remedy="convert it before the call",
            )
        if tensor.is_conj() or tensor.is_neg() or tensor.is_nested:
            msg = "a tensor with a pending conjugation or negation, or a nested tensor"
            raise self.machine.unsupported(
                msg,
                why="such tensors are not captured",
                remedy="call resolve_conj() or resolve_neg(), or pad the nested tensor",
            )


def _meta(tensor: torch.Tensor) -> TensorMeta:
    return TensorMeta(
        dtype=FROM_TORCH[tensor.dtype],
        shape=tuple(tensor.shape),
        strides=tuple(tensor.stride()),
        device=str(tensor.device),
        offset=int(tensor.storage_offset()),
        requires_grad=tensor.requires_grad,
    )
