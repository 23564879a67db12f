"""A captured program for people, and the check of what a program must keep.

In: a `Program`.   Out: its text (`render_program`), the text of single sources, guards, recipes and effects, or `InternalError`
with everything that is wrong with it (`verify_program`).
Keeps: the text of a source is a Python expression a user can read: `x`, `target.__dict__['weight']`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from graphwright.base.errors import InternalError
from graphwright.ir.aten import TensorMeta
from graphwright.ir.constants import make_object
from graphwright.ir.dims import render_dim, render_dims
from graphwright.ir.guards import (
    AttrAbsentGuard,
    CodeGuard,
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    DistinctTensorsGuard,
    FrozenGuard,
    GlobalStateGuard,
    Guard,
    IdentityGuard,
    LengthGuard,
    NoOverlapGuard,
    SameObjectGuard,
    ShapeGuard,
    StorageOffsetGuard,
    TensorGuard,
    TypeAttrAbsentGuard,
    TypeGuard,
)
from graphwright.ir.program import Program, SymbolBinding
from graphwright.ir.recipes import (
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
from graphwright.ir.sources import (
    AnswerSource,
    ArgSource,
    ArrayTensorSource,
    AttrSource,
    CalculatedSource,
    ClosureSource,
    Constant,
    DefaultSource,
    DictKeySource,
    DictValueSource,
    EnumConst,
    FloatTensorSource,
    GlobalsSource,
    ImportSource,
    InstanceDictSource,
    ItemSource,
    KwargSource,
    KwDefaultSource,
    MadeSource,
    ModuleDictSource,
    NumberSource,
    Pin,
    PinKind,
    PinSource,
    SizeSource,
    Source,
    TargetSource,
    TypeAttrSource,
    TypeSource,
)


def render_program(program: Program) -> str:
    """Give `program` as text."""
    pattern = [f"_{index}" for index in range(program.pattern.num_positional)]
    pattern += [f"{name}=" for name in program.pattern.keywords]
    lines = [f"program {program.name}({', '.join(pattern)}):"]
    lines += [f"  pin {number}: {render_pin(pin)}" for number, pin in enumerate(program.pins)]
    for guard in program.guards:
        loc = f"  # {guard.loc.render()}" if guard.loc else ""
        lines.append(f"  guard {render_guard(guard, program.pins)}{loc}")
    lines += [f"  symbol {render_binding(binding)}" for binding in program.symbols]
    for number, source in enumerate(program.inputs):
        lines.append(f"  input {number} = {render_source(source)}")
    for number, recipe in enumerate(program.built):
        lines.append(f"  built {number} = {render_recipe(recipe, program.pins)}")
    lines += [f"  {render_effect(effect, program.pins)}" for effect in program.effects]
    lines.append(f"  return {render_recipe(program.result, program.pins)}")
    return "\n".join(lines) + "\n"


def render_pin(pin: Pin) -> str:
    """Give what a pin stands for."""
    name = (
        f"{pin.module}.{pin.qualname}"
        if pin.module and pin.qualname
        else pin.module or pin.qualname
    )
    return f"{pin.kind.value} {name}"


def render_binding(binding: SymbolBinding) -> str:
    """Give where a size symbol gets its value."""
    dim = "" if binding.dim is None else f".shape[{binding.dim}]"
    return f"{binding.symbol} = {render_source(binding.source)}{dim}"


def render_source(source: Source) -> str:  # noqa: C901  (one arm for each case of a closed union)
    """Give a source as an expression."""
    match source:
        case TargetSource():
            return "target"
        case ArgSource(_, name) | KwargSource(name):
            return name
        case ImportSource(module):
            return f"sys.modules[{module!r}]"
        case GlobalsSource(function):
            return f"{render_source(function)}.__globals__"
        case ModuleDictSource(module):
            return f"sys.modules[{module!r}].__dict__"
        case ClosureSource(function, index, name):
            return f"{render_source(function)}.__closure__[{index}].cell_contents[{name}]"
        case DefaultSource(function, index):
            return f"{render_source(function)}.__defaults__[{index}]"
        case KwDefaultSource(function, name):
            return f"{render_source(function)}.__kwdefaults__[{name!r}]"
        case PinSource(pin):
            return f"pins[{pin}]"
        case (
            NumberSource()
            | SizeSource()
            | CalculatedSource()
            | AnswerSource()
            | FloatTensorSource()
            | ArrayTensorSource()
        ):
            return _render_made(source)
        case _:
            return _render_part(source)


def _render_made(
    source: MadeSource,
) -> str:
    match source:
        case NumberSource(value):
            return render_constant(value, ())
        case SizeSource(tensor, dim):
            return f"{render_source(tensor)}.shape[{dim}]"
        case CalculatedSource(operation, operands):
            return f"{operation.value}({', '.join(map(render_source, operands))})"
        case AnswerSource(function, args):
            shown = ", ".join(render_constant(arg, ()) for arg in args)
            return f"{render_source(function)}({shown})"
        case FloatTensorSource(number):
            return f"float_tensor({render_source(number)})"
        case ArrayTensorSource(array):
            return f"from_numpy({render_source(array)})"
        case _:
            assert_never(source)


def _render_part(
    source: AttrSource
    | InstanceDictSource
    | TypeSource
    | TypeAttrSource
    | ItemSource
    | DictKeySource
    | DictValueSource,
) -> str:
    base = render_source(source.base)
    match source:
        case AttrSource():
            return f"{base}.{source.name}"
        case InstanceDictSource():
            return f"{base}.__dict__"
        case TypeSource():
            return f"type({base})"
        case TypeAttrSource():
            return f"{base}::{source.name}"
        case ItemSource():
            return f"{base}[{render_constant(source.key, ())}]"
        case DictKeySource():
            return f"list({base})[{source.index}]"
        case DictValueSource():
            return f"list({base}.values())[{source.index}]"
        case _:
            assert_never(source)


def render_constant(constant: Constant, pins: tuple[Pin, ...]) -> str:
    """Give a constant as an expression."""
    if isinstance(constant, EnumConst):
        return f"{pins[constant.pin].qualname}.{constant.name}" if pins else constant.name
    if _holds_enum(constant):
        return repr(constant)
    return repr(make_object(constant, ()))


def _holds_enum(constant: Constant) -> bool:
    if isinstance(constant, EnumConst):
        return True
    return any(_holds_enum(item) for item in getattr(constant, "items", ()))


def render_guard(guard: Guard, pins: tuple[Pin, ...]) -> str:
    """Give a guard as a condition."""
    match guard:
        case SameObjectGuard(source, other):
            return f"{render_source(source)} is {render_source(other)}"
        case DistinctTensorsGuard(sources):
            return f"distinct({', '.join(map(render_source, sources))})"
        case FrozenGuard(sources):
            return f"unchanged({', '.join(map(render_source, sources))})"
        case NoOverlapGuard(source, others, is_whole):
            name = "no_shared_memory" if is_whole else "no_overlap"
            return f"{name}({', '.join(map(render_source, (source, *others)))})"
        case GlobalStateGuard(kind, text):
            return f"{kind.value} == {text!r}"
        case ShapeGuard(left, comparison, right):
            return f"{render_dim(left)} {comparison.value} {render_dim(right)}"
        case _:
            return _render_value_guard(guard, render_source(guard.source), pins)


def _render_value_guard(  # noqa: C901  (one arm for each case of a closed union)
    guard: TypeGuard
    | IdentityGuard
    | CodeGuard
    | ConstantGuard
    | TensorGuard
    | StorageOffsetGuard
    | LengthGuard
    | DictKeysGuard
    | DictContainsGuard
    | AttrAbsentGuard
    | TypeAttrAbsentGuard,
    source: str,
    pins: tuple[Pin, ...],
) -> str:
    match guard:
        case TypeGuard():
            return f"type({source}) is {pins[guard.pin].qualname}"
        case IdentityGuard():
            return f"{source} is {render_pin(pins[guard.pin])}"
        case CodeGuard():
            return f"{source}.__code__ is {pins[guard.pin].qualname}"
        case ConstantGuard():
            return f"{source} == {render_constant(guard.value, pins)}"
        case TensorGuard():
            return f"{source} is {pins[guard.type_pin].qualname} {render_meta(guard.meta)}"
        case StorageOffsetGuard():
            return f"{source}.storage_offset() == {guard.offset}"
        case LengthGuard():
            return f"len({source}) == {guard.length}"
        case DictKeysGuard():
            keys = ", ".join(render_constant(key, pins) for key in guard.keys)
            return f"list({source}) == [{keys}]"
        case DictContainsGuard():
            word = "in" if guard.is_present else "not in"
            return f"{render_constant(guard.key, pins)} {word} {source}"
        case AttrAbsentGuard():
            return f"{guard.name!r} not in {source}.__dict__"
        case TypeAttrAbsentGuard():
            return f"{source} has no {guard.name!r}"
        case _:
            assert_never(guard)


def render_meta(meta: TensorMeta) -> str:
    """Give what is known of a tensor."""
    grad = " requires_grad" if meta.requires_grad else ""
    shape, strides = render_dims(meta.shape), render_dims(meta.strides)
    return f"{meta.dtype.value} {shape} strides {strides} on {meta.device}{grad}"


def render_recipe(recipe: Recipe, pins: tuple[Pin, ...]) -> str:
    """Give how a value is made as an expression."""
    match recipe:
        case FromOutput(index):
            return f"output[{index}]"
        case FromSource(source):
            return render_source(source)
        case FromConstant(value):
            return render_constant(value, pins)
        case FromPin(pin):
            return pins[pin].qualname or pins[pin].module
        case FromSymbol(expr):
            return render_dim(expr)
        case FromBuilt(index):
            return f"built[{index}]"
        case _:
            return _render_build(recipe, pins)


def _render_build(  # noqa: C901  (one arm for each case of a closed union)
    recipe: BuildTuple
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
    | CallLate,
    pins: tuple[Pin, ...],
) -> str:
    parts = ", ".join(render_recipe(part, pins) for part in iter_parts(recipe))
    match recipe:
        case BuildTuple():
            name = "tuple" if recipe.type_pin is None else pins[recipe.type_pin].qualname
            return f"{name}({parts})"
        case BuildList():
            return f"[{parts}]"
        case BuildDict():
            name = "dict" if recipe.type_pin is None else pins[recipe.type_pin].qualname
            return f"{name}({parts})"
        case BuildSet():
            return f"{'frozenset' if recipe.is_frozen else 'set'}({parts})"
        case BuildSlice():
            return f"slice({parts})"
        case BuildObject():
            names = ", ".join(attr.name for attr in recipe.attrs)
            return f"new {pins[recipe.type_pin].qualname}({parts}; {names})"
        case BuildCell():
            return f"cell({parts})"
        case BuildReduced():
            return f"iterator({parts})"
        case BuildBuiltinMethod():
            return f"{parts}.{recipe.name}"
        case BuildFunction():
            return f"function {recipe.qualname}({parts})"
        case BuildMethod() | BuildPartial() | CallLate():
            return f"{_CALLED[type(recipe)]}({parts})"
        case _:
            assert_never(recipe)


_CALLED: Final = {BuildMethod: "method", BuildPartial: "partial", CallLate: "late"}


def iter_parts(recipe: Recipe) -> Iterator[Recipe]:  # noqa: C901, PLR0912  (one arm for each case of a closed union)
    """Give the recipes that `recipe` is made of, in order."""
    match recipe:
        case BuildTuple() | BuildList() | BuildSet():
            yield from recipe.items
        case BuildDict():
            for entry in recipe.entries:
                yield entry.key
                yield entry.value
            if recipe.factory is not None:
                yield recipe.factory
        case BuildSlice():
            yield from (recipe.start, recipe.stop, recipe.step)
        case BuildObject():
            yield from recipe.items
            for entry in recipe.entries:
                yield entry.key
                yield entry.value
            yield from (attr.value for attr in recipe.attrs)
        case BuildCell():
            yield from () if recipe.contents is None else (recipe.contents,)
        case BuildReduced():
            yield from (recipe.function, *recipe.args)
            if recipe.state is not None:
                yield recipe.state
        case BuildBuiltinMethod():
            yield recipe.receiver
        case BuildFunction():
            yield from recipe.cells
            yield from (part for part in extras_of(recipe) if part is not None)
            yield from (attr.value for attr in recipe.attrs)
        case BuildMethod():
            yield from (recipe.function, recipe.receiver)
        case BuildPartial() | CallLate():
            yield from (recipe.function, *recipe.args, *(attr.value for attr in recipe.kwargs))
        case FromOutput() | FromSource() | FromConstant() | FromPin() | FromSymbol() | FromBuilt():
            return
        case _:
            assert_never(recipe)


def extras_of(recipe: BuildFunction) -> tuple[Recipe | None, ...]:
    """Give a function's defaults, keyword defaults and annotations."""
    return recipe.defaults, recipe.kw_defaults, recipe.annotations


