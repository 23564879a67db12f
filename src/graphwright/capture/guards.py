"""The guards and pins of one capture, as they are met.

In: what the interpreter reads of objects that existed before the call.   Out: `Program.guards`, `Program.pins` and the live pins.
Keeps: guards stand in the order of evaluation, each at most once; a pin stands for one live object.
"""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable, Set
from typing import Final

from graphwright.capture.constants import make_constant
from graphwright.capture.missing import Unmakeable
from graphwright.ir.code_digest import class_digest, code_digest
from graphwright.ir.guards import Guard, IdentityGuard
from graphwright.ir.locations import Loc
from graphwright.ir.sources import Constant, Pin, PinKind, Source, TargetSource
from graphwright.runtime import names_of_builtin


def _find_by_path(module: str, qualname: str) -> object:
    found: object = sys.modules.get(module)
    if not qualname:
        return found
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part) if found is not None else None
    return found


_BUILTINS: Final = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


class _Names(enum.Enum):
    """Where the name of an object is found when it has none."""

    UNKNOWN = "?"


def _name_of(value: object) -> tuple[str, str]:
    if isinstance(value, _BUILTINS):
        return names_of_builtin(value)
    module = getattr(value, "__module__", None)
    qualname = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(module, str):
        holder = getattr(value, "__self__", None)
        module = holder.__name__ if isinstance(holder, types.ModuleType) else type(value).__module__
    if not isinstance(qualname, str):
        qualname = f"{type(value).__qualname__}{_Names.UNKNOWN.value}"
    return module, qualname


class Guards:
    """The guards and pins that one capture has collected so far.

    Args:
        locate: gives the user's current line.
        own_classes: the classes that the program has made so far, which no other call has.
    """

    def __init__(
        self, locate: Callable[[], Loc | None], own_classes: Set[type] = frozenset()
    ) -> None:
        self.guards: list[Guard] = []
        self.pins: list[Pin] = []
        self.live_pins: list[object] = []
        self.locate = locate
        self._own_classes = own_classes
        self._pin_by_id: dict[int, int] = {}
        self._seen: set[object] = set()

    def add(self, guard: Guard) -> None:
        """Append a guard that is known to be new."""
        self.guards.append(guard)

    def once(self, key: object) -> bool:
        """Tell whether `key` is asked for the first time: guards are made under it once."""
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def pin(self, value: object) -> int:
        """Number the pin of `value`, an object that is known by what it is (class, code object, builtin, module).

        Raises:
            Unsupported: it is, or belongs to, a class that the program makes anew each time.
        """
        known = self._pin_by_id.get(id(value))
        if known is not None:
            return known
        kind = value if isinstance(value, type) else type(value)
        if kind in self._own_classes:
            raise self._own_class_outlives(kind)
        number = len(self.pins)
        self.pins.append(self._describe(value))
        self.live_pins.append(value)
        self._pin_by_id[id(value)] = number
        return number

    def _own_class_outlives(self, kind: type) -> Unmakeable:
        loc = self.locate()
        return Unmakeable(
            kind,
            f"the class {kind.__qualname__}, made in the program, where it would outlive the call",
            why="each call makes another class, and there is no recipe to make it again",
            remedy="define the class outside the compiled function",
            location=loc.render() if loc else "",
        )

    def keep_in_process(self, target: object) -> None:
        """Keep the program of `target` from serving other processes, by a guard that always holds in this one."""
        if self.once(("process",)):
            module, qualname = _name_of(target)
            self.pins.append(Pin(PinKind.OBJECT, module, qualname))
            self.live_pins.append(target)
            self.add(IdentityGuard(TargetSource(), len(self.pins) - 1, self.locate()))

    def has_pin(self, value: object) -> bool:
        """Tell whether `value` has a pin already."""
        return id(value) in self._pin_by_id

    def constant(self, value: object) -> Constant:
        """Turn a constant into data, pinning the classes of enum members."""
        return make_constant(value, self.pin)

    def identity(self, value: object, source: Source) -> None:
        """Guard that `source` is this very object."""
        self.add(IdentityGuard(source, self.pin(value), self.locate()))

    def is_importable(self, value: object) -> bool:
        """Tell whether a new process finds `value` by import."""
        return self._describe(value).is_importable

    def _describe(self, value: object) -> Pin:
        if isinstance(value, types.CodeType):
            return Pin(PinKind.FUNCTION, "", value.co_qualname, code_digest(value))
        if isinstance(value, types.ModuleType):
            name = value.__name__
            return Pin(PinKind.MODULE, name, "", is_importable=sys.modules.get(name) is value)
        module, qualname = _name_of(value)
        is_importable = _find_by_path(module, qualname) is value
        if isinstance(value, types.FunctionType) and not is_importable:
            is_importable = _find_by_path(module, value.__name__) is value
            qualname = value.__name__ if is_importable else qualname
        if isinstance(value, type):
            digest = class_digest(value)
            return Pin(PinKind.CLASS, module, qualname, digest, is_importable=is_importable)
        kind = PinKind.BUILTIN if isinstance(value, _BUILTINS) else PinKind.OBJECT
        return Pin(kind, module, qualname, is_importable=is_importable)
