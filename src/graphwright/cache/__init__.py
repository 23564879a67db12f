"""Cache: what was compiled once is found again, by any process.

In: keys made of named parts, and values as data.   Out: the values saved under a key, or a miss that can be explained.
Read first: `keys.py` (what an entry is found by), `store.py` (what is promised when disks and processes fail).
"""

from graphwright.cache.caches import Caches, Stores, fresh
from graphwright.cache.entries import Head
from graphwright.cache.environment import digest_source, environment_parts
from graphwright.cache.keys import (
    Key,
    KeyPart,
    Kind,
    PartDifference,
    content_name,
    differences,
    make_key,
    make_part,
)
from graphwright.cache.store import EntryInfo, Limits, Nearest, Problem, Store, Usage, Verification
from graphwright.cache.typed import (
    GraphEntry,
    GraphStore,
    KernelEntry,
    KernelStore,
    ProgramEntry,
    ProgramStore,
    TypedStore,
)

__all__ = [
    "Caches",
    "EntryInfo",
    "GraphEntry",
    "GraphStore",
    "Head",
    "KernelEntry",
    "KernelStore",
    "Key",
    "KeyPart",
    "Kind",
    "Limits",
    "Nearest",
    "PartDifference",
    "Problem",
    "ProgramEntry",
    "ProgramStore",
    "Store",
    "Stores",
    "TypedStore",
    "Usage",
    "Verification",
    "content_name",
    "differences",
    "digest_source",
    "environment_parts",
    "fresh",
    "make_key",
    "make_part",
]
