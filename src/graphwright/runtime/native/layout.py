"""Where CPython and PyTorch keep what the native call reads, found by looking at known objects.

In: tensors and objects made for the purpose.   Out: `Layout` (offsets in bytes), or `LayoutError` with what did not fit.
Keeps: nothing is assumed of a release: every offset is searched for in the memory of an object whose fields are known through
public interfaces, and confirmed on others. Who gets a `LayoutError` uses the Python form.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import torch

_WORD: Final = 8
_TENSOR_IMPL_WORDS: Final = 26
_STORAGE_WORDS: Final = 8
_INLINE_DIMS: Final = 5
_TENSORS_ASKED: Final = 3
_HEAP_DTYPES: Final = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
    torch.complex64,
)
_PROBE_VALUE: Final = 0x5EED_5EED_0000
_TYPE_CHECKED: Final = (object, dict, list, tuple, torch.Tensor, torch.nn.Module)


NOT_FOUND: Final = -1
"""Instead of an offset that native code can do without."""
_COUNTER_WORDS: Final = 3
_LOWEST: Final = 4096
"""No object lies at a lower address."""


class LayoutError(Exception):
    """Something is not where it can be found."""


class Layout(msgspec.Struct, frozen=True):
    """Offsets in bytes."""

    tensor_impl: int
    """In a tensor object: the pointer to its TensorImpl. Its address is an `at::Tensor *`."""
    storage: int
    """In a TensorImpl: the pointer to the StorageImpl."""
    autograd_meta: int
    """In a TensorImpl: the pointer to what autograd keeps; null where nothing requires a gradient."""
    sizes: int
    """In a TensorImpl: the number of dimensions, followed by the sizes and strides (or a pointer to them)."""
    storage_offset: int
    dtype: int
    """In a TensorImpl: 16 bits."""
    key_set: int
    data: int
    """In a StorageImpl: the data pointer."""
    type_flags: int
    """In a type object: `tp_flags`."""
    capsule: int
    """In a ctypes structure: the pointer to its memory."""
    version_counter: int
    """In a TensorImpl: the pointer to its counter of versions; `NOT_FOUND` where that was not found."""
    version: int
    """In a counter of versions: 32 bits."""
    plain_keys: tuple[int, int]
    """Dispatch keys of a plain CPU tensor, and of one made in inference mode."""


def _words(address: int, count: int) -> list[int]:
    return list((ctypes.c_uint64 * count).from_address(address))


def _find(what: str, words: Sequence[int], value: int) -> int:
    if value not in words:
        message = f"{what} was not found"
        raise LayoutError(message)
    return words.index(value) * _WORD


def _agree(what: str, offsets: Sequence[int]) -> int:
    if len(set(offsets)) != 1:
        message = f"{what} is found in several places: {sorted(set(offsets))}"
        raise LayoutError(message)
    return offsets[0]


@functools.cache
def find_layout() -> Layout:
    """Look at known objects and say where things are.

    Raises:
        LayoutError: something is not where it can be found, or this build of Python is not supported.
    """
    _check_python()
    samples = _samples()
    impls = [_words(sample._cdata, _TENSOR_IMPL_WORDS) for sample in samples]  # noqa: SLF001
    storage = _agree(
        "the storage",
        [
            _find("the storage", words, sample.untyped_storage()._cdata)  # noqa: SLF001
            for sample, words in zip(samples, impls, strict=True)
        ],
    )
    autograd_meta = _find_autograd_meta(impls[0], storage)
    version_counter, version = _find_version(storage)
    return Layout(
        tensor_impl=_find_tensor_impl(samples),
        storage=storage,
        autograd_meta=autograd_meta,
        sizes=_find_sizes(samples),
        storage_offset=_find_storage_offset(),
        dtype=_find_dtype(),
        key_set=_agree(
            "the dispatch keys",
            [
                _find("the dispatch keys", words, _keys(sample))
                for sample, words in zip(samples, impls, strict=True)
            ],
        ),
        data=_find_data(),
        type_flags=_find_type_flags(),
        capsule=_find_structure_memory(),
        plain_keys=_plain_keys(),
        version_counter=version_counter,
        version=version,
    )


def _check_python() -> None:
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != _WORD:
        message = "the native call needs CPython on a 64-bit machine"
        raise LayoutError(message)
    if "t" in sys.abiflags:
        message = "the native call needs a Python with the interpreter lock (this is a free-threaded build)"
        raise LayoutError(message)
    samples: tuple[object, ...] = (1, "x", {}, torch.Tensor)
    for sample in samples:
        if _words(id(sample), 2)[1] != id(type(sample)):
            message = "the type of an object was not found"
            raise LayoutError(message)
    for size in (0, 1, 3):
        if _words(id((None,) * size), 3)[2] != size or _words(id([None] * size), 3)[2] != size:
            message = "the length of a tuple or list was not found"
            raise LayoutError(message)


def _samples() -> list[torch.Tensor]:
    with torch.inference_mode(mode=False), torch.no_grad():
        base = torch.zeros(400)
        return [
            base.as_strided((3, 5), (7, 2), 11),
            torch.nn.Parameter(torch.zeros(2, 3)),
            torch.zeros(4, dtype=torch.int64),
            base.as_strided((2, 3, 4, 1, 2, 3), (61, 53, 31, 29, 17, 13), 5),
        ]


def _keys(tensor: torch.Tensor) -> int:
    keys: int = torch._C._dispatch_keys(tensor).raw_repr()  # noqa: SLF001  (no public reader)
    return keys


def _plain_keys() -> tuple[int, int]:
    with torch.inference_mode(mode=False):
        plain = torch.zeros(1)
    with torch.inference_mode():
        inference = torch.zeros(1)
    return _keys(plain), _keys(inference)


def _find_tensor_impl(samples: Sequence[torch.Tensor]) -> int:
    offsets = [_find("the tensor", _words(id(s), 8), s._cdata) for s in samples]  # noqa: SLF001
    return _agree("the tensor", offsets)


def _find_autograd_meta(plain_impl: Sequence[int], storage: int) -> int:
    with torch.inference_mode(mode=False):
        tensor = torch.zeros(1)
        before = _words(tensor._cdata, _TENSOR_IMPL_WORDS)  # noqa: SLF001
        tensor.requires_grad_(True)  # noqa: FBT003  (torch's own signature)
        after = _words(tensor._cdata, _TENSOR_IMPL_WORDS)  # noqa: SLF001
    changed = [
        number
        for number, (old, new) in enumerate(zip(before, after, strict=True))
        if old == 0 and new != 0
    ]
    if len(changed) != 1 or changed[0] * _WORD == storage or not plain_impl[changed[0]]:
        message = "the autograd metadata was not found"
        raise LayoutError(message)
    return changed[0] * _WORD


def _find_version(storage: int) -> tuple[int, int]:
    """Give the place of the counter of versions, and that of the version in it."""
    with torch.inference_mode(mode=False), torch.no_grad():
        # Words that a tensor leaves unused hold anything: no room for a dimension is left over, and several tensors are asked.
        bases = [torch.zeros((1,) * _INLINE_DIMS) for _ in range(_TENSORS_ASKED)]
        kin = [(base, base.detach(), base.data) for base in bases]
        found = set.intersection(*(_counter_places(*tensors) for tensors in kin))
        if len(found) != 1 or found == {storage // _WORD}:
            return NOT_FOUND, NOT_FOUND
        (place_of_counter,) = found
        base = bases[0]
        words = _words(base._cdata, _TENSOR_IMPL_WORDS)  # noqa: SLF001
        halves = (ctypes.c_uint32 * (2 * _COUNTER_WORDS)).from_address(words[place_of_counter])
        places = set(range(len(halves)))
        for _ in range(3):
            base.add_(1)
            places = {place for place in places if halves[place] == base._version}  # noqa: SLF001
    if len(places) != 1:
        return NOT_FOUND, NOT_FOUND
    return place_of_counter * _WORD, places.pop() * _WORD // 2


def _counter_places(base: torch.Tensor, sharing: torch.Tensor, other: torch.Tensor) -> set[int]:
    """Give the words of a tensor that may point to its counter of versions.

    Args:
        base: the tensor.
        sharing: one that shares its counter, from `detach()`.
        other: one that shares its memory alone, from `.data`.
    """
    words, shared, others = (
        _words(tensor._cdata, _TENSOR_IMPL_WORDS)  # noqa: SLF001
        for tensor in (base, sharing, other)
    )
    return {
        number
        for number, word in enumerate(words)
        if word == shared[number] != others[number] and word % _WORD == 0 and word > _LOWEST
    }


def frozen_facts(layout: Layout, tensor: torch.Tensor) -> tuple[int, ...]:
    """Give the words by which native code knows a tensor again: counter, version, storage, data, offset."""
    words = _words(tensor._cdata, _TENSOR_IMPL_WORDS)  # noqa: SLF001
    counter, storage = words[layout.version_counter // _WORD], words[layout.storage // _WORD]
    version = ctypes.c_uint32.from_address(counter + layout.version).value
    data = _words(storage + layout.data, 1)[0]
    return counter, version, storage, data, words[layout.storage_offset // _WORD]


def _find_sizes(samples: Sequence[torch.Tensor]) -> int:
    offsets = []
    for sample in samples:
        words = _words(sample._cdata, _TENSOR_IMPL_WORDS)  # noqa: SLF001
        matching = [
            start
            for start in range(_TENSOR_IMPL_WORDS - 1 - 2 * _INLINE_DIMS)
            if words[start] == sample.dim() and _has_sizes(words, start, sample)
        ]
        if not matching:
            message = "the sizes and strides were not found"
            raise LayoutError(message)
        offsets.append(matching[0] * _WORD)
    return _agree("the sizes and strides", offsets)


def _has_sizes(words: Sequence[int], start: int, sample: torch.Tensor) -> bool:
    ndim = sample.dim()
    if ndim > _INLINE_DIMS:
        if words[start + 1] < _LOWEST or words[start + 1] % _WORD:
            return False
        held = _words(words[start + 1], 2 * ndim)
        return held[:ndim] == list(sample.shape) and held[ndim:] == list(sample.stride())
    first, second = start + 1, start + 1 + _INLINE_DIMS
    return words[first : first + ndim] == list(sample.shape) and words[
        second : second + ndim
    ] == list(sample.stride())


def _find_storage_offset() -> int:
    base = torch.zeros(200)
    offsets = []
    for start in (117, 131):
        view = base.as_strided((2,), (3,), start)
        words = _words(view._cdata, _TENSOR_IMPL_WORDS)  # noqa: SLF001
        offsets.append(_find("the storage offset", words, start))
    return _agree("the storage offset", offsets)


def _find_dtype() -> int:
    libraries = torch_library("torch_cpu")
    candidates: set[int] | None = None
    for dtype in _HEAP_DTYPES:
        tensor = torch.zeros(2, dtype=dtype)
        memory = bytes(
            (ctypes.c_uint8 * (_TENSOR_IMPL_WORDS * _WORD)).from_address(tensor._cdata)  # noqa: SLF001
        )
        number = dtype_number(libraries, dtype)
        found = {
            at
            for at in range(0, len(memory) - 1, 2)
            if int.from_bytes(memory[at : at + 2], sys.byteorder) == number
        }
        candidates = found if candidates is None else candidates & found
    if not candidates or len(candidates) != 1:
        message = "the dtype was not found"
        raise LayoutError(message)
    return candidates.pop()


def dtype_number(library: ctypes.CDLL, dtype: torch.dtype) -> int:
    """Give PyTorch's number of a dtype."""
    reader = getattr(library, f"aoti_torch_dtype_{str(dtype).removeprefix('torch.')}")
    reader.restype = ctypes.c_int32
    number: int = reader()
    return number


