"""One triple: eager, then compiled, then the same call again.

In: a `Trial`.   Out: its `Result`.
Each call gets copies of the arguments that share memory among each other as the originals do, and the generators in the
same state. Compared are results, arguments afterwards, which results share memory with which arguments, and errors.
"""

from __future__ import annotations

import copy
import functools
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import torch

import graphwright as gw
from graphwright.pipeline import collect_observers
from opinfo.accuracy import MEASURED, errors_of
from opinfo.cases import Trial, seed_all
from opinfo.comparison import (
    CompareValues,
    Difference,
    any_values,
    close_values,
    find_difference,
    item_at,
    tensors_in,
    which_are_off,
)
from opinfo.outcomes import Errors, Outcome, Result, Variant

_EXTERN_STEP: Final = re.compile(r"^  (?:out|functional|inplace) ([\w:.]+)\(", re.MULTILINE)
_MAX_DETAIL: Final = 600
_MEASURED: Final = frozenset(str(dtype).removeprefix("torch.") for dtype in MEASURED)
_WIDER: Final = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}


class NoGradientError(Exception):
    """No result depends on an argument that can have a gradient."""


class _Call(msgspec.Struct, frozen=True):
    """What one call did."""

    error: Exception | None
    result: Any
    arguments: tuple[Any, ...] | None
    """Positional and keyword arguments, as they are afterwards."""
    shared: tuple[frozenset[int], ...]
    """For each tensor of the result, the tensors among the arguments whose memory it shares."""


def run_trial(trial: Trial, *, tells_plan: bool) -> Result:
    """Run one trial; `tells_plan` asks for what the plan calls."""
    if trial.case.variant is Variant.OUT:
        prepared = _with_out(trial)
        if prepared is None:
            return Result(trial.case, Outcome.EAGER_RAISED, "no result that out= could hold")
        trial = prepared
    is_gradient = trial.case.variant is Variant.GRADIENT
    expected = _call(_differentiated(trial.op, trial) if is_gradient else trial.op, trial)
    if expected.error is not None and trial.case.variant is not Variant.ERROR:
        return Result(trial.case, Outcome.EAGER_RAISED, _told(expected.error))
    gw.reset()
    compiled = gw.compile(_program(trial.op), fullgraph=True)
    if is_gradient:
        compiled = _differentiated(compiled, trial)
    before = gw.counters.snapshot()
    start_ns = time.perf_counter_ns()
    if tells_plan:
        with collect_observers("plan") as observers:
            actual = _call(compiled, trial)
        plans = [artifact.text for observer in observers for artifact in observer.artifacts]
    else:
        actual, plans = _call(compiled, trial), []
    elapsed_ms = (time.perf_counter_ns() - start_ns) / 1e6
    outcome, detail = _judge(trial, expected, actual)
    num_frames = _count("capture", "frames", before)
    if outcome is Outcome.PASSED and trial.case.variant is not Variant.ERROR:
        if not num_frames:
            reasons = [name for name in gw.counters["eager"] if _count("eager", name, before)]
            outcome, detail = Outcome.NOT_COMPILED, ", ".join(reasons)
        else:
            outcome, detail = _judge(trial, expected, _call(compiled, trial))
            detail = detail and f"second call: {detail}"
        if outcome is Outcome.PASSED and _count("capture", "frames", before) != num_frames:
            outcome, detail = Outcome.RECOMPILED, ""
    return Result(
        trial.case,
        outcome,
        detail[:_MAX_DETAIL],
        first_call_ms=round(elapsed_ms, 1),
        num_kernels=_count("codegen", "kernels", before),
        late_calls=tuple(
            name for name in gw.counters["late_calls"] if _count("late_calls", name, before)
        ),
        externs=tuple(name for plan in plans for name in _EXTERN_STEP.findall(plan)),
        errors=_errors(trial, expected, actual) if outcome is Outcome.PASSED else None,
    )


def _program(op: Callable[..., Any]) -> Callable[..., Any]:
    def program(*args: Any, **kwargs: Any) -> Any:
        return op(*args, **kwargs)

    return program


def _differentiated(op: Callable[..., Any], trial: Trial) -> Callable[..., Any]:
    """Give a function of the same arguments that gives the gradients too, for one random direction of the results.

    Raises:
        NoGradientError: no result depends on an argument that can have a gradient.
    """

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        result = op(*args, **kwargs)
        of = [item for item in tensors_in(trial.process_results(result)) if item.requires_grad]
        by = [item for item in tensors_in((args, kwargs)) if item.requires_grad]
        if not of or not by:
            raise NoGradientError
        torch.manual_seed(1)
        directions = [torch.randn_like(item) for item in of]
        gradients: Sequence[torch.Tensor | None] = torch.autograd.grad(
            of, by, directions, allow_unused=True
        )
        # Whether a gradient is conjugated already, or when it is looked at, is nobody's business.
        return result, [item if item is None else item.resolve_conj() for item in gradients]

    return differentiated


def _count(group: str, name: str, before: dict[str, dict[str, int]]) -> int:
    return gw.counters[group][name] - before.get(group, {}).get(name, 0)


def _call(function: Callable[..., Any], trial: Trial) -> _Call:
    args, kwargs = copy.deepcopy((trial.args, trial.kwargs), _sparse_copies(trial))
    seed_all()
    try:
        result = function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  (errors are what is compared)
        return _Call(error, None, None, ())
    arguments = (*args, *kwargs.values())
    return _Call(None, result, arguments, _shared(tensors_in(result), tensors_in(arguments)))


def _sparse_copies(trial: Trial) -> dict[int, torch.Tensor]:
    """Copy the tensors that have no memory that a copy could share, for `copy.deepcopy` to take."""
    return {
        id(tensor): tensor.clone()
        for tensor in tensors_in((*trial.args, *trial.kwargs.values()))
        if tensor.layout is not torch.strided
    }


