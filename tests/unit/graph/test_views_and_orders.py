"""Copies of views, their gradients, other orders of elements, and lookups by value: what eager gives, without calls of eager."""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of
from torch.nn import functional as F

from graphwright.graph import simplify
from graphwright.ir.plan import CallExtern, ExternKind
from graphwright.lower import lower_graph

A = torch.ops.aten
MOVED = [torch.float32, torch.bool]
ADDED = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def drawn(*shape, dtype=torch.float32, seed=0):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 5
    if dtype.is_floating_point:
        x.view(-1)[::7] = -0.0
        x.view(-1)[3::11] = math.nan
        x.view(-1)[5::13] = -math.inf
    return x.to(dtype)


def numbers(*shape, dtype=torch.float32, seed=0):
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 5).to(dtype)


def places(*shape, low=0, high=9):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(1))


def results_of(function, *args):
    found = function(*args)
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def lowered_of(function, *args):
    return lower_graph(
        simplify(graph_of(lambda *given: results_of(function, *given), *args)), num_threads=2
    )


def calls_of(lowered):
    steps = [step for step in lowered.plan.steps if isinstance(step, CallExtern)]
    return [step.op for step in steps if step.kind is not ExternKind.CHECK]


def check(function, *args):
    """Eager's bits, shapes and strides, and no call."""
    lowered = lowered_of(function, *args)
    assert not calls_of(lowered)

    results = run_compiled(lowered, list(args))

    for actual, expected in zip(results, results_of(function, *args), strict=True):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert actual.stride() == expected.stride()
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
        if actual.is_floating_point():
            kept = ~expected.isnan()
            assert torch.equal(actual.signbit()[kept], expected.signbit()[kept])


VIEWED = {
    "alias": A.alias_copy,
    "detach": A.detach_copy,
    "diagonal": lambda x: A.diagonal_copy(x, 1, 0, 2),
    "diag": lambda x: torch.diag(x[0], -1),
    "expand": lambda x: A.expand_copy(x[:, :1], [2, 3, 7, 5]),
    "narrow": lambda x: A.narrow_copy(x, 1, 2, 3),
    "permute": lambda x: A.permute_copy(x, [2, 0, -2]),
    "select": lambda x: A.select_copy(x, 1, -2),
    "slice": lambda x: A.slice_copy(x, 1, 1, 6, 2),
    "split": lambda x: A.split_copy(x, 3, 1),
    "split with sizes": lambda x: A.split_with_sizes_copy(x, [1, 4, 2], 1),
    "squeeze": lambda x: A.squeeze_copy(x[:1]),
    "squeeze of one": lambda x: A.squeeze_copy(x[:1], 0),
    "squeeze of some": lambda x: A.squeeze_copy(x[:1, :1], [0, 1]),
    "transposed matrix": lambda x: A.t_copy(x[0]),
    "transpose": lambda x: A.transpose_copy(x, 0, -1),
    "unbind": lambda x: A.unbind_copy(x, -1),
    "unfold": lambda x: A.unfold_copy(x, 1, 3, 2),
    "unfold of a number": lambda x: A.unfold_copy(x[0, 0, 0], 0, 1, 1),
    "unsqueeze": lambda x: A.unsqueeze_copy(x, -2),
    "view": lambda x: A.view_copy(x, [-1, 5]),
    "view of what must be copied": lambda x: A.view_copy(x.transpose(0, 1), [-1]),
    "of a computed tensor": lambda x: A.permute_copy(x == x, [2, 0, 1]),
    "of a view": lambda x: A.slice_copy(x[1:].transpose(0, 2), 0, 1, 4),
}
MOVES = {
    "select backward": lambda x: A.select_backward(x, [3, 4, 7, 5], -3, 2),
    "slice backward": lambda x: A.slice_backward(x, [3, 9, 5], 1, 1, 8, 1),
    "slice backward of all": lambda x: A.slice_backward(x, [3, 7, 5], 1, 0, 2**63 - 1, 1),
    "slice backward by steps": lambda x: A.slice_backward(x, [3, 21, 5], 1, 2, 2**63 - 1, 3),
    "slice backward by two": lambda x: A.slice_backward(x, [3, 7, 11], 2, 1, 11, 2),
    "diagonal backward": lambda x: A.diagonal_backward(x, [3, 7, 5, 6], 1, 2, 3),
    "diagonal backward below": lambda x: A.diagonal_backward(x, [9, 3, 5, 7], -2, 0, 2),
    "diagonal embedded": torch.diag_embed,
    "diagonal embedded aside": lambda x: torch.diag_embed(x, -2, 3, 1),
    "diagonal of a matrix": lambda x: torch.diag(x[0, 0], 2),
    "diagonal scattered": lambda x: torch.diagonal_scatter(x, x[:, 0, :5], 0, 2, 1),
    "diagonal scattered aside": lambda x: torch.diagonal_scatter(x, x[:, :4, 0], 1, 1, 2),
    "slice scattered": lambda x: torch.slice_scatter(x, x[:, 2:4], 1, 2, 7, 3),
    "slice scattered to neighbours": lambda x: torch.slice_scatter(x, x[..., :2], 2, 1, 5, 2),
    "quarter": lambda x: torch.rot90(x, 1, (0, 2)),
    "two quarters": lambda x: torch.rot90(x, -2, (2, 1)),
    "three quarters": lambda x: torch.rot90(x, 3),
    "no quarter": lambda x: torch.rot90(x, 4),
    "rolled": lambda x: torch.roll(x, 11),
    "rolled back": lambda x: torch.roll(x.transpose(0, 1), -200),
    "blocks": lambda x: torch.block_diag(x[0], x[0, 0], x[0, 0, 0], x[1].t()),
    "pixels shuffled": lambda x: F.pixel_shuffle(x.transpose(0, 2)[:4], 2),
    "pixels unshuffled": lambda x: F.pixel_unshuffle(x[:, :6, :4], 2),
    "channels shuffled": lambda x: F.channel_shuffle(x[:, :6], 3),
    "channels shuffled, with pixels": lambda x: F.channel_shuffle(x.view(3, 7, 5, 1), 7),
}


