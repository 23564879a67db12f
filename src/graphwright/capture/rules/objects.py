"""Rules for builtins that look at objects: their type, attributes, identity, class."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.capture.faults import natively
from graphwright.capture.frames import Frame
from graphwright.capture.late_calls import LateResult, used_late
from graphwright.capture.lookup import instance_dict, peek
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.capture.natives import IdentityNumber
from graphwright.capture.process_bound import note_hash, note_identity
from graphwright.capture.rules.classes import make_class, most_derived
from graphwright.capture.symbolic_ints import PLAIN_TYPES, plain, plain_throughout
from graphwright.ir.guards import DictKeysGuard
from graphwright.ir.sources import InstanceDictSource

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def _sample(value: LateResult) -> Any:
    """Give a value of the type that a late result will have.

    Raises:
        Unsupported: that is not known.
    """
    if value.sample is ABSENT:
        raise used_late(value)
    return value.sample


def type_of(machine: Machine, value: Any) -> type:
    """Give the type that the program sees."""
    if type(value) is machine.tensor_type:
        original = machine.world.original_of(value)
        if original is not value:
            return type(original)
        # PyTorch's mark of a parameter that it has made of a stand-in
        return torch.nn.Parameter if getattr(value, "_is_param", False) else torch.Tensor
    if type(value) is LateResult:
        return type(_sample(value))
    return PLAIN_TYPES.get(type(value), type(value))


def type_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`type(x)`, or a class made by hand."""
    if len(args) == 1 and not kwargs:
        return type_of(machine, args[0])
    name, bases, space = args
    if "__module__" not in space:  # CPython takes it from the globals of the code that calls.
        space = {**space, "__module__": machine.module_name()}
    return make_class(machine, most_derived(type, bases), name, bases, space, kwargs)


