"""Native calls: C functions, and PyTorch's own Python, run as they are on abstract tensors and plain values.

In: a callable and arguments as the interpreter holds them.   Out: its result.
Keeps: native code never sees an object of the user's that existed before the call (containers are copied, functions become callbacks
that are interpreted); a function is called only when it is known to depend on its arguments alone.
"""

from __future__ import annotations

import collections
import enum
import functools
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.base.errors import GraphwrightError, Unsupported
from graphwright.capture.constants import ATOMIC_TYPES, is_native_member
from graphwright.capture.contexts import is_dispatch_guard, is_step_of_guard
from graphwright.capture.faults import natively
from graphwright.capture.late_calls import LateResult
from graphwright.capture.lookup import is_fixed_class
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.policy import is_native_function, is_torch_class, is_torch_module_name
from graphwright.capture.process_bound import in_order
from graphwright.capture.raw_containers import container_like, raw_items
from graphwright.capture.symbolic_ints import SYMBOLIC_TYPES, plain_throughout

PURE_MODULES: Final = frozenset(
    {
        "math",
        "cmath",
        "_operator",
        "operator",
        "itertools",
        "_functools",
        "_collections",
        "_struct",
        "_string",
        "_sre",
        "unicodedata",
        "_abc",
        "_typing",
        "_thread",
    }
)
"""C modules whose functions depend on their arguments alone."""

PURE_BUILTINS: Final = frozenset(
    {
        "abs",
        "bin",
        "chr",
        "compile",
        "divmod",
        "format",
        "hash",
        "hex",
        "id",
        "oct",
        "ord",
        "pow",
        "round",
        "sorted",
        "sum",
        "min",
        "max",
        "any",
        "all",
        "callable",
        "ascii",
        "repr",
        "len",
        "iter",
        "next",
        "isinstance",
        "issubclass",
    }
)

_DATA_TYPES: Final[tuple[Any, ...]] = (
    str,
    bytes,
    int,
    float,
    complex,
    bool,
    list,
    tuple,
    dict,
    set,
    frozenset,
    slice,
    range,
    object,
    type,
    collections.deque,
    collections.OrderedDict,
    collections.defaultdict,
    BaseException,
    functools.partial,
    property,
    types.GeneratorType,
    types.FunctionType,
    types.MethodType,
    types.MappingProxyType,
    type(None),
    type({}.keys()),
    type({}.values()),
    type({}.items()),
    type(iter(())),
    type(iter([])),
    type(iter({})),
    map,
    filter,
    zip,
    enumerate,
    reversed,
    super,
)

_IMPURE_TORCH: Final = frozenset(
    {
        "manual_seed",
        "seed",
        "save",
        "load",
        "set_default_dtype",
        "set_default_device",
        "set_default_tensor_type",
        "set_num_threads",
        "set_num_interop_threads",
        "set_rng_state",
        "get_rng_state",
        "initial_seed",
        "set_printoptions",
        "set_flush_denormal",
        "use_deterministic_algorithms",
        "set_float32_matmul_precision",
        "compile",
        "synchronize",
        "from_numpy",
        "from_file",
        "from_dlpack",
        "fork_rng",
        "get_num_threads",
        "get_num_interop_threads",
    }
)
"""Functions of PyTorch's that change or read state outside their arguments."""


def may_run_natively(machine: Machine, function: Any) -> bool:
    """Tell whether a callable depends on its arguments alone (or on PyTorch's global state, which is guarded)."""
    known = machine.natively.get(id(function))
    if known is not None:
        return known[1]
    answer = _may_run(function)
    machine.natively[id(function)] = (function, answer)
    return answer


def _may_run(function: Any) -> bool:
    if isinstance(function, types.FunctionType):
        return is_native_function(function) and not _is_impure(function)
    if isinstance(function, type):
        is_pure = not (_is_impure(function) or is_dispatch_guard(function))
        return is_fixed_class(function) or (is_torch_class(function) and is_pure)
    if isinstance(function, types.BuiltinFunctionType):
        return _may_run_builtin(function)
    if isinstance(function, types.MethodDescriptorType | types.WrapperDescriptorType):
        return _is_data_class(function.__objclass__)
    if isinstance(function, types.MethodWrapperType):
        return True
    if isinstance(function, types.ClassMethodDescriptorType):
        return _is_data_class(function.__objclass__)
    kind = type(function)
    return is_torch_class(kind) or kind.__module__ in PURE_MODULES or kind.__module__ == "operator"


def _is_impure(function: Any) -> bool:
    """Tell whether a function or class of PyTorch's changes or reads state that no guard covers."""
    name = function.__name__
    if name in _IMPURE_TORCH:
        return is_torch_module_name(function.__module__) or not isinstance(
            function, types.FunctionType
        )
    return (name.startswith(("set_", "_set_")) and name not in _SCOPED_SETTERS) or _seeds(function)


