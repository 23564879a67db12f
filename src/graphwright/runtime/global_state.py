"""PyTorch's global state, as the text that guards compare.

In: a `GlobalStateKind`.   Out: its present value as text, the one form that capture writes and the runtime checks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sized
from typing import Final

import torch
import torch.nn.modules.module as module_hooks
from torch.autograd import forward_ad
from torch.utils._device import DeviceContext

from graphwright.ir.guards import GlobalStateKind

OFF: Final = "off"
ON: Final = "on"

HOOK_TABLES: Final = (
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
)
"""Names of the dictionaries in `torch.nn.modules.module` that hold hooks in force for every module."""

FORWARD_AD_LEVEL: Final = "_current_level"
"""Name of the number in `torch.autograd.forward_ad` of the innermost level, counted from 0; -1 outside."""


def read_global_state(kind: GlobalStateKind) -> str:
    """Give the present value of a piece of global state."""
    return _READERS[kind]()


def write_global_state(kind: GlobalStateKind, text: str) -> None:
    """Set a piece of global state to a value that `read_global_state` gave; for the kinds in `WRITABLE`."""
    _WRITERS[kind](text)


def _switch(state: object) -> str:
    return ON if state else OFF


def _leaf(value: object) -> str:
    return str(value).rpartition(".")[2]


def _autocast(device_type: str) -> str:
    if not torch.is_autocast_enabled(device_type):
        return OFF
    return _leaf(torch.get_autocast_dtype(device_type))


def _deterministic() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return OFF
    return "warn" if torch.is_deterministic_algorithms_warn_only_enabled() else ON


def _function_modes() -> str:
    count = torch._C._len_torch_function_stack()  # noqa: SLF001  (no public reader)
    if count and isinstance(torch._C._get_function_stack_at(0), DeviceContext):  # noqa: SLF001
        count -= 1
    return str(count)


def _saved_tensors_hooks() -> str:
    hooks: object = torch._C._autograd._top_saved_tensors_default_hooks(True)  # noqa: SLF001, FBT003
    return _switch(hooks is not None)


def hook_tables() -> tuple[Sized, ...]:
    """Give the dictionaries of hooks that are in force for every module."""
    return tuple(getattr(module_hooks, name) for name in HOOK_TABLES)


_READERS: Final[dict[GlobalStateKind, Callable[[], str]]] = {
    GlobalStateKind.GRAD_MODE: lambda: _switch(torch.is_grad_enabled()),
    GlobalStateKind.INFERENCE_MODE: lambda: _switch(torch.is_inference_mode_enabled()),
    GlobalStateKind.DEFAULT_DTYPE: lambda: _leaf(torch.get_default_dtype()),
    GlobalStateKind.DEFAULT_DEVICE: lambda: str(torch.get_default_device()),
    GlobalStateKind.AUTOCAST_CPU: lambda: _autocast("cpu"),
    GlobalStateKind.AUTOCAST_CUDA: lambda: _autocast("cuda"),
    GlobalStateKind.AUTOCAST_CACHE: lambda: _switch(torch.is_autocast_cache_enabled()),
    GlobalStateKind.DETERMINISTIC_ALGORITHMS: _deterministic,
    GlobalStateKind.TORCH_FUNCTION_MODES: _function_modes,
    GlobalStateKind.DISPATCH_MODES: lambda: str(torch._C._len_torch_dispatch_stack()),  # noqa: SLF001
    GlobalStateKind.SAVED_TENSORS_HOOKS: _saved_tensors_hooks,
    GlobalStateKind.FORWARD_AD_LEVELS: lambda: str(vars(forward_ad)[FORWARD_AD_LEVEL] + 1),
    GlobalStateKind.JIT_TRACING: lambda: _switch(torch._C._get_tracing_state()),  # noqa: SLF001
    GlobalStateKind.FLOAT32_MATMUL_PRECISION: torch.get_float32_matmul_precision,
    GlobalStateKind.GLOBAL_MODULE_HOOKS: lambda: str(sum(map(len, hook_tables()))),
}


def autocast_nesting() -> int:
    """Give the number of `torch.autocast` regions that this thread is inside of."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def nest_autocast(change: int) -> None:
    """Count `change` more regions as entered (or left, where it is negative), and forget casts where none is left."""
    for _ in range(change):
        torch.autocast_increment_nesting()
    for _ in range(-change):
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()


def _write_autocast(device_type: str) -> Callable[[str], None]:
    def write(text: str) -> None:
        torch.set_autocast_enabled(device_type, text != OFF)
        if text != OFF:
            torch.set_autocast_dtype(device_type, getattr(torch, text))

    return write


_WRITERS: Final[dict[GlobalStateKind, Callable[[str], object]]] = {
    GlobalStateKind.GRAD_MODE: lambda text: torch.set_grad_enabled(text == ON),
    GlobalStateKind.DEFAULT_DTYPE: lambda text: torch.set_default_dtype(getattr(torch, text)),
    GlobalStateKind.AUTOCAST_CPU: _write_autocast("cpu"),
    GlobalStateKind.AUTOCAST_CUDA: _write_autocast("cuda"),
    GlobalStateKind.AUTOCAST_CACHE: lambda text: torch.set_autocast_cache_enabled(text == ON),
    GlobalStateKind.FLOAT32_MATMUL_PRECISION: torch.set_float32_matmul_precision,
}

WRITABLE: Final = frozenset(_WRITERS)
"""What a program may leave changed."""


@contextlib.contextmanager
def global_state_kept() -> Iterator[None]:
    """Put back, at the end, whatever of PyTorch's state a program can change."""
    before = {kind: read_global_state(kind) for kind in WRITABLE}
    nesting = autocast_nesting()
    try:
        yield
    finally:
        nest_autocast(nesting - autocast_nesting())
        for kind, text in before.items():
            if read_global_state(kind) != text:
                write_global_state(kind, text)
