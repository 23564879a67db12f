"""The native functions of the runtime, compiled once and loaded into the process.

In: the layout of this process, object code from a cache if there is some.   Out: `NativeModule`: addresses by name.
Keeps: object code holds no address; it is valid wherever the layout is the same, which is what its key says, and the source, the
processor, CPython, PyTorch and LLVM, which the cache answers for. Where something is missing, `NativeRefusal` says what, and the
Python form is used.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Final, final

import llvmlite.binding as llvm
import msgspec
import torch

from graphwright.runtime.again import RunFailed
from graphwright.runtime.native.layout import (
    Layout,
    LayoutError,
    confirm,
    find_layout,
    torch_library,
)
from graphwright.runtime.native.object_code import ModuleCode, initialize_llvm
from graphwright.runtime.native.versions import Versions, find_versions
from graphwright.runtime.reading import MISSING

Find = Callable[[str], bytes | None]
Keep = Callable[[str, bytes], None]

_RELAY_ERROR: Final = "an output's memory cannot be seen in the layout that eager gives it"
_OBJECTS: Final[dict[str, object]] = {
    "PyFunction_Type": types.FunctionType,
    "PyDict_Type": dict,
    "PyLong_Type": int,
    "PyUnicode_Type": str,
    "PyFloat_Type": float,
    "_Py_TrueStruct": True,
    "PyExc_AttributeError": AttributeError,
    "PyExc_RuntimeError": RuntimeError,
    "RunFailed": RunFailed,
    "relay_error_text": _RELAY_ERROR,
    "MISSING": MISSING,
}
"""What the table holds besides functions: objects that live as long as the process."""
_LIBC: Final = ("memset", "memcmp")
_WRAPPERS: Final = (
    "_Z16THPVariable_WrapRKN2at10TensorBaseE",
    "_Z16THPVariable_WrapN2at10TensorBaseE",
)
"""Spellings of `THPVariable_Wrap`; the address of a tensor is what either takes."""
_C10: Final = "_ZNK3c10"
"""Begins the symbols of const functions of PyTorch's lowest library."""


class NativeRefusal(Exception):  # noqa: N818  (it is an answer: use the Python form)
    """Why this process has no native form."""


@contextlib.contextmanager
def _refusing(*kinds: type[Exception]) -> Iterator[None]:
    """Make a refusal of errors of these kinds."""
    try:
        yield
    except kinds as error:
        raise NativeRefusal(str(error)) from error


@final
class NativeModule:
    """The loaded functions.

    Args:
        find: gives stored object code for a key, or None.
        keep: stores object code that was made.

    Attributes:
        is_found: the object code came from `find`.
        layout: where CPython and PyTorch keep things.
        addresses: of the functions, by name.

    Raises:
        NativeRefusal: this process cannot have a native form.
    """

    def __init__(self, find: Find, keep: Keep) -> None:
        with _refusing(LayoutError, AttributeError, OSError):
            self.layout: Final = find_layout()
        key = _key_of(self.layout)
        data = find(key)
        self.is_found: Final = data is not None
        if data is None:
            data = _compile(self.layout)
            keep(key, data)
        modules = msgspec.msgpack.decode(data, type=tuple[ModuleCode, ...])
        with _refusing(AttributeError, OSError):
            tables = {
                module.table: [external_address(name) for name in module.externals]
                for module in modules
            }
        initialize_llvm()
        objects = [module.object_code for module in modules]
        names = [name for module in modules for name in (module.table, *module.exports)]
        with _refusing(RuntimeError):  # LLVM cannot load code here
            # As for the kernels: sections that the other linker maps too far apart abort the process.
            self._engine: Final = llvm.create_lljit_compiler(use_jit_link=True)
            self._tracker: Final = _load(objects, names, self._engine)
        self.addresses: Final = {name: self.address(name) for name in names}
        for table, addresses in tables.items():
            words = (ctypes.c_uint64 * len(addresses)).from_address(self.addresses[table])
            for number, address in enumerate(addresses):
                words[number] = address
        self._confirm()

    def address(self, name: str) -> int:
        """Give the address of a function."""
        address: int = self._tracker[name]
        return address

    @functools.cached_property
    def versions(self) -> Versions:
        """How it is seen that a dictionary or a type was changed."""
        versions = find_versions(self.addresses)
        if versions.of_dict is not None:
            # Dictionaries may outlive this code, at the end of the process too.
            weakref.finalize(self, versions.of_dict.close)
        return versions

    def _confirm(self) -> None:
        probe = ctypes.PYFUNCTYPE(None, ctypes.py_object, ctypes.c_void_p)(
            self.address("probe_tensor")
        )

        def read(tensor: torch.Tensor) -> tuple[int, int]:
            words = (ctypes.c_int64 * 8)(tensor.element_size())
            probe(tensor, ctypes.addressof(words))
            expected = (tensor.requires_grad, tensor.dim())
            if tuple(words[3:5]) != expected:
                message = f"a tensor's requires_grad and ndim read as {words[3:5]}, not {expected}"
                raise LayoutError(message)
            if tensor.dim() and tuple(words[5:7]) != (tensor.shape[-1], tensor.stride(-1)):
                message = "a tensor's sizes and strides read wrongly"
                raise LayoutError(message)
            return words[0], words[1]

        with _refusing(LayoutError):
            confirm(self.layout, read)


