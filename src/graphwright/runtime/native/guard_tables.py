"""The guards of a program as a table of native steps.

In: a `Program`, its `GuardSteps`, the live pins.   Out: a `StepTable` and what the frame must have room for.
Keeps: the order of the steps, so that the first guard to fail is the one that the Python form names.
"""

from __future__ import annotations

import array
import ctypes
import functools
import math
import struct
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, assert_never, final

import torch

from graphwright.ir.aten import TensorMeta
from graphwright.ir.constants import make_object
from graphwright.ir.dtypes import DType
from graphwright.ir.guards import (
    AttrAbsentGuard,
    CodeGuard,
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    DistinctTensorsGuard,
    FrozenGuard,
    GlobalStateGuard,
    IdentityGuard,
    LengthGuard,
    NoOverlapGuard,
    SameObjectGuard,
    ShapeGuard,
    StorageOffsetGuard,
    TensorGuard,
    TypeAttrAbsentGuard,
    TypeGuard,
)
from graphwright.ir.program import Program
from graphwright.ir.sources import (
    AnswerSource,
    ArgSource,
    ArrayTensorSource,
    AttrSource,
    CalculatedSource,
    ClosureSource,
    Constant,
    DefaultSource,
    DictKeySource,
    DictValueSource,
    EllipsisConst,
    FloatConst,
    FloatTensorSource,
    GlobalsSource,
    ImportSource,
    InstanceDictSource,
    ItemSource,
    KwargSource,
    KwDefaultSource,
    MadeSource,
    ModuleDictSource,
    NotImplementedConst,
    NumberSource,
    PinSource,
    PlainConst,
    SizeSource,
    Source,
    TargetSource,
    TorchConst,
    TorchConstKind,
    TypeAttrSource,
    TypeSource,
)
from graphwright.runtime.calculating import CALCULATIONS, make_float_tensor, size_at
from graphwright.runtime.checks import TensorCheck, has_key, has_keys, is_constant
from graphwright.runtime.frozen import FrozenTensors
from graphwright.runtime.guard_steps import (
    BindExtent,
    BindInt,
    Check,
    CheckExtent,
    Evaluate,
    ExtentKind,
    GuardStep,
    GuardSteps,
)
from graphwright.runtime.native.expressions import Positions, encode_dim, encode_shape_guard
from graphwright.runtime.native.layout import (
    NOT_FOUND,
    Layout,
    LayoutError,
    dtype_number,
    frozen_facts,
    torch_library,
)
from graphwright.runtime.native.memory import Memory, StepTable, address_of, offset_of
from graphwright.runtime.native.records import ANY_EXTENT, STEP_WORDS
from graphwright.runtime.native.state_tables import StateTables
from graphwright.runtime.pins import UNBOUND, PinTable
from graphwright.runtime.reading import (
    MISSING,
    ask,
    builtin_length,
    read_item,
    read_key,
    read_value,
    view_array,
)

ANY_TENSOR: Final = -1
"""Instead of a pin, in a guard that is never stored: a tensor of any type, whether it requires grad or not."""
_NO_INDEX: Final = -(2**63)
_FEWEST_SEEN: Final = 8
_SINGLETONS: Final = (TorchConstKind.DTYPE, TorchConstKind.LAYOUT, TorchConstKind.MEMORY_FORMAT)


@final
class PinCells:
    """The addresses of live pins, as words that native code reads; 0 for a pin that is not bound yet.

    Args:
        pins: the pins; they tell of each that is bound later.
    """

    def __init__(self, pins: PinTable) -> None:
        self._words = (ctypes.c_int64 * max(len(pins.objects), 1))()
        for number, pinned in enumerate(pins.objects):
            if pinned is not UNBOUND:
                self._set(number, pinned)
        pins.on_bind = self._set

    def _set(self, number: int, value: object) -> None:
        self._words[number] = id(value)

    def address(self, number: int) -> int:
        """Give the address of a pin's word."""
        return ctypes.addressof(self._words) + offset_of(number)


