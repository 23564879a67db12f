"""Arguments that fit nearly: samples of PyTorch's operator database with one thing about them changed, against eager.

What eager refuses is refused with the same error; what it takes gives what it gives. `FUZZ_ROUNDS=50` looks longer.
"""

from __future__ import annotations

import itertools
import os
import random
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_leaves, tree_map

import graphwright as gw
from graphwright.cache import fresh

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
SAMPLES = 12
MOST_ELEMENTS = 10_000

_RANDOM = (
    *("empty", "rand", "normal", "bernoulli", "multinomial", "dropout", "uniform", "exponential"),
    *("cauchy", "geometric", "rrelu", "svd_lowrank", "pca_lowrank", "fractional", "attention"),
)
"""Parts of names: their results are of no memory, or drawn from seeds that the database sets."""
_UNSAFE = frozenset(
    {
        *("native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update"),
        *("as_strided", "as_strided_copy", "as_strided_scatter", "linalg.lstsq", "lu_unpack"),
        *("grid_sampler_2d", "grid_sampler_3d", "nn.functional.ctc_loss", "resize_", "resize_as_"),
        *("_softmax_backward_data", "_unsafe_masked_index"),
        *("_unsafe_masked_index_put_accumulate", "median", "nanmedian", "_segment_reduce"),
    }
)
"""Eager reads or writes what is not there for some of their arguments, or says that these are up to the caller."""
_LEFT = frozenset(
    {
        # computed for whole numbers as for floats, where eager has no kernel
        *("nn.functional.max_pool1d", "nn.functional.max_pool2d", "nn.functional.max_pool3d"),
        *("nn.functional.upsample_nearest", "nn.functional.upsample_bilinear"),
        "nn.functional.interpolate",
        # a bias of more dimensions than the product is added to a vector
        "nn.functional.linear",
        # orders beyond float32, and that are no number
        *("norm", "linalg.norm", "linalg.vector_norm", "masked.norm", "std", "var"),
        *("std_mean", "var_mean", "masked.std", "masked.var"),
        # of tensors without elements, eager looks at no dimension
        "cat",
        # multiplies weights of another dtype
        "nn.functional.linear_cross_entropy",
    }
)
"""Known not to refuse, or to give, exactly what eager does."""
_NUMBERS: list[Any] = [
    *(None, -1, 0, 1, 2, -2, 3, 7, 1.5, -0.5, float("inf"), True, 1e40, 2j, "x", (), (1,), (1, 2)),
    *([0], [-1, 1], torch.float32, torch.int64, torch.bool, torch.complex64),
]
_DTYPES = [torch.int64, torch.bool, torch.float64, torch.float16, torch.complex64, torch.uint8]


def _operators() -> list[Any]:
    left = _UNSAFE | _LEFT
    names = (op for op in op_db if op.name not in left and not any(r in op.name for r in _RANDOM))
    return sorted(names, key=lambda op: (op.name, op.variant_test_name))


OPERATORS = _operators()


def _change_tensor(draw: random.Random, tensor: torch.Tensor) -> Any:
    """Give a tensor of another size, rank, dtype or layout, or none."""
    if not tensor.ndim:
        return draw.choice([tensor[None], tensor.to(draw.choice(_DTYPES)), draw.choice(_NUMBERS)])
    axis = draw.randrange(tensor.ndim)
    changes: list[Callable[[], Any]] = [
        lambda: tensor.to(draw.choice(_DTYPES)),
        lambda: tensor.unsqueeze(draw.choice([0, -1])),
        lambda: tensor.select(axis, 0).clone() if tensor.shape[axis] else tensor,
        lambda: tensor.flatten(),
        lambda: torch.cat([tensor, tensor], axis),
        lambda: tensor.narrow(axis, 0, max(tensor.shape[axis] - 1, 0)).clone(),
        lambda: tensor.narrow(axis, 0, min(tensor.shape[axis], 1)).clone(),
        lambda: tensor.narrow(axis, 0, 0).clone(),
        lambda: tensor.transpose(0, -1),
        lambda: tensor.expand(2, *tensor.shape),
        lambda: draw.choice(_NUMBERS),
        lambda: [tensor, tensor],
    ]
    return draw.choice(changes)()


def _change(draw: random.Random, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Change one argument, or leave one out."""
    places: list[tuple[Any, Any]] = [(args, index) for index in range(len(args))]
    places += [(kwargs, name) for name in kwargs]
    holder, place = draw.choice(places)
    value = holder[place]
    if isinstance(value, torch.Tensor):
        holder[place] = _change_tensor(draw, value)
    elif isinstance(value, list | tuple) and value and draw.random() < 0.6:
        items = list(value)
        index = draw.randrange(len(items))
        item = items[index]
        is_tensor = isinstance(item, torch.Tensor)
        items[index] = _change_tensor(draw, item) if is_tensor else draw.choice(_NUMBERS)
        holder[place] = items
    elif holder is kwargs and draw.random() < 0.2:
        del kwargs[place]
    else:
        holder[place] = draw.choice(_NUMBERS)


def _iter_calls(op: Any, number: int) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    draw = random.Random(zlib.crc32(f"{op.name} {op.variant_test_name} {number}".encode()))
    known = (torch.float32, torch.int64, torch.bool, torch.complex64)
    dtypes = [dtype for dtype in known if dtype in op.supported_dtypes("cpu")]
    if not dtypes:
        return
    torch.manual_seed(number)
    dtype = draw.choice(dtypes)
    samples = list(itertools.islice(op.sample_inputs("cpu", dtype), SAMPLES))
    for sample in draw.sample(samples, min(len(samples), 2)):
        args, kwargs = [sample.input, *sample.args], dict(sample.kwargs)
        if _are_plain(args, kwargs):
            _change(draw, args, kwargs)
            yield args, kwargs


def _are_plain(args: Any, kwargs: Any) -> bool:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    are_dense = all(tensor.layout is torch.strided for tensor in tensors)
    return are_dense and all(tensor.numel() < MOST_ELEMENTS for tensor in tensors)


def _copy(values: Any) -> Any:
    return tree_map(lambda one: one.clone() if isinstance(one, torch.Tensor) else one, values)


def _outcome(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        return function(*_copy(args), **_copy(kwargs))
    except gw.errors.InternalError as error:
        return error
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        text, _, _ = str(error).partition("\nException raised from")  # places in C++
        return type(error), text


def _check(op: Any, args: Any, kwargs: Any) -> None:
    expected = _outcome(op.op, args, kwargs)
    found = _outcome(gw.compile(lambda *args, **kwargs: op.op(*args, **kwargs)), args, kwargs)
    if isinstance(expected, tuple) and expected and isinstance(expected[0], type):
        # where tests do not ask for failures, the program then runs eagerly, and raises the same
        assert isinstance(found, gw.errors.InternalError) or found == expected
        return
    assert not isinstance(found, Exception), found
    for one, other in zip(tree_leaves(expected), tree_leaves(found), strict=True):
        if not isinstance(one, torch.Tensor) or one.layout is not torch.strided:
            continue
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        if one.dtype not in (torch.float16, torch.bfloat16):
            torch.testing.assert_close(other, one, equal_nan=True)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: f"{op.name} {op.variant_test_name}")
def test_arguments_that_fit_nearly(op, number):
    with fresh(), gw.config.patch(strict=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args, kwargs in _iter_calls(op, number):
            _check(op, args, kwargs)