def external_address(name: str) -> int:
    """Give the address that the table holds for a name.

    Raises:
        AttributeError: nothing in the process has this name.
    """
    if name in _OBJECTS:
        return id(_OBJECTS[name])
    if name in _LIBC:
        return address_in(ctypes.CDLL(None), name)
    if name == "THPVariable_Wrap":
        library = torch_library("torch_python")
        spelling = next((known for known in _WRAPPERS if hasattr(library, known)), _WRAPPERS[0])
        return address_in(library, spelling)
    if name.startswith(_C10):
        return address_in(torch_library("c10"), name)
    if name.startswith("aoti_"):
        return address_in(torch_library("torch_cpu"), name)
    return address_in(ctypes.pythonapi, name)


def address_in(library: ctypes.CDLL, name: str) -> int:
    """Give the address of a function of a library.

    Raises:
        AttributeError: the library has no such function.
    """
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    if address is None:
        message = f"{name} has no address"
        raise AttributeError(message)
    return address


def _compile(layout: Layout) -> bytes:
    # What writes the functions is loaded where they were not found.
    from graphwright.runtime.native.compiling import compile_modules  # noqa: PLC0415

    return msgspec.msgpack.encode(compile_modules(layout))


def _key_of(layout: Layout) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode(layout), digest_size=16).hexdigest()


def _load(objects: list[bytes], names: list[str], engine: llvm.LLJIT) -> llvm.ResourceTracker:
    builder = llvm.JITLibraryBuilder()
    for data in objects:
        builder.add_object_img(data)
    for name in names:
        builder.export_symbol(name)
    return builder.link(engine, "graphwright_runtime")


@final
class _Holder:
    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.module: NativeModule | None = None
        self.refusal: str | None = None


@functools.cache
def _holder() -> _Holder:
    return _Holder()


def _outside_of_transforms() -> contextlib.AbstractContextManager[object]:
    """Let tensors be plain ones: the first call of a process may come from inside a functional transform."""
    if torch._C._functorch.peek_interpreter_stack() is None:  # noqa: SLF001  (no public name)
        return contextlib.nullcontext()
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack  # noqa: PLC0415  (seldom needed)

    context: contextlib.AbstractContextManager[object] = temporarily_clear_interpreter_stack()
    return context


def load_native_module(
    find: Find = lambda _: None, keep: Keep = lambda _key, _data: None
) -> NativeModule:
    """Give the native functions of this process; they are compiled (or found) by the first call.

    Args:
        find: gives stored object code for a key, or None.
        keep: stores object code that was made.

    Raises:
        NativeRefusal: this process cannot have a native form.
    """
    holder = _holder()
    with holder.lock:
        if holder.refusal is not None:
            raise NativeRefusal(holder.refusal)
        if holder.module is None:
            try:
                with _outside_of_transforms():
                    holder.module = NativeModule(find, keep)
            except NativeRefusal as error:
                holder.refusal = str(error)
                raise
        return holder.module
