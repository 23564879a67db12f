"""Memory that native code reads: words, and the objects they point to.

In: numbers and Python objects.   Out: addresses.
Keeps: everything lives as long as the `Memory`, which whoever gives the addresses to native code must keep.
"""

from __future__ import annotations

import array
import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Final, final

from graphwright.runtime.native.records import STEP_WORDS, WORD

_UNSIGNED: Final = 1 << 64
_SIGNED: Final = 1 << 63


_CALLING_PYTHON: Final = frozenset(
    {
        "calculate_of_1",
        "calculate_of_2",
        "check_condition",
        "check_contains",
        "check_keys",
        "check_known",
        "check_length",
        "check_predicate",
        "read_attr",
        "read_item",
        "read_nth",
    }
)
"""Steps that may run Python code, in which other threads may run too."""


def word(number: int) -> int:
    """Give a 64-bit number as its signed form."""
    return number - _UNSIGNED if number >= _SIGNED else number


@final
class Memory:
    """Arrays and objects that native code points to."""

    def __init__(self) -> None:
        self._held: list[Any] = []

    def hold(self, value: object) -> int:
        """Keep an object alive; gives its address."""
        self._held.append(value)
        return id(value)

    def words(self, numbers: Iterable[int]) -> int:
        """Give the address of an array of words."""
        return address_of(self.array(numbers))

    def array(self, numbers: Iterable[int]) -> array.array[int]:
        """Give an array of words."""
        listed = list(numbers) or [0]
        try:
            held = array.array("q", listed)
        except OverflowError:  # an address in the upper half
            held = array.array("q", map(word, listed))
        self._held.append(held)
        return held

    def writable(self, count: int) -> ctypes.Array[ctypes.c_int64]:
        """Give an array of `count` zero words that Python may write too."""
        held = (ctypes.c_int64 * max(count, 1))()
        self._held.append(held)
        return held

    def release(self) -> None:
        """Let go of everything; native code uses none of it any more."""
        self._held.clear()


@final
class StepTable:
    """Steps of native code, one after the other.

    Args:
        memory: what holds the table in the end.
        addresses: gives the address of a step function.
    """

    def __init__(self, memory: Memory, addresses: dict[str, int]) -> None:
        self._memory = memory
        self._addresses = addresses
        self._words: list[int] = []
        self.num_python_steps = 0
        """Steps so far that may run Python code."""

    def __len__(self) -> int:
        return len(self._words) // STEP_WORDS

    def add(self, function: str, guard: int, *operands: int) -> int:
        """Append a step; gives its number."""
        number = len(self)
        padding = (0,) * (STEP_WORDS - 2 - len(operands))
        self.num_python_steps += function in _CALLING_PYTHON
        self._words += (self._addresses[function], guard, *operands, *padding)
        return number

    def set_operand(self, step: int, number: int, value: int) -> None:
        """Change an operand of a step that was added (2 is the first)."""
        self._words[step * STEP_WORDS + number] = value

    def finish(self) -> array.array[int]:
        """Give the table, which the memory holds."""
        return self._memory.array(self._words)


def address_of(words: array.array[int]) -> int:
    """Give the address of the first word."""
    address, _ = words.buffer_info()
    return address


def read_word(address: int) -> int:
    """Read a word, as an unsigned number."""
    return ctypes.c_uint64.from_address(address).value


def read_words(address: int, count: int) -> Sequence[int]:
    """Read words that native code may have written."""
    return list((ctypes.c_int64 * count).from_address(address))


def write_word(address: int, number: int) -> None:
    """Write a word that native code reads."""
    ctypes.c_int64.from_address(address).value = word(number)


def offset_of(number: int) -> int:
    """Give the offset of word `number`."""
    return number * WORD