def render_effect(effect: Effect, pins: tuple[Pin, ...]) -> str:
    """Give an effect as a statement."""
    match effect:
        case SetAttrEffect(target, name, value):
            return f"{render_recipe(target, pins)}.{name} = {render_recipe(value, pins)}"
        case DeleteAttrEffect(target, name):
            return f"del {render_recipe(target, pins)}.{name}"
        case SetItemEffect(target, key, value):
            subscript = f"{render_recipe(target, pins)}[{render_recipe(key, pins)}]"
            return f"{subscript} = {render_recipe(value, pins)}"
        case DeleteItemEffect(target, key):
            return f"del {render_recipe(target, pins)}[{render_recipe(key, pins)}]"
        case ReplaceContentsEffect(target, contents):
            return f"{render_recipe(target, pins)}[:] = {render_recipe(contents, pins)}"
        case ExtendListEffect(target, items):
            return f"{render_recipe(target, pins)} += {render_recipe(items, pins)}"
        case SetCellEffect(function, index, value):
            return f"{render_source(function)}.__closure__[{index}] = {render_recipe(value, pins)}"
        case SetGlobalEffect(globals_source, name, value):
            return f"{render_source(globals_source)}[{name!r}] = {render_recipe(value, pins)}"
        case SetGlobalStateEffect() | NestAutocastEffect():
            return _render_state(effect)
        case _:
            assert_never(effect)


