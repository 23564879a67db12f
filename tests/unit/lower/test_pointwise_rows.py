"""Each pointwise row against the op that it stands for, with the values where kernels go wrong."""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.ir.loops_text import render_kernel
from graphwright.ir.overloads import find_overload, schema_of
from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph
from graphwright.lower.rules import CHOICES, POINTWISE

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.5,
    -2.5,
    3.0,
    -7.25,
    1e-30,
    math.inf,
    -math.inf,
    math.nan,
]
DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.uint8,
    torch.bool,
]
NUMBERS = {
    "alpha": 2, "value": 0.5, "weight": 0.25, "min": -1, "max": 2, "min_val": -1.0, "max_val": 1.5,
    "negative_slope": 0.25, "beta": 2.0, "threshold": 1.5, "lambd": 0.5, "scale": 1.5,
    "input_scale": 0.5, "delta": 0.5, "eps": 0.1, "exponent": 3, "other": 2, "self": 2, "nan": 7.0,
}  # fmt: skip
CONSTRUCTED = {
    "aten._to_copy.default",
    "aten.contiguous.default",
    "aten.lift_fresh_copy.default",
    "aten.native_dropout_backward.default",
    "aten.copy.default",
}
"""Ops whose arguments are told apart by more than their types; tested by programs."""
POLYNOMIALS = {op for op in CHOICES if op.endswith(".n_scalar")}
"""Of NaN, eager gives what memory holds; tested in `test_special_functions.py`."""


def tensor_of(dtype, seed):
    values = torch.tensor(SPECIAL, dtype=torch.float64)
    drawn = torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values = torch.cat([values, drawn * 3]).roll(seed * 5)
    if dtype is torch.bool:
        return values > 0
    if not dtype.is_floating_point:
        return (
            (values.nan_to_num(0, 100, -100) * 10)
            .clamp(0 if dtype is torch.uint8 else -100, 100)
            .to(dtype)
        )
    return values.to(dtype)


def arguments_of(op, dtype):
    """Give arguments for an overload; None for those that are left out."""
    args, kwargs, seed = [], {}, 0
    for argument in schema_of(find_overload(op)).arguments:
        kind = str(argument.type)
        if kind in ("Tensor", "Optional[Tensor]"):
            is_mask = argument.name in ("mask", "condition")
            value = tensor_of(torch.bool if is_mask else dtype, seed)
            seed += 1
            if op.startswith(("aten.masked_fill", "aten.fill")) and argument.name == "value":
                value = value[3]
        elif kind in ("number", "float", "Optional[number]", "Optional[float]"):
            value = NUMBERS.get(argument.name, 2)
        elif kind == "int":
            value = 0 if argument.name == "n" else 1
        elif kind == "bool":
            value = False
        elif kind == "str":
            value = "tanh" if argument.name == "approximate" else "floor"
        elif kind == "Optional[str]":
            value = "floor"
        else:
            continue
        if argument.kwarg_only:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return args, kwargs


def call_of(op, dtype):
    """Give a function of the tensors among the arguments, and the tensors; None where eager refuses the dtype."""
    args, kwargs = arguments_of(op, dtype)
    places = [place for place, arg in enumerate(args) if isinstance(arg, torch.Tensor)]
    overload = find_overload(op)

    def function(*tensors):
        filled = list(args)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        return overload(*filled, **kwargs)

    tensors = [args[place] for place in places]
    try:
        function(*tensors)
    except RuntimeError:
        return None
    return function, tensors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", sorted({*POINTWISE, *CHOICES} - CONSTRUCTED - POLYNOMIALS))
def test_row_gives_what_the_op_gives(op):
    calls = [call for call in (call_of(op, dtype) for dtype in DTYPES) if call is not None]
    assert calls, "eager refuses all dtypes"
    sizes = [len(tensors) for _, tensors in calls]

    def program(*tensors):
        results, start = [], 0
        for (function, _), size in zip(calls, sizes, strict=True):
            results.append(function(*tensors[start : start + size]))
            start += size
        return tuple(results)

    inputs = [tensor for _, tensors in calls for tensor in tensors]
    lowered = lower_graph(graph_of(program, *inputs), num_threads=1)
    actual = run_compiled(lowered, inputs)

    for got, wanted in zip(actual, program(*inputs), strict=True):
        torch.testing.assert_close(got, wanted, equal_nan=True)
    assert any(not isinstance(step, CallExtern) for step in lowered.plan.steps)


CHOSEN = {
    "abs": torch.abs,
    "neg": torch.neg,
    "relu": torch.relu,
    "where": lambda x: torch.where(x > 0, x, -1.0),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", CHOSEN)
def test_narrow_floats_that_are_only_chosen_are_not_rounded(name, dtype):
    x = tensor_of(dtype, 0)
    expected = CHOSEN[name](x)

    lowered = lower_graph(graph_of(CHOSEN[name], x), num_threads=1)

    (kernel,) = lowered.kernels
    assert not [
        line for line in render_kernel(kernel).splitlines() if " cast(" in line and "f16" in line
    ]
    (actual,) = run_compiled(lowered, [x])
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
    is_number = ~expected.isnan()
    assert torch.equal(actual.signbit()[is_number], expected.signbit()[is_number])
