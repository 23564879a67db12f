"""Classes made from Python's containers: making them, changing them and copying them in a compiled function is as in eager."""

from __future__ import annotations

import collections
from typing import Any

import pytest
import torch

import graphwright as gw


def plain(base: Any) -> Any:
    class Plain(base):
        pass

    return Plain


def storing(base: Any) -> Any:
    class Storing(base):
        def __setitem__(self, key, value):
            super().__setitem__(key, value * 10 if isinstance(value, int) else value)

    return Storing


def appending(base: Any) -> Any:
    class Appending(base):
        def append(self, value):
            super().append(value * 2 if isinstance(value, int) else value)

    return Appending


def starting(base: Any) -> Any:
    class Starting(base):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra = 5

    return Starting


def missing(base: Any) -> Any:
    class Missing(base):
        def __missing__(self, key):
            return "missing", key

    return Missing


def itself(base: Any) -> Any:
    return base


def _make_class(make: Any, base: Any) -> Any:
    """Give a class made from `base`, named after both: its name is in texts of its instances."""
    made = make(base)
    if made is not base:
        made.__name__ = made.__qualname__ = f"{make.__name__.title()}{base.__name__.title()}"
    return made


_MAPPINGS = {
    dict: (plain, storing, starting, missing),
    collections.OrderedDict: (itself, plain, storing, starting, missing),
    collections.Counter: (itself, plain, storing, starting),
    collections.defaultdict: (itself, plain, storing, starting),
}
_SEQUENCES = {
    list: (plain, appending, starting),
    collections.deque: (plain, appending, starting),
}
_OTHERS = {set: (plain, starting), frozenset: (plain,), tuple: (plain,)}

_MAKING_MAPPINGS = [
    "r = C(a=x + 1, b=2)",
    "r = C({'a': 3, 'b': 2})",
    "r = C([('a', 4), ('b', 2)])",
    "r = C(); r['z'] = 1; r['a'] = x * 2",
    "r = C(); r.update(b=1); r.update({'a': 2}); r.update([('c', 3)])",
    "d = C({'q': 1}); d.setdefault('r', 7); d.setdefault('q', 9); r = d, d.get('n'), d.pop('q')",
    "r = C({'q': 1}); r |= {'w': 3}",
    "r = C({'q': 1}) | {'w': 3}",
    "r = {'w': 3} | C({'q': 1})",
    "d = C({'q': 1}); e = d.copy(); e['n'] = 2; r = d, e",
    "d = C({'q': 1}); e = copy.copy(d); e['n'] = 2; r = d, e",
    "d = C({'q': [1, 2]}); e = copy.deepcopy(d); e['q'].append(x); r = d, e",
    "r = C.fromkeys(['a', 'b'], 3)",
    "d = C({'q': 1, 'r': 2}); del d['q']; d['q'] = 5; r = list(d), d.popitem(), len(d), d",
    "d = C({'q': 1, 'r': 2}); e = {'q': 1, 'r': 2}; r = d == e, e == d, d == C(e), d != {}",
    "d = C({'q': 1, 'r': 2}); r = [*d], [*d.values()], [*d.items()], 'q' in d, [*reversed(d)]",
    "d = C({'q': 1, 'r': 2}); r = {**d, 'k': 1}, dict(d), (lambda **k: k)(**d), bool(d)",
    "r = C({'q': 1, 'r': 2}); r.clear(); r['k'] = 1",
    "d = C({'q': 1, 'r': 2}); r = repr(d), str(d), f'{d}'",
    "r = C({'q': 1}); r.__init__({'z': 1})",
]
_CHANGING_MAPPINGS = [
    "d['new'] = x * 2; r = d['a'], len(d)",
    "d.update({'b': 7, 'k': 8}); r = list(d)",
    "del d['a']; d['a'] = 4; r = list(d.items())",
    "r = d.pop('a'), d.popitem(), list(d)",
    "r = copy.copy(d); r['n'] = 1",
    "r = copy.deepcopy(d); r['n'] = 1",
    "r = d.copy(); r['n'] = 1",
    "r = d.get('a'), d.get('z', 1), 'a' in d, [k for k in d], list(d.values())",
    "d.clear(); d['k'] = 2; r = 0",
    "d |= {'w': 1}; r = d",
    "r = d | {'w': 1}",
    "r = repr(d)",
    "r = d == {'a': 1, 'b': 2}, d != {'a': 1}",
    "r = d['none']",
    "r = d.setdefault('a', 9), d.setdefault('y', x + 1)",
    "d.note = x + 1; r = getattr(d, 'extra', None)",
    "d.__init__({'z': 1}); r = list(d)",
]
_MAKING_SEQUENCES = [
    "r = C([1, 2, x])",
    "r = C(); r.append(1); r.append(x); r.extend([3, 4])",
    "c = C([3, 1, 2]); c += [5]; r = c, c + C([9]), c * 2, c == C([3, 1, 2, 5])",
    "c = C([3, 1, 2]); r = len(c), c[0], 1 in c, c.index(1), [*reversed(c)], repr(c), str(c)",
    "c = C([3, 1, 2]); c.note = x; d = copy.copy(c); d.append(4); r = c, d",
    "r = C([3, 1, 2]); r.insert(0, 7); r.remove(1); r.pop(); r.reverse()",
    "c = C([3, [2]]); d = copy.deepcopy(c); d[1].append(4); r = c, d",
    "r = C([3, 1, 2]); r[0] = 8; del r[1]; r.clear(); r.extend(range(3))",
]
_CHANGING_SEQUENCES = [
    "c.append(x); c.extend([7, 8]); r = c[0], len(c)",
    "c[0] = 8; del c[1]; r = [*c]",
    "r = copy.copy(c); r.append(4)",
    "r = copy.deepcopy(c); r.append(4)",
    "c += [5]; r = c",
    "r = c.pop(), repr(c), c == [3, 1]",
    "c.clear(); c.append(1); r = getattr(c, 'extra', None)",
    "c.note = x; r = c * 2",
]
_MAKING_OTHERS = [
    "c = C([3, 1, 2]); r = c, len(c), 1 in c, sorted(c), c == C([3, 1, 2]), bool(c), c >= C([3])",
    "c = C([3, 1, 2]); r = copy.copy(c), copy.deepcopy(c)",
    "c = C([3, 1, 2]); c.note = x; r = c, c.note",
    "c = C([3, 1, 2]); r = c | {9}, c & {1}, c - {1}",
    "c = C([3, 1, 2]); r = c + (1,), c * 2, c[1:], c.index(1)",
    "c = C([3, 1, 2]); c.add(5); c.discard(1); c.update([7]); r = c",
    "c = C([3, 1, 2]); r = repr(c), hash(c)",
]


