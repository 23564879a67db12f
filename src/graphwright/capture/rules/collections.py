"""Rules for builtins that iterate, measure, order or make containers and text."""

from __future__ import annotations

import collections
import functools
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.items import check_members, read_entries
from graphwright.capture.lookup import is_fixed_class
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.missing import ABSENT
from graphwright.capture.natives import OwnCallable, make_callback, own_factory
from graphwright.capture.operators import stand_in, unary

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def len_(machine: Machine, args: Args, kwargs: Kwargs) -> int:
    """`len(x)`."""
    return machine.length(args[0])


def iter_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`iter(x)`, or `iter(function, sentinel)`."""
    if len(args) == 2:
        return natively(iter, machine.materialise(args[0]), args[1])
    return machine.iterate(args[0])


def next_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`next(iterator[, default])`."""
    if len(args) == 1:
        return machine.next_item(args[0])
    try:
        return machine.next_item(args[0])
    except StopIteration:
        return args[1]


def bool_(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`bool(x)`."""
    return machine.truth(args[0]) if args else False


def str_(machine: Machine, args: Args, kwargs: Kwargs) -> str:
    """`str(x)`."""
    if len(args) != 1 or kwargs:
        return natively(str, *args, **kwargs)
    return machine.text(str, args)


def repr_(machine: Machine, args: Args, kwargs: Kwargs) -> str:
    """`repr(x)`."""
    return machine.text(repr, args)


def ascii_(machine: Machine, args: Args, kwargs: Kwargs) -> str:
    """`ascii(x)`."""
    return machine.text(ascii, args)


def format_(machine: Machine, args: Args, kwargs: Kwargs) -> str:
    """`format(x[, spec])`."""
    return machine.text(format, args if len(args) == 2 else [*args, ""])


def _from_iterables(function: Callable[..., Any]) -> Rule:
    """Make the rule of a function whose arguments are all iterables."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        return natively(function, *map(machine.native_iterable, args), **kwargs)

    rule.__doc__ = f"`{function.__name__}(...)` over iterables."
    return rule


def _set_of(kind: Any) -> Rule:
    """Make the rule of `set` or `frozenset`."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        made = kind()
        items = [check_members(machine, made, machine.members(value)) for value in args]
        return natively(kind, *items, **kwargs)

    rule.__doc__ = f"`{kind.__name__}(...)`."
    return rule


def _number(kind: type, names: tuple[str, ...]) -> Rule:
    """Make the rule of `int` or `float`."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        if args and type(args[0]) not in machine.plain_types:
            for name in names:
                hook = machine.special(args[0], name)
                if hook is not None:
                    return natively(kind, machine.call(hook, [args[0]], {}))
            is_users = not is_fixed_class(type(args[0]))
            if is_users and type(args[0]).__mro__[1:] == (object,):
                args = [stand_in(machine, args[0]), *args[1:]]  # CPython words the error
        return machine.call_native(kind, args, kwargs)

    rule.__doc__ = f"`{kind.__name__}(x)`."
    return rule


def map_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`map(function, ...)`."""
    items = map(machine.native_iterable, args[1:])
    return natively(map, make_callback(machine, args[0]), *items)


def filter_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`filter(function, iterable)`."""
    function, items = args
    if function is None:
        return natively(filter, machine.truth, machine.native_iterable(items))
    return natively(
        filter,
        lambda item: machine.truth(machine.call(function, [item], {})),
        machine.native_iterable(items),
    )


def reversed_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`reversed(x)`."""
    hook = machine.special(args[0], "__reversed__")
    if hook is not None:
        return machine.call(hook, [args[0]], {})
    if machine.special(args[0], "__getitem__") is not None:
        size = machine.length(args[0])
        return (machine.getitem(args[0], i) for i in range(size - 1, -1, -1))
    return natively(reversed, machine.native_iterable(args[0]))


def any_(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`any(iterable)`."""
    return any(machine.truth(item) for item in machine.members(args[0]))


def all_(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`all(iterable)`."""
    return all(machine.truth(item) for item in machine.members(args[0]))


_NUMBERS: Final = frozenset({int, float, complex, bool})


def sum_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`sum(iterable[, start])`."""
    total = kwargs.get("start", args[1] if len(args) > 1 else 0)
    if isinstance(total, str | bytes | bytearray):
        return natively(sum, (), total)  # CPython words the error
    numbers: list[Any] = []
    for item in machine.native_iterable(args[0]):
        if type(total) in _NUMBERS and type(item) in _NUMBERS:
            numbers.append(item)
            continue
        # together: from 3.12 on, sum() rounds floats less often than additions do
        total = machine.binary(
            operator.add, natively(sum, numbers, total) if numbers else total, item
        )
        numbers.clear()
    return natively(sum, numbers, total) if numbers else total


class _Ordered:
    """A value that native sorting compares through the interpreter."""

    __slots__ = ("machine", "value")

    def __init__(self, machine: Machine, value: Any) -> None:
        self.machine = machine
        self.value = value

    def __lt__(self, other: _Ordered) -> bool:
        return self.machine.truth(self.machine.compare(operator.lt, self.value, other.value))


class _Compared(_Ordered):
    """A value that native sorting compares by a function of the program's (`functools.cmp_to_key`)."""

    __slots__ = ("function",)

    def __init__(self, machine: Machine, function: Any, value: Any) -> None:
        super().__init__(machine, value)
        self.function = function

    def __lt__(self, other: _Ordered) -> bool:
        order = self.machine.call(self.function, [self.value, other.value], {})
        return self.machine.truth(self.machine.compare(operator.lt, order, 0))


class _CompareKey(OwnCallable):
    """What `functools.cmp_to_key` gives."""

    def __init__(self, machine: Machine, function: Any) -> None:
        self._machine = machine
        self._function = function

    def __call__(self, obj: Any) -> Any:
        return _Compared(self._machine, self._function, obj)


def cmp_to_key(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`functools.cmp_to_key(function)`."""
    return _CompareKey(machine, *args, **kwargs)


def sorted_(machine: Machine, args: Args, kwargs: Kwargs) -> list[Any]:
    """`sorted(iterable, key=, reverse=)`."""
    key = kwargs.get("key")

    def rank(item: Any) -> Any:
        value = item if key is None else machine.call(key, [item], {})
        if type(value) in machine.plain_types or isinstance(value, _Ordered):
            return value
        return _Ordered(machine, value)

    read = machine.members if key is None else machine.native_iterable  # it tells alike ones apart
    items: list[Any] = natively(list, read(args[0]))
    ranks = [rank(item) for item in items]
    if any(isinstance(value, _Ordered) for value in ranks):
        ranks = [v if isinstance(v, _Ordered) else _Ordered(machine, v) for v in ranks]
    order = natively(
        sorted,
        range(len(items)),
        key=ranks.__getitem__,
        reverse=machine.truth(kwargs.get("reverse", False)),
    )
    return [items[i] for i in order]


def _comes_before(machine: Machine, comparison: Any, rank: Any, best: Any) -> bool:
    if isinstance(rank, _Ordered):
        return bool(rank < best if comparison is operator.lt else best < rank)
    return machine.truth(machine.compare(comparison, rank, best))


def _extreme(native: Callable[..., Any], comparison: Callable[..., Any]) -> Rule:
    """Make the rule of `min` or `max`."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        key = kwargs.get("key")
        if key is None and all(type(value) in machine.plain_types for value in args):
            return natively(native, *args, **kwargs)
        read = machine.members if key is None else machine.native_iterable
        items = natively(iter, read(args[0]) if len(args) == 1 else args)
        best = natively(next, items, ABSENT)
        if best is ABSENT:
            return natively(native, (), **kwargs)
        best_rank = best if key is None else machine.call(key, [best], {})
        for item in items:
            rank = item if key is None else machine.call(key, [item], {})
            if _comes_before(machine, comparison, rank, best_rank):
                best, best_rank = item, rank
        return best

    rule.__doc__ = f"`{native.__name__}(...)`."
    return rule


def dict_(machine: Machine, args: Args, kwargs: Kwargs) -> dict[Any, Any]:
    """`dict(...)`."""
    made: dict[Any, Any] = {}
    _fill(machine, made, args, kwargs)
    return made


def _fill(machine: Machine, made: dict[Any, Any], args: Args, kwargs: Kwargs) -> None:
    if args:
        natively(made.update, read_entries(machine, made, args[0]))
    made.update(kwargs)


def ordered_dict(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`collections.OrderedDict(...)`."""
    made: collections.OrderedDict[Any, Any] = collections.OrderedDict()
    _fill(machine, made, args, kwargs)
    return made


def default_dict(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`collections.defaultdict(factory, ...)`."""
    made: collections.defaultdict[Any, Any] = natively(
        collections.defaultdict, *(own_factory(machine, one) for one in args[:1])
    )
    _fill(machine, made, args[1:], kwargs)
    return made


def partial_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`functools.partial(function, ...)`."""
    maker: Any = functools.partial
    return natively(maker, *args, **kwargs)


def reduce_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`functools.reduce(function, iterable[, start])`."""
    items = natively(iter, machine.native_iterable(args[1]))
    total: Any
    if len(args) > 2:
        total = args[2]
    else:
        total = natively(next, items, ABSENT)
        if total is ABSENT:
            msg = "reduce() of empty iterable with no initial value"
            raise TypeError(msg)
    for item in items:
        total = machine.call(args[0], [total, item], {})
    return total


def concatenate_in_place(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`operator.iconcat(x, y)`."""
    if args and hasattr(type(args[0]), "__getitem__"):
        return machine.binary(operator.iadd, *args)
    return machine.call_native(operator.iconcat, args, kwargs)


def _operator(function: Callable[..., Any]) -> Rule:
    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        return machine.binary(function, *args)

    rule.__doc__ = f"`operator.{function.__name__}(x, y)`."
    return rule


def _comparison(function: Callable[..., Any]) -> Rule:
    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        return machine.compare(function, *args)

    rule.__doc__ = f"`operator.{function.__name__}(x, y)`."
    return rule


def _unary(function: Callable[..., Any]) -> Rule:
    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        return unary(machine, function, args[0])

    rule.__doc__ = f"`operator.{function.__name__}(x)`."
    return rule


_BINARY: Final = [
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "lshift",
    "rshift",
    "and_",
    "or_",
    "xor",
]
_IN_PLACE: Final = [
    "iadd",
    "isub",
    "imul",
    "imatmul",
    "itruediv",
    "ifloordiv",
    "imod",
    "ipow",
    "iand",
    "ior",
    "ixor",
]

RULES: Final[dict[Any, Rule]] = {
    len: len_,
    iter: iter_,
    next: next_,
    bool: bool_,
    str: str_,
    repr: repr_,
    ascii: ascii_,
    format: format_,
    int: _number(int, ("__int__", "__index__", "__trunc__")),
    float: _number(float, ("__float__", "__index__")),
    list: _from_iterables(list),
    tuple: _from_iterables(tuple),
    set: _set_of(set),
    frozenset: _set_of(frozenset),
    zip: _from_iterables(zip),
    enumerate: _from_iterables(enumerate),
    itertools.chain: _from_iterables(itertools.chain),
    itertools.product: _from_iterables(itertools.product),
    itertools.zip_longest: _from_iterables(itertools.zip_longest),
    itertools.islice: _from_iterables(itertools.islice),
    itertools.permutations: _from_iterables(itertools.permutations),
    itertools.combinations: _from_iterables(itertools.combinations),
    itertools.repeat: lambda machine, args, kwargs: natively(itertools.repeat, *args, **kwargs),
    itertools.cycle: _from_iterables(itertools.cycle),
    collections.deque: _from_iterables(collections.deque),
    collections.OrderedDict: ordered_dict,
    collections.defaultdict: default_dict,
    dict: dict_,
    map: map_,
    filter: filter_,
    reversed: reversed_,
    any: any_,
    all: all_,
    sum: sum_,
    sorted: sorted_,
    min: _extreme(min, operator.lt),
    max: _extreme(max, operator.gt),
    functools.partial: partial_,
    functools.reduce: reduce_,
    functools.cmp_to_key: cmp_to_key,
    operator.getitem: lambda machine, args, kwargs: machine.getitem(*args),
    operator.setitem: lambda machine, args, kwargs: machine.setitem(*args),
    operator.delitem: lambda machine, args, kwargs: machine.delitem(*args),
    operator.iconcat: concatenate_in_place,
    operator.contains: lambda machine, args, kwargs: machine.contains(*args),
    operator.is_: lambda machine, args, kwargs: machine.is_same(*args),
    operator.truth: lambda machine, args, kwargs: machine.truth(args[0]),
    **{getattr(operator, name): _operator(getattr(operator, name)) for name in _BINARY},
    **{getattr(operator, name): _operator(getattr(operator, name)) for name in _IN_PLACE},
    **{f: _comparison(f) for f in (operator.lt, operator.le, operator.eq, operator.ne)},
    **{f: _comparison(f) for f in (operator.gt, operator.ge)},
    **{f: _unary(f) for f in (operator.neg, operator.pos, operator.invert, operator.not_)},
}
