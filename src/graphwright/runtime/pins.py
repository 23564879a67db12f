"""The live objects that a program's pins stand for.

In: `Program.pins`, and the objects themselves in the process that captured them.   Out: `PinTable`.
Keeps: a pin stands for one object, once found, for as long as the table lives. A pin without an object is bound by import, or
by the first guard that meets an object of its description; a nested code object is found in the code that holds it.
"""

from __future__ import annotations

import enum
import importlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import torch

from graphwright.base.errors import InternalError
from graphwright.ir.code_digest import class_digest, code_digest
from graphwright.ir.sources import Pin, PinKind


@final
class Unbound(enum.Enum):
    """Stands in the table for an object that was not met yet."""

    UNBOUND = "unbound"


UNBOUND: Final = Unbound.UNBOUND


@final
class PinTable:
    """Live objects by pin number.

    Args:
        pins: what the pins stand for.
        live: the objects, when they are known; as many as `pins`.
        on_bind: told of each pin that gets its object later.

    Attributes:
        objects: one for each pin; `UNBOUND` until it is known.
    """

    def __init__(
        self,
        pins: Sequence[Pin],
        live: Sequence[object] | None = None,
        on_bind: Callable[[int, object], None] | None = None,
    ) -> None:
        if live is not None and len(live) != len(pins):
            message = f"{len(live)} live objects were given for {len(pins)} pins"
            raise InternalError(message)
        self.pins: Final = tuple(pins)
        self.objects: Final[list[object]] = (
            list(live) if live is not None else [UNBOUND] * len(pins)
        )
        self.on_bind = on_bind
        for number, pin in enumerate(self.pins):
            if self.objects[number] is UNBOUND and pin.is_importable:
                self._import(number, pin)

    def bind(self, number: int, candidate: object) -> bool:
        """Tell whether pin `number` stands for `candidate`; an unbound pin takes an object that fits its description."""
        found = self.objects[number]
        if found is UNBOUND and fits_pin(self.pins[number], candidate):
            self._set(number, candidate)
            return True
        return found is candidate

    def get(self, number: int) -> object:
        """Give the object of pin `number`.

        Raises:
            InternalError: it is not known and cannot be found.
        """
        if not self.is_found(number):
            pin = self.pins[number]
            name = f"{pin.kind.value} {pin.module}.{pin.qualname}"
            message = f"pin {number} ({name}) stands for nothing here"
            raise InternalError(message)
        return self.objects[number]

    def offer(self, candidate: object) -> None:
        """Bind the pins that have no object yet and describe `candidate`."""
        for number in range(len(self.pins)):
            if self.objects[number] is UNBOUND:
                self.bind(number, candidate)

    def is_complete(self) -> bool:
        """Tell whether every pin stands for an object."""
        return all(map(self.is_found, range(len(self.pins))))

    def is_found(self, number: int) -> bool:
        """Tell whether pin `number` stands for an object, which may be code that is held by code of another pin."""
        if self.objects[number] is not UNBOUND:
            return True
        pin = self.pins[number]
        nested = next((code for code in self._iter_nested_code() if fits_pin(pin, code)), None)
        if nested is not None:
            self._set(number, nested)
        return nested is not None

    def _set(self, number: int, value: object) -> None:
        self.objects[number] = value
        if self.on_bind is not None:
            self.on_bind(number, value)

    def _import(self, number: int, pin: Pin) -> None:
        if pin.module not in sys.modules and pin.kind is PinKind.OBJECT:
            return
        try:
            found: object = sys.modules.get(pin.module) or importlib.import_module(pin.module)
        except ImportError:
            return
        for part in pin.qualname.split(".") if pin.qualname else ():
            found = getattr(found, "__dict__", {}).get(part, UNBOUND)
        if isinstance(found, types.FunctionType) and pin.kind is PinKind.FUNCTION:
            found = found.__code__
        if found is not UNBOUND and (pin.kind is PinKind.OBJECT or fits_pin(pin, found)):
            self._set(number, found)

    def _iter_nested_code(self) -> Iterator[types.CodeType]:
        pending: list[object] = [
            found for found in self.objects if isinstance(found, types.CodeType)
        ]
        while pending:
            holder = pending.pop()
            if isinstance(holder, types.CodeType):
                nested = [const for const in holder.co_consts if isinstance(const, types.CodeType)]
                yield from nested
                pending += nested


def fits_pin(pin: Pin, candidate: object) -> bool:
    """Tell whether `candidate` is what `pin` describes."""
    match pin.kind:
        case PinKind.CLASS:
            return (
                isinstance(candidate, type)
                and _names(candidate) == (pin.module, pin.qualname)
                and class_digest(candidate) == pin.digest
            )
        case PinKind.FUNCTION:
            return (
                isinstance(candidate, types.CodeType)
                and candidate.co_qualname == pin.qualname
                and code_digest(candidate) == pin.digest
            )
        case PinKind.BUILTIN:
            return callable(candidate) and names_of_builtin(candidate) == (pin.module, pin.qualname)
        case PinKind.MODULE:
            return isinstance(candidate, types.ModuleType) and candidate.__name__ == pin.module
        case PinKind.OBJECT:
            return False


def _names(cls: type) -> tuple[object, object]:
    read = type.__getattribute__
    return read(cls, "__module__"), read(cls, "__qualname__")


def names_of_builtin(value: object) -> tuple[str, str]:
    """Give the module and qualified name that describe a builtin function or method descriptor; where they can, they lead to it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    qualname = getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(name, str) and vars(torch).get(name) is value:
        return (
            torch.__name__,
            name,
        )  # its class, which makes `torch.nonzero` and its like, is in no module
    if isinstance(module, str):
        return module, qualname
    if isinstance(value, types.MethodDescriptorType | types.WrapperDescriptorType):
        return value.__objclass__.__module__, qualname
    holder = getattr(value, "__self__", None)
    if isinstance(holder, types.ModuleType):
        return holder.__name__, qualname
    return type(value).__module__, qualname
