"""Attention that is written out in plain ops becomes one node, and gives what its ops give."""

from __future__ import annotations

import math

import pytest
import torch

import graphwright as gw
from graphwright.graph import execute, simplify
from graphwright.graph.dead_code import dead_code
from graphwright.graph.written_attention import ATTENTION, written_attention
from graphwright.ir.aten_verify import verify_graph
from graphwright.ir.numerics import Numerics
from graphwright.record import record_function

BATCH, HEADS, QUERIES, KEYS, DEPTH = 2, 3, 7, 9, 8
LOWEST = torch.finfo(torch.float64).min


@pytest.fixture(autouse=True)
def _few_scores_are_many(monkeypatch):
    monkeypatch.setattr("graphwright.graph.written_attention.FEWEST_SCORES", 1)


def states(layout="inside"):
    """Give query, key and value; the heads lie inside of the positions, as after a projection, or outside."""
    made = []
    for length in (QUERIES, KEYS, KEYS):
        if layout == "inside":
            state = torch.randn(BATCH, length, HEADS, DEPTH, dtype=torch.float64).transpose(1, 2)
        elif layout == "outside":
            state = torch.randn(BATCH, HEADS, length, DEPTH, dtype=torch.float64)
        else:  # features apart
            state = torch.randn(BATCH, HEADS, DEPTH, length, dtype=torch.float64).mT
        made.append(state)
    return made


def record(function, *inputs):
    with torch.no_grad():
        return record_function(function, inputs).graph


def joined(function, *inputs):
    graph = dead_code(written_attention(record(function, *inputs)))
    verify_graph(graph)
    return graph


def num_fused(graph):
    return [node.op for node in graph.nodes].count(ATTENTION)


def check(function, *inputs, count=1):
    """Demand that so many attentions are found, and that the results are the function's, strides and all."""
    graph = joined(function, *inputs)
    assert num_fused(graph) == count
    if count:
        assert "aten._softmax.default" not in {node.op for node in graph.nodes}
    expected = function(*inputs)
    (found,) = execute(graph, inputs)
    torch.testing.assert_close(found, expected, equal_nan=True)
    assert found.stride() == expected.stride()


def written(query, key, value):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
    return torch.matmul(scores.softmax(-1), value)


def masked(query, key, value, mask):
    scores = torch.matmul(query, key.transpose(-2, -1)) * 0.25 + mask
    return torch.matmul(scores.softmax(-1), value)


def with_einsum(query, key, value):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * 0.5
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), value)


def scaled_query(query, key, value):
    return (query * 0.3 @ key.mT).softmax(-1) @ value


def scaled_twice(query, key, value):
    return (query @ key.mT * 3 / 7.0).softmax(-1) @ value


def of_a_model(query, key, value):
    """What a model does around it: one position after the other, heads side by side."""
    attended = written(query, key, value).transpose(1, 2).contiguous()
    return attended.reshape(BATCH, QUERIES, HEADS * DEPTH) + 1


def sharing_heads(query, key, value):
    shape = (BATCH, 1, HEADS, KEYS, DEPTH)
    key, value = (
        state[:, :1, None].expand(shape).reshape(BATCH, HEADS, KEYS, DEPTH)
        for state in (key, value)
    )
    return written(query, key, value)


@pytest.mark.parametrize("layout", ["inside", "outside", "apart"])
@pytest.mark.parametrize(
    "function", [written, with_einsum, scaled_query, scaled_twice, of_a_model, sharing_heads]
)
def test_written_attention_is_one_node(function, layout):
    check(function, *states(layout))


@pytest.mark.parametrize("rank", [2, 3, 5])
def test_any_number_of_batches_serves(rank):
    query, key, value = states("outside")
    if rank == 5:
        check(written, *(state[:, None].expand(-1, 2, -1, -1, -1) for state in (query, key, value)))
        return
    first = (0,) * (4 - rank)
    check(written, *(state[first] for state in (query, key, value)))


def iter_masks():
    for shape in (
        (KEYS,),
        (QUERIES, KEYS),
        (QUERIES, 1),
        (1, 1, QUERIES, KEYS),
        (BATCH, 1, QUERIES, KEYS),
        (BATCH, 1, 1, KEYS),
        (1, HEADS, QUERIES, KEYS),
        (BATCH, HEADS, QUERIES, KEYS),
    ):
        yield "x".join(map(str, shape)), torch.randn(shape, dtype=torch.float64)
    later = torch.ones(QUERIES, KEYS).triu(1).bool()
    zeros = torch.zeros(QUERIES, KEYS, dtype=torch.float64)
    yield "causal", zeros.masked_fill(later, -math.inf)
    yield "causal, lowest", zeros.masked_fill(later, LOWEST)
    empty = zeros.clone()
    empty[2] = -math.inf
    yield "a row of which all is masked", empty
    yield "all is masked", torch.full((QUERIES, KEYS), -math.inf, dtype=torch.float64)
    empty = zeros.clone()
    empty[2] = LOWEST
    yield "a row of the lowest numbers", empty
    for name, number in (("NaN", math.nan), ("inf", math.inf)):
        odd = zeros.clone()
        odd[3, 4] = number
        yield name, odd
    yield "turned", torch.randn(KEYS, QUERIES, dtype=torch.float64).t()
    yield "every second", torch.randn(QUERIES, 2 * KEYS, dtype=torch.float64)[:, ::2]


