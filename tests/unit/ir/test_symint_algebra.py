"""Arithmetic on symbolic integers equals Python's, for all values tried, and its form is canonical."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphwright.ir.dims import evaluate_dim, render_dim
from graphwright.ir.symint import SymExpr
from graphwright.ir.symint_algebra import (
    add,
    as_dim,
    as_expr,
    floordiv,
    free_symbols,
    maximum,
    minimum,
    mod,
    mul,
    neg,
    power,
    sub,
    substitute,
    symbol,
)
from graphwright.ir.symint_bounds import Interval, bounds
from graphwright.ir.symint_parse import parse_dim

S, T = symbol("s"), symbol("t")
VALUES = [{"s": s, "t": t} for s, t in itertools.product(range(-4, 8), repeat=2)]
OPERATIONS = {
    "add": (add, lambda a, b: a + b),
    "sub": (sub, lambda a, b: a - b),
    "mul": (mul, lambda a, b: a * b),
    "floordiv": (floordiv, lambda a, b: a // b),
    "mod": (mod, lambda a, b: a % b),
    "min": (lambda a, b: minimum((a, b)), min),
    "max": (lambda a, b: maximum((a, b)), max),
}
OPERANDS = (
    0, 1, -3, 6, S, T, add(S, 2), mul(S, 4), sub(mul(S, 6), 4), mul(S, T), add(mul(S, T), S), add(S, T),
    neg(S), power(S, 2), floordiv(S, 2), mod(T, 3), minimum((S, T)), maximum((S, add(T, 1))),
)  # fmt: skip


def values_agree(dim, operation, left, right):
    """Compare with Python on every binding for which no divisor on the way is zero."""
    for binding in VALUES:
        try:
            expected = operation(evaluate_dim(left, binding), evaluate_dim(right, binding))
        except ZeroDivisionError:
            continue
        assert evaluate_dim(dim, binding) == expected, (render_dim(dim), binding)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_equals_pythons_on_small_values(name):
    ours, pythons = OPERATIONS[name]

    for left, right in itertools.product(OPERANDS, repeat=2):
        try:
            result = ours(left, right)
        except ZeroDivisionError:
            assert right == 0
            continue
        values_agree(result, pythons, left, right)


def expressions():
    """Give random expressions with their meaning as a Python function of the bindings."""
    leaves = st.one_of(
        st.integers(-6, 6).map(lambda n: (n, lambda _b, n=n: n)),
        st.sampled_from(["s", "t", "u"]).map(
            lambda name: (symbol(name), lambda b, name=name: b[name])
        ),
    )

    def grow(children):
        return st.tuples(st.sampled_from(sorted(OPERATIONS)), children, children).map(combine)

    def combine(parts):
        name, (left, left_value), (right, right_value) = parts
        ours, pythons = OPERATIONS[name]
        try:
            return ours(left, right), lambda b: pythons(left_value(b), right_value(b))
        except ZeroDivisionError:
            return left, left_value

    return st.recursive(leaves, grow, max_leaves=10)


@settings(max_examples=400, deadline=None)
@given(expressions(), st.fixed_dictionaries({name: st.integers(-9, 30) for name in "stu"}))
def test_random_expression_equals_pythons(expression, binding):
    dim, value = expression
    try:
        expected = value(binding)
    except ZeroDivisionError:
        return

    assert evaluate_dim(dim, binding) == expected


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_text_reads_back_to_the_same_expression(expression):
    dim, _ = expression

    assert parse_dim(render_dim(dim)) == dim


@settings(max_examples=300, deadline=None)
@given(expressions(), st.fixed_dictionaries({name: st.integers(1, 12) for name in "stu"}))
def test_bounds_hold_every_value(expression, binding):
    dim, _ = expression
    ranges = {name: Interval(1, 12) for name in "stu"}
    try:
        value = evaluate_dim(dim, binding)
    except ZeroDivisionError:
        return

    assert value in bounds(dim, ranges)
    assert value in bounds(dim, {name: Interval(1) for name in "stu"})


@settings(max_examples=200, deadline=None)
@given(expressions(), expressions(), st.fixed_dictionaries({n: st.integers(1, 9) for n in "stu"}))
def test_substitution_commutes_with_evaluation(expression, replacement, binding):
    dim, _ = expression
    other, _ = replacement
    try:
        inner = evaluate_dim(other, binding)
        expected = evaluate_dim(dim, {**binding, "s": inner})
        found = evaluate_dim(substitute(dim, {"s": other}), binding)
    except ZeroDivisionError:
        return

    assert found == expected


@settings(max_examples=200, deadline=None)
@given(expressions())
def test_result_is_canonical(expression):
    dim, _ = expression
    if isinstance(dim, int):
        return

    assert isinstance(as_dim(dim), SymExpr)
    assert all(term.coeff for term in dim.terms)
    assert len({term.factors for term in dim.terms}) == len(dim.terms)
    assert substitute(dim, {}) == dim


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (mul(add(S, 1), add(S, -1)), sub(power(S, 2), 1)),
        (floordiv(mul(S, 64), 64), S),
        (floordiv(add(mul(S, 6), 7), 3), add(mul(S, 2), 2)),
        (floordiv(mul(add(S, 1), add(T, 1)), add(S, 1)), add(T, 1)),
        (floordiv(mul(S, T), mul(S, 2)), floordiv(T, 2)),
        (floordiv(floordiv(S, 2), 3), floordiv(S, 6)),
        (mod(mul(S, 12), 4), 0),
        (mod(mul(S, T), S), 0),
        (mod(mul(S, 4), 6), mul(mod(mul(S, 2), 3), 2)),
        (minimum((S, add(S, 3))), S),
        (maximum((minimum((S, T)), minimum((T, S)))), minimum((S, T))),
        (sub(S, S), 0),
    ],
)
def test_equal_expressions_have_one_form(left, right):
    assert left == right


def test_exact_products_of_sizes_are_compared_without_more_than_their_ranges():
    at_least_two = {"s": Interval(2), "t": Interval(2)}

    assert bounds(sub(mul(S, T), T), at_least_two) == Interval(2, None)
    assert bounds(sub(mul(S, 64), 64), at_least_two) == Interval(64, None)
    assert bounds(mod(S, 8), at_least_two) == Interval(0, 7)
    assert bounds(floordiv(S, 2), at_least_two) == Interval(1, None)
    assert bounds(minimum((S, 5)), at_least_two) == Interval(2, 5)


def test_division_by_the_constant_zero_raises():
    with pytest.raises(ZeroDivisionError):
        floordiv(S, 0)
    with pytest.raises(ZeroDivisionError):
        mod(S, 0)


def test_symbols_are_listed_in_order_of_appearance():
    assert free_symbols(add(floordiv(T, add(S, 1)), symbol("a"))) in (
        ("a", "s", "t"),
        ("t", "s", "a"),
    )
    assert free_symbols(7) == ()


@pytest.mark.parametrize("text", ["", "s +", "s / 2", "f(s)", "s.t", "True", "min()", "s ** t"])
def test_text_that_is_no_expression_is_refused(text):
    with pytest.raises(ValueError, match="no expression"):
        parse_dim(text)


def test_constant_expression_becomes_an_int():
    assert as_dim(as_expr(5)) == 5
    assert as_dim(as_expr(0)) == 0
