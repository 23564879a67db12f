"""Attention with small scores is taken apart, and gives what eager's kernel gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphwright.graph import execute
from graphwright.graph.dead_code import dead_code
from graphwright.graph.decompositions import decompositions
from graphwright.ir.aten_verify import verify_graph
from graphwright.record import record_function

FLASH = "aten._scaled_dot_product_flash_attention_for_cpu.default"
SHAPES = {
    "one batch": (1, 3, 16, 16, 16),
    "batches": (2, 3, 5, 17, 16),
    "one head": (2, 1, 4, 18, 16),
    "one position": (2, 4, 1, 6, 8),
    "one of all": (1, 1, 1, 9, 8),
}


def masks(shape) -> dict[str, torch.Tensor | None]:
    batch, heads, length, num_keys, _ = shape
    chosen = torch.rand(batch, 1, length, num_keys) > 0.4
    chosen[:, :, 0] = False  # a row without a key
    full = torch.randn(batch, heads, length, num_keys, dtype=torch.float64)
    full[:, :, -1] = -torch.inf
    return {
        "none": None,
        "all heads": torch.randn(length, num_keys, dtype=torch.float64),
        "keys": torch.randn(1, 1, 1, num_keys, dtype=torch.float64),
        "each": full,
        "chosen": chosen,
    }


def states(shape, *, is_inside: bool, dtype=torch.float64) -> list[torch.Tensor]:
    """Give query, key and value; `is_inside`: the heads lie inside of the positions, as after a projection."""
    batch, heads, length, num_keys, depth = shape
    counts = (length, num_keys, num_keys)
    if is_inside:
        return [torch.randn(batch, n, heads, depth, dtype=dtype).transpose(1, 2) for n in counts]
    return [torch.randn(batch, heads, n, depth, dtype=dtype) for n in counts]


def record(function, *inputs):
    with torch.no_grad():
        return record_function(function, inputs).graph


def taken_apart(function, *inputs):
    graph = record(function, *inputs)
    assert FLASH in {node.op for node in graph.nodes}
    found = dead_code(decompositions(graph))
    verify_graph(found)
    return found


@pytest.mark.parametrize("is_inside", [False, True])
@pytest.mark.parametrize("mask", masks(SHAPES["batches"]))
@pytest.mark.parametrize("name", SHAPES)
def test_parts_give_what_the_kernel_gives(name, mask, is_inside):
    inputs = states(SHAPES[name], is_inside=is_inside)
    given = masks(SHAPES[name])[mask]
    if given is not None:
        inputs.append(given)

    def work(query, key, value, mask=None):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    graph = taken_apart(work, *inputs)

    assert FLASH not in {node.op for node in graph.nodes}
    (found,), wanted = execute(graph, inputs), work(*inputs)
    torch.testing.assert_close(found, wanted)
    sizes = zip(wanted.shape, found.stride(), wanted.stride(), strict=True)
    assert all(extent == 1 or own == eager for extent, own, eager in sizes)


@pytest.mark.parametrize("name", SHAPES)
def test_causal_attention_with_a_scale_gives_what_the_kernel_gives(name):
    inputs = states(SHAPES[name], is_inside=True)

    def work(query, key, value):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.3)

    graph = taken_apart(work, *inputs)

    assert FLASH not in {node.op for node in graph.nodes}
    torch.testing.assert_close(execute(graph, inputs)[0], work(*inputs))


def test_large_scores_and_narrow_floats_are_left(monkeypatch):
    shape = SHAPES["batches"]
    narrow = states(shape, is_inside=True, dtype=torch.bfloat16)
    wide = states(shape, is_inside=True)
    graph = taken_apart(F.scaled_dot_product_attention, *narrow)
    assert FLASH in {node.op for node in graph.nodes}

    for most, is_left in ((2 * 3 * 5 * 17 - 1, True), (2 * 3 * 5 * 17, False)):
        monkeypatch.setattr("graphwright.graph.decomps.attention.MOST_SCORES", most)
        graph = taken_apart(F.scaled_dot_product_attention, *wide)
        assert (FLASH in {node.op for node in graph.nodes}) == is_left


def test_logarithms_of_sums_are_the_kernels():
    """Gradients are made of them."""
    inputs = states(SHAPES["batches"], is_inside=True)
    mask = masks(SHAPES["batches"])["each"]
    assert mask is not None

    def work(query, key, value, mask):
        attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return attention(query, key, value, attn_mask=mask)

    graph = taken_apart(work, *inputs, mask)

    assert FLASH not in {node.op for node in graph.nodes}
    for found, wanted in zip(execute(graph, [*inputs, mask]), work(*inputs, mask), strict=True):
        torch.testing.assert_close(found, wanted)


def test_heads_that_share_keys_are_left():
    query, _, _ = states(SHAPES["one position"], is_inside=True)
    key, value = (torch.randn(2, 2, 6, 8, dtype=torch.float64) for _ in range(2))

    def work(query, key, value):
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]

    graph = record(work, query, key, value)

    assert decompositions(graph) == graph
