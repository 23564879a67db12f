"""The native functions of the runtime, compiled once and loaded into the process.

In: the layout of this process, object code from a cache if there is some.   Out: `NativeModule`: addresses by name.
Keeps: object code holds no address; it is valid wherever the layout, the processor and LLVM are the same, which is what its key
says. Where something is missing, `NativeRefusal` says what, and the Python form is used.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import threading
import types
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

import llvmlite
import llvmlite.binding as llvm
import torch

from graphwright.runtime.native.call_functions import write_call_functions
from graphwright.runtime.native.check_functions import write_check_functions
from graphwright.runtime.native.dict_watching import write_watching
from graphwright.runtime.native.emitter import Module
from graphwright.runtime.native.hot_functions import (
    REQUIRES_GRAD,
    write_hot_functions,
    write_needs_grad,
)
from graphwright.runtime.native.layout import (
    Layout,
    LayoutError,
    confirm,
    find_layout,
    torch_library,
)
from graphwright.runtime.native.run_functions import write_run_functions
from graphwright.runtime.native.source_functions import write_source_functions
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
    "relay_error_text": _RELAY_ERROR,
    "MISSING": MISSING,
}
"""What the table holds besides functions: objects that live as long as the process."""
_OPTIMISATION: Final = (2, 0)
"""LLVM's level for the code of each module. What a first call waits for is mostly this; the hot functions are few."""
_LIBC: Final = ("memset", "memcmp")
_WRAPPERS: Final = (
    "_Z16THPVariable_WrapRKN2at10TensorBaseE",
    "_Z16THPVariable_WrapN2at10TensorBaseE",
)
"""Spellings of `THPVariable_Wrap`; the address of a tensor is what either takes."""


class NativeRefusal(Exception):  # noqa: N818  (it is an answer: use the Python form)
    """Why this process has no native form."""


def render_native_modules(layout: Layout) -> tuple[Module, Module]:
    """Write the modules for a layout: what is worth optimising, and the rest."""
    hot, rest = Module("hot"), Module("rest")
    write_hot_functions(hot, layout)
    write_needs_grad(rest, layout)
    write_source_functions(rest, layout)
    write_check_functions(rest, layout)
    write_call_functions(rest, layout)
    write_run_functions(rest, layout)
    write_watching(rest)
    return hot, rest


@final
class NativeModule:
    """The loaded functions.

    Args:
        find: gives stored object code for a key, or None.
        keep: stores object code that was made.

    Attributes:
        num_found: objects that came from `find`.
        layout: where CPython and PyTorch keep things.
        addresses: of the functions, by name.

    Raises:
        NativeRefusal: this process cannot have a native form.
    """

    def __init__(self, find: Find, keep: Keep) -> None:
        try:
            self.layout: Final = find_layout()
            modules = render_native_modules(self.layout)
            tables = {module.table: _addresses_of(module) for module in modules}
        except (LayoutError, AttributeError, OSError) as error:
            raise NativeRefusal(str(error)) from error
        _initialize_llvm()
        texts = [module.render() for module in modules]
        keys = [_key_of(text, opt) for text, opt in zip(texts, _OPTIMISATION, strict=True)]
        found = [find(key) for key in keys]
        self.num_found: Final = sum(data is not None for data in found)
        objects = _complete(texts, found)
        for key, data, known in zip(keys, objects, found, strict=True):
            if known is None:
                keep(key, data)
        names = [name for module in modules for name in (module.table, *module.exports)]
        try:
            # As for the kernels: sections that the other linker maps too far apart abort the process.
            self._engine: Final = llvm.create_lljit_compiler(use_jit_link=True)
            self._tracker: Final = _load(objects, names, self._engine)
        except RuntimeError as error:  # LLVM cannot load code here
            raise NativeRefusal(str(error)) from error
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

        try:
            confirm(self.layout, read)
        except LayoutError as error:
            raise NativeRefusal(str(error)) from error


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
    if name == REQUIRES_GRAD:
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


def _features() -> str:
    features: str = llvm.get_host_cpu_features().flatten()
    return features


def _addresses_of(module: Module) -> list[int]:
    return [external_address(name) for name in module.externals]


def _key_of(text: str, opt: int) -> str:
    parts = (
        text,
        str(opt),
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        _features(),
        llvmlite.__version__,
    )
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@functools.cache
def _initialize_llvm() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def make_machine(opt: int = 0) -> llvm.TargetMachine:
    """Make LLVM's code generator for this processor; without optimisation it is ten times as quick."""
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_features(),
        opt=opt,
        reloc="pic",
        codemodel="default",
        jit=True,
    )


def _complete(texts: list[str], found: list[bytes | None]) -> list[bytes]:
    """Compile the texts for which nothing was found; LLVM works on several at once."""

    def complete(text: str, data: bytes | None, opt: int) -> bytes:
        return compile_text(text, make_machine(opt)) if data is None else data

    if None not in found:
        return [data for data in found if data is not None]
    with ThreadPoolExecutor(max_workers=len(texts)) as pool:
        return list(pool.map(complete, texts, found, _OPTIMISATION))


def compile_text(text: str, machine: llvm.TargetMachine) -> bytes:
    """Compile IR text to object code."""
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.run(module, llvm.create_pass_builder(machine, options))
    data: bytes = machine.emit_object(module)
    return data


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
                holder.module = NativeModule(find, keep)
            except NativeRefusal as error:
                holder.refusal = str(error)
                raise
        return holder.module
