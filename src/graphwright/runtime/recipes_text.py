"""Results and effects as readable Python.

In: a `Program`.   Out: the source of `build(outputs, symbols, sources)`, which makes the result from the graph's outputs and
replays the effects.
Keeps: what existed before the call (`sources`) is what it was before the call; objects used more than once are made once; an
object is made before its contents are filled in, so that cycles close.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, assert_never, final

from graphwright.ir.constants import make_object
from graphwright.ir.dims import render_dim
from graphwright.ir.guards import GlobalStateKind
from graphwright.ir.locations import Loc
from graphwright.ir.program import Program
from graphwright.ir.program_text import extras_of, iter_parts
from graphwright.ir.recipes import (
    AttrEntry,
    BuildBuiltinMethod,
    BuildCell,
    BuildDict,
    BuildFunction,
    BuildList,
    BuildMethod,
    BuildObject,
    BuildPartial,
    BuildReduced,
    BuildSet,
    BuildSlice,
    BuildTuple,
    CallLate,
    DeleteAttrEffect,
    DeleteItemEffect,
    DictEntry,
    Effect,
    ExtendListEffect,
    FromBuilt,
    FromConstant,
    FromOutput,
    FromPin,
    FromSource,
    FromSymbol,
    NestAutocastEffect,
    Recipe,
    ReplaceContentsEffect,
    SetAttrEffect,
    SetCellEffect,
    SetGlobalEffect,
    SetGlobalStateEffect,
    SetItemEffect,
)
from graphwright.ir.sources import Constant, PlainConst
from graphwright.runtime import building
from graphwright.runtime.again import RunFailed
from graphwright.runtime.global_state import nest_autocast, write_global_state
from graphwright.runtime.guard_steps import GuardSteps
from graphwright.runtime.pins import PinTable

_BUILDERS: Final = (
    "make_instance",
    "fill_instance",
    "make_dict",
    "make_function",
    "finish_function",
    "make_reduced",
    "fill_cell",
    "set_attr",
    "delete_attr",
    "set_item",
    "delete_item",
    "replace_contents",
    "set_cell",
)


@final
class RecipesText:
    """Writes `build(outputs, symbols, sources)` and collects the objects that its text names.

    Args:
        program: the program.
        steps: its guards, lowered, which say what `sources` holds.
        pins: its live pins.
        go_on: what the call goes on with where the program ends before its function does.
        runs_again: where a late call raises, the call is made anew in plain Python (see `runtime/again.py`).
    """

    def __init__(
        self,
        program: Program,
        steps: GuardSteps,
        pins: PinTable,
        go_on: Callable[..., Any] | None = None,
        *,
        runs_again: bool = False,
    ) -> None:
        self._program = program
        self._runs_again = runs_again and any(isinstance(one, CallLate) for one in program.built)
        self._symbols = steps.symbols
        self._pins = pins
        self._number_of: Final = {source: i for i, source in enumerate(steps.recipe_sources)}
        self._constants: list[Callable[[], Any]] = []
        self.namespace: dict[str, object] = {
            "pin": pins.get,
            "recipe_constants": self._constants,
            "partial": functools.partial,
            "MethodType": types.MethodType,
            "CellType": types.CellType,
            "GlobalStateKind": GlobalStateKind,
            "nest_autocast": nest_autocast,
            "write_global_state": write_global_state,
            "go_on": go_on,
            "RunFailed": RunFailed,
            **{name: getattr(building, name) for name in _BUILDERS},
        }

    def render(self) -> str:
        """Give the source text."""
        lines = ["def build(outputs, symbols, sources):"]
        if self._symbols:
            lines.append(f"    {_tuple(self._symbols)} = symbols")
        made = [*_BuiltLines(self, self._program.built).all()]
        made.append(f"result = {self.render_recipe(self._program.result)}")
        lines += [f"    {line}" for line in (_guarded(made) if self._runs_again else made)]
        lines += [f"    {self._render_effect(effect)}" for effect in self._program.effects]
        ends = self._program.ends_at
        lines.append(
            "    return result"
            if ends is None
            else f"    return go_on(*result)  # graph break: {ends.met}"
        )
        return "\n".join(lines) + "\n"

    def render_recipe(self, recipe: Recipe) -> str:
        """Give the expression that makes a value."""
        match recipe:
            case FromOutput(index):
                return f"outputs[{index}]"
            case FromSource(source):
                return f"sources[{self._number_of[source]}]"
            case FromConstant(value):
                return self._render_constant(value)
            case FromPin(pin):
                return f"pin({pin})"
            case FromSymbol(expr):
                return render_dim(expr)
            case FromBuilt(index):
                return f"built{index}"
            case BuildTuple() | BuildList() | BuildDict() | BuildSet() | BuildSlice():
                return self._render_container(recipe)
            case BuildReduced() | BuildBuiltinMethod() | BuildCell():
                return self._render_builtin(recipe)
            case BuildObject() | BuildFunction() | BuildMethod() | BuildPartial() | CallLate():
                return self._render_made(recipe)
            case _:
                assert_never(recipe)

    def _render_container(
        self, recipe: BuildTuple | BuildList | BuildDict | BuildSet | BuildSlice
    ) -> str:
        match recipe:
            case BuildTuple(items, None):
                return _tuple(map(self.render_recipe, items))
            case BuildTuple(items, type_pin):
                return f"make_instance(pin({type_pin}), lambda: {self._render_items(items)})"
            case BuildList(items):
                return f"[{', '.join(map(self.render_recipe, items))}]"
            case BuildDict(entries, None):
                pairs = (
                    f"{self.render_recipe(e.key)}: {self.render_recipe(e.value)}" for e in entries
                )
                return f"{{{', '.join(pairs)}}}"
            case BuildDict(entries, type_pin, factory):
                made = "None" if factory is None else self.render_recipe(factory)
                return f"make_dict(pin({type_pin}), {self._render_entries(entries)}, {made})"
            case BuildSet(items, is_frozen):
                return f"{'frozenset' if is_frozen else 'set'}({self._render_items(items)})"
            case BuildSlice(start, stop, step):
                return f"slice({', '.join(map(self.render_recipe, (start, stop, step)))})"
            case _:
                assert_never(recipe)

    def _render_builtin(self, recipe: BuildReduced | BuildBuiltinMethod | BuildCell) -> str:
        match recipe:
            case BuildReduced(function, args, state):
                parts = f"{self.render_recipe(function)}, {self._render_items(args)}"
                ending = "" if state is None else f", {self.render_recipe(state)}"
                return f"make_reduced({parts}{ending})"
            case BuildBuiltinMethod(receiver, name):
                return f"getattr({self.render_recipe(receiver)}, {name!r})"
            case BuildCell(contents):
                return f"CellType({'' if contents is None else self.render_recipe(contents)})"
            case _:
                assert_never(recipe)

    def _render_made(
        self, recipe: BuildObject | BuildFunction | BuildMethod | BuildPartial | CallLate
    ) -> str:
        match recipe:
            case BuildObject() | BuildFunction():
                return self._render_fill(self.render_shell(recipe), recipe)
            case BuildMethod(function, receiver):
                parts = f"{self.render_recipe(function)}, {self.render_recipe(receiver)}"
                return f"MethodType({parts})"
            case BuildPartial(function, args, kwargs):
                parts_list = [self.render_recipe(part) for part in (function, *args)]
                parts_list.append(f"**{self._render_attrs(kwargs)}")
                return f"partial({', '.join(parts_list)})"
            case CallLate(function, args, kwargs):
                parts_list = [*map(self.render_recipe, args), f"**{self._render_attrs(kwargs)}"]
                return f"{self.render_recipe(function)}({', '.join(parts_list)})"
            case _:
                assert_never(recipe)

    def render_shell(self, recipe: Recipe) -> str:
        """Give the expression that makes an object that is used more than once, without the contents that may refer back."""
        match recipe:
            case BuildList():
                return "[]"
            case BuildDict(_, None):
                return "{}"
            case BuildDict(_, type_pin, factory):
                made = "None" if factory is None else self.render_recipe(factory)
                return f"make_dict(pin({type_pin}), (), {made})"
            case BuildSet(_, False):
                return "set()"
            case BuildCell():
                return "CellType()"
            case BuildObject():
                return f"make_instance(pin({recipe.type_pin}), lambda: {self._render_items(recipe.items)})"
            case BuildFunction():
                names = f"{recipe.name!r}, {recipe.qualname!r}"
                namespace = f"sources[{self._number_of[recipe.globals_source]}]"
                cells = self._render_items(recipe.cells)
                return f"make_function(pin({recipe.code_pin}), {namespace}, {names}, {cells})"
            case _:
                return self.render_recipe(recipe)

    def render_filling(self, name: str, recipe: Recipe) -> list[str]:
        """Give the statements that fill an object that was made empty."""
        match recipe:
            case BuildList(items) if items:
                return [f"{name}.extend({self._render_items(items)})"]
            case BuildSet(items, False) if items:
                return [f"{name}.update({self._render_items(items)})"]
            case BuildDict(entries) if entries:
                return [f"{name}.update({self._render_entries(entries)})"]
            case BuildCell(contents) if contents is not None:
                return [f"fill_cell({name}, {self.render_recipe(contents)})"]
            case BuildObject() | BuildFunction():
                return [self._render_fill(name, recipe)]
            case _:
                return []

    def _render_fill(self, made: str, recipe: BuildObject | BuildFunction) -> str:
        attrs = self._render_attrs(recipe.attrs)
        match recipe:
            case BuildObject():
                items, entries = (
                    self._render_items(recipe.items),
                    self._render_entries(recipe.entries),
                )
                return f"fill_instance({made}, {attrs}, {items}, {entries})"
            case BuildFunction():
                parts = (
                    "None" if part is None else self.render_recipe(part)
                    for part in extras_of(recipe)
                )
                return f"finish_function({made}, {', '.join(parts)}, {attrs})"
            case _:
                assert_never(recipe)

    def _render_items(self, items: Iterable[Recipe]) -> str:
        return _tuple(map(self.render_recipe, items))

    def _render_entries(self, entries: Iterable[DictEntry]) -> str:
        return _tuple(
            f"({self.render_recipe(e.key)}, {self.render_recipe(e.value)})" for e in entries
        )

    def _render_attrs(self, attrs: Iterable[AttrEntry]) -> str:
        pairs = (f"{attr.name!r}: {self.render_recipe(attr.value)}" for attr in attrs)
        return f"{{{', '.join(pairs)}}}"

    def _render_constant(self, constant: Constant) -> str:
        if isinstance(constant, PlainConst):
            return repr(constant.value)
        self._constants.append(lambda: make_object(constant, self._pins.objects))
        return f"recipe_constants[{len(self._constants) - 1}]()"

    def _render_effect(self, effect: Effect) -> str:
        text = self._render_change(effect)
        return f"{text}{_at(effect.loc)}"

    def _render_change(self, effect: Effect) -> str:
        make = self.render_recipe
        match effect:
            case SetAttrEffect(target, name, value):
                return f"set_attr({make(target)}, {name!r}, {make(value)})"
            case DeleteAttrEffect(target, name):
                return f"delete_attr({make(target)}, {name!r})"
            case SetItemEffect(target, key, value):
                return f"set_item({make(target)}, {make(key)}, {make(value)})"
            case DeleteItemEffect(target, key):
                return f"delete_item({make(target)}, {make(key)})"
            case ReplaceContentsEffect(target, contents):
                return f"replace_contents({make(target)}, {make(contents)})"
            case ExtendListEffect(target, items):
                return f"list.extend({make(target)}, {make(items)})"
            case SetCellEffect(function, index, value):
                return f"set_cell(sources[{self._number_of[function]}], {index}, {make(value)})"
            case SetGlobalEffect(globals_source, name, value):
                return f"sources[{self._number_of[globals_source]}][{name!r}] = {make(value)}"
            case SetGlobalStateEffect() | NestAutocastEffect():
                return _render_state_change(effect)
            case _:
                assert_never(effect)


def _render_state_change(effect: SetGlobalStateEffect | NestAutocastEffect) -> str:
    if isinstance(effect, NestAutocastEffect):
        return f"nest_autocast({effect.change})"
    kind = effect.kind
    return f"write_global_state({type(kind).__name__}.{kind.name}, {effect.text!r})"


@final
class _BuiltLines:
    """The lines that make the objects of `Program.built`: each behind those that it cannot be made without.

    Objects are made empty and then filled, so that cycles close; an iterator finds what it goes over filled.

    Args:
        text: renders single objects.
        built: the objects.
    """

    def __init__(self, text: RecipesText, built: Sequence[Recipe]) -> None:
        self._text = text
        self._built = built
        self._lines: list[str] = []
        self._made: set[int] = set()
        self._filled: set[int] = set()

    def all(self) -> list[str]:
        """Give the lines for all objects."""
        for number in range(len(self._built)):
            self._make(number)
        for number in range(len(self._built)):
            self._fill(number)
        return self._lines

    def _make(self, number: int) -> None:
        if number in self._made:
            return
        self._made.add(number)
        recipe = self._built[number]
        self._prepare(_shell_parts(recipe), is_filled=isinstance(recipe, BuildReduced))
        self._lines.append(f"built{number} = {self._text.render_shell(recipe)}")

    def _fill(self, number: int) -> None:
        if number in self._filled:
            return
        self._filled.add(number)
        self._make(number)
        self._prepare(iter_parts(self._built[number]), is_filled=False)
        self._lines += self._text.render_filling(f"built{number}", self._built[number])

    def _prepare(self, parts: Iterable[Recipe], *, is_filled: bool) -> None:
        """Have the objects ready that parts, made in place, refer to."""
        for part in parts:
            if isinstance(part, FromBuilt):
                self._make(part.index)
                if is_filled:
                    self._fill(part.index)
            else:
                goes_over = is_filled or isinstance(part, BuildReduced)
                self._prepare(iter_parts(part), is_filled=goes_over)


def _shell_parts(recipe: Recipe) -> Iterable[Recipe]:
    """Give the parts without which an object cannot be made, even without its contents."""
    match recipe:
        case BuildList() | BuildSet(_, False) | BuildCell() | BuildDict(factory=None):
            return ()
        case BuildDict(factory=factory) if factory is not None:
            return (factory,)
        case BuildObject(items=items):
            return items
        case BuildFunction(cells=cells):
            return cells
        case _:
            return iter_parts(recipe)


def _tuple(parts: Iterable[str]) -> str:
    listed = list(parts)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def _at(loc: Loc | None) -> str:
    return f"  # {loc.render()}" if loc else ""


def _guarded(lines: Iterable[str]) -> list[str]:
    """Give lines that tell what they raise from what the lines after them do: nothing has been changed yet."""
    return [
        "try:",
        *(f"    {line}" for line in lines),
        "except Exception as error:",
        "    raise RunFailed(error) from None",
    ]