MASKS = dict(iter_masks())


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_added(name):
    check(masked, *states(), MASKS[name])


def test_masks_may_stand_before_the_scores_and_be_several():
    def both(query, key, value, one, other):
        return (one + (query @ key.mT / 2) + other).softmax(-1) @ value

    check(both, *states(), MASKS["7x9"], MASKS["2x1x1x9"])
    lowest = MASKS["causal, lowest"]
    check(both, *states(), lowest, lowest.clone())


def test_mask_may_be_a_product_itself():
    def relative(query, key, value, places):
        return (query @ key.mT + query @ places.mT).softmax(-1) @ value

    check(relative, *states(), torch.randn(KEYS, DEPTH, dtype=torch.float64))


def test_each_of_several_is_found():
    def twice(query, key, value):
        return written(query, key, value) + with_einsum(value, key, value)[:, :, :QUERIES]

    check(twice, *states(), count=2)


def scores_given(query, key, value):
    weights = (query @ key.mT).softmax(-1)
    return (weights @ value).sum() + weights.sum()


def filled(query, key, value):
    later = torch.ones(QUERIES, KEYS).triu(1).bool()
    return (query @ key.mT).masked_fill(later, -math.inf).softmax(-1) @ value


def scaled_after_the_mask(query, key, value):
    return ((query @ key.mT + 1.0 * torch.ones(KEYS, dtype=torch.float64)) * 0.5).softmax(
        -1
    ) @ value


def with_a_factor(query, key, value):
    scores = query @ key.mT
    return torch.add(scores, torch.ones(KEYS, dtype=torch.float64), alpha=2).softmax(-1) @ value


def negative_scale(query, key, value):
    return (query @ key.mT * -0.5).softmax(-1) @ value


def divided_by_nothing(query, key, value):
    return (query @ key.mT / 0.0).softmax(-1) @ value


def of_queries(query, key, value):
    return (query @ key.mT).softmax(-2) @ value


def on_the_right(query, key, value):
    return value.mT @ (key @ query.mT).softmax(-1)


def other_depth(query, key, value):
    return (query @ key.mT).softmax(-1) @ value[..., :5]


def without_features(query, key, value):
    return (query[..., :0] @ key[..., :0].mT).softmax(-1) @ value[..., :0]


def turned_between(query, key, value):
    del value
    return (query @ key.mT).mT.softmax(-1) @ query


@pytest.mark.parametrize(
    "function",
    [
        scores_given,
        filled,
        scaled_after_the_mask,
        with_a_factor,
        negative_scale,
        divided_by_nothing,
        of_queries,
        on_the_right,
        other_depth,
        turned_between,
        without_features,
    ],
)
def test_what_the_kernel_would_not_give_stays(function):
    check(function, *states(), count=0)


def test_narrow_floats_stay():
    narrow = [state.bfloat16() for state in states()]
    assert num_fused(joined(written, *narrow)) == 0


def test_strict_numerics_keep_the_ops():
    graph = record(written, *states())
    assert num_fused(simplify(graph, Numerics(is_strict=True))) == 0


def test_many_scores_go_to_the_kernel(monkeypatch):
    monkeypatch.undo()
    query, key, value = (torch.randn(1, 4, 1100, 16) for _ in range(3))
    mask = torch.zeros(1100, 1100).masked_fill(torch.ones(1100, 1100).triu(1).bool(), -math.inf)
    mask[7] = -math.inf  # eager gives NaN
    compiled = gw.compile(masked, fullgraph=True)

    with torch.no_grad():
        found = compiled(query, key, value, mask)

    torch.testing.assert_close(found, masked(query, key, value, mask), equal_nan=True)
    assert num_fused(joined(masked, query, key, value, mask)) == 1


def test_gradients_keep_the_scores():
    ours, theirs = ([state.clone().requires_grad_() for state in given] for given in [states()] * 2)
    gw.compile(written, fullgraph=True)(*ours).sin().sum().backward()
    written(*theirs).sin().sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)
