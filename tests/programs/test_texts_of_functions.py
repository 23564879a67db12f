"""Functions, methods and closures are themselves to a program: in texts that show them, in containers and in library calls."""

from __future__ import annotations

import collections
from typing import Any

import pytest
import torch

import graphwright as gw


def function(a: int, b: float = 2.0, *c: Any, d: int = 3, **k: Any) -> int:
    """Tell what it is for."""
    return a


function.tag = 4  # type: ignore[attr-defined]


class Holder:
    def method(self):
        pass

    @staticmethod
    def static():
        pass

    @classmethod
    def of_class(cls):
        pass


class Shown:
    def __repr__(self):
        return "<shown>"

    def method(self):
        pass


def _make_closure() -> Any:
    kept = 3

    def closure(a):
        return a + kept

    return closure


holder = Holder()
Pair = collections.namedtuple("Pair", "a b")

_VALUES = {
    "function": function,
    "closure": _make_closure(),
    "lambda": lambda: 1,
    "method": holder.method,
    "method of an object with a text of its own": Shown().method,
    "method of a class": Holder.of_class,
    "static method": holder.static,
    "function of a class": Holder.method,
    "builtin": len,
    "method of a builtin": [].append,
    "wrapper": holder.__init__,  # type: ignore[misc]
    "class": Holder,
    "object": holder,
}
_TEXTS = [
    "str(f)",
    "repr(f)",
    "f'{f}'",
    "f'{f!r:>90}'",
    "'%s %r' % (f, f)",
    "'%s' % f",
    "'%(a)s' % {'a': f}",
    "'{} {!r}'.format(f, f)",
    "'{a}'.format(a=f)",
    "format(f)",
    "','.join(map(str, [f]))",
    "str([f, (f,)])",
    "str({'a': f})",
    "str({f: f})",
    "repr({f})",
    "repr(frozenset([f]))",
    "repr(Pair(f, 1))",
    "reprlib.repr(f)",
    "string.Template('$a').substitute(a=f)",
]
_IDENTITIES = [
    "operator.is_(f, f), operator.eq(f, f)",
    "hash(f), id(f)",
    "f in {f}",
    "[1, f].index(f), [f, len].count(f)",
    "{f: 1}[f], {}.setdefault('a', f) is f",
    "tuple([f, 1])[0] is f",
    "collections.deque([f])[0] is f",
    "[*collections.Counter([f, f])][0] is f",
    "Pair(f, 1).a is f",
    "copy.copy(f) is f, copy.deepcopy([f])[0] is f",
    "functools.partial(f).func is f",
    "functools.wraps(f)(lambda: 1).__wrapped__ is f",
    "functools.lru_cache(f).__wrapped__ is f",
    "functools.reduce(lambda a, b: b, [1, f]) is f",
    "weakref.ref(f)() is f",
    "types.MethodType(f, holder).__func__ is f",
    "f.__get__(holder).__self__ is holder",
    "property(f).fget is f, staticmethod(f).__func__ is f",
    "[*itertools.chain([f], [f])][0] is f, [*itertools.repeat(f, 2)][1] is f",
    "[*zip([f], [1])][0][0] is f, [*enumerate([f])][0][1] is f",
    "[*filter(None, [f])][0] is f, max([f], key=lambda one: 1) is f",
    "operator.itemgetter(0)([f]) is f",
    "setattr(holder, 'kept', f) or holder.kept is f",
    "(lambda: f).__closure__[0].cell_contents is f",
    "inspect.unwrap(f) is f",
    "type(f) is types.FunctionType, f.__class__, isinstance(f, Holder)",
    "callable(f), inspect.isfunction(f), inspect.ismethod(f)",
    "f.__name__, f.__qualname__, f.__module__, f.__doc__, f.__code__.co_name",
    "f.__defaults__, f.__kwdefaults__, f.__annotations__",
    "vars(f), dir(f) == dir(f), getattr(f, 'tag', 0), getattr(f, 'no', 1)",
    "str(inspect.signature(f)), inspect.signature(f).bind(1).arguments",
    "typing.get_type_hints(f)",
    "inspect.getsource(f)",
    "[*map(f, [1, 2])], sorted([3, 1], key=lambda one: -f(one))",
]
_PROGRAMS = """
import collections, copy, functools, inspect, itertools, operator, reprlib, string, types, typing, weakref

def of_an_argument(f, x):
    return ({text}), x + 1

def make_from_outside(f):
    def from_outside(x):
        return ({text}), x + 1

    return from_outside
"""


def _run(program: Any, *args: Any) -> Any:
    try:
        return program(*args, torch.ones(2))[0]
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        return type(error), str(error)


def _check(text: str, *values: Any) -> None:
    names: dict[str, Any] = {"Holder": Holder, "holder": holder, "Pair": Pair}
    exec(_PROGRAMS.replace("{text}", text), names)
    with gw.config.patch(strict=True):
        for value in values:
            program = names["of_an_argument"]
            assert _run(gw.compile(program), value) == _run(program, value)
            program = names["make_from_outside"](value)
            assert _run(gw.compile(program)) == _run(program)


@pytest.mark.parametrize("text", _TEXTS)
def test_texts_are_eagers(text: str) -> None:
    _check(text, *_VALUES.values())


@pytest.mark.parametrize("text", _IDENTITIES)
def test_functions_stay_themselves(text: str) -> None:
    _check(text, _VALUES["function"], _VALUES["closure"])


@pytest.mark.parametrize(
    "text",
    [
        "f == holder.method, f is holder.method, f.__func__ is Holder.method, f.__self__ is holder",
        "type(f) is types.MethodType, inspect.ismethod(f), callable(f)",
        "[f].index(holder.method), {f: 1}[holder.method], hash(f) == hash(holder.method)",
        "copy.copy(f) == f, functools.partial(f).func == f, f()",
    ],
)
def test_methods_stay_themselves(text: str) -> None:
    _check(text, holder.method)


def test_functions_made_in_the_program() -> None:
    def program(x):
        def made():
            return x

        texts = str(made), f"{made!r}", str([made]), str(lambda: x)
        held = [made].index(made), {made: 1}[made], [*map(id, [made])] == [id(made)]
        return [one.partition(" at ")[0] for one in texts], made.__qualname__, held, x + 1

    with gw.config.patch(strict=True):
        found, expected = (run(torch.ones(2)) for run in (gw.compile(program), program))
    assert found[:3] == expected[:3]
