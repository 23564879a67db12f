"""A dictionary's word is another one after every change, and the same while nothing is changed."""

import contextlib
import ctypes
import random
import types
from collections import OrderedDict

import pytest

from graphwright.runtime.native import load_native_module
from graphwright.runtime.native.dict_watching import DictWatcher
from graphwright.runtime.native.memory import read_word

NUM_CHANGES = 400
NAMES = [f"name{number}" for number in range(40)]
"""More than CPython keeps in the objects themselves."""


class Holder:
    """An object with attributes."""


class Other:
    """An object that may take over the attributes of another."""


class Table(dict):
    """A class made from dict."""


class Setter:
    """An object whose attributes are set by code of its own."""

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        object.__delattr__(self, name)


@pytest.fixture
def words():
    """What gives the words of dictionaries in this process."""
    found = load_native_module().versions.of_dict
    assert found is not None
    return found


def state_of(table):
    return [(key, id(value)) for key, value in dict.items(table)]


def plain_change(table, pick):
    name, number = pick.choice(NAMES), pick.random()
    return pick.choice(
        [
            lambda: table.__setitem__(name, number),
            lambda: table.__setitem__(number, name),
            lambda: table.update({name: number}),
            lambda: table.update({other: pick.random() for other in pick.sample(NAMES, 12)}),
            lambda: table.__ior__({name: number}),
            lambda: table.setdefault(name, number),
            lambda: table.pop(name, None),
            lambda: table.__delitem__(name),
            lambda: table.popitem(),
            lambda: table.clear(),
            lambda: table.__init__({name: number}),
        ]
    )


def attribute_change(holder, pick):
    name, number = pick.choice(NAMES[:6]), pick.random()

    def set_by_one_instruction():
        holder.name0 = number

    def delete_by_one_instruction():
        del holder.name0

    return pick.choice(
        [
            set_by_one_instruction,
            delete_by_one_instruction,
            lambda: setattr(holder, name, number),
            lambda: delattr(holder, name),
            lambda: object.__setattr__(holder, name, number),
            plain_change(vars(holder), pick),
        ]
    )


def demand_told(words, table, holder, pick_change):
    word = words.word_of(table, holder)
    for _ in range(NUM_CHANGES):
        change = pick_change()
        before, version = state_of(table), read_word(word)
        table.get("name0"), len(table), list(table), dict(table), table == {}
        assert read_word(word) == version
        with contextlib.suppress(KeyError, AttributeError):
            change()
        assert read_word(word) != version or state_of(table) == before


@pytest.mark.parametrize("kind", [dict, OrderedDict, Table])
def test_every_change_of_a_dictionary_is_told(words, kind):
    table, pick = kind(), random.Random(1)

    demand_told(words, table, None, lambda: plain_change(table, pick))


@pytest.mark.parametrize("kind", [Holder, Setter, types.SimpleNamespace])
@pytest.mark.parametrize("seed", range(3))
def test_every_change_of_attributes_is_told(words, kind, seed):
    holder, pick = kind(), random.Random(seed)
    holder.name0 = 1

    demand_told(words, vars(holder), holder, lambda: attribute_change(holder, pick))
    assert "name0" not in vars(holder) or holder.name0 == vars(holder)["name0"]


def test_every_change_of_a_module_is_told(words):
    module, pick = types.ModuleType("changed"), random.Random(2)

    demand_told(words, vars(module), module, lambda: attribute_change(module, pick))


def test_attributes_are_what_they_were_once_they_are_watched(words):
    holder = Holder()
    for number, name in enumerate(NAMES[:5]):
        setattr(holder, name, number)
    table = vars(holder)

    words.word_of(table, holder)
    holder.name5 = 5

    assert vars(holder) is table
    assert list(table.items()) == [(name, number) for number, name in enumerate(NAMES[:6])]
    assert [getattr(holder, name) for name in NAMES[:6]] == list(range(6))


def test_attributes_of_an_object_that_is_not_known_are_told_or_have_no_word(words):
    holder, other = Holder(), Other()
    holder.name0 = 1
    other.__dict__ = vars(holder)
    word = words.word_of(vars(holder), other)

    version = None if word is None else read_word(word)
    holder.name0 = 2

    assert version is None or read_word(word) != version


def test_another_dictionary_at_the_same_address_has_another_word(words):
    seen = set()
    for number in range(200):
        table = {"a": number}
        found = id(table), read_word(words.word_of(table, None))
        del table
        assert found not in seen
        seen.add(found)


@pytest.mark.skipif(
    not hasattr(ctypes.pythonapi, "PyDict_AddWatcher"), reason="CPython watches none before 3.12"
)
def test_closed_watcher_gives_no_words():
    watcher = DictWatcher(load_native_module().addresses)
    table = {"a": 1}
    word = watcher.word_of(table, None)
    version = read_word(word)

    watcher.close()

    assert read_word(word) != version
    assert watcher.word_of(table, None) is None
