"""The guards as readable Python.

In: a `Program` and its `GuardSteps`.   Out: the source of `guards(args, kwargs)`, which gives the number of the first guard that
fails, or what the call needs: `(inputs, symbols, sources)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, assert_never, final

from graphwright.ir.constants import make_object
from graphwright.ir.dims import render_dim
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
from graphwright.ir.locations import Loc
from graphwright.ir.program import Program
from graphwright.ir.program_text import render_guard
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
    PinSource,
    PlainConst,
    SizeSource,
    Source,
    TargetSource,
    TypeAttrSource,
    TypeSource,
)
from graphwright.runtime import checks, reading
from graphwright.runtime.calculating import CALCULATIONS, make_float_tensor
from graphwright.runtime.checks import TensorCheck, is_constant
from graphwright.runtime.global_state import read_global_state
from graphwright.runtime.guard_steps import (
    BindExtent,
    BindInt,
    Check,
    CheckExtent,
    Evaluate,
    ExtentKind,
    GuardStep,
    GuardSteps,
)
from graphwright.runtime.pins import PinTable

_INT64_LIMIT: Final = 2**63


@final
class GuardsText:
    """Writes `guards(args, kwargs)` and collects the objects that its text names.

    Args:
        program: the program.
        steps: its guards, lowered.
        pins: its live pins.
        target: the compiled object.
        are_unchanged: tells whether tensors are those of a `FrozenGuard`; None for a program without one.
    """

    def __init__(
        self,
        program: Program,
        steps: GuardSteps,
        pins: PinTable,
        target: object,
        are_unchanged: Callable[[Sequence[Any]], bool] | None = None,
    ) -> None:
        self._program = program
        self._steps = steps
        self._pins = pins
        self.tensors: list[TensorCheck] = []
        self.constants: list[Callable[[object], bool]] = []
        self.values: list[Callable[[], Any]] = []
        self.namespace: dict[str, object] = {
            "MISSING": reading.MISSING,
            "target": target,
            "pins": pins.objects,
            "bind": pins.bind,
            "is_int64": is_int64,
            "state": read_global_state,
            "make_float_tensor": make_float_tensor,
            "are_unchanged": are_unchanged,
            "tensors": self.tensors,
            "guard_constants": self.constants,
            "guard_values": self.values,
            **{name: getattr(reading, name) for name in _READERS},
            **{name: getattr(checks, name) for name in _CHECKS},
            "FunctionType": type(is_int64),
        }

    def render(self) -> str:
        """Give the source text."""
        lines = ["def guards(args, kwargs):"]
        for step in self._steps.steps:
            lines += [f"    {line}" for line in self._render_step(step)]
        inputs = _tuple(f"v{slot}" for slot in self._steps.input_slots)
        sources = _tuple(f"v{slot}" for slot in self._steps.recipe_slots)
        symbols = _tuple(self._steps.symbols)
        lines.append(f"    return {inputs}, {symbols}, {sources}")
        return "\n".join(lines) + "\n"

    def _render_step(self, step: GuardStep) -> list[str]:
        match step:
            case Evaluate():
                text = self._render_source(step.source, [f"v{base}" for base in step.bases])
                lines = [f"v{step.slot} = {text}"]
                if not isinstance(step.source, _ALWAYS_THERE):
                    lines.append(f"if v{step.slot} is MISSING: return {step.guard}")
                return lines
            case Check():
                guard = self._program.guards[step.guard]
                slots = [f"v{slot}" for slot in step.slots]
                condition = self._render_failure(guard, slots)
                note = render_guard(guard, self._program.pins).replace("\n", " ")
                return [f"if {condition}: return {step.guard}  # {note}{_at(guard.loc)}"]
            case BindExtent():
                return [
                    f"{self._steps.symbols[step.symbol]} = extents_of(v{step.slot})[{step.dim}]"
                ]
            case BindInt():
                return [
                    f"if not is_int64(v{step.slot}): return {step.guard}",
                    f"{self._steps.symbols[step.symbol]} = v{step.slot}",
                ]
            case CheckExtent():
                reader = "extents_of" if step.kind is ExtentKind.SIZE else "strides_of"
                actual = f"{reader}(v{step.slot})[{step.dim}]"
                return [f"if {actual} != {render_dim(step.value)}: return {step.guard}"]
            case _:
                assert_never(step)

    def _render_source(  # noqa: C901  (one arm for each case of a closed union)
        self, source: Source, bases: Sequence[str]
    ) -> str:
        base = bases[0] if bases else ""
        match source:
            case TargetSource():
                return "target"
            case ArgSource(index, name):
                return f"args[{index}]  # {name}"
            case KwargSource(name):
                return f"kwargs[{name!r}]"
            case ImportSource(module):
                return f"read_module({module!r})"
            case ModuleDictSource(module):
                return f"read_module_dict({module!r})"
            case GlobalsSource():
                return f"read_globals({base})"
            case ClosureSource(_, index, name):
                return f"read_closure({base}, {index})  # {name}"
            case DefaultSource(_, index):
                return f"read_default({base}, {index})"
            case KwDefaultSource(_, name):
                return f"read_kw_default({base}, {name!r})"
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
                return self._render_made(source, bases)
            case _:
                return self._render_part(source, base)

    def _render_made(
        self,
        source: MadeSource,
        operands: Sequence[str],
    ) -> str:
        match source:
            case NumberSource(value):
                return self._render_value(value)
            case SizeSource(_, dim):
                return f"extents_of({operands[0]})[{dim}]"
            case CalculatedSource(operation):
                self.namespace[f"try_{operation.value}"] = CALCULATIONS[operation]
                return f"try_{operation.value}({', '.join(operands)})"
            case AnswerSource(_, args):
                return f"ask({_tuple(map(self._render_value, args))}, {operands[0]})"
            case FloatTensorSource():
                return f"make_float_tensor({operands[0]})"
            case ArrayTensorSource():
                return f"view_array({operands[0]})"
            case _:
                assert_never(source)

    def _render_part(
        self,
        source: AttrSource
        | InstanceDictSource
        | TypeSource
        | TypeAttrSource
        | ItemSource
        | DictKeySource
        | DictValueSource,
        base: str,
    ) -> str:
        match source:
            case AttrSource(_, name):
                return f"read_attr({base}, {name!r})"
            case InstanceDictSource():
                return f"read_instance_dict({base})"
            case TypeSource():
                return f"type({base})"
            case TypeAttrSource(_, name):
                return f"read_type_attr({base}, {name!r})"
            case ItemSource(_, key):
                return f"read_item({base}, {self._render_value(key)})"
            case DictKeySource(_, index):
                return f"read_key({base}, {index})"
            case DictValueSource(_, index):
                return f"read_value({base}, {index})"
            case _:
                assert_never(source)

    def _render_value(self, constant: Constant) -> str:
        if isinstance(constant, PlainConst):
            return repr(constant.value)
        self.values.append(lambda: make_object(constant, self._pins.objects))
        return f"guard_values[{len(self.values) - 1}]()"

    def _render_failure(self, guard: Guard, slots: Sequence[str]) -> str:
        match guard:
            case SameObjectGuard():
                return f"{slots[0]} is not {slots[1]}"
            case DistinctTensorsGuard():
                return f"not are_distinct({_tuple(slots)})"
            case FrozenGuard():
                return f"not are_unchanged({_tuple(slots)})"
            case NoOverlapGuard():
                relation = "share_storage" if guard.is_whole else "may_overlap"
                return f"any({relation}({slots[0]}, other) for other in {_tuple(slots[1:])})"
            case GlobalStateGuard(kind, text):
                self.namespace[kind.name] = kind
                return f"state({kind.name}) != {text!r}"
            case ShapeGuard(left, comparison, right):
                return f"not ({render_dim(left)} {comparison.value} {render_dim(right)})"
            case _:
                return self._render_value_failure(guard, slots[0])

    def _render_value_failure(  # noqa: C901  (one arm for each case of a closed union)
        self,
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
        value: str,
    ) -> str:
        match guard:
            case TypeGuard():
                return _is_not_pin(f"type({value})", guard.pin)
            case IdentityGuard():
                return _is_not_pin(value, guard.pin)
            case CodeGuard():
                code = _is_not_pin(f"{value}.__code__", guard.pin)
                return f"type({value}) is not FunctionType or ({code})"
            case ConstantGuard():
                return self._render_unequal(guard.value, value)
            case TensorGuard():
                self.tensors.append(TensorCheck(guard.meta))
                kind = _is_not_pin(f"type({value})", guard.type_pin)
                return f"({kind}) or not tensors[{len(self.tensors) - 1}].matches({value})"
            case StorageOffsetGuard():
                return f"storage_offset_of({value}) != {guard.offset}"
            case LengthGuard():
                return f"builtin_length({value}) != {guard.length}"
            case DictKeysGuard():
                keys = _tuple(self._render_value(key) for key in guard.keys)
                return f"not has_keys({value}, {keys})"
            case DictContainsGuard():
                return (
                    f"has_key({value}, {self._render_value(guard.key)}) is not {guard.is_present}"
                )
            case AttrAbsentGuard():
                return f"not lacks_attr({value}, {guard.name!r})"
            case TypeAttrAbsentGuard():
                return f"not lacks_type_attr({value}, {guard.name!r})"
            case _:
                assert_never(guard)

    def _render_unequal(self, constant: Constant, value: str) -> str:
        match constant:
            case PlainConst(None | bool()):
                return f"{value} is not {constant.value}"
            case PlainConst(int() | str()):
                kind = type(constant.value).__name__
                return f"type({value}) is not {kind} or {value} != {constant.value!r}"
            case EnumConst():
                pass
            case _:
                pass
        pins = self._pins
        self.constants.append(lambda found: is_constant(found, constant, pins))
        return f"not guard_constants[{len(self.constants) - 1}]({value})"


def is_int64(value: object) -> bool:
    """Tell whether `value` is an int that fits 64 bits."""
    return type(value) is int and -_INT64_LIMIT <= value < _INT64_LIMIT


def _is_not_pin(value: str, pin: int) -> str:
    return f"{value} is not pins[{pin}] and not bind({pin}, {value})"


def _tuple(parts: Sequence[str] | Any) -> str:
    listed = list(parts)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def _at(loc: Loc | None) -> str:
    return f"  at {loc.render()}" if loc else ""


_ALWAYS_THERE: Final = (
    *(TargetSource, ArgSource, KwargSource, TypeSource, PinSource, NumberSource, SizeSource),
    FloatTensorSource,
)
_READERS: Final = (
    "ask",
    "read_module",
    "read_module_dict",
    "read_globals",
    "read_closure",
    "read_default",
    "read_kw_default",
    "read_attr",
    "read_instance_dict",
    "read_type_attr",
    "read_item",
    "read_key",
    "read_value",
    "builtin_length",
    "view_array",
)
_CHECKS: Final = (
    "are_distinct",
    "may_overlap",
    "share_storage",
    "extents_of",
    "strides_of",
    "storage_offset_of",
    "has_keys",
    "has_key",
    "lacks_attr",
    "lacks_type_attr",
)