@functools.cache
def torch_library(name: str) -> ctypes.CDLL:
    """Open one of the libraries that torch has loaded.

    Raises:
        LayoutError: it is not where torch's own files are.
    """
    path = f"{torch.__path__[0]}/lib/lib{name}.so"
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        message = f"{path} cannot be opened: {error}"
        raise LayoutError(message) from error


def _find_data() -> int:
    offsets = []
    for count in (3, 5000):
        storage = torch.zeros(count).untyped_storage()
        words = _words(storage._cdata, _STORAGE_WORDS)  # noqa: SLF001
        offsets.append(_find("the data pointer", words[2:], storage.data_ptr()) + 2 * _WORD)
    return _agree("the data pointer", offsets)


def _find_type_flags() -> int:
    found: set[int] | None = None
    for kind in _TYPE_CHECKED:
        words = _words(id(kind), 40)
        at = {number * _WORD for number, word in enumerate(words) if word == kind.__flags__}
        found = at if found is None else found & at
    if not found or len(found) != 1:
        message = "the flags of a type were not found"
        raise LayoutError(message)
    return found.pop()


def _find_structure_memory() -> int:
    class _Sample(ctypes.Structure):
        _fields_ = (("first", ctypes.c_uint64), ("second", ctypes.c_uint64))

    offsets = []
    for number in range(2):
        sample = _Sample(_PROBE_VALUE, number)
        words = _words(id(sample), 6)
        offsets.append(_find("the memory of a structure", words[2:], ctypes.addressof(sample)) + 16)
    return _agree("the memory of a structure", offsets)


def confirm(layout: Layout, read: Callable[[torch.Tensor], tuple[int, int]]) -> None:
    """Check a reader that was made from a layout on tensors that the layout was not found with.

    Args:
        layout: the offsets.
        read: gives dtype number and data pointer of a tensor, by the layout.

    Raises:
        LayoutError: it reads something else than torch says.
    """
    library = torch_library("torch_cpu")
    for tensor in (torch.zeros(7, 3)[2:], torch.zeros(2, dtype=torch.int16), torch.zeros(())):
        expected = (dtype_number(library, tensor.dtype), tensor.data_ptr())
        if read(tensor) != expected:
            message = f"a tensor reads as {read(tensor)}, not {expected} ({layout})"
            raise LayoutError(message)
