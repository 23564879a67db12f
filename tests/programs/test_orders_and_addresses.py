"""The order of sets, hashes and addresses that a program looks at are those of eager, in each process that shares a cache.

A program that looks at none of them is still captured once for all processes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from processes import ask_process

import graphwright as gw


def _iter_sets() -> Iterator[set[Any]]:
    """Give sets that are equal, or of one size, and in other orders."""
    for members in ("abc", "cab", "xyz", (1, 2, 3), (16, 8, 0)):
        yield set(members)
    one = set("abc")
    one.discard("a")
    one.add("a")
    yield one


def _iter_small_numbers() -> Iterator[set[int]]:
    """Give sets that are in one order however they were made; that of copies of others is another from copy to copy."""
    for members in ((1, 2, 3), (3, 1, 2), (5, 6), (1,)):
        yield set(members)


def _iter_colliding_sets() -> Iterator[set[Any]]:
    """Give equal sets whose order is that in which the members came, since they are stored at one place."""
    yield from _iter_sets()
    for members in ((0, 8), (8, 0), (0, 8, 16), (16, 8, 0)):
        yield set(members)


_FOLLOWED = [
    "r = list(s)",
    "r = [one for one in s]",
    "r = [*s]",
    "r = tuple(s)",
    "r = str(s)",
    "r = max(s, key=lambda one: 0), min(s, key=lambda one: 0)",
    "r = sorted(s, key=lambda one: 0)",
    "r = ','.join(map(str, s))",
    "r = dict.fromkeys(s)",
    "r = list({str(one) for one in s})",
    "r = next(iter(s))",
    "r = list(enumerate(s)), list(zip(s, range(2)))",
    "first, *rest = s; r = first, rest",
    "r = []\n    for one in s:\n        r.append(one)",
    "r = []; r.extend(s); r += s",
    "r = (lambda *args: args)(*s)",
    "r = s",
]
_NOT_FOLLOWED = [
    "r = len(s), 8 in s, bool(s)",
    "r = sorted(map(str, s))",
    "r = sorted(s | {3}, key=str)",
    "t = set(s); t.add(4); r = sorted(map(str, t))",
    "s.discard(99); r = len(s)",
    "s.add(99); r = sorted(map(str, s))",
]
_COPIED = [
    "r = s | {3}, s & {2, 5}, s - {1}, s ^ {2}",
    "r = set(s); r.add(4)",
    "r = set(s).pop()",
    "r = list(s.copy())",
    "r = list(frozenset(s))",
]
_MADE = [
    "r = [*{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}]",
    "r = list({'a', 'b', 'c'} | {'d', 'e'})",
    "r = list(set(['q', 'w', 'e', 'r', 't', 'y']))",
    "r = list({one for one in ['q', 'w', 'e', 'r', 't', 'y']})",
    "r = list({'q', 'w', 'e', 'r', 't', 'y'} & {'w', 'e', 'q'})",
    "r = list(dict(q=1, w=2, e=3).keys() & {'w', 'e', 'q'})",
    "r = list(set('qwertyuiop') - {'w', 'e', 'q'})",
    "r = list({'q', *['w', 'e'], 'r'})",
    "t = {'q', 'w'}; t.update(['e', 'r'], {'t'}); t |= {'u'}; t.remove('q'); t.add('q'); r = list(t)",
    "t = {8, 0}; t.discard(8); t.add(8); r = list(t), list({8, 0}), list({0, 8}), [*t.copy()]",
    "t = set(); t.add(16); t.add(8); t.add(0); r = list(t), t.pop(), list(t)",
]
_CHANGED_MEANWHILE = [
    "for one in s:\n        s.add(str(one) + '!')",
    "for one in s:\n        s.discard(one)",
    "r = [s.add(str(one) + '!') for one in s]",
    "r = [*map(lambda one: s.clear(), s)]",
    "t = set(s)\n    for one in t:\n        t.add(str(one) + '!')",
    "places = iter(s); s.add('!'); next(places)",
    "places = iter(s); next(places); s.add('!'); s.discard('!'); r = list(places)",
    "for one in s:\n        s.discard('nothing')\n        s.add(one)\n    r = sorted(map(str, s))",
]


def _run(program: Callable[..., Any], *given: set[Any]) -> str:
    try:
        result, _ = program(*given, torch.ones(2))
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        result = error
    return str((type(result), result, [sorted(map(str, one)) for one in given]))


def _check(text: str, iterate: Callable[[], Iterator[set[Any]]] | None) -> None:
    names: dict[str, Any] = {}
    parameters = "x" if iterate is None else "s, x"
    exec(f"def program({parameters}):\n    {text}\n    return r, x + 1\n", names)
    program = names["program"]
    compiled = gw.compile(program)
    with gw.config.patch(strict=True):
        if iterate is None:
            for _ in range(2):
                assert _run(compiled) == _run(program)
            return
        for ours, theirs in zip(iterate(), iterate(), strict=True):
            assert _run(compiled, ours) == _run(program, theirs), theirs


@pytest.mark.parametrize("text", _FOLLOWED + _NOT_FOLLOWED)
def test_orders_of_sets_of_the_caller(text: str) -> None:
    _check(text, _iter_colliding_sets)


@pytest.mark.parametrize("text", _COPIED)
def test_orders_of_copies(text: str) -> None:
    _check(text, _iter_small_numbers)


@pytest.mark.parametrize("text", _MADE)
def test_orders_of_sets_made_in_the_program(text: str) -> None:
    _check(text, None)


@pytest.mark.parametrize("text", _CHANGED_MEANWHILE)
def test_sets_changed_while_they_are_iterated_over(text: str) -> None:
    _check(text, _iter_sets)


@pytest.mark.parametrize("change", ["s.add(one)", "s.discard(one)", "s.discard(one); s.add(1)"])
def test_order_of_a_set_that_the_program_has_changed(change: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def program(s, one, x):\n    {change}\n    return x + len(s)\n", names)
    program = names["program"]
    numbers = random.Random(0)
    for size in range(1, 40):
        members = [numbers.randrange(100) for _ in range(size)]
        one = numbers.choice([*members, 7, 8, 77])
        orders = []
        for function in (program, gw.compile(program)):
            changed = set(members)
            function(changed, one, torch.ones(2))
            orders.append(list(changed))
        assert orders[0] == orders[1]


_OF_A_PROCESS = [
    # addresses
    "str(thing)",
    "repr([thing])",
    "{1: thing}",
    "f'{thing!r:>60}'",
    "'%s' % thing",
    "id(thing)",
    "id(other)",
    "id(None)",
    "str(other)",
    "f'{other}'",
    "repr(thing.__init__)",
    "repr(thing.method)",
    # hashes
    "hash(thing)",
    "hash(other)",
    "hash(Thing)",
    "hash('abc')",
    "hash((1, 'a', None))",
    "'abc'.__hash__()",
    "hash(frozenset('ab'))",
    # orders that hashes make
    "{'a', 'b', 'c'}",
    "str({'a', 'b', 'c'})",
    "list({'abc', 'def', 'ghi', 'jkl'})",
    "[*{'a', 'b', 'c'}]",
    "{'a', 'b', 'c'}.pop()",
    "','.join({'a', 'b', 'c'})",
    "[one for one in {'a', 'b', 'c'}]",
    "dict.fromkeys({'a', 'b', 'c'})",
    "list(enumerate({'a', 'b', 'c'}))",
    "list(zip({'a', 'b', 'c'}, [1, 2, 3]))",
    "next(iter({'a', 'b', 'c'}))",
    "tuple({'a', 'b', 'c'} | {'d'})",
    "list(set(dict(a=1, b=2)))",
    "list(dict(a=1, b=2).keys() | {'r'})",
    "max({'a', 'b', 'c'}, key=len)",
    "sorted({'a', 'b', 'c'}, key=len)",
]
_OF_ANY_PROCESS = [
    "sorted({'a', 'b', 'c'})",
    "len({'a', 'b', 'c'})",
    "'a' in {'a', 'b', 'c'}",
    "max({'a', 'b', 'c'})",
    "any({'a', 'b', 'c'})",
    "{'a', 'b'} == {'b', 'a'}",
    "{'a', 'b'} <= {'a', 'b', 'c'}",
    "list({1, 2, 3})",
    "sorted({'a', 'b'} | {'d'})",
    "{one: len(one) for one in ['a', 'b']}",
    "{'a': 1}.get('a')",
    "hash(1.5), hash((1, 2)), hash(True)",
    "repr(Thing)",
    "str([1, 'a', None])",
]
_PROCESS = """
import json, os, random, sys
import torch
import graphwright as gw

