"""Calls: which way each callable goes.

In: a callable and its arguments.   Out: its result: by a rule of its own, interpreted, constructed, or run natively.
"""

from __future__ import annotations

import collections
import contextlib
import enum
import functools
import math
import types
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from graphwright.capture import symbolic_floats, symbolic_ints
from graphwright.capture.attributes import bind_class_attr
from graphwright.capture.binding import bind
from graphwright.capture.cached_calls import call_cached, is_cached
from graphwright.capture.constants import is_constant
from graphwright.capture.contexts import STEPS, call_of_context, needs_account, stand_in_of
from graphwright.capture.controls import why_outside
from graphwright.capture.faults import natively
from graphwright.capture.formatting import format_template
from graphwright.capture.frames import Frame
from graphwright.capture.getters import call_getter, is_getter
from graphwright.capture.items import (
    CONTAINERS,
    check_key,
    check_members,
    check_own,
    check_runs_unseen,
    is_read_container,
    read_entries,
)
from graphwright.capture.late_calls import LateResult, used_late
from graphwright.capture.late_texts import join
from graphwright.capture.lookup import find, is_fixed_class, peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.natives import (
    OwnCallable,
    call_native,
    call_on_list,
    instance_of_tensor_class,
    is_opaque_constant,
    needs_interpretation,
    original_function,
    own_factory,
)
from graphwright.capture.policy import is_native_function, is_torch_class, is_torch_module_name
from graphwright.capture.process_bound import in_order
from graphwright.capture.raw_containers import container_like
from graphwright.capture.refusals import check_goes_on
from graphwright.capture.sequences import call_comparing_method
from graphwright.capture.symbolic_ints import SYMBOLIC_TYPES, plain_throughout
from graphwright.runtime import builtin_base

_CHANGES_LISTS: Final = ("_heapq", "_bisect")
"""C modules whose functions work on a list in place."""

_DESCRIPTORS: Final = (types.FunctionType, property, classmethod, staticmethod)
"""Descriptors of Python's own whose `__get__` the program may call itself."""

_PYTORCHS_ORIGINAL: Final = "_torchdynamo_orig_callable"
"""Where `torch.compile` keeps what it compiled."""

_PLACEHOLDER: Final = getattr(functools, "Placeholder", ABSENT)
"""What stands in the arguments of a partial for a place left open (3.14)."""

_OWN_INTERFACE: Final = ("graphwright.api", "graphwright.pipeline.targets")
"""Where compiled modules and functions get their form."""

_CHANGING: Final = frozenset(
    [
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "clear",
        "sort",
        "reverse",
        "__setitem__",
        "__delitem__",
        "__iadd__",
        "__imul__",
        "update",
        "setdefault",
        "popitem",
        "add",
        "discard",
        "appendleft",
        "popleft",
        "extendleft",
        "rotate",
        "move_to_end",
        "__ior__",
        "__iand__",
        "__ixor__",
        "__isub__",
        "difference_update",
        "intersection_update",
        "symmetric_difference_update",
    ]
)
"""Methods of builtin containers that change them."""

_KIND_MATTERS: Final = frozenset(
    [
        *("__repr__", "copy", "__copy__", "__reduce__", "__reduce_ex__"),
        *("__or__", "__ror__", "__and__", "__rand__", "__sub__", "__rsub__", "__xor__", "__rxor__"),
        *("__add__", "__mul__", "__rmul__"),
        *("union", "intersection", "difference", "symmetric_difference"),
    ]
)
"""Methods of builtin containers whose result tells the class of the container."""

_TAKES_ITERABLE: Final = frozenset(
    [
        "extend",
        "update",
        "join",
        "union",
        "intersection",
        "difference",
        "issubset",
        "issuperset",
        "isdisjoint",
        "extendleft",
        "symmetric_difference",
        "__iadd__",
        "__add__",
        "__or__",
        "__ior__",
        "__and__",
        "__sub__",
        "__xor__",
        "difference_update",
        "intersection_update",
        "symmetric_difference_update",
        "fromkeys",
        "__eq__",
        "__ne__",
        "__init__",
        "__new__",
    ]
)
"""Methods of builtin containers whose arguments are read as containers or iterated over."""


