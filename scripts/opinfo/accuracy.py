"""How far values are from the exact ones.

In: results of eager and of the compiled function, and the exact ones: the same op on the same inputs in twice the precision.
Out: errors in ulps, and the page of the worst ones.

An element's error counts in ulps of its dtype: in distances between neighbouring numbers, at the exact value or, for an element
that is tiny beside others of its tensor, at 1/1024 of the largest of them; otherwise what cancels to nearly zero would count
without bound. The compiled function is *worse* than eager where its largest error for an op and dtype is more than twice eager's,
an error of eager's below 1 ulp counting as 1: a result that is rounded once may be off by half.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import torch

from opinfo.comparison import tensors_in
from opinfo.outcomes import Errors, Result, samples_line

FACTOR: Final = 2.0
"""Errors up to so many times eager's are no worse."""
LEAST_ULPS: Final = 1.0
"""A smaller error of eager's counts as this."""
_SMALL: Final = 1 / 1024
_MOST_ULPS: Final = 1e30
"""Stands for a value that is not finite where the exact one is, or the other way round."""
MEASURED: Final = (torch.float32, torch.float16, torch.bfloat16, torch.complex64)
_COLUMNS: Final = tuple(str(dtype).removeprefix("torch.") for dtype in MEASURED)


def errors_of(ours: object, eager: object, exact: object) -> Errors | None:
    """Give the largest errors of two results; None where nothing in them can be off."""
    found = [
        Errors(worst_ulps(mine, reference), worst_ulps(theirs, reference))
        for mine, theirs, reference in zip(*map(tensors_in, (ours, eager, exact)), strict=True)
        if theirs.dtype in MEASURED and reference.dtype in (torch.float64, torch.complex128)
    ]
    if not found:
        return None
    return Errors(max(item.ours for item in found), max(item.eager for item in found))


def worst_ulps(values: torch.Tensor, exact: torch.Tensor) -> float:
    """Give the largest error of the elements of `values`, in ulps of its dtype."""
    values, exact = values.detach(), exact.detach()
    if values.layout is not torch.strided:
        values, exact = values.to_dense(), exact.to_dense()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
        exact = torch.view_as_real(exact.resolve_conj())
    if not values.numel():
        return 0.0
    wide = values.double()
    is_right = (wide == exact.to(values.dtype).double()) | (wide.isnan() & exact.isnan())
    size = torch.nan_to_num(exact.abs(), posinf=0.0)
    info = torch.finfo(values.dtype)
    size = size.clamp(min=max(float(size.max()) * _SMALL, info.smallest_normal))
    _, exponent = torch.frexp(size)
    spacing = torch.ldexp(torch.full_like(size, info.eps), exponent - 1)
    # Where a value is the exact one, rounded, its error is at most half an ulp, also where both are infinite.
    error = torch.where(is_right & ~exact.isfinite(), 0.0, (wide - exact).abs() / spacing)
    error = torch.where(is_right & ~wide.isfinite(), 0.0, error)
    return min(float(torch.nan_to_num(error, nan=_MOST_ULPS).max()), _MOST_ULPS)


def worst_by_op(results: Sequence[Result]) -> Mapping[str, Mapping[str, Errors]]:
    """Give the worst errors of each op and dtype."""
    worst: dict[str, dict[str, Errors]] = defaultdict(dict)
    for result in results:
        if result.errors is None:
            continue
        known = worst[result.case.op].get(result.case.dtype, Errors(0.0, 0.0))
        worst[result.case.op][result.case.dtype] = Errors(
            max(known.ours, result.errors.ours), max(known.eager, result.errors.eager)
        )
    return worst


def ratio_of(errors: Errors) -> float:
    """Give how many times eager's error ours is."""
    return errors.ours / max(errors.eager, LEAST_ULPS)


def _is_worse(errors: Errors) -> bool:
    return ratio_of(errors) > FACTOR


_HEAD: Final = """# Accuracy

The largest error of each operator of PyTorch's operator database, compiled and in eager, against the result of the same inputs in
twice the precision. Written by `make opinfo`.

Each cell is the error of the compiled function / that of eager, in ulps: distances between neighbouring numbers of the dtype, at
the exact value or, for an element that is tiny beside others of its tensor, at 1/1024 of the largest of them. 0.5 is the best that
rounding allows. An error is *worse* than eager's where it is more than twice that, below 1 ulp counting as 1. Random operators are
left out; "∞" is a value that is finite in one and not in the other: a narrow dtype that overflows on the way, or a singular matrix.
"""


WHY_WORSE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nn.functional.instance_norm": (
            "in one element, where product and bias cancel to less than 1/1024 of the largest: 0.2 ulps of that. "
            "The largest error of all elements is eager's own, 1.6e-6"
        )
    }
)
"""The reasons that are known."""


def render_accuracy(results: Sequence[Result]) -> str:
    """Render the page."""
    worst = worst_by_op(results)
    measured = [result for result in results if result.errors is not None]
    lines = [_HEAD, samples_line(measured), *_summary(worst), ""]
    worse = [op for op, errors in worst.items() if any(map(_is_worse, errors.values()))]
    lines += [f"Worse is `{op}`: {WHY_WORSE.get(op, 'not looked into yet')}." for op in worse]
    lines += ["", "## Each op", ""]
    lines += ["| op | " + " | ".join(_COLUMNS) + " |", "| --- |" + " --- |" * len(_COLUMNS)]
    for op, by_dtype in worst.items():
        cells = " | ".join(_cell(by_dtype.get(dtype)) for dtype in _COLUMNS)
        lines.append(f"| `{op}` | {cells} |")
    return "\n".join(lines) + "\n"


def _summary(worst: Mapping[str, Mapping[str, Errors]]) -> Iterator[str]:
    yield "| dtype | operators | worse than eager | equal or better | largest ratio |"
    yield "| --- | --- | --- | --- | --- |"
    for dtype in _COLUMNS:
        errors = {op: by_dtype[dtype] for op, by_dtype in worst.items() if dtype in by_dtype}
        if not errors:
            continue
        num_worse = sum(map(_is_worse, errors.values()))
        num_better = sum(item.ours <= item.eager for item in errors.values())
        op = max(errors, key=lambda op: ratio_of(errors[op]))
        ratio = f"{ratio_of(errors[op]):.2f} (`{op}`)"
        yield f"| {dtype} | {len(errors)} | {num_worse} | {num_better} | {ratio} |"


def _cell(errors: Errors | None) -> str:
    if errors is None:
        return ""
    text = f"{_ulps(errors.ours)} / {_ulps(errors.eager)}"
    return f"**{text}**" if _is_worse(errors) else text


def _ulps(error: float) -> str:
    if error >= _MOST_ULPS:
        return "∞"
    return f"{error:.2g}" if error < 100 else f"{error:,.0f}"