def _render_state(effect: SetGlobalStateEffect | NestAutocastEffect) -> str:
    if isinstance(effect, NestAutocastEffect):
        return f"autocast_regions += {effect.change}"
    return f"{effect.kind.value} = {effect.text}"


def iter_effect_recipes(effect: Effect) -> Iterator[Recipe]:
    """Give the recipes in an effect."""
    match effect:
        case SetAttrEffect() | ReplaceContentsEffect():
            yield effect.target
            yield effect.contents if isinstance(effect, ReplaceContentsEffect) else effect.value
        case ExtendListEffect():
            yield from (effect.target, effect.items)
        case DeleteAttrEffect():
            yield effect.target
        case SetItemEffect():
            yield from (effect.target, effect.key, effect.value)
        case DeleteItemEffect():
            yield from (effect.target, effect.key)
        case SetCellEffect() | SetGlobalEffect():
            yield effect.value
        case SetGlobalStateEffect() | NestAutocastEffect():
            return
        case _:
            assert_never(effect)


def iter_recipes(program: Program) -> Iterator[Recipe]:
    """Give every recipe of `program`, parts after wholes."""
    pending: list[Recipe] = [program.result, *program.built]
    pending += [recipe for effect in program.effects for recipe in iter_effect_recipes(effect)]
    while pending:
        recipe = pending.pop()
        yield recipe
        pending += iter_parts(recipe)