@pytest.mark.parametrize("dtype", MOVED, ids=str)
@pytest.mark.parametrize("name", [*VIEWED, *MOVES])
def test_elements_are_moved_as_eager_moves_them(name, dtype):
    if dtype is torch.bool and "pixel" in name:
        pytest.skip("eager has no kernel")

    check({**VIEWED, **MOVES}[name], drawn(3, 7, 5, dtype=dtype))


@pytest.mark.parametrize("other", [torch.int32, torch.int16, torch.float64], ids=str)
def test_a_view_of_another_dtype_is_copied(other):
    check(lambda x: A.view_copy(x, other), numbers(4, 6))


def test_images_with_channels_last_are_shuffled():
    x = drawn(2, 8, 6, 4).contiguous(memory_format=torch.channels_last)

    check(lambda x: F.pixel_shuffle(x, 2), x)
    check(lambda x: F.pixel_unshuffle(x, 2), x)
    check(lambda x: F.channel_shuffle(x, 4), x)


WINDOWS = {
    "plain": {"kernel_size": 3},
    "padded": {"kernel_size": 3, "padding": 1},
    "apart": {"kernel_size": 2, "stride": 2},
    "unlike axes": {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 2), "stride": (1, 2)},
}


@pytest.mark.parametrize("dtype", ADDED, ids=str)
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_laid_out_and_added_up(name, dtype):
    given, image = WINDOWS[name], numbers(2, 3, 8, 9, dtype=dtype)
    columns = F.unfold(image, **given)

    check(lambda x: F.unfold(x, **given), image)
    check(lambda x: F.unfold(x, **given), image.contiguous(memory_format=torch.channels_last))
    check(lambda x: F.unfold(x[0], **given), image)
    check(lambda x: F.fold(x, (8, 9), **given), columns)
    check(lambda x: F.fold(x[1], (8, 9), **given), columns)


@pytest.mark.parametrize("dtype", ADDED, ids=str)
def test_windows_along_an_axis_are_added_up(dtype):
    grad = numbers(3, 4, 5, 6, dtype=dtype)

    check(lambda x: A.unfold_backward(x, [3, 13, 5], 1, 6, 2), grad)
    check(lambda x: A.unfold_backward(x, [3, 26, 5], -2, 6, 6), grad)
    check(lambda x: A.unfold_backward(x, [6], 0, 6, 1), grad[0, 0, :1])


def test_windows_of_a_computed_image_share_its_kernel():
    lowered = lowered_of(lambda x: F.unfold(x * 2, 2, stride=2) + 1, numbers(2, 3, 8, 8))

    assert len(lowered.kernels) == 1


@pytest.mark.parametrize("dtype", [*ADDED, torch.int64, torch.uint8], ids=str)
@pytest.mark.parametrize("includes", [True, False])
@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("how", ["prod", "mean", "amax", "amin"])
def test_rows_are_reduced_at_indices(how, includes, dtype):
    if how == "mean" and not dtype.is_floating_point:
        pytest.skip("integers are divided by counts, which a call does")
    x, rows = (numbers(6, 7, 3, dtype=dtype, seed=seed) for seed in (0, 1))
    if dtype.is_floating_point:
        rows[1, 1, 1] = math.nan

    check(
        lambda x, i, s: torch.index_reduce(x, 0, i, s, how, include_self=includes),
        *(x, places(6, high=6), rows),
    )
    check(
        lambda x, i, s: torch.index_reduce(x, 1, i, s, how, include_self=includes),
        *(x, places(7, high=7).int(), rows),
    )


