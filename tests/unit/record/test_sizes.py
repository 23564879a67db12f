"""Symbolic sizes compute, compare, and take guards; through torch.SymInt too."""

import math

import pytest
import torch

from graphwright.ir.dims import render_dim
from graphwright.ir.guards import Comparison
from graphwright.record.layout import broadcast_shapes, contiguous_strides, is_contiguous
from graphwright.record.sizes import SizeTable, greatest, hint_of, least
from graphwright.record.symnodes import to_extent, to_torch


def table_with(**hints):
    table = SizeTable(lambda: None)
    sizes = [table.new_symbol(name, hint, minimum=2, maximum=None) for name, hint in hints.items()]
    return table, *sizes


def guards(table):
    """Give the guards beyond the symbols' ranges."""
    texts = [
        f"{render_dim(g.left)} {g.comparison.value} {render_dim(g.right)}" for g in table.guards
    ]
    return [text for text in texts if not text.startswith("2 <= ")]


def test_arithmetic_gives_one_object_an_expression():
    _, s, t = table_with(s=4, t=6)

    assert (s + t) * 2 is 2 * t + 2 * s
    assert s * 8 // 8 is s
    assert s - s == 0
    assert hint_of(s * t + 1) == 25
    assert (7 - s).hint == 3
    assert (7 // s).hint == 1
    assert (7 % s).hint == 3


@pytest.mark.parametrize(
    "question",
    [
        lambda s, t: s * 64 > 64,
        lambda s, t: s != 1,
        lambda s, t: s * t >= t,
        lambda s, t: s + 1 > s,
        lambda s, t: s * t == t * s,
        lambda s, t: s % s == 0,
        lambda s, t: bool(s),
        lambda s, t: s // 2 >= 1,
        lambda s, t: s >= 2,
        lambda s, t: s * t * 4 > 15,
    ],
)
def test_ranges_decide_without_a_guard(question):
    table, s, t = table_with(s=4, t=6)

    assert question(s, t)
    assert guards(table) == []


@pytest.mark.parametrize(
    ("question", "answer", "guard"),
    [
        (lambda s, t: s == t, False, "s != t"),
        (lambda s, t: s < t, True, "s < t"),
        (lambda s, t: s > t, False, "s <= t"),
        (lambda s, t: t <= s, False, "s < t"),
        (lambda s, t: s == 4, True, "s == 4"),
        (lambda s, t: s * 2 == t + 2, True, "2*s == t + 2"),
        (lambda s, t: t % 3 == 0, True, "(t % 3) == 0"),
        (lambda s, t: s >= 5, False, "s < 5"),
    ],
)
def test_open_comparison_takes_a_guard(question, answer, guard):
    table, s, t = table_with(s=4, t=6)

    assert bool(question(s, t)) is answer
    assert guards(table) == [guard]


def test_comparison_asked_twice_takes_one_guard():
    table, s, t = table_with(s=4, t=6)

    for _ in range(3):
        assert s < t
        assert not t <= s
        assert s + 1 < t + 1

    assert guards(table) == ["s < t"]


def test_bound_learnt_by_a_guard_decides_later_questions():
    table, s, _ = table_with(s=4, t=6)

    assert s <= 16
    assert s * 2 <= 40
    assert s < 100

    assert guards(table) == ["s <= 16"]


def test_equality_learnt_by_a_guard_decides_later_questions():
    table, s, t = table_with(s=4, t=4)

    assert s == t
    assert s * 3 == t * 3
    assert not s < t
    assert table.simplify((s * t).dim) == table.simplify((s * s).dim)

    assert guards(table) == ["s == t"]


def test_specialised_size_is_known_from_then_on():
    table, s, _ = table_with(s=4, t=6)

    assert s.specialise() == 4
    assert table.simplify((s * 3).dim) == 12
    assert guards(table) == ["s == 4"]


def test_symbol_cannot_have_two_values():
    table, _ = table_with(s=4)

    with pytest.raises(ValueError, match="cannot be 5"):
        table.new_symbol("s", 5, minimum=2, maximum=None)


def test_symbol_out_of_its_range_is_refused():
    table, _ = table_with(s=4)

    with pytest.raises(ValueError, match="not in its range"):
        table.new_symbol("t", 1, minimum=2, maximum=None)


def test_extremes_stay_undecided():
    table, s, t = table_with(s=4, t=6)

    assert str(least(s, t)) == "min(s, t)"
    assert str(greatest(3, s)) == "max(3, s)"
    assert greatest(1, 2) == 2
    assert guards(table) == []


def test_contiguity_of_symbolic_shapes_takes_no_guard():
    table, s, t = table_with(s=4, t=6)
    shape = (s, 3, t)

    assert is_contiguous(shape, contiguous_strides(shape))
    assert not is_contiguous(shape, (1, s, s * 3))
    assert broadcast_shapes((s, 1, t), (3, 1)) == (s, 3, t)
    assert guards(table) == []


def symints():
    table, s, t = table_with(s=4, t=6)
    return table, to_torch(s), to_torch(t)


def test_torch_ints_compute_symbolically():
    table, s, t = symints()

    assert str(s * t + 1) == "s*t + 1"
    assert str((s + 5) // 2) == str((5 + s) // 2)
    assert str(torch.sym_max(s, t)) == "max(s, t)"
    assert str(torch.sym_min(s, 3)) == "min(3, s)"
    assert str(-s) == "-s"
    assert str(2 - s) == "-s + 2"
    assert str(s**2) == "s**2"
    assert str(torch.sym_sum([s, t, 1])) == "s + t + 1"
    assert guards(table) == []


def test_torch_int_that_becomes_constant_is_an_int():
    _, s, _ = symints()

    assert (s - s) == 0
    assert isinstance(s * 2 // s, int)


def test_torch_int_used_as_an_index_specialises():
    table, s, _ = symints()

    assert list(range(s)) == [0, 1, 2, 3]
    assert guards(table) == ["s == 4"]


def test_torch_comparisons_decide_when_looked_at():
    table, s, t = symints()
    truth = s < t

    assert guards(table) == []
    assert bool(truth)
    assert guards(table) == ["s < t"]
    assert s > 1
    assert guards(table) == ["s < t"]


def test_truths_combine():
    _, s, t = symints()

    assert bool((s < t) & (t < 10))
    assert bool((s > t) | (s == 4))
    assert bool(torch.sym_not(s > t))


def test_floats_specialise_the_sizes_they_come_from():
    table, s, t = symints()
    scale = 1 / s

    assert guards(table) == []
    assert float(scale) == 0.25
    assert math.isclose(float(t / s * 2.0 + 1), 4.0)
    assert guards(table) == ["s == 4", "t == 6"]


def test_extent_survives_the_way_through_torch():
    _, s, _ = table_with(s=4, t=6)

    assert to_extent(to_torch(s)) is s
    assert to_extent(to_torch(s * 2 + 1)) is s * 2 + 1
    assert to_extent(5) == 5
    assert to_torch(5) == 5


def test_proof_takes_no_guard():
    table, s, t = table_with(s=4, t=6)

    assert table.can_prove(s.dim, Comparison.LT, (s + 1).dim)
    assert not table.can_prove(s.dim, Comparison.LT, t.dim)
    assert guards(table) == []
