"""What differs from process to process: addresses, the hashes of strings and objects, and so the order of sets.

In: a value that the program has looked at.   Out: the program is kept from serving other processes, where it would be told theirs.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

from graphwright.capture.machine import Machine
from graphwright.ir.guards import ConstantGuard
from graphwright.ir.sources import DictKeySource
from graphwright.runtime import builtin_base

_NUMBERS: Final = (bool, int, float, complex)

_LIBRARIES: Final = frozenset({"torch", *sys.stdlib_module_names})

_ADDRESS: Final = re.compile(r"\bat 0x[0-9a-f]+")


def keep_in_process(machine: Machine) -> None:
    """Keep the program from serving other processes."""
    machine.guards.keep_in_process(machine.target)


def in_order(machine: Machine, container: Any) -> Any:
    """Give what holds the members of a set in its order, which the program follows; anything else as it is.

    The order is made of hashes, and of what was put in when: a set that existed before the call is guarded member by member.

    Raises:
        Unsupported: the set existed before the call, and the program has changed it.
    """
    if not isinstance(container, set | frozenset):
        return container
    world, guards = machine.world, machine.guards
    source = world.source_of(container)
    if source is None:
        is_same = len(container) < 2 or all(map(_hashes_alike, container))
        if not (is_same or _is_in_library(machine)):
            keep_in_process(machine)
        return container
    contents = world.contents(container)
    if id(container) in world.replaced:
        raise machine.unsupported(
            "the order of a set that existed before the call and was changed in it",
            why="it depends on all that was ever put in and taken out",
            remedy="iterate over sorted(...), or use a dict or a list",
        )
    members = tuple(builtin_base(type(container)).__iter__(container))
    if guards.once(("order", id(container))):
        for i, member in enumerate(members):
            place, constant = DictKeySource(source, i), guards.constant(member)
            guards.add(ConstantGuard(place, constant, machine.loc()))
    # a copy, which tells when it is changed while it is iterated over; put together anew, it may be in another order
    return contents if tuple(contents) == members else members


def note_identity(machine: Machine) -> None:
    """Take note that the program was told the `id` of an object."""
    if not _is_in_library(machine):
        keep_in_process(machine)


def note_hash(machine: Machine, value: Any) -> None:
    """Take note that the program was told the hash of a value."""
    if not _hashes_alike(value):
        keep_in_process(machine)


def note_text(machine: Machine, text: Any) -> None:
    """Take note of a text that native code has made: the address of an object may be in it."""
    if type(text) is str and _ADDRESS.search(text):
        keep_in_process(machine)


def _is_in_library(machine: Machine) -> bool:
    """Tell whether the code is PyTorch's or Python's own: an id is a key there, for what was seen, and no result follows a set's order."""
    frame = machine.frame
    module = "" if frame is None else str(frame.globals.get("__name__", ""))
    return module.partition(".")[0] in _LIBRARIES


def _hashes_alike(value: Any) -> bool:
    """Tell whether a value has the same hash in every process."""
    if isinstance(value, tuple | frozenset):
        return all(map(_hashes_alike, value))
    return type(value) in _NUMBERS
