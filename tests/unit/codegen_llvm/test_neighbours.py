"""Kernels write their elements, and nothing that lies between or behind these: whatever they convert, whatever is left of a row."""

from __future__ import annotations

import itertools

import pytest
import torch

import graphwright as gw
from graphwright.cache import fresh
from graphwright.codegen.llvm import single_lanes

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]
PAIRS = [(one, other) for one, other in itertools.permutations(DTYPES, 2) if other.itemsize < 8]
LENGTHS = [1, 2, 5, 9, 17, 33, 65]
"""One more than a number of lanes, most of them."""


def _pair_id(pair):
    return " to ".join(str(dtype).removeprefix("torch.") for dtype in pair)


def write_row(x, y):
    y[:, 3 : 3 + x.shape[1]] = x
    return y


def write_apart(x, y):
    y[:, 3 : 3 + 3 * x.shape[1] : 3] = x
    return y


@pytest.mark.parametrize("pair", PAIRS, ids=_pair_id)
@pytest.mark.parametrize("program", [write_row, write_apart])
def test_neighbours_keep_their_values(program, pair):
    source, target = pair
    for length in LENGTHS:
        x = torch.arange(2 * length).reshape(2, length).to(source)
        expected = torch.full((2, 3 * length + 8), 77).to(target)
        found = expected.clone()
        program(x, expected)
        with fresh(), gw.config.patch(strict=True):
            gw.compile(program, dynamic=False)(x, found)
        assert torch.equal(found, expected), length


@pytest.mark.parametrize("pair", PAIRS, ids=_pair_id)
def test_small_matrices_are_turned_round(pair):
    source, target = pair

    def program(x):
        return x.to(target).transpose(1, 2).contiguous()

    for rows, columns in (2, 2), (3, 2), (4, 2), (4, 3), (4, 4), (8, 4), (9, 4), (4, 9):
        x = torch.arange(2 * rows * columns).reshape(2, rows, columns).to(source)
        with fresh(), gw.config.patch(strict=True):
            assert torch.equal(gw.compile(program, dynamic=False)(x), program(x))


STORE = (
    "  tail call void @llvm.masked.store.v4i16.p0(<4 x i16> %s, ptr align 2 %p, <4 x i1> <{}>)\n"
)
OLD_STORE = "  call void @llvm.masked.store.v4i16.p0(<4 x i16> <i16 1, i16 2, i16 3, i16 4>, ptr %p.1, i32 2, <4 x i1> <{}>)\n"


def mask(*lanes):
    return ", ".join(f"i1 {'true' if lane in lanes else 'false'}" for lane in range(4))


@pytest.mark.parametrize(
    "store", [STORE, OLD_STORE, STORE.replace("ptr align", "ptr nonnull align")]
)
@pytest.mark.parametrize("lane", range(4))
def test_store_of_one_lane_is_written_out(store, lane):
    written = single_lanes.write_out_single_lanes(store.format(mask(lane)))

    assert written is not None
    assert "masked" not in written
    assert f", i64 {lane}\n" in written
    assert "store i16 %single.lane.0, ptr %single.lane.0.place, align 2" in written


@pytest.mark.parametrize("lanes", [(), (0, 1), (1, 3), (0, 1, 2, 3)])
def test_other_stores_stay(lanes):
    text = STORE.format(mask(*lanes)) + STORE.replace("<4 x i1> <{}>", "<4 x i1> %mask")

    assert single_lanes.write_out_single_lanes(text) is None


def test_unknown_form_is_told():
    store = STORE.replace("%p,", "null,").format(mask(2))

    with pytest.raises(gw.errors.InternalError, match="unknown form"):
        single_lanes.write_out_single_lanes(store)
