"""Make and change Python objects the way a program says, with no user code run.

In: classes, parts, contents.   Out: the objects; changed attributes, items, cells and globals.
"""

from __future__ import annotations

import collections
import types
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.base.errors import InternalError

_HEAP_TYPE: Final = 1 << 9
_IMMUTABLE_TYPE: Final = 1 << 8
_MODULE_TABLES: Final = ("_parameters", "_buffers", "_modules")


def builtin_base(cls: type) -> Any:
    """Give the nearest base of `cls` that is written in C."""
    for base in cls.__mro__:
        if not base.__flags__ & _HEAP_TYPE or base.__flags__ & _IMMUTABLE_TYPE:
            return base
    return object


def make_instance(cls: Any, make_items: Callable[[], Iterable[object]]) -> Any:
    """Make an empty instance of `cls`; a tuple (or frozenset) gets its items at once."""
    base = builtin_base(cls)
    if issubclass(base, tuple | frozenset):
        return base.__new__(cls, make_items())
    return base.__new__(cls)


def fill_instance(
    made: Any,
    attrs: Mapping[str, object],
    items: Iterable[object] = (),
    entries: Iterable[tuple[object, object]] = (),
) -> Any:
    """Give `made` its contents, then its attributes; `made` comes back."""
    base = builtin_base(type(made))
    if base is list:
        list.extend(made, items)
    elif base is set:
        set.update(made, items)
    elif base is collections.deque:
        collections.deque.extend(made, items)
    for key, value in entries:
        base.__setitem__(made, key, value)
    for name, value in attrs.items():
        _set_own_attr(made, name, value)
    return made


def _set_own_attr(made: object, name: str, value: object) -> None:
    slot = next((vars(cls)[name] for cls in type(made).__mro__ if name in vars(cls)), None)
    is_slot = isinstance(slot, types.MemberDescriptorType | types.GetSetDescriptorType)
    if is_slot or not hasattr(type(made), "__dict__"):
        object.__setattr__(made, name, value)
        return
    object.__getattribute__(made, "__dict__")[name] = value


def make_dict(
    cls: Any,
    entries: Iterable[tuple[object, object]],
    factory: object = None,
) -> Any:
    """Make an instance of `OrderedDict`, `defaultdict` or another builtin dict."""
    made = cls(factory) if issubclass(cls, collections.defaultdict) else cls()
    for key, value in entries:
        made[key] = value
    return made


def make_function(
    code: Any,
    namespace: Any,
    name: str,
    qualname: str,
    cells: Iterable[types.CellType],
) -> types.FunctionType:
    """Make a Python function with the closure `cells`."""
    function = types.FunctionType(code, namespace, name, None, tuple(cells) or None)
    function.__qualname__ = qualname
    return function


def finish_function(
    function: Any,
    defaults: Any,
    kw_defaults: Any,
    annotations: Any,
    attrs: Mapping[str, object],
) -> Any:
    """Give a function its defaults, annotations and attributes."""
    function.__defaults__ = defaults
    function.__kwdefaults__ = kw_defaults
    if annotations is not None:
        function.__annotations__ = annotations
    for name, value in attrs.items():
        if name in ("__doc__", "__module__", "__annotate__"):
            setattr(function, name, value)
        else:
            function.__dict__[name] = value
    return function


def make_reduced(function: Callable[..., Any], args: Iterable[object], state: object = None) -> Any:
    """Make an iterator from what its `__reduce__` gave."""
    made = function(*args)
    if state is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # `itertools` of 3.12 and 3.13
            made.__setstate__(state)
    return made


def _advanced(iterator: Iterator[object], count: int) -> Iterator[object]:
    for _ in range(count):
        next(iterator)
    return iterator


def view_without_history(
    base: torch.Tensor, shape: Sequence[int], strides: Sequence[int], first: int
) -> torch.Tensor:
    """Make a view as it is made while gradients are off: it requires a gradient as its base does, and sends none back.

    Args:
        base: what it is a view of.
        shape: its shape.
        strides: its strides.
        first: where it begins, in elements from where `base` does.
    """
    with torch.no_grad():
        return base.as_strided(shape, strides, base.storage_offset() + first)


