"""Text and value of symbolic extents agree."""

from hypothesis import given, settings
from hypothesis import strategies as st

from graphwright.ir.dims import evaluate_dim, render_dim, render_dims, symbols_of
from graphwright.ir.symint import FloorDiv, Max, Min, Mod, Monomial, Power, Symbol, SymExpr

NAMES = ("s0", "s1")
POSITIVE = SymExpr((Monomial(3), Monomial(1, (Power(Symbol("s1"), 1),))))


def expressions(depth):
    atoms = st.sampled_from(NAMES).map(Symbol)
    if depth:
        inner = expressions(depth - 1)
        atoms = st.one_of(
            atoms,
            inner.map(lambda e: FloorDiv(e, POSITIVE)),
            inner.map(lambda e: Mod(e, POSITIVE)),
            st.lists(inner, min_size=1, max_size=2).map(lambda es: Min(tuple(es))),
            st.lists(inner, min_size=1, max_size=2).map(lambda es: Max(tuple(es))),
        )
    powers = st.builds(Power, atoms, st.integers(1, 2))
    monomials = st.builds(Monomial, st.integers(-4, 4), st.lists(powers, max_size=2).map(tuple))
    return st.lists(monomials, max_size=3).map(lambda terms: SymExpr(tuple(terms)))


@settings(derandomize=True, max_examples=300, deadline=None)
@given(expressions(2), st.integers(1, 9), st.integers(1, 9))
def test_text_evaluates_to_the_value(expression, first, second):
    symbols = dict(zip(NAMES, (first, second), strict=True))

    assert eval(render_dim(expression), {}, symbols) == evaluate_dim(expression, symbols)
    assert symbols_of(expression) <= set(NAMES)


def test_extents_are_a_tuple():
    assert render_dims(()) == "()"
    assert render_dims((3,)) == "(3,)"
    assert render_dims((3, POSITIVE)) == "(3, 3 + s1)"
