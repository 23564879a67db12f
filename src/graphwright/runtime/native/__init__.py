"""The native form of the call: guards and steps as tables for machine code that is made once.

In:  an `Entry`.
Out: `NativeDispatcher`, whose function CPython calls.

Read first: `records.py`, then `call_functions.py`.
"""

from graphwright.runtime.native.dispatch import NativeDispatcher, OnMiss
from graphwright.runtime.native.entries import NativeEntry
from graphwright.runtime.native.guard_tables import ANY_TENSOR
from graphwright.runtime.native.module import (
    NativeModule,
    NativeRefusal,
    load_native_module,
)

__all__ = [
    "ANY_TENSOR",
    "NativeDispatcher",
    "NativeEntry",
    "NativeModule",
    "NativeRefusal",
    "OnMiss",
    "load_native_module",
]