pad = [bytearray(random.randrange(1000, 100000)) for _ in range(50)]  # other addresses than in the last process

class Thing:
    def method(self):
        pass

def other():
    pass

thing = Thing()
told = {}
for text in json.load(sys.stdin):
    names = {"thing": thing, "Thing": Thing, "other": other}
    exec(f"def program(x):\\n    return {text}, x + 1\\n", names)
    before = gw.counters["capture"]["frames"]
    found = str(gw.compile(names["program"])(torch.ones(2)))
    told[text] = found, str(names["program"](torch.ones(2))), gw.counters["capture"]["frames"] - before
json.dump(told, sys.stdout)
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory) -> list[dict[str, Any]]:
    """Give what each of three processes told that share a cache: results, those of eager, and the number of captures."""
    folder = str(tmp_path_factory.mktemp("shared"))
    told = []
    for seed in ("1", "2", "3"):
        own = {"GRAPHWRIGHT_CACHE_DIR": folder, "PYTHONHASHSEED": seed}
        told.append(ask_process(_PROCESS, _OF_A_PROCESS + _OF_ANY_PROCESS, **own))
    for text in ("id(thing)", "hash('abc')", "[*{'a', 'b', 'c'}]"):
        assert len({one[text][1] for one in told}) > 1, "the processes do not differ"
    return told


@pytest.mark.slow
@pytest.mark.parametrize("text", _OF_A_PROCESS + _OF_ANY_PROCESS)
def test_processes_are_told_their_own(processes: list[dict[str, Any]], text: str) -> None:
    for told in processes:
        found, expected, _ = told[text]
        assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("text", _OF_ANY_PROCESS)
def test_what_is_alike_everywhere_is_captured_once(
    processes: list[dict[str, Any]], text: str
) -> None:
    assert [told[text][2] for told in processes] == [1, 0, 0]