def isinstance_(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`isinstance(x, classes)`."""
    value, classes = args
    if type(value) in PLAIN_TYPES:
        return isinstance_(machine, (PLAIN_TYPES[type(value)](), classes), {})
    if type(value) is machine.tensor_type:
        return _tensor_is_instance(machine, value, classes)
    if type(value) is LateResult:
        value = _sample(value)
    if type(classes) is tuple:
        return any(isinstance_(machine, (value, kind), {}) for kind in classes)
    hook = peek(type(classes), "__instancecheck__")
    if type(hook) is types.FunctionType and _is_user_check(hook):
        return machine.truth(machine.call(hook, [classes, value], {}))
    return natively(isinstance, value, classes)


def _is_user_check(hook: types.FunctionType) -> bool:
    module = hook.__globals__.get("__name__", "")
    return not module.startswith(("torch", "abc", "typing", "types", "_py_abc", "enum"))


def _tensor_is_instance(machine: Machine, value: torch.Tensor, classes: Any) -> bool:
    if type(classes) is tuple:
        return any(_tensor_is_instance(machine, value, kind) for kind in classes)
    original = machine.world.original_of(value)
    if original is value:
        return natively(isinstance, value, classes) and classes is not machine.tensor_type
    return natively(isinstance, original, classes)


def issubclass_(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`issubclass(kind, classes)`."""
    return natively(issubclass, *args)


def callable_(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`callable(x)`."""
    return natively(callable, *args)


def id_(machine: Machine, args: Args, kwargs: Kwargs) -> int:
    """`id(x)`: of the object itself where it existed before, which then must be the same at each call."""
    if type(args[0]) is machine.tensor_type:
        return IdentityNumber(id(args[0]))
    note_identity(machine)
    return id(_guarded_identity(machine, plain(args[0])))


def _guarded_identity(machine: Machine, value: Any) -> Any:
    source = machine.world.source_of(value)
    if source is None:
        return value
    if machine.guards.once(("identity", id(value))):
        machine.guards.identity(machine.world.original_of(value), source)
    return machine.world.original_of(value)


def getattr_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`getattr(x, name[, default])`."""
    if len(args) == 2:
        return machine.load_attr(args[0], args[1])
    try:
        return machine.load_attr(args[0], args[1])
    except AttributeError:
        _guard_missing(machine, args[0], args[1])
        return args[2]


def hasattr_(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`hasattr(x, name)`."""
    try:
        machine.load_attr(args[0], args[1])
    except AttributeError:
        _guard_missing(machine, args[0], args[1])
        return False
    return True


def _guard_missing(machine: Machine, holder: Any, name: str) -> None:
    """Guard that an attribute that was looked for in vain does not appear in the instance."""
    world = machine.world
    if world.source_of(holder) is None or type(holder) is machine.tensor_type:
        return
    if isinstance(holder, type | types.ModuleType | tuple):
        return
    try:
        table = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        return
    if name not in table:
        world.guard_attr_absent(holder, name)


def setattr_(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`setattr(x, name, value)`."""
    machine.store_attr(*args)


def delattr_(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`delattr(x, name)`."""
    machine.delete_attr(*args)


def object_getattribute(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`object.__getattribute__(x, name)`."""
    return machine.load_raw_attr(*args)


def vars_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`vars(x)`, or the locals."""
    if args:
        try:
            return machine.load_attr(args[0], "__dict__")
        except AttributeError:
            msg = "vars() argument must have __dict__ attribute"
            raise TypeError(msg) from None
    return locals_(machine, args, kwargs)


def locals_(machine: Machine, args: Args, kwargs: Kwargs) -> dict[str, Any]:
    """`locals()`."""
    frame = _frame(machine)
    if frame.namespace is not None:
        return frame.namespace
    found = {}
    for name, value in frame.slots.items():
        content = machine.world.cells.read(value) if isinstance(value, types.CellType) else value
        if content is not ABSENT:
            found[name] = content
    return found


def globals_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`globals()`."""
    msg = "a call of globals()"
    raise machine.unsupported(
        msg,
        why="the whole of a module's names would have to be guarded",
        remedy="name the globals that you need",
    )


def super_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`super()`, with and without arguments."""
    if args:
        return natively(super, *args)
    frame = _frame(machine)
    cell = frame.slots.get("__class__")
    if not isinstance(cell, types.CellType):
        msg = "super(): __class__ cell not found"
        raise RuntimeError(msg)  # noqa: TRY004  (what Python raises)
    names = frame.info.code.co_varnames
    if not frame.info.code.co_argcount:
        msg = "super(): no arguments"
        raise RuntimeError(msg)
    receiver = frame.slots.get(names[0], ABSENT)
    if isinstance(receiver, types.CellType):
        receiver = machine.world.cells.read(receiver)
    if receiver is ABSENT:
        msg = "super(): arg[0] deleted"
        raise RuntimeError(msg)
    kind: Any = machine.world.cells.read(cell)
    return natively(super, kind, receiver)


def _frame(machine: Machine) -> Frame:
    assert machine.frame is not None, "a rule was called with no frame"
    return machine.frame


def dir_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`dir(x)`: the names in an instance that existed before are guarded; those of classes are taken to stay."""
    if not args:
        return sorted(locals_(machine, args, kwargs))
    value = args[0]
    hook = machine.special(value, "__dir__")
    if hook is not None:
        return sorted(machine.native_iterable(machine.call(hook, [value], {})))
    source = machine.world.source_of(value)
    table = instance_dict(value)
    names = set(dir(machine.world.original_of(value)))
    if source is not None and table is not None:
        if machine.guards.once(("dir", id(value))):
            keys = tuple(map(machine.guards.constant, table))
            machine.guards.add(DictKeysGuard(InstanceDictSource(source), keys, machine.loc()))
        for name, stored in machine.world.attrs.get(id(value), {}).items():
            (names.discard if stored is DELETED else names.add)(name)
    return sorted(names)


class _Hashed:
    """What `__hash__` gave, for CPython to check and to fit into a machine word."""

    def __init__(self, number: Any) -> None:
        self._number = number

    def __hash__(self) -> int:
        return self._number  # type: ignore[no-any-return]


def hash_(machine: Machine, args: Args, kwargs: Kwargs) -> int:
    """`hash(x)`."""
    value = plain_throughout(args[0])
    hook = machine.special(value, "__hash__")
    if hook is not None:
        return natively(hash, _Hashed(machine.call(hook, [value], {})))
    if isinstance(value, tuple | str | frozenset) or type(value) in machine.plain_types:
        made = natively(hash, value)
    elif type(value) is machine.tensor_type:
        return IdentityNumber(hash(value))
    else:
        made = natively(hash, _guarded_identity(machine, value))
    note_hash(machine, value)
    return made


def signature(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`inspect.signature(f)`: of code that is guarded where it is called."""
    value = args[0]
    if isinstance(value, types.MethodType):
        return natively(inspect.signature, types.MethodType(value.__func__, object()))
    return natively(inspect.signature, value, **kwargs)


def is_method_kind(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`inspect.isclass(x)`."""
    return isinstance(args[0], type)


def _as_given(kind: Any) -> Rule:
    """Make the rule of a class whose instances only hold their arguments."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        return natively(kind, *args, **kwargs)

    rule.__doc__ = f"`{kind.__name__}(...)`."
    return rule


RULES: Final[dict[Any, Rule]] = {
    **{
        kind: _as_given(kind)
        for kind in (types.MethodType, staticmethod, classmethod, property, types.CellType)
    },
    type: type_,
    isinstance: isinstance_,
    issubclass: issubclass_,
    callable: callable_,
    id: id_,
    getattr: getattr_,
    hasattr: hasattr_,
    setattr: setattr_,
    delattr: delattr_,
    object.__getattribute__: object_getattribute,
    vars: vars_,
    locals: locals_,
    globals: globals_,
    dir: dir_,
    super: super_,
    hash: hash_,
    inspect.signature: signature,
    inspect.isclass: is_method_kind,
}
