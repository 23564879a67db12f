"""The triples of one op, in an order that never changes.

In: an `OpInfo` of PyTorch's database and how many samples are wanted.   Out: `Trial`s: a case with what to call on what.
Keeps: the same samples with the same numbers in every process, whichever were taken before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy
import torch

from opinfo.outcomes import Case, Variant

DTYPES: Final = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)
_UNDEFINED: Final = frozenset(
    (
        "empty",
        "empty_like",
        "empty_permuted",
        "empty_strided",
        "new_empty",
        "new_empty_strided",
        "resize_",
        "resize_as_",
    )
)
"""Ops that give memory that nothing was written to."""


class Trial(msgspec.Struct, frozen=True):
    """A case, and what to call on what."""

    case: Case
    op: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    process_results: Callable[[Any], Any]
    """Gives of a result what gradients may be taken of: what differs between equally good results is left out."""
    is_undefined: bool
    """The values of the result are whatever the memory held."""


class Budget(msgspec.Struct, frozen=True):
    """Which of the triples of an op are taken."""

    num_samples: int
    """At most so many samples of each dtype, evenly spread; 0 means all."""
    dtypes: tuple[str, ...] = ()
    """Names of the dtypes; none means all."""
    variants: tuple[Variant, ...] = tuple(Variant)
    is_slice: bool = False
    """Instead: one sample of one dtype, another for each op, and one error."""


def full_name(info: Any) -> str:
    """Give the name of a database entry, with its variant."""
    return f"{info.name}.{info.variant_test_name}" if info.variant_test_name else str(info.name)


def iter_trials(info: Any, position: int, budget: Budget) -> Iterator[Trial]:
    """Give the trials of one op, which has this position in the database."""
    for dtype in _dtypes(info, position, budget):
        yield from _trials_of_dtype(info, dtype, position, budget)
        if Variant.GRADIENT in budget.variants and _has_gradient(info, dtype):
            yield from _gradient_trials(info, dtype, position, budget)
    if Variant.ERROR in budget.variants and info.error_inputs_func is not None:
        seed_all()
        errors = list(info.error_inputs("cpu"))
        for index in _chosen(len(errors), position, budget):
            sample = errors[index].sample_input
            yield _trial(info, "-", Variant.ERROR, index, sample)


def seed_all() -> None:
    """Set every generator that samples may draw from."""
    torch.manual_seed(0)
    numpy.random.seed(0)
    random.seed(0)


def _dtypes(info: Any, position: int, budget: Budget) -> Sequence[torch.dtype]:
    supported = [
        dtype
        for dtype in DTYPES
        if info.supports_dtype(dtype, "cpu")
        and (not budget.dtypes or _dtype_name(dtype) in budget.dtypes)
    ]
    if not budget.is_slice or not supported:
        return supported
    return [supported[position % len(supported)]]


def _trials_of_dtype(
    info: Any, dtype: torch.dtype, position: int, budget: Budget
) -> Iterator[Trial]:
    seed_all()
    samples: Sequence[Any] = list(info.sample_inputs("cpu", dtype, requires_grad=False))
    for index in _chosen(len(samples), position, budget):
        sample = samples[index]
        for variant in (Variant.FUNCTION, Variant.INPLACE, Variant.OUT):
            if variant in budget.variants and _has_variant(info, variant, sample):
                yield _trial(info, _dtype_name(dtype), variant, index, sample)


def _has_gradient(info: Any, dtype: torch.dtype) -> bool:
    return bool(info.supports_autograd) and dtype in info.supported_backward_dtypes("cpu")


def _gradient_trials(
    info: Any, dtype: torch.dtype, position: int, budget: Budget
) -> Iterator[Trial]:
    seed_all()
    samples: Sequence[Any] = list(info.sample_inputs("cpu", dtype, requires_grad=True))
    for index in _chosen(len(samples), position, budget):
        sample = samples[index].transform(_as_leaf)
        yield _trial(info, _dtype_name(dtype), Variant.GRADIENT, index, sample)


def _as_leaf(value: Any) -> Any:
    """Cut a tensor off from what it was made of: only such tensors can be copied."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().requires_grad_(value.requires_grad)


def _has_variant(info: Any, variant: Variant, sample: Any) -> bool:
    match variant:
        case Variant.INPLACE:
            return info.inplace_variant is not None and not sample.broadcasts_input
        case Variant.OUT:
            return bool(info.supports_out) and "out" not in sample.kwargs
        case _:
            return True


def _trial(info: Any, dtype: str, variant: Variant, index: int, sample: Any) -> Trial:
    op = info.inplace_variant if variant is Variant.INPLACE else info.op
    return Trial(
        Case(full_name(info), dtype, variant, index),
        op,
        (sample.input, *sample.args),
        dict(sample.kwargs),
        sample.output_process_fn_grad,
        is_undefined=info.name in _UNDEFINED,
    )


def _chosen(total: int, position: int, budget: Budget) -> list[int]:
    if budget.is_slice:
        return [position % total] if total else []
    return _spread(total, budget.num_samples)


def _spread(total: int, wanted: int) -> list[int]:
    if wanted == 0 or total <= wanted:
        return list(range(total))
    if wanted == 1:
        return [0]
    return sorted({round(step * (total - 1) / (wanted - 1)) for step in range(wanted)})


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
