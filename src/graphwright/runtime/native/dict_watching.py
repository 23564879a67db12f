"""Counters of the changes of dictionaries, for a CPython whose dictionaries keep no version.

In: a dictionary.   Out: the address of a word that changes whenever the dictionary is changed or freed: native code counts the calls by
which CPython announces this.
Keeps: a word that is equal means that nothing was changed. Dictionaries share the words by their addresses, so that a word may
also change for the sake of another dictionary, and nothing needs to be kept of a dictionary that is gone.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Any, Final, Protocol, final

from graphwright.runtime.native.emitter import Module, i32
from graphwright.runtime.native.memory import read_word
from graphwright.runtime.native.records import HASH_FACTOR, WORD

_NOTE_CHANGE: Final = "note_dict_change"
_COUNTERS: Final = "gw_dict_counters"
_TAKE_VALUES: Final = "take_values"
_LOG2_COUNTERS: Final = 15
"""Dozens of layers have a few thousand dictionaries."""
_NUM_COUNTERS: Final = 1 << _LOG2_COUNTERS
_NEVER_COUNTED: Final = 0x80
"""Each byte of a number that no counter comes to."""
_ADDRESS_BITS: Final = 64
_ALIGNMENT_BITS: Final = 4
MAY_MISS_STORES: Final = sys.version_info[:2] == (3, 13)
"""Some release of this CPython does not report every change (see `ValuesTaken`)."""
_VALUES_OFFSET: Final = 5 * WORD
"""Where a dictionary of CPython 3.13 points to its values, if they are apart from its keys."""
_EMBEDDED_OFFSET: Final = 2
"""Where such values say, in a byte, that they lie in an object."""
_MANAGED_DICT: Final = 1 << 4
"""Set in the flags of a type whose instances have their attributes' dictionary where CPython puts it."""


class DictWords(Protocol):
    """Gives each dictionary a word that is another one after every change."""

    def word_of(self, table: dict[Any, Any], holder: object, /) -> int | None:
        """Give the address of the word that tells of changes from now on; None where there is none.

        Args:
            table: a dictionary.
            holder: the object whose attributes are in it; None if that is not known, or if there is none.
        """

    def close(self) -> None:
        """Give no word any more; what was given tells of a change."""


def write_watching(module: Module) -> None:
    """Write what CPython calls, and what a dictionary is made ready with where it has to be."""
    _write_note_change(module)
    if MAY_MISS_STORES:
        _write_take_values(module)


def _write_note_change(module: Module) -> None:
    """`note_dict_change(event, dict, key, value)`: what CPython calls before an event of a watched dictionary."""
    counters = module.zeros(_COUNTERS, _NUM_COUNTERS)
    with module.function(_NOTE_CHANGE, "i32", ("i32", "ptr", "ptr", "ptr")) as fn:
        address = fn.convert("ptrtoint", fn.params[1], "i64")
        mixed = fn.mul(fn.binary("lshr", address, _ALIGNMENT_BITS), HASH_FACTOR)
        number = fn.binary("lshr", mixed, _ADDRESS_BITS - _LOG2_COUNTERS)
        place = fn.at(counters, fn.scaled(number))
        fn.store(fn.add(fn.load("i64", place), 1), place)
        fn.ret(i32(0))


def _write_take_values(module: Module) -> None:
    """`take_values(holder)`: let the dictionary of an object's attributes have their values to itself.

    CPython does this when the dictionary leaves its place, where it is put back before anything can look.
    """
    with module.function(_TAKE_VALUES, "void", ("ptr",)) as fn:
        (holder,) = fn.params
        place = fn.call_external("_PyObject_GetDictPtr", "ptr", holder)
        table = fn.load("ptr", place)
        fn.call_external("Py_IncRef", "void", table)
        fn.call_external("PyObject_ClearManagedDict", "void", holder)
        fn.store(table, place)
        fn.ret()


@final
class DictWatcher:
    """Lets CPython report the changes of dictionaries.

    Args:
        addresses: of the native functions, by name.

    Raises:
        RuntimeError: CPython has no room for another watcher.
    """

    def __init__(self, addresses: Mapping[str, int]) -> None:
        self._counters: Final = addresses[_COUNTERS]
        function = ctypes.c_void_p(addresses[_NOTE_CHANGE])
        self._number: int | None = ctypes.pythonapi.PyDict_AddWatcher(function)

    def word_of(self, table: dict[Any, Any], holder: object = None) -> int | None:
        """Watch a dictionary from now on and give the address of its word; None once this is closed."""
        del holder
        if self._number is None:
            return None
        ctypes.pythonapi.PyDict_Watch(self._number, ctypes.py_object(table))
        mixed = (id(table) >> _ALIGNMENT_BITS) * HASH_FACTOR % (1 << _ADDRESS_BITS)
        return self._counters + (mixed >> (_ADDRESS_BITS - _LOG2_COUNTERS)) * WORD

    def close(self) -> None:
        """Let CPython call the native function no more; every word becomes what none ever was."""
        if self._number is not None:
            ctypes.pythonapi.PyDict_ClearWatcher(self._number)
            ctypes.memset(self._counters, _NEVER_COUNTED, _NUM_COUNTERS * WORD)
            self._number = None


@final
class ValuesTaken:
    """A watcher for CPython 3.13.0, which reports no store of an attribute whose value lies in the object itself.

    CPython 3.13.1 reports them. This class can go with 3.13.0: `test_every_change_of_attributes_is_told` fails there without it.

    Args:
        watcher: what is told of all other changes.
        addresses: of the native functions, by name.
    """

    def __init__(self, watcher: DictWatcher, addresses: Mapping[str, int]) -> None:
        self._watcher: Final = watcher
        self._take_values: Final = ctypes.PYFUNCTYPE(None, ctypes.py_object)(
            addresses[_TAKE_VALUES]
        )

    def word_of(self, table: dict[Any, Any], holder: object) -> int | None:
        """Let the values lie in the dictionary before it is watched; None where they lie in an object that is not known."""
        if _has_values_in_object(table) and type(holder).__flags__ & _MANAGED_DICT:
            self._take_values(holder)
        return None if _has_values_in_object(table) else self._watcher.word_of(table)

    def close(self) -> None:
        """Close the watcher."""
        self._watcher.close()


def _has_values_in_object(table: dict[Any, Any]) -> bool:
    values = read_word(id(table) + _VALUES_OFFSET)
    return values != 0 and ctypes.c_uint8.from_address(values + _EMBEDDED_OFFSET).value != 0