def _with_out(trial: Trial) -> Trial | None:
    """Add `out=`: tensors of eager's results' properties, holding something else."""
    plain = _call(trial.op, trial)
    if plain.error is not None:
        return None
    result = plain.result
    is_several = isinstance(result, tuple | list)
    tensors = list(result) if is_several else [result]
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        return None
    blank = [torch.full_like(tensor, 1) for tensor in tensors]
    out: Any = blank[0] if not is_several else list(blank) if type(result) is list else tuple(blank)
    return msgspec.structs.replace(trial, kwargs={**trial.kwargs, "out": out})


def _shared(
    results: Sequence[torch.Tensor], arguments: Sequence[torch.Tensor]
) -> tuple[frozenset[int], ...]:
    places = [_memory(argument) for argument in arguments]
    return tuple(
        frozenset(
            index
            for index, place in enumerate(places)
            if place is not None and place == _memory(result)
        )
        for result in results
    )


def _memory(tensor: torch.Tensor) -> int | None:
    if tensor.layout is not torch.strided or tensor.is_nested or tensor._is_zerotensor():  # noqa: SLF001
        return None
    return tensor.untyped_storage().data_ptr() or None


def _judge(trial: Trial, expected: _Call, actual: _Call) -> tuple[Outcome, str]:
    if actual.error is not None:
        return _judge_error(expected.error, actual.error)
    if expected.error is not None:
        return Outcome.NO_ERROR, f"eager: {_told(expected.error)}"
    difference = _difference(trial, expected, actual)
    return (Outcome.PASSED, "") if difference is None else (Outcome.WRONG, difference)


def _judge_error(expected: Exception | None, actual: Exception) -> tuple[Outcome, str]:
    if isinstance(actual, gw.errors.Unsupported):
        return Outcome.REFUSED, _told(actual)
    if expected is None:
        return Outcome.RAISED, _told(actual)
    if type(actual) is not type(expected) or str(actual) != str(expected):
        return Outcome.OTHER_ERROR, f"eager: {_told(expected)} | compiled: {_told(actual)}"
    return Outcome.PASSED, ""


def _difference(trial: Trial, expected: _Call, actual: _Call) -> Difference:
    exact = functools.cache(lambda: _in_double(trial))
    undefined = any_values if trial.is_undefined else None
    difference = find_difference(
        expected.result, actual.result, undefined or _accurate(lambda: exact().result)
    )
    if difference is not None:
        return difference
    difference = find_difference(
        expected.arguments, actual.arguments, undefined or _accurate(lambda: exact().arguments)
    )
    if difference is not None:
        return f"arguments afterwards: {difference}"
    if expected.shared != actual.shared:
        return f"shares memory with arguments {actual.shared} instead of {expected.shared}"
    return None


def _errors(trial: Trial, expected: _Call, actual: _Call) -> Errors | None:
    """Measure how far the results are from the exact ones, where twice the precision gives these."""
    is_measured = trial.case.variant is Variant.FUNCTION and not trial.is_undefined
    if not is_measured or trial.case.dtype not in _MEASURED or _draws_numbers(trial):
        return None
    exact = _in_double(trial)
    if exact.error is not None:
        return None
    return errors_of(actual.result, expected.result, exact.result)


def _draws_numbers(trial: Trial) -> bool:
    """Tell whether an op draws random numbers: in twice the precision it draws others."""
    _call(trial.op, trial)
    after = torch.get_rng_state()
    seed_all()
    return not torch.equal(torch.get_rng_state(), after)


def _accurate(make_exact: Callable[[], Any]) -> CompareValues:
    """Compare with eager's values; hold those that are too far off against twice the precision, and eager's largest error there."""

    def compare(expected: torch.Tensor, actual: torch.Tensor, path: tuple[int, ...]) -> Difference:
        difference = close_values(expected, actual, path)
        if difference is None or expected.dtype not in _WIDER:
            return difference
        exact = make_exact()
        reference = None if exact is None else item_at(exact, path)
        if not isinstance(reference, torch.Tensor) or reference.shape != expected.shape:
            return difference
        is_off = which_are_off(expected, actual)
        if not is_off.any():
            return difference
        ours, theirs = _worst(actual[is_off], reference[is_off]), _worst(expected, reference)
        return None if math.isfinite(theirs) and ours <= 2 * theirs else difference

    return compare


def _in_double(trial: Trial) -> _Call:
    """Call the op eagerly in twice the precision; results and arguments are None where that cannot be done."""

    def widen(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            wide = value.detach().to(_WIDER.get(value.dtype, value.dtype))
            return wide.requires_grad_(value.requires_grad)
        if isinstance(value, torch.dtype):
            return _WIDER.get(value, value)
        if isinstance(value, list | tuple):
            return type(value)([widen(item) for item in value])
        return value

    kwargs = {name: widen(value) for name, value in trial.kwargs.items()}
    args = tuple(widen(value) for value in trial.args)
    wide = msgspec.structs.replace(trial, args=args, kwargs=kwargs)
    is_gradient = trial.case.variant is Variant.GRADIENT
    return _call(_differentiated(trial.op, wide) if is_gradient else trial.op, wide)


def _worst(values: torch.Tensor, reference: torch.Tensor) -> float:
    """Give the largest error; infinite where only one of the two is a finite number."""
    wide = values.to(reference.dtype)
    is_same = (wide == reference) | (wide.isnan() & reference.isnan())
    error = torch.where(is_same, 0.0, (wide - reference).abs())
    return float(torch.nan_to_num(error, nan=float("inf"), posinf=float("inf")).max())


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
