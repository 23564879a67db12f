"""Steps that check PyTorch's global state.

In: a `GlobalStateGuard`.   Out: steps in a table that ask PyTorch's own functions, or a Python predicate where there is none.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any, Final, final

import torch
from torch.autograd import forward_ad

from graphwright.ir.dtypes import DType
from graphwright.ir.guards import GlobalStateGuard, GlobalStateKind
from graphwright.runtime.global_state import (
    FORWARD_AD_LEVEL,
    OFF,
    ON,
    hook_tables,
    read_global_state,
)
from graphwright.runtime.native.layout import LayoutError, dtype_number, torch_library
from graphwright.runtime.native.memory import Memory, StepTable
from graphwright.runtime.native.module import address_in
from graphwright.runtime.native.records import WORD

_METH_NOARGS: Final = 0x0004
_INFERENCE_MODE: Final = "_ZN3c1013InferenceMode10is_enabledEv"
_DEFAULT_DTYPE: Final = "_ZN3c1031get_default_dtype_as_scalartypeEv"
_DISPATCH_MODES: Final = "_ZN3c104impl20TorchDispatchModeTLS9stack_lenEv"
_FUNCTION_MODES: Final = "_ZN2at4impl22PythonTorchFunctionTLS9stack_lenEv"
_AUTOCAST: Final = "_ZN2at8autocast19is_autocast_enabledEN3c1010DeviceTypeE"
_AUTOCAST_CACHE: Final = "_ZN2at8autocast25is_autocast_cache_enabledEv"
_KEY_INCLUDED: Final = "_ZN3c104impl28tls_is_dispatch_key_includedENS_11DispatchKeyE"
_SAVED_HOOKS: Final = "_ZN2at23SavedTensorDefaultHooks13get_tls_stateEv"
_CONTEXT: Final = "_ZN2at13globalContextEv"
_MATMUL_PRECISION: Final = "_ZNK2at7Context22float32MatmulPrecisionEv"
_QUEUE_WORDS: Final = (2, 6)
"""Where a queue of the C++ library keeps the places of its first item and behind its last."""


@final
class StateTables:
    """Appends the steps of global-state guards.

    Args:
        table: the steps.
        memory: what holds the objects.
    """

    def __init__(self, table: StepTable, memory: Memory) -> None:
        self._table = table
        self._memory = memory

    def add(self, number: int, guard: GlobalStateGuard) -> None:
        """Append the steps of guard `number`."""
        try:
            is_added = self._try_add(number, guard)
        except (AttributeError, LayoutError):  # this torch has no such function
            is_added = False
        if not is_added:
            predicate = functools.partial(_is_state, guard.kind, guard.text)
            self._table.add("check_condition", number, self._memory.hold(predicate))

    def _try_add(  # noqa: C901, PLR0912  (one arm for each case of a closed enum)
        self, number: int, guard: GlobalStateGuard
    ) -> bool:
        match guard.kind:
            case GlobalStateKind.GRAD_MODE:
                return self._add_flag(number, "torch_cpu", "aoti_torch_grad_mode_is_enabled", guard)
            case GlobalStateKind.INFERENCE_MODE:
                return self._add_flag(number, "c10", _INFERENCE_MODE, guard)
            case GlobalStateKind.AUTOCAST_CACHE:
                return self._add_flag(number, "torch_cpu", _AUTOCAST_CACHE, guard)
            case GlobalStateKind.AUTOCAST_CPU | GlobalStateKind.AUTOCAST_CUDA:
                return self._add_autocast(number, guard)
            case GlobalStateKind.DEFAULT_DTYPE:
                return self._add_default_dtype(number, guard)
            case GlobalStateKind.DISPATCH_MODES:
                return self._add_count(number, "c10", _DISPATCH_MODES, guard.text)
            case GlobalStateKind.TORCH_FUNCTION_MODES | GlobalStateKind.DEFAULT_DEVICE:
                # An empty stack holds no default device either: it is a mode at the bottom of the stack. One that was set to be
                # what it is without (`with torch.device("cpu")`) needs the predicate.
                is_neutral = guard.text in ("0", "cpu")
                is_empty = torch._C._len_torch_function_stack() == 0  # noqa: SLF001  (no public reader)
                return (
                    is_neutral
                    and is_empty
                    and self._add_count(number, "torch_cpu", _FUNCTION_MODES, "0")
                )
            case GlobalStateKind.DETERMINISTIC_ALGORITHMS:
                is_off = guard.text == OFF
                return is_off and self._add_builtin(
                    number, "_get_deterministic_algorithms", expected=False
                )
            case GlobalStateKind.FLOAT32_MATMUL_PRECISION:
                return self._add_matmul_precision(number, guard)
            case GlobalStateKind.SAVED_TENSORS_HOOKS:
                return guard.text == OFF and self._add_saved_hooks(number)
            case GlobalStateKind.FORWARD_AD_LEVELS:
                return self._add_forward_ad_levels(number, guard)
            case GlobalStateKind.JIT_TRACING:
                return guard.text == OFF and self._add_key_absent(number, "Tracer")
            case GlobalStateKind.GLOBAL_MODULE_HOOKS:
                return self._add_hooks(number, guard)

    def _add_flag(self, number: int, library: str, function: str, guard: GlobalStateGuard) -> bool:
        address = address_in(torch_library(library), function)
        self._table.add("check_flag", number, address, int(guard.text == ON))
        return True

    def _add_autocast(self, number: int, guard: GlobalStateGuard) -> bool:
        if guard.text != OFF:
            return False
        library = torch_library("torch_cpu")
        is_cpu = guard.kind is GlobalStateKind.AUTOCAST_CPU
        device_type = getattr(library, f"aoti_torch_device_type_{'cpu' if is_cpu else 'cuda'}")()
        self._table.add("check_flag_of", number, address_in(library, _AUTOCAST), 0, device_type)
        return True

    def _add_key_absent(self, number: int, name: str) -> bool:
        key: Any = torch._C._dispatch_key_parse(name)  # noqa: SLF001  (no public reader)
        address = address_in(torch_library("c10"), _KEY_INCLUDED)
        self._table.add("check_flag_of", number, address, 0, int(key))
        return True

    def _add_default_dtype(self, number: int, guard: GlobalStateGuard) -> bool:
        expected = dtype_number(torch_library("torch_cpu"), DType(guard.text).torch_dtype)
        function = address_in(torch_library("c10"), _DEFAULT_DTYPE)
        self._table.add("check_flag", number, function, expected)
        return True

    def _add_count(self, number: int, library: str, function: str, text: str) -> bool:
        self._table.add(
            "check_count", number, address_in(torch_library(library), function), int(text)
        )
        return True

    def _add_builtin(self, number: int, name: str, *, expected: object) -> bool:
        function: Any = getattr(torch._C, name)  # noqa: SLF001  (what the public name calls)
        address, receiver = builtin_address(function)
        self._memory.hold(function)
        self._table.add(
            "check_builtin",
            number,
            address,
            receiver,
            self._memory.hold(expected),
            int(isinstance(expected, str)),
        )
        return True

    def _add_matmul_precision(self, number: int, guard: GlobalStateGuard) -> bool:
        if read_global_state(guard.kind) != guard.text:
            return False  # which number stands for the text is not known
        library = torch_library("torch_cpu")
        locate = ctypes.CFUNCTYPE(ctypes.c_void_p)(address_in(library, _CONTEXT))
        address, context = address_in(library, _MATMUL_PRECISION), locate()
        expected = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(address)(context)
        self._table.add("check_method", number, address, expected, context or 0)
        return True

    def _add_saved_hooks(self, number: int) -> bool:
        first, last = (place * WORD for place in _QUEUE_WORDS)
        function = _confirmed_hooks_queue()
        if function is None:
            return False
        self._table.add("check_queue_empty", number, function, first, last)
        return True

    def _add_forward_ad_levels(self, number: int, guard: GlobalStateGuard) -> bool:
        if guard.text != "0":
            return False
        # CPython has one object for each small int, of which this is one.
        outside = (vars(forward_ad), sys.intern(FORWARD_AD_LEVEL), -1)
        self._table.add("check_entry", number, *map(self._memory.hold, outside))
        return True

    def _add_hooks(self, number: int, guard: GlobalStateGuard) -> bool:
        tables = [self._memory.hold(table) for table in hook_tables()]
        address = self._memory.words(tables)
        self._table.add("check_dict_sizes", number, address, len(tables), int(guard.text))
        return True


def _is_state(kind: GlobalStateKind, text: str) -> bool:
    return read_global_state(kind) == text


def builtin_address(function: Any) -> tuple[int, int]:
    """Give the address of a builtin function without arguments, and its receiver.

    Raises:
        AttributeError: it takes arguments.
    """
    api = ctypes.pythonapi
    flags = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(("PyCFunction_GetFlags", api))
    if flags(function) != _METH_NOARGS:
        message = f"{function} takes arguments"
        raise AttributeError(message)
    pointers = [
        ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)((name, api))(function)
        for name in ("PyCFunction_GetFunction", "PyCFunction_GetSelf")
    ]
    return pointers[0] or 0, pointers[1] or 0


@functools.cache
def _confirmed_hooks_queue() -> int | None:
    """Give the function that finds the queue of hooks, if the queue looks as expected with and without hooks."""
    address = address_in(torch_library("torch_cpu"), _SAVED_HOOKS)
    locate: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_void_p)(address)
    hooks: Any = torch._C._autograd  # noqa: SLF001  (no public reader)

    def is_empty() -> bool:
        words = (ctypes.c_uint64 * (_QUEUE_WORDS[1] + 1)).from_address(locate())
        return words[_QUEUE_WORDS[0]] == words[_QUEUE_WORDS[1]]

    if hooks._top_saved_tensors_default_hooks(True) is not None:  # noqa: SLF001, FBT003
        return None
    before = is_empty()
    hooks._push_saved_tensors_default_hooks(_same, _same)  # noqa: SLF001
    try:
        within = is_empty()
    finally:
        hooks._pop_saved_tensors_default_hooks()  # noqa: SLF001
    return address if before and not within and is_empty() else None


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor
