"""The functions of the C library that machine code may call, by name.

In: nothing.   Out: names; how their symbols are spelt.
"""

from __future__ import annotations

from typing import Final

EXTERN_PREFIX: Final = "gw_c_"
"""Begins the symbols of C functions, so that no kernel's name can be taken for one."""

ELEMENTARY: Final = (
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "sinh",
    "cosh",
    "tanh",
    "erf",
    "erfc",
    "pow",
)
"""Functions of one or two floats; with `f` at the end, of float32."""
EXTERN_NAMES: Final = (*ELEMENTARY, *(name + "f" for name in ELEMENTARY), "fmod")
"""All C functions that generated code may call."""
LLVM_NAMES: Final = (
    "fma",
    "fmaf",
    "floor",
    "floorf",
    "ceil",
    "ceilf",
    "trunc",
    "truncf",
    "rint",
    "rintf",
)
"""C functions that LLVM calls by itself where a processor has no instruction for them."""
