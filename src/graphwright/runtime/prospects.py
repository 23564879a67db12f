"""Whether a kept program could serve a call, before anything is made of its data.

In: a program, a target and a call.   Out: False where a guard on something that is quickly looked at does not hold.
Keeps: no code of the user's runs: what is looked at are arguments, closure cells and defaults.

Functions made by one factory share their code, and so the key of their programs in the cache. Without this look, each new one had the
tables of all the others made, 0.5 ms and 30 KB apiece.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Final

import torch

from graphwright.ir.constants import is_same_constant, make_object
from graphwright.ir.guards import (
    CodeGuard,
    ConstantGuard,
    Guard,
    IdentityGuard,
    TensorGuard,
    TypeGuard,
)
from graphwright.ir.program import Program
from graphwright.ir.program_text import bases_of
from graphwright.ir.sources import (
    ArgSource,
    BigIntConst,
    BytesConst,
    ClosureSource,
    ComplexConst,
    DefaultSource,
    FloatConst,
    KwargSource,
    KwDefaultSource,
    Pin,
    PinKind,
    PlainConst,
    Source,
    TargetSource,
)
from graphwright.runtime.checks import TensorCheck
from graphwright.runtime.failures import Evaluator
from graphwright.runtime.pins import PinTable, fits_pin
from graphwright.runtime.reading import MISSING

_QUICK: Final = (
    TargetSource,
    ArgSource,
    KwargSource,
    ClosureSource,
    DefaultSource,
    KwDefaultSource,
)
_GUARDS: Final = (ConstantGuard, TensorGuard, TypeGuard, IdentityGuard, CodeGuard)
_TENSORS: Final = (torch.Tensor, torch.nn.Parameter)
_SCALARS: Final = (type(None), bool, int, float, complex, str, bytes)
_SCALAR_CONSTANTS: Final = (PlainConst, BigIntConst, FloatConst, ComplexConst, BytesConst)


def could_serve(
    program: Program, target: object, args: Sequence[object], kwargs: Mapping[str, object]
) -> bool:
    """Tell whether no guard on an argument, a closure cell or a default speaks against a program."""
    evaluator = Evaluator(target, PinTable(()), args, kwargs)
    return all(
        _may_hold(guard, evaluator.evaluate(guard.source), program.pins)
        for guard in program.guards
        if isinstance(guard, _GUARDS) and _is_quick(guard.source)
    )


def _is_quick(source: Source) -> bool:
    return isinstance(source, _QUICK) and all(map(_is_quick, bases_of(source)))


def _may_hold(guard: Guard, found: object, pins: Sequence[Pin]) -> bool:
    if found is MISSING:
        return True  # the guards tell
    match guard:
        case ConstantGuard(value=value):
            if type(found) not in _SCALARS:
                return True
            is_scalar = isinstance(value, _SCALAR_CONSTANTS)
            return is_scalar and is_same_constant(found, make_object(value, ()))
        case TensorGuard(meta=meta):
            return type(found) not in _TENSORS or TensorCheck(meta).matches(found)
        case TypeGuard(pin=pin):
            return _may_be(pins[pin], type(found))
        case IdentityGuard(pin=pin):
            return _may_be(pins[pin], found)
        case CodeGuard(pin=pin):
            return isinstance(found, types.FunctionType) and _may_be(pins[pin], found.__code__)
        case _:
            return True


def _may_be(pin: Pin, found: object) -> bool:
    is_known_by_import = pin.kind is PinKind.OBJECT or (
        pin.kind is PinKind.FUNCTION and not isinstance(found, types.CodeType)
    )
    return is_known_by_import or fits_pin(pin, found)
