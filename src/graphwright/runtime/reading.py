"""Read what a source names, without running user code.

In: the object that a source is reached through.   Out: the object read, or a tensor on its memory, or `MISSING`.
Keeps: no user code runs: attributes come from dictionaries, items through the builtin base's own getter. `read_attr` is the
exception; it serves getters written in C.
"""

from __future__ import annotations

import collections
import enum
import itertools
import sys
import types
from collections.abc import Iterable, Sequence
from typing import Any, Final, final

import numpy as np
import torch


@final
class Missing(enum.Enum):
    """What a reader gives when nothing is there."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "<not there>"


MISSING: Final = Missing.MISSING
_CODE_HOLDER: Final = types.FunctionType


def read_module(name: str) -> object:
    """Give `sys.modules[name]`."""
    return sys.modules.get(name, MISSING)


def read_module_dict(name: str) -> object:
    """Give `sys.modules[name].__dict__`."""
    module = sys.modules.get(name, MISSING)
    if not isinstance(module, types.ModuleType):
        return MISSING
    return types.ModuleType.__getattribute__(module, "__dict__")


def read_globals(function: object) -> object:
    """Give `function.__globals__`."""
    return function.__globals__ if type(function) is _CODE_HOLDER else MISSING


def read_closure(function: object, index: int) -> object:
    """Give the contents of cell `index` of `function`."""
    cells = function.__closure__ if type(function) is _CODE_HOLDER else None
    if cells is None or index >= len(cells):
        return MISSING
    try:
        return cells[index].cell_contents
    except ValueError:  # the cell is empty
        return MISSING


def read_default(function: object, index: int) -> object:
    """Give default `index` of `function`'s positional parameters."""
    defaults = function.__defaults__ if type(function) is _CODE_HOLDER else None
    return MISSING if defaults is None or index >= len(defaults) else defaults[index]


def read_kw_default(function: object, name: str) -> object:
    """Give the default of `function`'s keyword-only parameter `name`."""
    defaults = function.__kwdefaults__ if type(function) is _CODE_HOLDER else None
    return MISSING if defaults is None else defaults.get(name, MISSING)


def read_attr(base: object, name: str) -> object:
    """Give `getattr(base, name)`, for getters written in C."""
    return getattr(base, name, MISSING)


def ask(args: Sequence[object], function: Any) -> object:
    """Give `function(*args)`, for a function that tells a setting; nothing where it raises."""
    try:
        return function(*args)
    except Exception:  # noqa: BLE001  (any function of PyTorch's)
        return MISSING


def read_instance_dict(base: object) -> object:
    """Give the dictionary of an instance's attributes."""
    try:
        return object.__getattribute__(base, "__dict__")
    except AttributeError:
        return MISSING


def read_type_attr(cls: object, name: str) -> object:
    """Give the raw attribute `name` found along the method resolution order of `cls`."""
    if not isinstance(cls, type):
        return MISSING
    for base in type.__getattribute__(cls, "__mro__"):
        namespace = type.__dict__["__dict__"].__get__(base)
        if name in namespace:
            found: object = namespace[name]
            return found
    return MISSING


def read_item(base: Any, key: Any) -> object:
    """Give `base[key]` by the getter of its builtin base class."""
    try:
        match base:
            case dict():
                return dict.get(base, key, MISSING)
            case list():
                return list.__getitem__(base, key)
            case tuple():
                return tuple.__getitem__(base, key)
            case collections.deque():
                return collections.deque.__getitem__(base, key)
            case types.MappingProxyType():
                return base.get(key, MISSING)
            case range():
                return base[key]
            case _:
                return MISSING
    except (IndexError, TypeError):
        return MISSING


def keys_of(base: dict[Any, Any]) -> Iterable[Any]:
    """Give the keys of a dict in the order that iterating over it has (`OrderedDict.move_to_end` changes that of its own)."""
    keys: Iterable[Any] = _kind_of(base).keys(base)
    return keys


def _kind_of(base: dict[Any, Any]) -> Any:
    return collections.OrderedDict if isinstance(base, collections.OrderedDict) else dict


def read_key(base: object, index: int) -> object:
    """Give key number `index` of dict `base`, or member number `index` of a set."""
    keys: Iterable[Any]
    if isinstance(base, dict):
        keys = keys_of(base)
    elif isinstance(base, set):
        keys = set.__iter__(base)
    elif isinstance(base, frozenset):
        keys = frozenset.__iter__(base)
    else:
        return MISSING
    return next(itertools.islice(keys, index, None), MISSING)


def read_value(base: object, index: int) -> object:
    """Give the value under key number `index` of dict `base`."""
    if not isinstance(base, dict):
        return MISSING
    return next(itertools.islice(_kind_of(base).values(base), index, None), MISSING)


def view_array(base: object) -> object:
    """Give the tensor on the memory of a NumPy array; one that cannot be written to has none, for tensors can."""
    if type(base) is not np.ndarray or not base.flags.writeable:
        return MISSING
    try:
        return torch.from_numpy(base)
    except (
        TypeError,
        ValueError,
    ):  # a dtype, or an order of bytes or elements, that tensors do not have
        return MISSING


_SIZED: Final[tuple[Any, ...]] = (
    dict,
    list,
    tuple,
    set,
    frozenset,
    str,
    bytes,
    bytearray,
    range,
    collections.deque,
    types.MappingProxyType,
)


def builtin_length(base: object) -> int | None:
    """Give the length of a builtin container (or an instance of a subclass), by the builtin's own count."""
    for kind in _SIZED:
        if isinstance(base, kind):
            count: int = kind.__len__(base)
            return count
    return None