def _seeds(function: Any) -> bool:
    """Tell whether PyTorch's own Python sets a random stream: a call of it would do so once, while it is captured."""
    code = getattr(function, "__code__", None)
    return code is not None and not _SEEDING.isdisjoint(code.co_names)


_SEEDING: Final = frozenset({"fork_rng", "freeze_rng_state", "manual_seed", "set_rng_state"})
_SCOPED_SETTERS: Final = frozenset({"set_grad_enabled", "set_", "set_materialize_grads"})
"""Setters whose state is put back at the end of a capture, and methods that concern their own tensor or context alone."""


def _may_run_builtin(function: types.BuiltinFunctionType) -> bool:
    holder: Any = function.__self__
    module: Any = function.__module__
    if _is_impure(function) and (is_torch_module_name(module) or is_torch_class(type(holder))):
        return False
    if is_step_of_guard(function):
        return False
    if module == "builtins":
        return function.__name__ in PURE_BUILTINS
    if isinstance(module, str):
        return module in PURE_MODULES or is_torch_module_name(module)
    kind = holder if isinstance(holder, type) else type(holder)
    return _is_data_class(kind) or kind.__module__ in PURE_MODULES


def _is_data_class(kind: type) -> bool:
    return issubclass(kind, _DATA_TYPES) or is_torch_class(kind)


