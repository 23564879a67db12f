"""Memory of large outputs, used again when nobody else uses it any more.

In: the layout of a fresh tensor.   Out: the tensor; its elements are whatever its memory held.
Keeps: memory is given again only when no tensor, array or storage object of anybody else refers to it, and when it is as it was
made: not resized, not shared with another process, not lent to NumPy.

The C library gives memory of this size back to the system when it is freed. The kernel that writes the next output then waits for the
system to find and zero every page, which takes longer than a pointwise kernel itself.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import mmap
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple, final

import torch

LARGE_BYTES: Final = 8 << 20
"""What is smaller is left to the C library, which is quicker for it."""
_KEPT_STORAGES: Final = 4
_KEPT_BYTES: Final = 256 << 20
_LARGE_PAGES: Final[int] = getattr(mmap, "MADV_HUGEPAGE", 0)
"""The advice to back memory with large pages; 0, which is no advice, where the system has none.

Into fresh memory of 64 MiB a kernel writes for 30 ms with pages of 4 KiB, for 8 ms with large ones (AMD EPYC 9004, 2 threads)."""


class _Kept(NamedTuple):
    storage: torch.UntypedStorage
    address: int


@final
class KeptMemory:
    """The storages of the last large outputs: at most 4, of at most 256 MiB together.

    Threads may share one: a storage is taken out of the queue before it is looked at.
    """

    def __init__(self) -> None:
        self._kept: collections.deque[_Kept] = collections.deque()
        self._alone = _count_users(_keep(torch.empty(1)))

    def empty_strided(
        self, shape: Sequence[int], strides: Sequence[int], dtype: torch.dtype, size_bytes: int
    ) -> torch.Tensor:
        """Do what `torch.empty_strided` does; `size_bytes` is the size of the storage it would make."""
        kept = self._take_unused(size_bytes)
        if kept is None:
            made = torch.empty_strided(shape, strides, dtype=dtype)
            _use_large_pages(made.data_ptr(), size_bytes)
            kept = _keep(made)
        else:
            # `data` is a tensor with a version counter of its own that begins at zero, as a fresh one's does.
            made = torch.empty(0, dtype=dtype).set_(kept.storage, 0, shape, strides).data
        self._kept.append(kept)
        self._drop_oldest()
        return made

    def clear(self) -> None:
        """Give all memory back, as soon as its users do."""
        self._kept.clear()

    def _take_unused(self, size_bytes: int) -> _Kept | None:
        for _ in range(len(self._kept)):
            try:
                kept = self._kept.popleft()
            except IndexError:  # other threads have taken the rest
                return None
            if kept.storage.nbytes() == size_bytes and self._is_unused(kept):
                return kept
            self._kept.append(kept)
        return None

    def _is_unused(self, kept: _Kept) -> bool:
        is_as_made = kept.storage.resizable() and kept.storage.data_ptr() == kept.address
        return is_as_made and _count_users(kept) == self._alone

    def _drop_oldest(self) -> None:
        sizes = [kept.storage.nbytes() for kept in list(self._kept)]
        while len(sizes) > _KEPT_STORAGES or sum(sizes) > _KEPT_BYTES:
            sizes.pop(0)
            with contextlib.suppress(IndexError):  # another thread has taken it
                self._kept.popleft()


def _keep(tensor: torch.Tensor) -> _Kept:
    return _Kept(tensor.untyped_storage(), tensor.data_ptr())


def _count_users(kept: _Kept) -> tuple[int, int]:
    # A storage has one Python object at most, whoever asks for it: the references to it count, too.
    by_tensors = torch._C._storage_Use_Count(kept.storage._cdata)  # noqa: SLF001  (there is no public name)
    return by_tensors, sys.getrefcount(kept.storage)


def _use_large_pages(address: int, size_bytes: int) -> None:
    if _LARGE_PAGES:
        start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (address + size_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
        # An error changes nothing: the system may know no such advice.
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(start), ctypes.c_size_t(end - start), _LARGE_PAGES
        )


KEPT_MEMORY: Final = KeptMemory()
"""The one of this process, as the allocator is."""
