"""Effects: what the program changed in objects that existed before, as data.

In: the world's tables of changes, at the end of a capture.   Out: `Effect`s, in the order of the first change of each object.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

from graphwright.capture.constants import is_constant
from graphwright.capture.lookup import instance_dict
from graphwright.capture.machine import Machine
from graphwright.capture.missing import DELETED
from graphwright.capture.raw_containers import raw_keys
from graphwright.capture.recipes import Recipes
from graphwright.ir.recipes import (
    BuildList,
    BuildSet,
    DeleteAttrEffect,
    DeleteItemEffect,
    Effect,
    ExtendListEffect,
    FromConstant,
    FromSource,
    Recipe,
    ReplaceContentsEffect,
    SetAttrEffect,
    SetCellEffect,
    SetGlobalEffect,
    SetItemEffect,
)
from graphwright.ir.sources import InstanceDictSource, ItemSource, PlainConst, Source


def iter_changed_values(machine: Machine) -> Iterator[Any]:
    """Give every value that some effect stores, for `Recipes.note`."""
    world = machine.world
    for key, holder in world.changed.items():
        yield from (v for v in world.attrs.get(key, {}).values() if v is not DELETED)
        if key in world.replaced:
            contents = world.contents(holder)
            yield from contents.values() if isinstance(contents, dict) else contents
        else:
            yield from world.appended.get(key, ())
            yield from (v for v in world.items.get(key, {}).values() if v is not DELETED)
    yield from (value for value in world.cells.stored.values() if value is not DELETED)
    for _, _, names in machine.globals_written.values():
        yield from names.values()


def make_effects(machine: Machine, recipes: Recipes) -> list[Effect]:
    """Give the effects of the program."""
    world = machine.world
    effects: list[Effect] = []
    for key, holder in world.changed.items():
        source = world.source_of(holder)
        assert source is not None, "a changed object without a source"
        if key in world.replaced:
            effects.extend(_change_contents(machine, recipes, holder, source))
        else:
            effects.extend(_set_items(machine, recipes, world.items.get(key, {}), source))
            if key in world.appended:
                added = BuildList(tuple(map(recipes.make, world.appended[key])))
                effects.append(ExtendListEffect(FromSource(source), added))
        effects.extend(_set_attrs(machine, recipes, holder, source))
    for key, value in world.cells.stored.items():
        _, function, index, name = world.cells.known[key]
        if value is DELETED:
            msg = f"the deletion of the closure variable {name!r}"
            raise machine.unsupported(
                msg,
                why="a deletion of a closure variable is not replayed",
                remedy="set it to None",
            )
        effects.append(SetCellEffect(function, index, recipes.make(value)))
    for _, globals_source, names in machine.globals_written.values():
        for name, value in names.items():
            effects.append(SetGlobalEffect(globals_source, name, recipes.make(value)))
    return effects


def _set_attrs(machine: Machine, recipes: Recipes, holder: Any, source: Source) -> Iterator[Effect]:
    for name, value in machine.world.attrs.get(id(holder), {}).items():
        if _is_as_before(machine, holder, name, value, source):
            continue
        if value is DELETED:
            yield DeleteAttrEffect(FromSource(source), name)
        else:
            yield SetAttrEffect(FromSource(source), name, recipes.make(value))


def _is_as_before(machine: Machine, holder: Any, name: str, value: Any, source: Source) -> bool:
    """Tell whether an attribute ends as the constant that it was; a guard that it was makes sure."""
    before = (instance_dict(holder) or {}).get(name, DELETED)
    if type(before) is not type(value) or not is_constant(value) or repr(before) != repr(value):
        return False
    place = ItemSource(InstanceDictSource(source), PlainConst(name))
    entered = machine.world.read(holder, name, before, lambda: place)
    # A number that is left open has no such guard: at another call it is another one.
    return type(entered) is type(before)


def _set_items(
    machine: Machine, recipes: Recipes, table: dict[Any, Any], source: Source
) -> Iterator[Effect]:
    for key, value in table.items():
        own_key = FromConstant(machine.guards.constant(key))
        if value is DELETED:
            yield DeleteItemEffect(FromSource(source), own_key)
        else:
            yield SetItemEffect(FromSource(source), own_key, recipes.make(value))


def _change_contents(
    machine: Machine, recipes: Recipes, holder: Any, source: Source
) -> Iterator[Effect]:
    """Give the effects that make the contents what they are now.

    Entries of a dict that stay are left where they are: CPython tells an iterator that is under way what happened to the others.
    """
    contents = machine.world.contents(holder)
    if isinstance(contents, dict) and all(map(_is_found, (*raw_keys(holder), *contents))):
        return _change_entries(machine, recipes, holder, contents, source)
    return iter((_replace(recipes, contents, source),))


def _is_found(key: Any) -> bool:
    """Tell whether a key made anew leads to the same entry; a NaN is found by its identity."""
    return is_constant(key) and bool(key == key)


def _change_entries(
    machine: Machine, recipes: Recipes, holder: Any, contents: dict[Any, Any], source: Source
) -> Iterator[Effect]:
    places = {(type(key), key): place for place, key in enumerate(raw_keys(holder))}
    staying: set[Any] = set()
    last = -1
    for key in contents:
        place = places.get((type(key), key), -1)
        if place <= last:
            break  # this entry and those behind it came after the others
        staying.add(key)
        last = place
    changed = {
        key: value
        for key, value in contents.items()
        if key not in staying or machine.world.was_read(holder, ("item", key)) is not value
    }
    deleted = {key: DELETED for key in raw_keys(holder) if key not in staying}
    yield from _set_items(machine, recipes, deleted, source)
    yield from _set_items(machine, recipes, changed, source)


def _replace(recipes: Recipes, contents: Any, source: Source) -> Effect:
    made: Recipe
    if isinstance(contents, dict):
        made = recipes.make_dict(contents)
    elif isinstance(contents, set):
        made = BuildSet(tuple(map(recipes.make, contents)))
    elif isinstance(contents, list | collections.deque):
        made = BuildList(tuple(map(recipes.make, contents)))
    else:
        made = BuildSet(())
        assert not contents, f"a container of type {type(contents).__name__} was changed"
    return ReplaceContentsEffect(FromSource(source), made)