def call(machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call anything.

    Raises:
        Unsupported: it cannot be captured.
    """
    kind = type(function)
    if kind is types.MethodType:
        return call(machine, function.__func__, [function.__self__, *args], kwargs)
    if machine.has_symbols:
        result = _call_on_symbols(machine, function, args, kwargs)
        if result is not NotImplemented:
            return result
    rule = machine.rules.get(id(function))
    if rule is not None:
        machine.world.hold(function)
        return rule(machine, args, kwargs)
    if kind is types.FunctionType:
        return _call_function(machine, function, args, kwargs)
    if kind is types.BuiltinFunctionType or kind is types.MethodWrapperType:
        return _call_bound_builtin(machine, function, args, kwargs)
    if kind is types.MethodDescriptorType or kind is types.WrapperDescriptorType:
        return _call_descriptor(machine, function, args, kwargs)
    if isinstance(function, type):
        return machine.construct(function, args, kwargs)
    if kind is functools.partial:
        merged = {**function.keywords, **kwargs} if function.keywords or kwargs else kwargs
        return call(machine, function.func, _all_args_of_partial(function, args), merged)
    return _call_object(machine, function, args, kwargs)


def _call_on_symbols(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a C function that has a meaning for numbers that are not fixed; gives `NotImplemented` for others."""
    if function is math.prod and args and is_read_container(machine, args[0]):
        args = [machine.world.contents(args[0]), *args[1:]]
    result = symbolic_floats.try_call(machine, function, args, kwargs)
    return symbolic_ints.try_call(function, args, kwargs) if result is NotImplemented else result


def _all_args_of_partial(function: functools.partial[Any], args: Sequence[Any]) -> list[Any]:
    """Give the positional arguments of a call of a partial: the first ones of the call fill the places that it left open.

    Raises:
        TypeError: the call leaves a place open.
    """
    num_open = sum(one is _PLACEHOLDER for one in function.args)
    if len(args) < num_open:
        msg = (
            "missing positional arguments in 'partial' call; "
            f"expected at least {num_open}, got {len(args)}"
        )
        raise TypeError(msg)
    given = iter(args)
    return [*(next(given) if one is _PLACEHOLDER else one for one in function.args), *given]


def _call_function(
    machine: Machine,
    function: types.FunctionType,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    known = machine.native_functions.get(id(function))
    if known is None:
        original = original_function(function)
        if original is not function:
            return call(machine, original, args, kwargs)
        _check_inside(machine, function)
        wrapped = _call_of_wrapper(machine, function, args, kwargs)
        if wrapped is not ABSENT:
            return wrapped
        known = machine.native_functions[id(function)] = (function, is_native_function(function))
    if known[1] and function.__globals__["__name__"] in _OWN_INTERFACE:
        return _call_compiled(machine, function, args, kwargs)
    seen = (*args, *_closure_contents(function)) if function.__closure__ else args
    run = call_native if known[1] and not needs_interpretation(machine, seen, kwargs) else inline
    if known[1] and args and function.__name__ in STEPS:
        manager = stand_in_of(machine, args[0], function.__name__)
        if manager is not args[0]:
            function, args, run = (
                getattr(torch.autocast, function.__name__),
                [manager, *args[1:]],
                call_native,
            )
        if run is call_native or needs_account(manager):
            step = functools.partial(run, machine, function, args, kwargs)
            return call_of_context(machine, manager, function.__name__, step)
    return run(machine, function, args, kwargs)


def _call_of_wrapper(
    machine: Machine, function: types.FunctionType, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call what a wrapper of PyTorch's is round: one that `torch.compile` gave, or a graph module's own `__call__`; else `ABSENT`."""
    home = function.__globals__.get("__name__")
    if home == "torch._dynamo.eval_frame" and _PYTORCHS_ORIGINAL in function.__dict__:
        return call(machine, machine.load_attr(function, _PYTORCHS_ORIGINAL), args, kwargs)
    if home == "torch._dynamo.eval_frame" and function.__qualname__ == "OptimizedModule.__call__":
        return call(machine, machine.load_attr(args[0], "_orig_mod"), args[1:], kwargs)
    if home == "torch.fx.graph_module" and function.__name__ == "call_wrapped":
        return call(machine, torch.nn.Module.__call__, args, kwargs)
    return ABSENT


def _closure_contents(function: types.FunctionType) -> Iterator[Any]:
    """Give what a function's closure holds: PyTorch's own generator expressions reach a module that way."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty
            yield cell.cell_contents


def _call_compiled(
    machine: Machine,
    function: types.FunctionType,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """A compiled function or module inside a program: what it was made from is part of the program. A disabled module is refused."""
    if "__wrapped__" in function.__dict__:
        return call(machine, machine.load_attr(function, "__wrapped__"), args, kwargs)
    original = machine.load_attr(args[0], "_orig_mod")
    serving = args[0]._call  # noqa: SLF001  (where calls of it go)
    if type(serving) is types.FunctionType:
        _check_inside(machine, serving)
    if function.__name__ == "__getattr__":
        return machine.load_attr(original, args[1])
    return call(machine, original, args[1:], kwargs)


def inline(
    machine: Machine,
    function: types.FunctionType,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Interpret the body of a Python function."""
    info = machine.codes.info(function.__code__)
    if info.is_coroutine:
        msg = f"a call of {function.__qualname__}, an asynchronous function"
        raise machine.unsupported(
            msg,
            why="coroutines run outside the call that makes them",
            remedy="compile the synchronous parts",
        )
    caller = machine.frame
    if caller is not None:
        caller.num_calls += 1
        if caller is machine.outermost.frame:
            check_goes_on(machine, caller, function)
    slots = bind(machine.world, function, info, args, kwargs)
    return machine.run_frame(Frame(info, slots, function.__globals__, function))


def _call_bound_builtin(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    holder = function.__self__
    if isinstance(holder, types.ModuleType):
        is_in_place = holder.__name__ in _CHANGES_LISTS and args
        way = call_on_list if is_in_place else call_native
        return way(machine, function, args, kwargs)
    if holder is None or type(holder) is machine.tensor_type:
        return _call_of_torch(machine, function, args, kwargs)
    name = function.__name__
    if type(function) is types.MethodWrapperType or isinstance(holder, type):
        special = _call_object_slot(machine, name, holder, args, kwargs)
        if special is not ABSENT:
            return special
    if isinstance(holder, CONTAINERS):
        return _call_container_method(machine, function, name, holder, args, kwargs)
    if isinstance(holder, tuple | str | types.GeneratorType):
        return _call_value_method(machine, function, args, kwargs)
    is_known = machine.world.source_of(holder) is None or is_opaque_constant(holder)
    if not is_known and type(holder) not in machine.plain_types:
        msg = f"the method {name} of an object of type {type(holder).__qualname__}"
        raise machine.unsupported(
            msg,
            why="it is written in C, and the object existed before the call",
            remedy="turn the object into tensors, numbers or builtin containers before the call",
        )
    if name in STEPS:  # `with torch.device(...)`
        step = functools.partial(call_native, machine, function, args, kwargs)
        return call_of_context(machine, holder, name, step)
    return call_native(machine, function, args, kwargs)


def _call_of_torch(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a method of a tensor, which may have a rule, or a function of no module."""
    holder = function.__self__
    method = None if holder is None else getattr(torch.Tensor, function.__name__, None)
    rule = None if method is None else machine.rules.get(id(method))
    if rule is not None:
        return rule(machine, [holder, *args], kwargs)
    return call_native(machine, function, args, kwargs)


def _call_value_method(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a method of a tuple, a string or a generator."""
    check_own(machine, function.__self__)
    compared = call_comparing_method(machine, function.__name__, function.__self__, args, kwargs)
    if compared is not ABSENT:
        return compared
    if isinstance(function.__self__, str):
        late = _call_on_late_texts(machine, function, args, kwargs)
        if late is not ABSENT:
            return late
        if machine.has_symbols:
            args = [plain_throughout(value) for value in args]
            kwargs = {key: plain_throughout(value) for key, value in kwargs.items()}
        if function.__name__ == "format" and not machine.are_plain((*args, *kwargs.values())):
            return format_template(machine, function.__self__, args, kwargs)
        args = [machine.materialise(machine.native_iterable(value)) for value in args]
        kwargs = {key: machine.materialise(value) for key, value in kwargs.items()}
    elif function.__name__ in _TAKES_ITERABLE:
        args = [machine.native_iterable(value) for value in args]
    return natively(function, *args, **kwargs)


def _call_on_late_texts(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a method of a string that writes numbers which are not fixed, or joins texts made of such; else `ABSENT`."""
    if function.__name__ == "format":
        values = (*args, *kwargs.values())
        open_types = (LateResult, machine.tensor_type, *SYMBOLIC_TYPES)
        if any(type(value) in open_types for value in values):
            return format_template(machine, function.__self__, args, kwargs)
    elif function.__name__ == "join" and len(args) == 1 and not kwargs:
        iterable = machine.native_iterable(args[0])
        if hasattr(type(iterable), "__iter__"):
            return join(machine, function.__self__, list(map(machine.materialise, iterable)))
    for value in (*args, *kwargs.values()):
        if type(value) is LateResult:
            raise used_late(value)
    return ABSENT


def _call_container_method(
    machine: Machine,
    function: Any,
    name: str,
    holder: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    own = holder
    check_runs_unseen(machine, name, holder)
    if is_read_container(machine, holder):
        if name == "append" and isinstance(holder, list) and len(args) == 1 and not kwargs:
            machine.world.append(holder, args[0])
            return None
        quick = _read_dict_quickly(machine, name, holder, args)
        if quick is not ABSENT:
            return quick
        own = machine.world.change(holder) if name in _CHANGING else machine.world.contents(holder)
        if type(own) is not type(holder) and name in _KIND_MATTERS:
            own = container_like(holder, own)
        function = getattr(builtin_base(type(own)), name).__get__(own)
    compared = call_comparing_method(machine, name, own, args, kwargs)
    if compared is not ABSENT:
        return compared
    args = _checked_elements(machine, holder, args)
    if name in _TAKES_ITERABLE:
        if name in ("update", "__ior__"):
            args = [read_entries(machine, own, value) for value in args]
        else:
            read = machine.members if isinstance(own, set | frozenset) else machine.native_iterable
            args = [check_members(machine, own, read(value)) for value in args]
    if name == "pop":
        in_order(machine, holder)
    result = natively(function, *args, **kwargs)
    return holder if name in ("__iadd__", "__ior__", "__imul__") and result is not None else result


def _checked_elements(machine: Machine, holder: Any, args: Sequence[Any]) -> Sequence[Any]:
    """Give a method's arguments; refuse keys and members that a dict or set would hash by Python code."""
    if isinstance(holder, list | collections.deque) or not args:
        return args
    return [check_key(machine, args[0]), *args[1:]]


def _read_dict_quickly(machine: Machine, name: str, holder: Any, args: Sequence[Any]) -> Any:
    """Do what methods of `dict` itself do with one constant key, without reading the whole dict; else `ABSENT`."""
    if not isinstance(holder, dict) or not args or not is_constant(args[0]):
        return ABSENT
    if name == "get":
        value = machine.world.read_key(holder, args[0])
        default = args[1] if len(args) > 1 else None
        return default if value is ABSENT else value
    if name == "__contains__":
        return machine.world.has_key(holder, args[0])
    return machine.world.read_key(holder, args[0]) if name == "__getitem__" else ABSENT


def _call_object_slot(
    machine: Machine, name: str, holder: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """The slots of `object` and `type` that read or write attributes, and constructors of builtin types reached through `super()`."""
    if isinstance(holder, type) and name != "__new__":
        return ABSENT
    match name:
        case "__setattr__":
            machine.store_raw_attr(holder, *args)
            return None
        case "__getattribute__":
            return machine.load_raw_attr(holder, *args)
        case "__hash__" if not args:
            return machine.call(hash, [holder], {})
        case "__new__":
            return _make_empty(machine, args[0], args[1:], kwargs)
        case "__get__" if isinstance(holder, _DESCRIPTORS) and args and args[0] is not None:
            return bind_class_attr(machine, holder, args[0], type(args[0]), name)
        case "__init__" if isinstance(holder, CONTAINERS):
            _fill_anew(machine, holder, args, kwargs)
            return None
    return ABSENT


def _fill_anew(
    machine: Machine, holder: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """`base.__init__(holder, ...)` for the builtin base of a container."""
    if args or kwargs:
        check_runs_unseen(machine, "__init__", holder)
    base = builtin_base(type(holder))
    own = machine.world.change(holder) if is_read_container(machine, holder) else holder
    factory: list[Any] = []
    if base is collections.defaultdict:
        factory, args = [own_factory(machine, one) for one in args[:1]], args[1:]
        if own is not holder:
            raise machine.unsupported(
                "another default for a dict that existed before the call",
                why="a program cannot give it one",
                remedy="make the dict anew",
            )
    base = base if isinstance(own, base) else type(own)
    entries = [read_entries(machine, own, value) for value in args]
    if base is collections.deque:  # its greatest length
        entries[1:], kwargs = plain_throughout(entries[1:]), plain_throughout(dict(kwargs))
    natively(base.__init__, own, *factory, *entries, **kwargs)


def _make_empty(
    machine: Machine, kind: type, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """`base.__new__(kind, ...)` for the builtin base of `kind`."""
    if issubclass(kind, torch._C.StorageBase):  # noqa: SLF001  (the base of all storages)
        raise machine.unsupported(
            f"an instance of {kind.__qualname__}, which is derived from a storage",
            why="a storage is memory, which there is none of while a program is captured",
            remedy="make it outside the compiled function",
        )
    maker = next(
        base.__dict__["__new__"]
        for base in kind.__mro__
        if isinstance(base.__dict__.get("__new__"), types.BuiltinFunctionType)
    )
    if maker is object.__new__:
        return natively(object.__new__, kind)
    if issubclass(kind, tuple | frozenset):
        read = machine.members if issubclass(kind, frozenset) else machine.native_iterable
        args = [read(value) for value in args]
    return natively(maker, kind, *args, **kwargs)


def _call_descriptor(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """`list.append(x, 1)`, `object.__setattr__(x, name, value)`, `torch.Tensor.add(x, y)`."""
    if not args:
        return call_native(machine, function, args, kwargs)
    holder, name = args[0], function.__name__
    special = _call_object_slot(machine, name, holder, args[1:], kwargs)
    if special is not ABSENT:
        return special
    if name == "__init__" and function is object.__init__:
        return None
    if isinstance(holder, CONTAINERS) and issubclass(type(holder), function.__objclass__):
        bound = function.__get__(holder, type(holder))
        return _call_container_method(machine, bound, name, holder, args[1:], kwargs)
    return call_native(machine, function, args, kwargs)


def _call_object(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    kind = type(function)
    if not is_fixed_class(kind):
        raw = peek(kind, "__call__")
        is_own = not is_torch_class(kind) or needs_interpretation(machine, [function], {})
        is_interpreted = type(raw) is types.FunctionType and not is_native_function(raw)
        if raw is not ABSENT and (is_own or is_interpreted):
            raw = find(machine, kind, "__call__")
            if type(raw) is types.FunctionType:
                return call(machine, raw, [function, *args], kwargs)
    if is_getter(function) and len(args) == 1 and not kwargs:
        return call_getter(machine, function, args[0])
    if isinstance(function, OwnCallable):
        return function(*args, **kwargs)
    if kind is weakref.ReferenceType and machine.world.source_of(function) is None:
        return natively(function, *args, **kwargs)
    if is_cached(function):
        return call_cached(machine, function, args, kwargs)
    if not callable(function):
        msg = f"'{kind.__name__}' object is not callable"
        raise TypeError(msg)
    machine.world.hold(function)
    return call_native(machine, function, args, kwargs)


def construct(machine: Machine, kind: type, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Make an instance of a class, interpreting what of its making is Python code."""
    if isinstance(kind, enum.EnumMeta):
        return _call_enum(machine, kind, args, kwargs)
    if is_fixed_class(kind):
        return call_native(machine, kind, args, kwargs)
    meta_call = peek(type(kind), "__call__")
    if type(meta_call) is types.FunctionType and not is_torch_class(kind):
        return call(machine, find(machine, type(kind), "__call__"), [kind, *args], kwargs)
    if isinstance(meta_call, type):  # a typed dict is made by `dict` itself
        return construct(machine, meta_call, args, kwargs)
    is_module = issubclass(kind, torch.nn.Module)
    if issubclass(kind, UninitializedParameter | UninitializedBuffer):
        raise instance_of_tensor_class(machine, kind)
    if is_torch_class(kind) and not (is_module or needs_interpretation(machine, args, kwargs)):
        return call_native(machine, kind, args, kwargs)
    made = _call_new(machine, kind, args, kwargs)
    if isinstance(made, kind):
        _call_init(machine, kind, made, args, kwargs)
    return made


def _call_enum(
    machine: Machine, kind: enum.EnumMeta, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Find a member of an enum, or make an enum of the program's own from one that has no members."""
    own_args = [machine.materialise(plain_throughout(value)) for value in args]
    if kind.__members__ or (len(args) < 2 and "names" not in kwargs):
        return natively(kind, *own_args, **kwargs)
    made: Any = natively(kind, *own_args, **{"module": machine.module_name(), **kwargs})
    machine.own_classes.add(made)
    return made


def _call_new(machine: Machine, kind: type, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    maker = find(machine, kind, "__new__")
    if isinstance(maker, staticmethod):
        maker = machine.load_attr(maker, "__func__")
    if isinstance(maker, types.FunctionType):
        return call(machine, maker, [kind, *args], kwargs)
    if maker is object.__new__:
        if (args or kwargs) and peek(kind, "__init__") is object.__init__:
            msg = f"{kind.__name__}() takes no arguments"
            raise TypeError(msg)
        return natively(object.__new__, kind)
    if issubclass(kind, BaseException):
        return natively(maker, kind, *args, **kwargs)
    if issubclass(kind, torch.Tensor):
        raise instance_of_tensor_class(machine, kind)
    return _make_empty(machine, kind, args, kwargs)


def _call_init(
    machine: Machine, kind: type, made: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    init = find(machine, kind, "__init__")
    if type(init) is types.FunctionType:
        if call(machine, init, [made, *args], kwargs) is not None:
            msg = "__init__() should return None"
            raise TypeError(msg)
    elif init is not object.__init__ and not isinstance(made, tuple | str | int | float):
        call(machine, init, [made, *args], kwargs)


def _check_inside(machine: Machine, function: types.FunctionType) -> None:
    """Refuse a function that was marked, with `gw.disable` or `torch.compiler.disable`, and those of PyTorch's that are known.

    Raises:
        Unsupported: it is one of them.
    """
    why = why_outside(function)
    if why is None:
        return
    is_marked = not is_torch_module_name(function.__globals__.get("__name__"))
    raise machine.unsupported(
        f"a call of {function.__qualname__.removesuffix('.__init__')}",
        why=why,
        remedy="call it outside the compiled function" + ", or take the mark away" * is_marked,
    )
