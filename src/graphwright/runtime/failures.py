"""Why a program does not serve a call.

In: a program, the number of the guard that failed, and the call.   Out: `GuardFailure`: the guard, expected, found.
Keeps: nothing here runs user code but the `repr` of plain constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never, final

import torch

from graphwright.ir.constants import make_object
from graphwright.ir.dims import evaluate_dim, render_dim
from graphwright.ir.guards import (
    CodeGuard,
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    GlobalStateGuard,
    Guard,
    IdentityGuard,
    LengthGuard,
    ShapeGuard,
    StorageOffsetGuard,
    TensorGuard,
    TypeGuard,
)
from graphwright.ir.program import Program
from graphwright.ir.program_text import (
    bases_of,
    render_constant,
    render_guard,
    render_meta,
    render_pin,
    sources_of,
)
from graphwright.ir.sources import (
    AnswerSource,
    ArgSource,
    ArrayTensorSource,
    AttrSource,
    CalculatedSource,
    ClosureSource,
    DefaultSource,
    DictKeySource,
    DictValueSource,
    FloatTensorSource,
    GlobalsSource,
    ImportSource,
    InstanceDictSource,
    ItemSource,
    KwargSource,
    KwDefaultSource,
    ModuleDictSource,
    NumberSource,
    PinSource,
    SizeSource,
    Source,
    TargetSource,
    TypeAttrSource,
    TypeSource,
)
from graphwright.ir.symint import Dim
from graphwright.runtime import reading
from graphwright.runtime.calculating import CALCULATIONS, make_float_tensor, size_at
from graphwright.runtime.checks import extents_of, storage_offset_of, strides_of
from graphwright.runtime.global_state import read_global_state
from graphwright.runtime.pins import PinTable
from graphwright.runtime.reading import MISSING

_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
_LONGEST: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFailure:
    """One guard that a call did not pass."""

    index: int
    """Number of the guard in the program."""
    guard: Guard | None
    """None: an input of the graph could not be found."""
    text: str
    """The guard as a condition."""
    expected: str
    actual: str
    location: str
    """The user's line that the guard is there for, or an empty string."""

    def render(self) -> str:
        """Give the failure as a sentence."""
        where = f" (needed at {self.location})" if self.location else ""
        return f"guard failed: {self.text}: expected {self.expected}, found {self.actual}{where}"