def verify_program(program: Program) -> None:
    """Check what a program must keep.

    Raises:
        InternalError: it does not; the text lists every fault, with the program below.
    """
    faults = [*_iter_pattern_faults(program), *_iter_pin_faults(program)]
    faults += _iter_recipe_faults(program)
    if faults:
        listing = "\n".join(f"- {fault}" for fault in faults)
        message = f"program {program.name} is wrong:\n{listing}"
        raise InternalError(message)


def _iter_pattern_faults(program: Program) -> Iterator[str]:
    if len(program.inputs) != len(program.graph.inputs):
        yield f"{len(program.inputs)} sources for {len(program.graph.inputs)} graph inputs"
    bound = [binding.symbol for binding in program.symbols]
    if len(set(bound)) != len(bound):
        yield "a size symbol is bound twice"
    yield from (
        f"size symbol {s} is bound nowhere" for s in program.graph.symbols if s not in bound
    )
    for source in _iter_sources(program):
        match source:
            case ArgSource(index) if not 0 <= index < program.pattern.num_positional:
                yield f"argument {index} of {program.pattern.num_positional}"
            case KwargSource(name) if name not in program.pattern.keywords:
                yield f"keyword argument {name!r} is not in the call's pattern"
            case _:
                pass


def _iter_pin_faults(program: Program) -> Iterator[str]:
    for guard in program.guards:
        match guard:
            case TypeGuard(_, pin):
                yield from _iter_pin_fault(program, pin, (PinKind.CLASS,), "a type guard")
            case CodeGuard(_, pin):
                yield from _iter_pin_fault(program, pin, (PinKind.FUNCTION,), "a code guard")
            case TensorGuard(_, _, pin):
                yield from _iter_pin_fault(program, pin, (PinKind.CLASS,), "a tensor guard")
            case IdentityGuard(_, pin):
                yield from _iter_pin_fault(program, pin, tuple(PinKind), "an identity guard")
            case _:
                pass