def _pairs(makers: dict[Any, Any]) -> list[Any]:
    pairs = [(base, make) for base, kinds in makers.items() for make in kinds]
    return [pytest.param(*pair, id="-".join(one.__name__ for one in pair)) for pair in pairs]


def _as_called(base: Any, text: str) -> str:
    """Give a program for classes made from `base`: those of default dicts are called with what makes their values."""
    is_default = base is collections.defaultdict
    return text.replace("C(", "C(int, ").replace("init__(", "init__(int, ") if is_default else text


def _told(value: Any) -> Any:
    """Give all that there is to a value as plain data: type, items in their order, attributes."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        held = [(key, _told(one)) for key, one in value.items()]
        values = [_told(one) for one in value.values()]
        rest: Any = values, [*reversed(value)], getattr(value, "default_factory", None)
    elif isinstance(value, list | tuple | collections.deque):
        held, rest = [_told(one) for one in value], getattr(value, "maxlen", None)
    elif isinstance(value, set | frozenset):
        held, rest = sorted(value), None
    else:
        return type(value), value
    return type(value), held, rest, _told(getattr(value, "__dict__", None))


def _run(program: Any, *given: Any) -> Any:
    try:
        result = program(*given, torch.ones(2))
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        return type(error), str(error), _told(given)
    return _told(result), [result is one for one in given], _told(given)


def _check(text: str, kind: Any, parameters: str, make_arguments: Any) -> None:
    names: dict[str, Any] = {"C": kind}
    exec(f"import copy\ndef program({parameters}):\n    {text}\n    return r\n", names)
    program = names["program"]
    expected = _run(program, *make_arguments())
    compiled = gw.compile(program)
    for _ in range(2):  # what is captured, and what serves afterwards
        assert _run(compiled, *make_arguments()) == expected, text


@pytest.fixture(autouse=True)
def errors_of_the_compiler_raised():
    with gw.config.patch(strict=True):
        yield


@pytest.mark.parametrize(("base", "make"), _pairs(_MAPPINGS))
def test_mappings_made_in_the_program(base: Any, make: Any) -> None:
    for text in _MAKING_MAPPINGS:
        _check(_as_called(base, text), _make_class(make, base), "x", tuple)


@pytest.mark.filterwarnings(
    "ignore::graphwright.base.errors.GraphwrightWarning"
)  # one runs eagerly
@pytest.mark.parametrize(("base", "make"), _pairs(_MAPPINGS))
def test_mappings_of_the_callers(base: Any, make: Any) -> None:
    kind = _make_class(make, base)
    first = (int,) if base is collections.defaultdict else ()
    for text in _CHANGING_MAPPINGS:
        _check(_as_called(base, text), kind, "d, x", lambda: (kind(*first, {"a": 1, "b": 2}),))


@pytest.mark.parametrize("base", _MAPPINGS)
def test_attributes_of_mappings_made_in_the_program(base: Any) -> None:
    for make in (plain, storing, starting):
        text = "d = C(); d['q'] = 1; d.note = x * 2; r = d, d.note, vars(d)"
        _check(text, _make_class(make, base), "x", tuple)


@pytest.mark.parametrize(("base", "make"), _pairs(_SEQUENCES))
def test_sequences_made_in_the_program(base: Any, make: Any) -> None:
    for text in _MAKING_SEQUENCES:
        _check(text, _make_class(make, base), "x", tuple)


@pytest.mark.parametrize(("base", "make"), _pairs(_SEQUENCES))
def test_sequences_of_the_callers(base: Any, make: Any) -> None:
    kind = _make_class(make, base)
    longest = {"maxlen": 4} if base is collections.deque else {}
    for text in _CHANGING_SEQUENCES:
        _check(text, kind, "c, x", lambda: (kind([3, 1], **longest),))


@pytest.mark.parametrize(("base", "make"), _pairs(_OTHERS))
def test_sets_and_tuples_made_in_the_program(base: Any, make: Any) -> None:
    for text in _MAKING_OTHERS:
        _check(text, _make_class(make, base), "x", tuple)


@pytest.mark.parametrize("make", [itself, plain])
def test_greatest_lengths_differ_from_call_to_call(make: Any) -> None:
    kind = make(collections.deque)

    def changes(one, x):
        one.append(1)
        one.append(x)
        return one, one.copy()

    def makes(length, x):
        made = kind(maxlen=length)
        made.extend([1, x])
        return made

    compiled = gw.compile(changes), gw.compile(makes)
    x = torch.ones(2)
    for length in (0, 2, None, 1):
        for function, call in zip((changes, makes), compiled, strict=True):
            given = [kind(maxlen=length) if function is changes else length for _ in range(2)]
            expected, found = function(given[0], x), call(given[1], x)
            assert repr(found) == repr(expected), (function.__name__, length)


def test_attributes_of_an_ordered_dict_are_kept() -> None:
    def program(x):
        made = collections.OrderedDict(a=x)
        made.note = x + 1
        return made

    made = gw.compile(program)(torch.ones(2))
    assert list(made) == ["a"]
    assert vars(made)["note"].tolist() == [2.0, 2.0]


def test_classes_of_one_name_are_told_apart_by_their_bases() -> None:
    def program_with(base):
        class Named(base):
            pass

        names = {"Named": Named}
        exec("def program(x): return Named(a=1) | {'b': 2}, x + 1", names)
        return names["program"]

    x = torch.ones(2)
    for base in (dict, collections.OrderedDict):
        program = program_with(base)
        assert type(gw.compile(program)(x)[0]) is type(program(x)[0])


@pytest.mark.parametrize(("make", "length"), [(itself, None), (itself, 2), (itself, 0), (plain, 2)])
def test_deques_keep_their_greatest_length(make: Any, length: int | None) -> None:
    for text in [
        "r = C([1, 2, 3], length); r.append(x)",
        "c = C([1, 2, 3], maxlen=length); r = copy.copy(c), c.copy(), copy.deepcopy(c), c.maxlen",
        "r = C(maxlen=length); r.extendleft([1, 2, 3]); r.rotate(1)",
    ]:
        _check(text, _make_class(make, collections.deque), "length, x", lambda: (length,))


def test_default_dicts_keep_what_makes_their_values() -> None:
    def make() -> list[int]:
        return [7]

    for kind in (collections.defaultdict, _make_class(plain, collections.defaultdict)):
        for text in [
            "r = C(f); r['a'].append(x); r['b']",
            "d = C(f, a=1); e = d.copy(); e['k'].append(2); r = d, e",
            "d = C(f, a=1); e = copy.copy(d); e['k'].append(2); r = d, e.keys()",
            "d = C(f); d.default_factory = None; r = d, 'k' in d",
        ]:
            _check(text, kind, "f, x", lambda: (make,))