def make_exception(
    cls: type[BaseException],
    args: Sequence[object],
    attrs: Mapping[str, object],
    links: tuple[BaseException | None, BaseException | None, bool],
) -> BaseException:
    """Make an exception that was not raised yet.

    Args:
        cls: its class.
        args: its arguments.
        attrs: its other attributes.
        links: `__cause__`, `__context__`, `__suppress_context__`.
    """
    made: BaseException = builtin_base(cls).__new__(cls, *args)
    vars(made).update(attrs)
    made.__cause__, made.__context__, made.__suppress_context__ = links
    return made


def resume_generator(
    has_begun: bool,  # noqa: FBT001  (a recipe's arguments have no names)
    function: Callable[..., Generator[Any, Any, Any]],
    *values: object,
) -> Generator[Any, Any, Any]:
    """Make a generator that goes on where another stands; one that has begun runs to the `yield` that it is entered at."""
    made = function(*values)
    if has_begun:
        next(made)
    return made


def iterate_keys(table: dict[object, object], count: int) -> Iterator[object]:
    """Iterate over a dict from entry `count` on."""
    return _advanced(iter(table), count)


def iterate_values(table: dict[object, object], count: int) -> Iterator[object]:
    """Iterate over a dict's values from entry `count` on."""
    return _advanced(iter(table.values()), count)


def iterate_items(table: dict[object, object], count: int) -> Iterator[object]:
    """Iterate over a dict's items from entry `count` on."""
    return _advanced(iter(table.items()), count)


def fill_cell(cell: types.CellType, contents: object) -> None:
    """Put something into a cell."""
    cell.cell_contents = contents


def set_attr(target: Any, name: str, value: object) -> None:
    """Set an attribute without running user code; a module's parameters, buffers and children stay in their tables."""
    if isinstance(target, type):
        type.__setattr__(target, name, value)
        return
    if isinstance(target, torch.nn.Module):
        own = object.__getattribute__(target, "__dict__")
        for table in _MODULE_TABLES:
            if name in own.get(table, ()):
                own[table][name] = value
                return
    object.__setattr__(target, name, value)


def delete_attr(target: Any, name: str) -> None:
    """Delete an attribute without running user code."""
    if isinstance(target, type):
        type.__delattr__(target, name)
        return
    if isinstance(target, torch.nn.Module):
        own = object.__getattribute__(target, "__dict__")
        for table in _MODULE_TABLES:
            if name in own.get(table, ()):
                del own[table][name]
                return
    object.__delattr__(target, name)


def set_item(target: Any, key: object, value: object) -> None:
    """Do `target[key] = value` by the builtin base's method."""
    builtin_base(type(target)).__setitem__(target, key, value)


def delete_item(target: Any, key: object) -> None:
    """Do `del target[key]` by the builtin base's method."""
    builtin_base(type(target)).__delitem__(target, key)


def replace_contents(target: Any, contents: Any) -> None:
    """Give `target` the contents of `contents`; its identity stays."""
    match target:
        case list():
            list.__setitem__(target, slice(None), contents)
        case collections.OrderedDict():
            collections.OrderedDict.clear(target)
            collections.OrderedDict.update(target, contents)
        case dict():
            dict.clear(target)
            dict.update(target, contents)
        case set():
            _change_members(target, contents)
        case collections.deque():
            collections.deque.clear(target)
            collections.deque.extend(target, contents)
        case bytearray():
            bytearray.__setitem__(target, slice(None), contents)
        case _:
            message = f"the contents of a {type(target).__name__} cannot be replaced"
            raise InternalError(message)


def _change_members(target: set[Any], contents: set[Any]) -> None:
    """Give a set these members; those that stay keep their places, on which its order depends."""
    kept = {(type(member), member) for member in contents}
    gone = [member for member in set.__iter__(target) if (type(member), member) not in kept]
    if len(gone) == set.__len__(target):
        set.clear(target)
    else:
        set.difference_update(target, gone)
    # One by one, as `add` does: to join another set grows the table by other steps.
    set.update(target, list(contents))


def set_cell(function: Any, index: int, value: object) -> None:
    """Set the contents of cell `index` of `function`."""
    function.__closure__[index].cell_contents = value