def _iter_pin_fault(
    program: Program, pin: int, kinds: tuple[PinKind, ...], what: str
) -> Iterator[str]:
    if not 0 <= pin < len(program.pins):
        yield f"{what} names pin {pin} of {len(program.pins)}"
    elif program.pins[pin].kind not in kinds:
        yield f"{what} names pin {pin}, which is a {render_pin(program.pins[pin])}"


def _iter_recipe_faults(program: Program) -> Iterator[str]:
    num_outputs, num_built = len(program.graph.outputs), len(program.built)
    for recipe in iter_recipes(program):
        match recipe:
            case FromOutput(index) if not 0 <= index < num_outputs:
                yield f"a recipe names output {index} of {num_outputs}"
            case FromBuilt(index) if not 0 <= index < num_built:
                yield f"a recipe names built object {index} of {num_built}"
            case FromPin(pin) if not 0 <= pin < len(program.pins):
                yield f"a recipe names pin {pin} of {len(program.pins)}"
            case _:
                pass


def bases_of(source: Source) -> tuple[Source, ...]:
    """Give the sources that `source` is reached through, or calculated of."""
    match source:
        case (
            AttrSource(base)
            | InstanceDictSource(base)
            | TypeSource(base)
            | TypeAttrSource(base)
            | ItemSource(base)
            | DictKeySource(base)
            | DictValueSource(base)
            | GlobalsSource(base)
            | ClosureSource(base)
            | DefaultSource(base)
            | KwDefaultSource(base)
            | SizeSource(base)
            | AnswerSource(base)
            | FloatTensorSource(base)
            | ArrayTensorSource(base)
        ):
            return (base,)
        case CalculatedSource(_, operands):
            return operands
        case TargetSource() | ArgSource() | KwargSource() | ImportSource() | ModuleDictSource():
            return ()
        case PinSource() | NumberSource():
            return ()
        case _:
            assert_never(source)


def sources_of(guard: Guard) -> tuple[Source, ...]:
    """Give the sources that a guard looks at."""
    match guard:
        case SameObjectGuard(source, other):
            return (source, other)
        case DistinctTensorsGuard(sources) | FrozenGuard(sources):
            return sources
        case NoOverlapGuard(source, others):
            return (source, *others)
        case GlobalStateGuard() | ShapeGuard():
            return ()
        case _:
            return (guard.source,)


def _iter_sources(program: Program) -> Iterator[Source]:
    pending = [source for guard in program.guards for source in sources_of(guard)]
    pending += program.inputs
    pending += [binding.source for binding in program.symbols]
    pending += [r.source for r in iter_recipes(program) if isinstance(r, FromSource)]
    for source in pending:
        yield from iter_with_bases(source)


def iter_with_bases(source: Source) -> Iterator[Source]:
    """Give a source and those that it is reached through, outwards."""
    yield source
    for base in bases_of(source):
        yield from iter_with_bases(base)