@pytest.mark.parametrize("dtype", [*MOVED, torch.float16, torch.int64], ids=str)
def test_elements_are_taken_and_put_by_their_number(dtype):
    x, index = drawn(6, 7, dtype=dtype), places(4, 5, low=-42, high=42)
    source = numbers(4, 5, dtype=dtype)

    check(torch.take, x, index)
    check(lambda x, i: torch.take(x.t(), i), x, index)
    check(lambda x, i: torch.take(x.view(-1), i), x, index)
    check(A.put, x, index, source)
    check(lambda x, i, s: A.put(x.view(-1), i.view(-1), s.view(-1)), x, index, source)
    if dtype is not torch.bool:
        check(lambda x, i, s: A.put(x.t(), i, s, True), x, index, source)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8], ids=str
)
@pytest.mark.parametrize("count", [1, 2, 8, 9, 64])
def test_elements_that_are_among_a_few(count, dtype):
    x = numbers(6, 7, 3, dtype=dtype)
    wanted = x.view(-1)[: count * 2 : 2][:count]
    if dtype.is_floating_point:
        x[0, 0, 0] = math.nan

    check(torch.isin, x, wanted)
    check(lambda x, w: torch.isin(x.transpose(0, 2), w, invert=True), x, wanted)
    check(lambda x, w: torch.isin(x[0, 0, 1], w), x, wanted)


def test_many_wanted_elements_are_sorted_by_eager():
    x = numbers(6, 7)

    assert calls_of(lowered_of(torch.isin, x, numbers(500))) == ["aten.isin.Tensor_Tensor"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.int32], ids=str)
def test_the_trace_is_a_sum(dtype):
    check(lambda x: torch.trace(x.t()), torch.arange(35).view(5, 7).to(dtype))


def test_the_trace_of_floats_is_rounded_once():
    x = torch.full((9, 9), 0.1)
    x[3, 3], x[5, 5] = 1e8, -1e8

    check(torch.trace, x)


MASKS = {
    "a column": (2, 5, 1),
    "a column, transposed": (5, 1),
    "a row of rows": (2, 1, 1),
    "a number": (),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_rows_are_scattered_by_masks(name, dtype):
    x, source = drawn(2, 5, 32, dtype=dtype), numbers(20, 16, dtype=dtype)
    mask = places(*MASKS[name], high=2).bool()

    check(lambda x, m, s: x.masked_scatter(m, s), x, mask, source)
    check(
        lambda x, m, s: (
            (x * 2).transpose(0, 1).masked_scatter(m.expand(2, 5, 32).mT.mT.transpose(0, 1), s.t())
        ),
        *(x, mask, source),
    )


def test_masks_of_elements_are_left_to_eager():
    lowered = lowered_of(
        lambda x, m, s: x.masked_scatter(m, s), drawn(5, 32), drawn(5, 32) > 0, drawn(5, 32)
    )

    assert calls_of(lowered) == ["aten.masked_scatter.default"]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8], ids=str)
@pytest.mark.parametrize("how", ["sum", "prod", "amax", "amin"])
def test_integers_are_reduced_at_places_that_start_anew(how, dtype):
    check(
        lambda x, i, s: torch.scatter_reduce(x, 0, i, s, how, include_self=False),
        *(numbers(6, 7, dtype=dtype), places(9, 7, high=6), numbers(9, 7, dtype=dtype, seed=1)),
    )


@pytest.mark.parametrize("scan", [torch.cumsum, torch.cumprod, torch.cummax, torch.logcumsumexp])
def test_scans_of_a_number_are_the_number(scan):
    check(lambda x: scan(x + 1, 0), torch.tensor(-1.5))
    if scan is not torch.logcumsumexp:
        check(lambda x: scan(x, -1), torch.tensor(7, dtype=torch.int32))


NOTHING = {
    "softmax": lambda x: torch.softmax(x, 1),
    "layer norm": lambda x: torch.native_layer_norm(x, [4], None, None, 1e-5),
    "pad": lambda x: F.pad(x[None], (1, 2)),
    "stack": lambda x: torch.stack([x, x], 1),
    "repeat": lambda x: x.repeat(2, 3),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_needs_no_code(name):
    lowered = lowered_of(NOTHING[name], torch.zeros(0, 4))

    assert not lowered.kernels
    check(NOTHING[name], torch.zeros(0, 4))


def test_indices_are_checked_where_nothing_is_read():
    lowered = lowered_of(lambda x, i: x.index_select(0, i), torch.zeros(3, 0), torch.tensor([2]))

    assert [step.kind for step in lowered.plan.steps if isinstance(step, CallExtern)] == [
        ExternKind.CHECK
    ]


@pytest.mark.parametrize("divide", [torch.remainder, torch.fmod, torch.floor_divide])
def test_integers_are_divided_by_tensors_known_to_hold_no_zero(divide):
    divisors = torch.tensor([3, -7, 1, 11, -1])

    for chosen in (divisors.abs(), -divisors.abs()):
        check(lambda x, by=chosen: divide(x, by), places(4, 5, low=-90, high=90))
    known = lowered_of(lambda x: divide(x, divisors.abs()), places(4, 5))
    other = lowered_of(lambda x: divide(x, divisors), places(4, 5))
    assert not calls_of(known)
    assert [step.kind for step in other.plan.steps if isinstance(step, CallExtern)] == [
        ExternKind.CHECK
    ]