@final
class GuardTables:
    """Turns guards into native steps.

    Args:
        program: the program.
        steps: its guards, lowered.
        pins: its live pins.
        target: the compiled object.
        cells: addresses of the live pins, shared by all tables of the entry.
        memory: what holds the objects and arrays.
        table: the steps.
        layout: where things are.
        positions: where a frame keeps each size symbol.
    """

    def __init__(  # noqa: PLR0913  (all of them are parts of one entry)
        self,
        program: Program,
        steps: GuardSteps,
        pins: PinTable,
        target: object,
        *,
        cells: PinCells,
        frozen: FrozenTensors | None,
        memory: Memory,
        table: StepTable,
        layout: Layout,
        positions: Positions,
    ) -> None:
        self._program = program
        self._frozen = frozen
        self._steps = steps
        self._pins = pins
        self._target = target
        self._memory = memory
        self._table = table
        self._layout = layout
        self._positions = positions
        self._states = StateTables(table, memory)
        self._dtype_of_slot: dict[int, DType] = {}
        self._known_steps: list[int] = []
        self.num_owned = 0
        """Objects that the frame may have to drop."""
        self._cells = cells

    def add_all(self) -> None:
        """Append every step."""
        for step in self._steps.steps:
            self.add_step(step)

    def finish(self, owner: object) -> int:
        """Give the address of the table; what it comes to hold is dropped with `owner`."""
        table = self._table.finish()
        if self._known_steps:
            places = [number * STEP_WORDS + 3 for number in self._known_steps]
            # Not the memory that holds the table: it holds the owner, too.
            weakref.finalize(owner, _drop_known, table, places)
        return address_of(table)

    def add_step(self, step: GuardStep) -> None:
        """Append one step."""
        match step:
            case Evaluate():
                self._add_source(step)
            case Check():
                self._add_guard(step)
            case BindExtent(symbol, slot, dim):
                place = self._symbol_offset(symbol)
                self._table.add("bind_extent", 0, place, offset_of(slot), offset_of(dim))
            case BindInt(guard, symbol, slot):
                self._table.add("bind_int", guard, self._symbol_offset(symbol), offset_of(slot))
            case CheckExtent(guard, slot, dim, kind, value):
                code = self._memory.words(encode_dim(value, self._positions))
                is_stride = int(kind is ExtentKind.STRIDE)
                self._table.add(
                    "check_extent", guard, offset_of(slot), offset_of(dim), is_stride, code
                )
            case _:
                assert_never(step)

    def _symbol_offset(self, symbol: int) -> int:
        return offset_of(self._positions[self._steps.symbols[symbol]])

    # Sources.

    def _add_source(self, step: Evaluate) -> None:
        function, operands = self._source_operands(step.source)
        bases = map(offset_of, step.bases)
        self._table.add(function, step.guard, offset_of(step.slot), *bases, *operands)
        if not isinstance(step.source, _HELD_ELSEWHERE) and function not in _OWNING:
            self.num_owned += 1
            self._table.add("own_slot", step.guard, offset_of(step.slot))

    def _source_operands(  # noqa: C901  (one arm for each case of a closed union)
        self, source: Source
    ) -> tuple[str, tuple[int, ...]]:
        match source:
            case TargetSource():
                return "read_object", (self._memory.hold(self._target),)
            case ArgSource(index):
                return "read_arg", (offset_of(index),)
            case KwargSource(name):
                pattern = self._program.pattern
                index = pattern.num_positional + pattern.keywords.index(name)
                return "read_arg", (offset_of(index),)
            case ImportSource(module):
                return "read_entry", (id(sys.modules), self._name(module))
            case ModuleDictSource(module):
                return "read_module_dict", (id(sys.modules), self._name(module))
            case PinSource(pin):
                return "read_pin", (self._cells.address(pin),)
            case GlobalsSource():
                return "read_globals", ()
            case ClosureSource(_, index):
                self.num_owned += 1
                return "read_closure", (index,)
            case DefaultSource(_, index):
                return "read_default", (index,)
            case KwDefaultSource(_, name):
                return "read_kw_default", (self._name(name),)
            case (
                NumberSource()
                | SizeSource()
                | CalculatedSource()
                | AnswerSource()
                | FloatTensorSource()
                | ArrayTensorSource()
            ):
                return self._made_operands(source)
            case _:
                return self._part_operands(source)

    def _made_operands(
        self,
        source: MadeSource,
    ) -> tuple[str, tuple[int, ...]]:
        match source:
            case NumberSource(value):
                return "read_object", (self._memory.hold(self._constant(value)),)
            case SizeSource(_, dim):
                self.num_owned += 1
                function = self._memory.hold(functools.partial(size_at, dim))
                return "calculate_of_1", (function, id(MISSING))
            case CalculatedSource(operation, operands):
                self.num_owned += 1
                function = self._memory.hold(CALCULATIONS[operation])
                return f"calculate_of_{len(operands)}", (function, id(MISSING))
            case AnswerSource(_, args):
                self.num_owned += 1
                function = self._memory.hold(
                    functools.partial(ask, list(map(self._constant, args)))
                )
                return "calculate_of_1", (function, id(MISSING))
            case FloatTensorSource():
                self.num_owned += 1
                return "calculate_of_1", (self._memory.hold(make_float_tensor), id(MISSING))
            case ArrayTensorSource():
                self.num_owned += 1
                return "calculate_of_1", (self._memory.hold(view_array), id(MISSING))
            case _:
                assert_never(source)

    def _part_operands(
        self,
        source: AttrSource
        | InstanceDictSource
        | TypeSource
        | TypeAttrSource
        | ItemSource
        | DictKeySource
        | DictValueSource,
    ) -> tuple[str, tuple[int, ...]]:
        match source:
            case AttrSource(_, name):
                self.num_owned += 1
                return "read_attr", (self._name(name),)
            case InstanceDictSource():
                self.num_owned += 1
                return "read_instance_dict", ()
            case TypeSource():
                return "read_type", ()
            case TypeAttrSource(_, name):
                return "read_type_attr", (self._name(name),)
            case ItemSource(_, key):
                self.num_owned += 1
                value = self._constant(key)
                index = value if type(value) is int and abs(value) < -_NO_INDEX else _NO_INDEX
                reader, missing = self._memory.hold(read_item), id(MISSING)
                return "read_item", (self._memory.hold(value), index, reader, missing)
            case DictKeySource(_, index):
                return "read_nth", (index, 0, *self._nth_reader(read_key, index))
            case DictValueSource(_, index):
                return "read_nth", (index, 1, *self._nth_reader(read_value, index))
            case _:
                assert_never(source)

    def _nth_reader(self, read: Callable[[object, int], object], index: int) -> tuple[int, int]:
        self.num_owned += 1
        return self._memory.hold(lambda base: read(base, index)), id(MISSING)

    def _name(self, text: str) -> int:
        return self._memory.hold(sys.intern(text))

    def _constant(self, constant: Constant) -> Any:
        value = make_object(constant, self._pins.objects)
        return sys.intern(value) if type(value) is str else value

    def _pin(self, pin: int) -> tuple[int, int]:
        return self._cells.address(pin), self._memory.hold(pin)

    # Guards.

    def _add_guard(self, step: Check) -> None:
        guard = self._program.guards[step.guard]
        slots = [offset_of(slot) for slot in step.slots]
        match guard:
            case SameObjectGuard():
                self._table.add("check_same", step.guard, slots[0], slots[1])
            case DistinctTensorsGuard():
                self._add_distinct(step.guard, slots)
            case FrozenGuard():
                self._add_unchanged(step.guard, slots)
            case NoOverlapGuard():
                self._add_apart(step.guard, guard, step.slots)
            case GlobalStateGuard():
                self._states.add(step.guard, guard)
            case ShapeGuard():
                code = self._memory.words(encode_shape_guard(guard, self._positions))
                self._table.add("check_shape", step.guard, code)
            case StorageOffsetGuard(_, offset):
                self._table.add("check_storage_offset", step.guard, slots[0], offset)
            case TensorGuard():
                self._dtype_of_slot[step.slots[0]] = guard.meta.dtype
                self._add_tensor(step.guard, guard, slots[0])
            case _:
                self._add_value_guard(step.guard, guard, slots[0])

    def _add_value_guard(
        self,
        number: int,
        guard: TypeGuard
        | IdentityGuard
        | CodeGuard
        | ConstantGuard
        | LengthGuard
        | DictKeysGuard
        | DictContainsGuard
        | AttrAbsentGuard
        | TypeAttrAbsentGuard,
        slot: int,
    ) -> None:
        match guard:
            case TypeGuard(_, pin):
                self._table.add("check_type", number, slot, *self._pin(pin))
            case IdentityGuard(_, pin):
                self._table.add("check_identity", number, slot, *self._pin(pin))
            case CodeGuard(_, pin):
                self._table.add("check_code", number, slot, *self._pin(pin))
            case ConstantGuard():
                self._add_constant(number, guard.value, slot)
            case LengthGuard(_, length):
                predicate = functools.partial(_has_length, length)
                self._table.add("check_length", number, slot, length, self._memory.hold(predicate))
            case DictKeysGuard():
                self._add_keys(number, guard, slot)
            case DictContainsGuard(_, key, is_present):
                self._add_contains(number, key, slot, is_present=is_present)
            case AttrAbsentGuard(_, name):
                self._table.add("check_attr_absent", number, slot, self._name(name))
            case TypeAttrAbsentGuard(_, name):
                self._table.add("check_type_attr_absent", number, slot, self._name(name))
            case _:
                assert_never(guard)

    def _add_keys(self, number: int, guard: DictKeysGuard, slot: int) -> None:
        keys = [self._constant(key) for key in guard.keys]
        address = self._memory.words([self._memory.hold(key) for key in keys])
        predicate = self._memory.hold(functools.partial(_has_keys, tuple(keys)))
        self._table.add("check_keys", number, slot, address, len(keys), predicate)

    def _add_contains(self, number: int, key: Constant, slot: int, *, is_present: bool) -> None:
        value = self._constant(key)
        predicate = self._memory.hold(functools.partial(_contains, value, is_present))
        held = self._memory.hold(value)
        self._table.add("check_contains", number, slot, held, int(is_present), predicate)

    def _add_distinct(self, number: int, slots: Sequence[int]) -> None:
        room = max(1 << (2 * len(slots)).bit_length(), _FEWEST_SEEN)
        address = self._memory.words(slots)
        self._table.add("check_distinct", number, address, len(slots), room, room - 1)

    def _add_unchanged(self, number: int, slots: Sequence[int]) -> None:
        frozen, layout = self._frozen, self._layout
        assert frozen is not None, "a program with the guard has a plan with the fold"
        if layout.version_counter == NOT_FOUND:
            for index, slot in enumerate(slots):
                predicate = self._memory.hold(functools.partial(frozen.matches_at, index))
                self._table.add("check_predicate", number, slot, predicate)
            return
        facts = frozen.facts_for(functools.partial(frozen_facts, layout))
        self._table.add("check_unchanged", number, self._memory.words(slots), len(slots), facts)

    def _add_apart(self, number: int, guard: NoOverlapGuard, slots: Sequence[int]) -> None:
        written, *others = slots
        for other in others:
            if guard.is_whole:
                self._table.add("check_not_shared", number, offset_of(written), offset_of(other))
                continue
            items = [self._dtype_of_slot[slot].size_bytes for slot in (written, other)]
            self._table.add("check_apart", number, offset_of(written), offset_of(other), *items)

    # Constants.

    def _add_constant(self, number: int, constant: Constant, slot: int) -> None:
        match constant:
            case PlainConst(None | bool()) | EllipsisConst() | NotImplementedConst():
                self._add_singleton(number, constant, slot)
            case TorchConst(kind) if kind in _SINGLETONS:
                self._add_singleton(number, constant, slot)
            case PlainConst(int(value)):
                held = self._memory.hold(value)
                self._table.add("check_int", number, slot, held, value)
            case PlainConst(str()):
                held = self._memory.hold(self._constant(constant))
                self._table.add("check_str", number, slot, held)
            case FloatConst(text) if not math.isnan(float.fromhex(text)):
                (bits,) = struct.unpack("=q", struct.pack("=d", float.fromhex(text)))
                self._table.add("check_float", number, slot, bits)
            case _:
                self._add_known(number, constant, slot)

    def _add_singleton(self, number: int, constant: Constant, slot: int) -> None:
        held = self._memory.hold(self._constant(constant))
        self._table.add("check_object", number, slot, held)

    def _add_known(self, number: int, constant: Constant, slot: int) -> None:
        predicate = functools.partial(_is_constant, constant, self._pins)
        # The step holds a reference to the object that it saw last; at first that is None, which no such constant is.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))
        step = self._table.add("check_known", number, slot, id(None), self._memory.hold(predicate))
        self._known_steps.append(step)

    # Tensors.

    def _add_tensor(self, number: int, guard: TensorGuard, slot: int) -> None:
        try:
            expected = self._expected_tensor(guard.meta)
        except (AttributeError, LayoutError):  # a dtype or device that native code does not know
            if guard.type_pin != ANY_TENSOR:
                self._table.add("check_type", number, slot, *self._pin(guard.type_pin))
            predicate = TensorCheck(guard.meta).matches
            self._table.add("check_predicate", number, slot, self._memory.hold(predicate))
            return
        address = self._memory.words(expected)
        if guard.type_pin == ANY_TENSOR:
            base = self._memory.hold(torch.Tensor)
            self._table.add("check_layout", number, slot, base, 0, address)
            return
        self._table.add("check_tensor", number, slot, *self._pin(guard.type_pin), address)

    def _expected_tensor(self, meta: TensorMeta) -> list[int]:
        dtype = dtype_number(torch_library("torch_cpu"), meta.dtype.torch_dtype)
        keys, device_index = self._device_facts(meta.device)
        extents = [
            dim if isinstance(dim, int) else ANY_EXTENT for dim in (*meta.shape, *meta.strides)
        ]
        return [dtype, *keys, int(meta.requires_grad), device_index, len(meta.shape), *extents]

    def _device_facts(self, name: str) -> tuple[tuple[int, int], int]:
        device = torch.device(name)
        kind, _, index = name.partition(":")
        if kind == "cpu":
            return self._layout.plain_keys, -1
        if kind != "cuda" or not index or not torch.cuda.is_initialized():
            message = f"native guards know no tensors on {name}"
            raise LayoutError(message)
        return _keys_on(device), int(index)


