"""Which tensors of a program are taken as fixed.

In: a program and the tensors of its call.   Out: the inputs to freeze; the program that guards them.
Keeps: only parameters and buffers of modules are frozen, in programs that were captured without gradients; what they are frozen
to is guarded, so the choice decides no values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import torch

from graphwright.ir.fold import Fold
from graphwright.ir.guards import FrozenGuard, GlobalStateGuard, GlobalStateKind
from graphwright.ir.program import Program
from graphwright.ir.sources import InstanceDictSource, ItemSource, PlainConst, Source

_TABLES: Final = ("_parameters", "_buffers")


def frozen_inputs(program: Program, inputs: Sequence[torch.Tensor]) -> tuple[int, ...]:
    """Give the numbers of the inputs to freeze.

    Args:
        program: the program.
        inputs: the tensors of its first call.
    """
    if needs_history(program):
        return ()
    # What is made in inference mode does not count its versions: writes to it could not be seen.
    return tuple(index for index in iter_weights(program) if not inputs[index].is_inference())


def iter_weights(program: Program) -> Iterator[int]:
    """Give the numbers of the inputs that are parameters or buffers of modules."""
    for index, source in enumerate(program.inputs):
        if _is_weight(source):
            yield index


def _is_weight(source: Source) -> bool:
    match source:
        case ItemSource(ItemSource(InstanceDictSource(), PlainConst(str() as table))):
            return table in _TABLES
        case _:
            return False


def needs_history(program: Program) -> bool:
    """Tell whether a program was captured with gradients recorded."""
    return any(
        isinstance(guard, GlobalStateGuard)
        and guard.kind is GlobalStateKind.GRAD_MODE
        and guard.text != "off"
        for guard in program.guards
    )


def with_frozen_guard(program: Program, fold: Fold | None) -> Program:
    """Give a program that guards what `fold` is made from."""
    if fold is None:
        return program
    guard = FrozenGuard(tuple(program.inputs[index] for index in fold.inputs))
    return msgspec.structs.replace(program, guards=(*program.guards, guard))


def fold_function(
    fold: Fold | None,
) -> Callable[[Sequence[torch.Tensor]], Iterator[torch.Tensor]] | None:
    """Give what runs a fold; None where there is none."""
    if fold is None:
        return None
    from graphwright.graph import run_fold  # noqa: PLC0415  (few plans have a fold)

    return functools.partial(run_fold, fold)


def find_hindrance(program: Program) -> str:
    """Say why freezing does nothing for a program with weights; empty where nothing is in the way."""
    if next(iter_weights(program), None) is None:
        return ""
    if needs_history(program):
        return "gradients are recorded; call it under torch.no_grad() or torch.inference_mode()"
    if program.graph.symbols:
        return "its sizes change; compile with dynamic=False, or mark them static"
    return ""