@final
class Evaluator:
    """Evaluates sources one by one.

    Args:
        target: the compiled object.
        pins: live pins.
        args: the call's positional arguments.
        kwargs: its keyword arguments.
    """

    def __init__(
        self,
        target: object,
        pins: PinTable,
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> None:
        self._target = target
        self._pins = pins
        self._args = args
        self._kwargs = kwargs

    def evaluate(self, source: Source) -> object:
        """Give the object that `source` names, or `MISSING`."""
        bases = [self.evaluate(base) for base in bases_of(source)]
        if not bases:
            return self._evaluate_root(source)
        if any(base is MISSING for base in bases):
            return MISSING
        return self.evaluate_on(source, *bases)

    def evaluate_on(self, source: Source, base: object, *others: object) -> object:
        """Give the object that `source` names, where its bases name `base` and `others`, or `MISSING`."""
        match source:
            case AnswerSource(_, args):
                return reading.ask([make_object(arg, self._pins.objects) for arg in args], base)
            case SizeSource() | CalculatedSource() | FloatTensorSource() | ArrayTensorSource():
                return _make(source, (base, *others))
            case GlobalsSource():
                return reading.read_globals(base)
            case ClosureSource(_, index):
                return reading.read_closure(base, index)
            case DefaultSource(_, index):
                return reading.read_default(base, index)
            case KwDefaultSource(_, name):
                return reading.read_kw_default(base, name)
            case _:
                return self._evaluate_part(source, base)

    def _evaluate_root(self, source: Source) -> object:
        match source:
            case TargetSource():
                return self._target
            case ArgSource(index):
                return self._args[index] if index < len(self._args) else MISSING
            case KwargSource(name):
                return self._kwargs.get(name, MISSING)
            case ImportSource(module):
                return reading.read_module(module)
            case ModuleDictSource(module):
                return reading.read_module_dict(module)
            case PinSource(pin):
                return self._pins.objects[pin]
            case NumberSource(value):
                return make_object(value, ())
            case _:
                return MISSING

    def _evaluate_part(self, source: Source, base: object) -> object:
        match source:
            case AttrSource(_, name):
                return reading.read_attr(base, name)
            case InstanceDictSource():
                return reading.read_instance_dict(base)
            case TypeSource():
                return type(base)
            case TypeAttrSource(_, name):
                return reading.read_type_attr(base, name)
            case ItemSource(_, key):
                return reading.read_item(base, make_object(key, self._pins.objects))
            case DictKeySource(_, index):
                return reading.read_key(base, index)
            case DictValueSource(_, index):
                return reading.read_value(base, index)
            case _:
                return MISSING


def _make(
    source: SizeSource | CalculatedSource | FloatTensorSource | ArrayTensorSource,
    bases: Sequence[object],
) -> object:
    base = bases[0]
    match source:
        case SizeSource(_, dim):
            has_dim = isinstance(base, torch.Tensor) and dim < base.ndim
            return size_at(dim, base) if has_dim else MISSING  # type: ignore[arg-type]
        case CalculatedSource(operation):
            return CALCULATIONS[operation](*bases)
        case FloatTensorSource():
            return make_float_tensor(base)
        case ArrayTensorSource():
            return reading.view_array(base)
        case _:
            assert_never(source)


def describe_failure(program: Program, index: int, evaluator: Evaluator) -> GuardFailure:
    """Tell what guard `index` of `program` expects and what it found; behind the last guard: an input is not there."""
    if index >= len(program.guards):
        return GuardFailure(
            index=index,
            guard=None,
            text="the graph's inputs are there",
            expected="every input to be reached from the call",
            actual="one that is not there",
            location=program.loc.render() if program.loc else "",
        )
    guard = program.guards[index]
    found = [evaluator.evaluate(source) for source in sources_of(guard)]
    return GuardFailure(
        index=index,
        guard=guard,
        text=render_guard(guard, program.pins),
        expected=_render_expected(guard, program),
        actual=_render_actual(guard, found, program, evaluator),
        location=guard.loc.render() if guard.loc else "",
    )


def _render_expected(guard: Guard, program: Program) -> str:
    match guard:
        case TypeGuard(_, pin) | IdentityGuard(_, pin) | CodeGuard(_, pin):
            return render_pin(program.pins[pin])
        case ConstantGuard():
            return render_constant(guard.value, program.pins)
        case TensorGuard():
            return f"{program.pins[guard.type_pin].qualname} {render_meta(guard.meta)}"
        case StorageOffsetGuard():
            return f"storage offset {guard.offset}"
        case LengthGuard():
            return f"length {guard.length}"
        case DictKeysGuard():
            return f"keys [{', '.join(render_constant(key, program.pins) for key in guard.keys)}]"
        case GlobalStateGuard():
            return repr(guard.text)
        case _:
            return "this to hold"


def _render_actual(
    guard: Guard, found: Sequence[object], program: Program, evaluator: Evaluator
) -> str:
    match guard:
        case GlobalStateGuard():
            return repr(read_global_state(guard.kind))
        case ShapeGuard(left, _, right):
            symbols = evaluate_symbols(program, evaluator)
            return f"{_render_value(left, symbols)} and {_render_value(right, symbols)}"
        case IdentityGuard(_, pin) if render_object(found[0]) == render_pin(program.pins[pin]):
            return f"another {render_object(found[0])}"
        case CodeGuard() if hasattr(found[0], "__code__"):
            return f"code {found[0].__code__.co_qualname}, not the same"
        case StorageOffsetGuard() if isinstance(found[0], torch.Tensor):
            return f"storage offset {storage_offset_of(found[0])}"
        case LengthGuard():
            return f"length {reading.builtin_length(found[0])}"
        case DictKeysGuard() | DictContainsGuard() if isinstance(found[0], dict):
            return f"keys [{', '.join(map(render_object, dict.keys(found[0])))}]"
        case _:
            return ", ".join(map(render_object, found))


def _render_value(dim: Dim, symbols: Mapping[str, int]) -> str:
    text = render_dim(dim)
    try:
        value = evaluate_dim(dim, symbols)
    except KeyError:
        return text
    return text if text == str(value) else f"{text} = {value}"


def evaluate_symbols(program: Program, evaluator: Evaluator) -> dict[str, int]:
    """Give the values of the size symbols that can be found."""
    symbols: dict[str, int] = {}
    for binding in program.symbols:
        found = evaluator.evaluate(binding.source)
        match found:
            case torch.Tensor() if binding.dim is not None and binding.dim < found.dim():
                symbols[binding.symbol] = extents_of(found)[binding.dim]
            case int() if binding.dim is None:
                symbols[binding.symbol] = found
            case _:
                pass
    return symbols


def render_object(found: object) -> str:
    """Give an object for people: constants by value, tensors by metadata, others by type."""
    if found is MISSING:
        return "nothing there"
    if isinstance(found, torch.Tensor):
        return _render_tensor(found)
    if isinstance(found, type):
        return f"class {found.__module__}.{found.__qualname__}"
    if type(found) in _PLAIN or (type(found) is tuple and all(type(f) in _PLAIN for f in found)):
        text = repr(found)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"an object of {type(found).__module__}.{type(found).__qualname__}"


def _render_tensor(found: torch.Tensor) -> str:
    with torch._C.DisableTorchFunction():  # noqa: SLF001
        grad = " requires_grad" if found.requires_grad else ""
        if found.layout is not torch.strided:
            return f"{type(found).__qualname__} of layout {found.layout}"
        dtype = str(found.dtype).removeprefix("torch.")
        layout = f"{extents_of(found)} strides {strides_of(found)}"
        return f"{type(found).__qualname__} {dtype} {layout} on {found.device}{grad}"