_HELD_ELSEWHERE: Final = (
    *(TargetSource, ArgSource, KwargSource, PinSource, TypeSource, NumberSource),
)
"""Sources of objects that live as long as the call: its arguments, what the entry holds, the types of such objects."""
_OWNING: Final = frozenset({"read_attr", "read_closure", "calculate_of_1", "calculate_of_2"})
"""Steps whose result the frame holds anyway."""


@functools.cache
def _keys_on(device: torch.device) -> tuple[int, int]:
    with torch.inference_mode(mode=False):
        plain = torch.empty(0, device=device)
    with torch.inference_mode():
        inference = torch.empty(0, device=device)
    keys = [torch._C._dispatch_keys(tensor).raw_repr() for tensor in (plain, inference)]  # noqa: SLF001
    return keys[0], keys[1]


def _drop_known(table: array.array[int], places: Sequence[int]) -> None:
    drop: Callable[[int], None] = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(
        ("Py_DecRef", ctypes.pythonapi)
    )
    for place in places:
        known, table[place] = table[place], 0
        drop(known)


def _has_length(length: int, value: object) -> bool:
    return builtin_length(value) == length


def _has_keys(keys: tuple[object, ...], value: object) -> bool:
    return has_keys(value, keys)


def _contains(key: object, is_present: object, value: object) -> bool:
    return has_key(value, key) is is_present


def _is_constant(constant: Constant, pins: PinTable, value: object) -> bool:
    return is_constant(value, constant, pins)
