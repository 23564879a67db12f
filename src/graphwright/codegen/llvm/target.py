"""The processor that code is made for.

In: what LLVM says of the host.   Out: `Target`, plain data that is part of the identity of the code made for it.
"""

from __future__ import annotations

import functools
from typing import Final

import llvmlite
import llvmlite.binding as llvm
import msgspec


class Target(msgspec.Struct, frozen=True):
    """A processor: LLVM's name and feature string for it, and what the code generator decides by."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    """Width of the vectors that are quickest on it."""
    has_masks: bool
    """Loads, stores and arithmetic under a mask cost no more than plain ones (AVX-512)."""
    llvm_version: str

    @property
    def streams_always(self) -> bool:
        """Whether stores past the caches are the quicker ones of a large result, whatever a loop computes: they are on AMD's Zen.

        On an Intel Xeon they are where a loop computes little, or asks for what it reads ahead. Where it computes much and does not,
        tanh of 16 million elements takes 9.2 ms with them and 5.3 ms without, GELU 10.9 and 5.3 ms.
        """
        return self.cpu.startswith("znver")

    @property
    def asks_ahead(self) -> bool:
        """Whether a loop over far memory asks for what it will read, as the processor by itself does not soon enough.

        On an Intel Xeon, where a loop computes much, `sigmoid(x) * y + tanh(x - y)` of 16 million elements takes 6.4 ms so (stored past
        the caches) and 8.7 to 10.1 ms without, the sum of `sigmoid(x) * tanh(y)` 6.2 and 17 to 18 ms. AMD's Zen reads as fast as it
        copies by itself.
        """
        return self.triple.startswith("x86_64") and not self.streams_always


_HALF_ARITHMETIC: Final = frozenset({"avx512fp16", "fullfp16"})
"""Arithmetic on float16 itself. With it, LLVM makes one fused operation of a product and a sum; eager rounds in between."""


@functools.cache
def initialize_llvm() -> None:
    """Make LLVM know the host's instruction set; doing so again does nothing."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def host_target() -> Target:
    """Give the processor that this process runs on."""
    initialize_llvm()
    features = llvm.get_host_cpu_features()
    for name in _HALF_ARITHMETIC & features.keys():
        features[name] = False
    has_avx512 = all(
        features.get(name, False) for name in ("avx512f", "avx512bw", "avx512dq", "avx512vl")
    )
    if has_avx512:
        vector_bits = 512
    elif features.get("avx2", False):
        vector_bits = 256
    else:
        vector_bits = 128
    return Target(
        triple=llvm.get_process_triple(),
        cpu=llvm.get_host_cpu_name(),
        features=features.flatten(),
        vector_bits=vector_bits,
        has_masks=has_avx512,
        llvm_version=f"{'.'.join(map(str, llvm.llvm_version_info))} (llvmlite {llvmlite.__version__})",
    )
