"""The guards of a capture so far, in blocks.

In: the guards as they are met.   Out: a block each, headed by where it looks, at what, and how: first those on the program's values
by scope, then those on PyTorch's global state, then one for all guards on sizes.
Does not: show what every program has (the code of the target itself) and what `comptime` has left behind.

    local "L['x']" TENSOR_MATCH
    {
        'guard_types': None,
        'code': None,
        'obj_weakref': None
        'guarded_class': None
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from graphwright.capture.machine import Machine
from graphwright.capture.torch_names import torch_name
from graphwright.ir.guards import (
    AttrAbsentGuard,
    CodeGuard,
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    DistinctTensorsGuard,
    FrozenGuard,
    GlobalStateGuard,
    GlobalStateKind,
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
from graphwright.ir.program_text import render_guard
from graphwright.ir.sources import (
    ArgSource,
    ClosureSource,
    KwargSource,
    Pin,
    PinSource,
    Source,
    TargetSource,
)


class _Block(NamedTuple):
    """One block of the text."""

    scope: str
    name: str
    kind: str
    code: str = "None"

    def render(self) -> str:
        """Give the text."""
        return (
            f"        {self.scope} {self.name} {self.kind}\n"
            "        {\n"
            "            'guard_types': None,\n"
            f"            'code': {self.code},\n"
            "            'obj_weakref': None\n"
            "            'guarded_class': None\n"
            "        }\n"
        )


_WORDS: Final[dict[type, str]] = {
    TypeGuard: "TYPE_MATCH",
    IdentityGuard: "ID_MATCH",
    CodeGuard: "CLOSURE_MATCH",
    ConstantGuard: "CONSTANT_MATCH",
    TensorGuard: "TENSOR_MATCH",
    StorageOffsetGuard: "STORAGE_OFFSET",
    LengthGuard: "SEQUENCE_LENGTH",
    DictKeysGuard: "DICT_KEYS_MATCH",
    DictContainsGuard: "DICT_CONTAINS",
    AttrAbsentGuard: "NOT_PRESENT_IN_GENERIC_DICT",
    TypeAttrAbsentGuard: "HASATTR",
    SameObjectGuard: "DUPLICATE_INPUT",
    DistinctTensorsGuard: "NO_TENSOR_ALIASING",
    NoOverlapGuard: "NO_MEMORY_OVERLAP",
    FrozenGuard: "FROZEN",
}
"""PyTorch's word for each kind of guard, where it has one."""

_LOCAL: Final = (TargetSource, ArgSource, KwargSource, ClosureSource)
"""Where local variables come from."""

_STATES: Final = {
    "AUTOGRAD_SAVED_TENSORS_HOOKS": {GlobalStateKind.SAVED_TENSORS_HOOKS},
    "GRAD_MODE": {GlobalStateKind.GRAD_MODE},
    "DETERMINISTIC_ALGORITHMS": {GlobalStateKind.DETERMINISTIC_ALGORITHMS},
    "GLOBAL_STATE": {
        GlobalStateKind.INFERENCE_MODE,
        GlobalStateKind.DEFAULT_DTYPE,
        GlobalStateKind.AUTOCAST_CPU,
        GlobalStateKind.AUTOCAST_CUDA,
        GlobalStateKind.AUTOCAST_CACHE,
        GlobalStateKind.DISPATCH_MODES,
        GlobalStateKind.FLOAT32_MATMUL_PRECISION,
        GlobalStateKind.FORWARD_AD_LEVELS,
        GlobalStateKind.JIT_TRACING,
        GlobalStateKind.GLOBAL_MODULE_HOOKS,
    },
    "TORCH_FUNCTION_STATE": {GlobalStateKind.TORCH_FUNCTION_MODES},
    "DEFAULT_DEVICE": {GlobalStateKind.DEFAULT_DEVICE},
}
"""PyTorch's word for the guard on each piece of global state, in its order."""


def render_guards(machine: Machine) -> str:
    """Give the text of the guards so far."""
    values: list[_Block] = []
    kinds: set[GlobalStateKind] = set()
    for guard in machine.guards.guards:
        if isinstance(guard, GlobalStateGuard):
            kinds.add(guard.kind)
        elif not isinstance(guard, ShapeGuard) and not _is_own(machine, guard):
            values.append(_value_block(guard, machine.guards.pins))
    values.sort(key=lambda block: block.scope != "local")
    states = [_Block("global", "''", word) for word, pieces in _STATES.items() if pieces & kinds]
    blocks = [*values, *states, _shape_block(machine)]
    return "\n" + "\n".join(block.render() for block in blocks)


def _value_block(guard: Guard, pins: Sequence[Pin]) -> _Block:
    source = next(_iter_sources(guard))
    root = _root(source)
    scope = "local" if isinstance(root, _LOCAL) else "global"
    name = torch_name(source)
    if isinstance(root, PinSource):
        name = name.replace(torch_name(root), pins[root.pin].qualname, 1)
    return _Block(scope, f'"{name}"', _WORDS[type(guard)])


def _shape_block(machine: Machine) -> _Block:
    pins = tuple(machine.guards.pins)
    texts = [render_guard(guard, pins) for guard in machine.recorder.shape_guards]
    return _Block("shape_env", "''", "SHAPE_ENV", str(texts) if texts else "None")


def _iter_sources(guard: Guard) -> Iterator[Source]:
    match guard:
        case GlobalStateGuard() | ShapeGuard():
            return
        case DistinctTensorsGuard(sources=sources) | FrozenGuard(sources=sources):
            yield from sources
        case SameObjectGuard(source=source, other=other):
            yield from (source, other)
        case NoOverlapGuard(source=source, others=others):
            yield from (source, *others)
        case _:
            yield guard.source


def _base(source: Source) -> Source | None:
    """Give the source that a source is a part of."""
    found: Source | None = getattr(source, "base", None) or getattr(source, "function", None)
    return found


def _root(source: Source) -> Source:
    """Give what a source is a part of, in the end."""
    base = _base(source)
    while base is not None:
        source, base = base, _base(base)
    return source


def _is_own(machine: Machine, guard: Guard) -> bool:
    """Tell whether a guard is on the target's own code, or on `comptime` itself."""
    source: Source | None = next(_iter_sources(guard))
    if isinstance(source, TargetSource):
        return True
    own = machine.world.source_of(machine.comptime)
    while source is not None:
        is_class = isinstance(source, PinSource) and (
            machine.guards.live_pins[source.pin] is type(machine.comptime)
        )
        if source == own or is_class:
            return True
        source = _base(source)
    return False
