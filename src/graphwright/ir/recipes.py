"""What a program gives back, and what it changes.

In: the outputs of its graph, and what existed before the call.   Out: `Recipe`: how a Python value is made after the graph has run;
`Effect`: a change of an object that existed before, replayed then.
"""

from __future__ import annotations

from graphwright.ir.data import Data
from graphwright.ir.guards import GlobalStateKind
from graphwright.ir.locations import Loc
from graphwright.ir.sources import Constant, Source
from graphwright.ir.symint import SymExpr


class FromOutput(Data, frozen=True, tag="output"):
    """Graph output number `index`."""

    index: int


class FromSource(Data, frozen=True, tag="source"):
    """A value that existed before the call."""

    source: Source


class FromConstant(Data, frozen=True, tag="constant"):
    """A constant."""

    value: Constant


class FromPin(Data, frozen=True, tag="pin"):
    """A pinned object (a class, a function)."""

    pin: int


class FromSymbol(Data, frozen=True, tag="symbol"):
    """An int computed from size symbols."""

    expr: SymExpr


class FromBuilt(Data, frozen=True, tag="built"):
    """Object number `index` of `Program.built`: used wherever one object appears more than once, or in a cycle."""

    index: int


class BuildTuple(Data, frozen=True, tag="build_tuple"):
    """A tuple; with `type_pin`, an instance of that tuple subclass (named tuples), made with `tuple.__new__`."""

    items: tuple[Recipe, ...]
    type_pin: int | None = None


class BuildList(Data, frozen=True, tag="build_list"):
    """A list."""

    items: tuple[Recipe, ...]


class DictEntry(Data, frozen=True):
    """A key and its value."""

    key: Recipe
    value: Recipe


class BuildDict(Data, frozen=True, tag="build_dict"):
    """A dict, in order; with `type_pin`, `collections.OrderedDict` or `collections.defaultdict` (with `factory`)."""

    entries: tuple[DictEntry, ...]
    type_pin: int | None = None
    factory: Recipe | None = None


class BuildSet(Data, frozen=True, tag="build_set"):
    """A set, or frozenset."""

    items: tuple[Recipe, ...]
    is_frozen: bool = False


class BuildSlice(Data, frozen=True, tag="build_slice"):
    """A slice."""

    start: Recipe
    stop: Recipe
    step: Recipe


class AttrEntry(Data, frozen=True):
    """An attribute and its value."""

    name: str
    value: Recipe


class BuildObject(Data, frozen=True, tag="build_object"):
    """An instance of a user's class: `cls.__new__` of its builtin base, then its state, with no user code run.

    `attrs` go into `__dict__` (or slots, by `object.__setattr__`); `items` are the contents of a list/tuple/set base, `entries`
    those of a dict base, filled in with the base's own methods.
    """

    type_pin: int
    attrs: tuple[AttrEntry, ...]
    items: tuple[Recipe, ...] = ()
    entries: tuple[DictEntry, ...] = ()


class BuildCell(Data, frozen=True, tag="build_cell"):
    """A closure cell; None: an empty one. Always an object of `Program.built`, as functions share it."""

    contents: Recipe | None


class BuildReduced(Data, frozen=True, tag="build_reduced"):
    """An iterator of CPython's own, by what its `__reduce__` gives: `function(*args)`, then `__setstate__(state)`."""

    function: Recipe
    args: tuple[Recipe, ...]
    state: Recipe | None = None


class BuildBuiltinMethod(Data, frozen=True, tag="build_builtin_method"):
    """The method `name`, written in C, of an object."""

    receiver: Recipe
    name: str


class BuildFunction(Data, frozen=True, tag="build_function"):
    """A Python function made in the program: pinned code, globals of `globals_source`, cells, defaults."""

    code_pin: int
    globals_source: Source
    name: str
    qualname: str
    cells: tuple[Recipe, ...] = ()
    defaults: Recipe | None = None
    kw_defaults: Recipe | None = None
    annotations: Recipe | None = None
    attrs: tuple[AttrEntry, ...] = ()


class BuildMethod(Data, frozen=True, tag="build_method"):
    """A bound method."""

    function: Recipe
    receiver: Recipe


class BuildPartial(Data, frozen=True, tag="build_partial"):
    """A `functools.partial`."""

    function: Recipe
    args: tuple[Recipe, ...]
    kwargs: tuple[AttrEntry, ...]


class CallLate(Data, frozen=True, tag="call_late"):
    """What a PyTorch function gives that is called once the graph has run, as its result's size or value depends on values."""

    function: Recipe
    args: tuple[Recipe, ...]
    kwargs: tuple[AttrEntry, ...]


Recipe = (
    FromOutput
    | FromSource
    | FromConstant
    | FromPin
    | FromSymbol
    | FromBuilt
    | BuildTuple
    | BuildList
    | BuildDict
    | BuildSet
    | BuildSlice
    | BuildObject
    | BuildCell
    | BuildReduced
    | BuildBuiltinMethod
    | BuildFunction
    | BuildMethod
    | BuildPartial
    | CallLate
)


class SetAttrEffect(Data, frozen=True, tag="set_attr"):
    """`object.__setattr__(target, name, value)` (for modules: into the dict that held it)."""

    target: Recipe
    name: str
    value: Recipe
    loc: Loc | None = None


class DeleteAttrEffect(Data, frozen=True, tag="delete_attr"):
    """`del target.name`."""

    target: Recipe
    name: str
    loc: Loc | None = None


class SetItemEffect(Data, frozen=True, tag="set_item"):
    """`target[key] = value`, by the builtin base's method."""

    target: Recipe
    key: Recipe
    value: Recipe
    loc: Loc | None = None


class DeleteItemEffect(Data, frozen=True, tag="delete_item"):
    """`del target[key]`."""

    target: Recipe
    key: Recipe
    loc: Loc | None = None


class ReplaceContentsEffect(Data, frozen=True, tag="replace_contents"):
    """`target` (a list, dict, set or deque) gets the contents of `contents`, keeping its identity."""

    target: Recipe
    contents: Recipe
    loc: Loc | None = None


class ExtendListEffect(Data, frozen=True, tag="extend_list"):
    """`target` (a list) gets the items of `items` at its end."""

    target: Recipe
    items: Recipe
    loc: Loc | None = None


class SetCellEffect(Data, frozen=True, tag="set_cell"):
    """`function.__closure__[index].cell_contents = value`."""

    function: Source
    index: int
    value: Recipe
    loc: Loc | None = None


class SetGlobalEffect(Data, frozen=True, tag="set_global"):
    """`globals[name] = value`, where `globals_source` gives the dict."""

    globals_source: Source
    name: str
    value: Recipe
    loc: Loc | None = None


class SetGlobalStateEffect(Data, frozen=True, tag="set_global_state"):
    """A piece of PyTorch's global state is left at this value."""

    kind: GlobalStateKind
    text: str
    loc: Loc | None = None


class NestAutocastEffect(Data, frozen=True, tag="nest_autocast"):
    """So many more regions of `torch.autocast` are entered than before; less than none: left.

    PyTorch keeps what it has cast until the outermost region is left, and counts the regions to know when.
    """

    change: int
    loc: Loc | None = None


Effect = (
    SetAttrEffect
    | DeleteAttrEffect
    | SetItemEffect
    | DeleteItemEffect
    | ReplaceContentsEffect
    | ExtendListEffect
    | SetCellEffect
    | SetGlobalEffect
    | SetGlobalStateEffect
    | NestAutocastEffect
)