def call_native(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a C function, or a Python function that runs natively.

    Raises:
        Unsupported: the function is not known to be pure, or an argument cannot be shown to native code.
    """
    if not may_run_natively(machine, function):
        raise _unknown_function(machine, function)
    plain = machine.plain_types
    args, kwargs = _without_symbols(machine, function, args, kwargs)
    if type(function) is types.FunctionType and function.__module__ in _INTROSPECTION:
        for value in (*args, *kwargs.values()):
            _work_out_annotations_that_can_be(machine, value)
        return natively(function, *args, **kwargs)
    if any(type(value) not in plain for value in args):
        for value in args:
            in_order(machine, value)
        args = [materialise(machine, value) for value in args]
    if any(type(value) not in plain for value in kwargs.values()):
        kwargs = {name: materialise(machine, value) for name, value in kwargs.items()}
    # what containers of the caller's hold is known only now
    args, kwargs = _without_symbols(machine, function, args, kwargs)
    result = machine.late_calls.call(function, args, kwargs)
    machine.settings.note_call(machine.guards, function, args, kwargs, result)
    if type(result) is types.FunctionType:
        return original_function(result)
    if type(result) is types.GeneratorType and type(function) is types.FunctionType:
        machine.entered.append(result)
        machine.outermost.note_made(result)
    return result


def _without_symbols(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Make symbolic ints plain for a function that cannot take them."""
    if not machine.has_symbols or _takes_symbols(machine, function):
        return args, kwargs
    named = {name: plain_throughout(value) for name, value in kwargs.items()}
    return [plain_throughout(value) for value in args], named


def _takes_symbols(machine: Machine, function: Any) -> bool:
    """Tell whether a callable is PyTorch's own, or interpreted, so that it takes symbolic ints as they are."""
    if isinstance(function, types.FunctionType):
        return is_native_function(function) and function.__module__ not in sys.stdlib_module_names
    if isinstance(function, types.BuiltinFunctionType | types.MethodWrapperType):
        holder = function.__self__
        if type(holder) is machine.tensor_type or is_torch_class(type(holder)):
            return True
        if isinstance(holder, type):
            return is_torch_class(holder)
        return is_torch_module_name(getattr(function, "__module__", None))
    if isinstance(function, types.MethodDescriptorType | types.WrapperDescriptorType):
        return is_torch_class(function.__objclass__)
    return is_torch_class(function if isinstance(function, type) else type(function))


def call_on_list(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a C function that orders a list in place (`heapq`, `bisect`), with the list that the program sees.

    Raises:
        Unsupported: it would compare objects by Python code.
    """
    own = machine.world.change(args[0])
    if machine.has_symbols:
        own[:] = map(plain_throughout, own)
        args = [own, *map(plain_throughout, args[1:])]
    for value in (*own, *args[1:]):
        materialise(machine, value)
    return natively(function, own, *args[1:], **kwargs)


def _unknown_function(machine: Machine, function: Any) -> Exception:
    name = getattr(function, "__qualname__", None) or repr(function)
    module = getattr(function, "__module__", None) or type(function).__module__
    return machine.unsupported(
        f"a call of {module}.{name}",
        why="it is not Python code, and not known to depend on its arguments alone",
        remedy="call it outside the compiled function",
    )


_INTROSPECTION: Final = frozenset({"typing", "inspect", "types", "abc", "enum"})
"""Python modules whose functions look at functions and classes without calling them."""

_VALUE_FORMAT: Final = 1
"""What CPython gives the function that works out annotations: that their values are asked for."""


def work_out_annotations(machine: Machine, function: types.FunctionType) -> None:
    """Let the interpreter run what CPython (3.14) runs when the annotations of a function are asked for."""
    annotate: Any = getattr(function, "__annotate__", None)
    if annotate is not None:
        function.__annotations__ = machine.call(annotate, [_VALUE_FORMAT], {})


def _work_out_annotations_that_can_be(machine: Machine, value: Any) -> None:
    """Guard what the annotations of a function of the program's own name, before native code asks for them."""
    if type(value) is not types.FunctionType or machine.world.source_of(value) is not None:
        return
    try:
        work_out_annotations(machine, value)
    except GraphwrightError:
        raise
    except Exception:  # noqa: BLE001  (native code meets it again, and may have a use for names that are not there)
        return


_CALLBACK_MARK: Final = "__graphwright_function__"


class OwnCallable:
    """A callable of ours that works on objects as the interpreter holds them."""

    __call__: Callable[..., Any]
    """What it is for: each kind of them gives its own."""


def make_callback(machine: Machine, function: Any) -> Any:
    """Give a function that native code can call and that is then interpreted."""

    def callback(*args: Any, **kwargs: Any) -> Any:
        return machine.call(function, args, kwargs)

    callback.__name__ = getattr(function, "__name__", "callback")
    callback.__qualname__ = getattr(function, "__qualname__", callback.__name__)
    setattr(callback, _CALLBACK_MARK, (callback, function))
    return callback


def original_function(function: types.FunctionType) -> Any:
    """Give what a callback stands for; any other function as it is, one that wraps a callback (and took over its attributes) too."""
    callback, original = function.__dict__.get(_CALLBACK_MARK, (None, None))
    return original if callback is function else function


def instance_of_tensor_class(machine: Machine, kind: type) -> Unsupported:
    """Make the error for a program that makes an instance of a user's subclass of `torch.Tensor`."""
    return machine.unsupported(
        f"an instance of {kind.__qualname__}, a subclass of torch.Tensor, made in the program",
        why="graphs hold plain tensors, and what the class does to them is not known",
        remedy="make it outside the compiled function, of the plain tensor that this returns",
    )


def own_factory(machine: Machine, factory: Any) -> Any:
    """Give a default dict's factory in the form that native code calls; what is none stays, for CPython to word the error."""
    is_plain = factory is None or isinstance(factory, type) or not callable(factory)
    return factory if is_plain else make_callback(machine, factory)


def original_factory(factory: Any) -> Any:
    """Give what the program made a default dict with."""
    return original_function(factory) if type(factory) is types.FunctionType else factory


def is_native_callable(machine: Machine, value: Any) -> bool:
    """Tell whether native code may call `value` directly."""
    if isinstance(value, types.MethodType):
        return is_native_callable(machine, value.__func__) and (
            machine.world.source_of(value.__self__) is None
        )
    if isinstance(value, types.FunctionType):
        return is_native_function(value)
    return True


def materialise(machine: Machine, value: Any) -> Any:  # noqa: C901  (one arm a kind)
    """Give `value` in a form that native code may see, all through.

    Raises:
        Unsupported: it is, or holds, an object of the user's that native code cannot be shown.
    """
    kind = type(value)
    is_ours = isinstance(value, torch.Tensor | OwnCallable | LateResult)
    if is_ours or kind in machine.plain_types:
        return value
    if kind is tuple:
        is_plain = machine.are_plain(value)
        return value if is_plain else tuple(materialise(machine, item) for item in value)
    if kind is list and machine.world.source_of(value) is None:
        is_plain = machine.are_plain(value)
        return value if is_plain else [materialise(machine, item) for item in value]
    if kind is types.FunctionType or kind is types.MethodType:
        return value if is_native_callable(machine, value) else make_callback(machine, value)
    if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
        return value
    if isinstance(value, tuple):
        return _materialise_tuple(machine, value)
    if isinstance(value, dict | list | set | frozenset | collections.deque):
        return _materialise_container(machine, value)
    if kind is slice:
        return slice(*(materialise(machine, p) for p in (value.start, value.stop, value.step)))
    if kind is functools.partial:
        function = materialise(machine, value.func)
        args = [materialise(machine, item) for item in value.args]
        keywords = {name: materialise(machine, item) for name, item in value.keywords.items()}
        return functools.partial(function, *args, **keywords)
    if machine.world.source_of(value) is None:
        _check_no_callbacks(machine, value, kind)
        return value
    if is_opaque_constant(value):
        return value
    msg = f"an object of type {kind.__module__}.{kind.__qualname__} as the argument of native code"
    raise machine.unsupported(
        msg,
        why="it existed before the call, and what native code reads of it cannot be guarded",
        remedy="pass the tensors and numbers that are needed instead of the object",
    )


_NATIVELY_CALLED: Final = tuple(
    f"__{name}__"
    for name in (
        *("eq", "ne", "lt", "le", "gt", "ge", "hash", "bool", "len", "iter", "next", "contains"),
        *("getitem", "index", "int", "float", "call", "str", "repr", "format", "getattr", "add"),
        *("mul", "sub", "radd", "rmul", "torch_function"),
    )
)
"""Special methods that native code may call on an object it is given."""


def _check_no_callbacks(machine: Machine, value: Any, kind: type) -> None:
    """Refuse an object of the program's own whose special methods are Python code: native code would run them unseen."""
    if is_fixed_class(kind) or is_torch_class(kind) or isinstance(value, BaseException):
        return
    hooks = ((name, machine.special(value, name)) for name in _NATIVELY_CALLED)
    name = next((name for name, hook in hooks if hook and not is_native_function(hook)), None)
    if name is not None:
        raise machine.unsupported(
            f"an object of type {kind.__module__}.{kind.__qualname__} as the argument of native code",
            why=f"native code may call its {name}, which is Python code",
            remedy="pass the tensors and numbers that are needed instead of the object",
        )


_OPAQUE_TYPES: Final = (object, re.Pattern, type(getattr(re, "_zero_sentinel", None)))
"""From 3.13 on `re` has a number of a class of its own that stands for what was not given."""


def is_opaque_constant(value: Any) -> bool:
    """Tell whether an object that existed before is no more than what was guarded when it was entered."""
    return type(value) in _OPAQUE_TYPES or is_native_member(value)


def _materialise_tuple(machine: Machine, value: Any) -> Any:
    items = [materialise(machine, item) for item in value]
    if all(one is other for one, other in zip(items, value, strict=True)):
        return value
    kind = type(value)
    if hasattr(kind, "n_sequence_fields"):
        return natively(kind, items)
    return tuple.__new__(kind, items)


def _materialise_container(machine: Machine, value: Any) -> Any:
    contents = machine.world.contents(value)
    if isinstance(contents, dict):
        shown: Any = {k: materialise(machine, v) for k, v in raw_items(contents)}
        is_same = all(v is contents[k] for k, v in shown.items())
    elif isinstance(contents, set | frozenset):
        shown, is_same = contents, True
    else:
        shown = [materialise(machine, item) for item in contents]
        is_same = all(one is other for one, other in zip(shown, contents, strict=True))
    is_kind = type(contents) is type(value)
    return contents if is_same and is_kind else container_like(value, contents, shown)


_HOLDING_DEPTH: Final = 3
"""How many objects of PyTorch's own are looked through for one of the user's."""


def needs_interpretation(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Tell whether PyTorch's Python must be interpreted for these arguments: an object of the user's is among them."""
    return any(_is_user_object(machine, value) for value in (*args, *kwargs.values()))


def _is_user_object(machine: Machine, value: Any, depth: int = _HOLDING_DEPTH) -> bool:
    kind = type(value)
    if kind in machine.plain_types or isinstance(value, torch.Tensor | type):
        return False
    if kind is tuple or kind is list:
        return any(_is_user_object(machine, item) for item in value)
    if isinstance(value, torch.nn.Module):
        return True
    if is_native_member(value):
        return False
    if machine.world.source_of(value) is None:
        if is_torch_class(kind):
            return depth > 0 and _holds_user_object(machine, value, depth - 1)
        return not (is_fixed_class(kind) or isinstance(value, BaseException | enum.Enum))
    return not isinstance(
        value,
        dict
        | list
        | tuple
        | set
        | frozenset
        | collections.deque
        | types.FunctionType
        | types.MethodType
        | functools.partial
        | slice,
    )


def _holds_user_object(machine: Machine, value: Any, depth: int) -> bool:
    """Tell whether an object of PyTorch's own has one of the user's among its attributes (an accessor of a module's parameters)."""
    own = getattr(value, "__dict__", None)
    return isinstance(own, dict) and any(
        _is_user_object(machine, item, depth) for item in own.values()
    )


class IdentityNumber(int):
    """The `id` of a tensor: good for comparing within a call, and no constant, as the next call has other tensors."""


def make_plain_types(tensor_type: type[torch.Tensor]) -> frozenset[type]:
    """Give the exact types whose values native code may see as they are."""
    symbolic = set(SYMBOLIC_TYPES)
    callables = {types.BuiltinFunctionType, types.ModuleType}
    return frozenset(
        ATOMIC_TYPES | symbolic | callables | {tensor_type, type(ABSENT), IdentityNumber}
    )
