import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from graphwright.lower.affine import (
    ZERO,
    Affine,
    Division,
    Split,
    apart,
    divide,
    dot,
    make_affine,
    range_of,
)


def value_of(affine, values):
    return affine.const + sum(coeff * values[atom] for atom, coeff in affine.terms)


affines = st.builds(
    lambda coeffs, const: make_affine(enumerate(coeffs), const),
    st.lists(st.integers(0, 12), min_size=3, max_size=3),
    st.integers(0, 8),
)
extents_lists = st.lists(st.integers(1, 4), min_size=3, max_size=3)


@settings(derandomize=True, max_examples=300)
@given(affines, st.integers(1, 12), extents_lists)
def test_divide_agrees_with_integer_division_everywhere(value, divisor, extents):
    match divide(value, divisor, extents):
        case Division(quotient, remainder):
            for values in itertools.product(*map(range, extents)):
                expected = divmod(value_of(value, values), divisor)
                assert (value_of(quotient, values), value_of(remainder, values)) == expected
        case Split(atom, inner):
            assert extents[atom] % inner == 0
            assert 1 < inner < extents[atom]
        case None:
            assert sum(coeff * (extents[atom] - 1) for atom, coeff in value.terms) > 0


@settings(derandomize=True)
@given(affines, affines, st.integers(-3, 3), extents_lists)
def test_arithmetic_and_range_agree_with_values(first, second, factor, extents):
    combined = first.plus(second.times(factor)).shifted(2)
    least, most = range_of(combined, extents)

    seen = []
    for values in itertools.product(*map(range, extents)):
        expected = value_of(first, values) + factor * value_of(second, values) + 2
        assert value_of(combined, values) == expected
        seen.append(expected)
    assert (least, most) == (min(seen), max(seen))


@settings(derandomize=True, max_examples=300)
@given(affines, st.integers(1, 24), extents_lists)
def test_parts_make_up_the_value(value, divisor, extents):
    coarse, unit, fine = apart(value, divisor, extents)

    assert divisor % unit == 0
    assert coarse.times(unit).plus(fine) == value
    low, high = range_of(fine, extents)
    assert 0 <= low <= high < unit or fine == ZERO


def test_what_lies_within_a_unit_is_kept_out_of_a_division_at_run_time():
    value = make_affine([(0, 12), (1, 3), (2, 1)], 0)
    assert divide(value, 9, [3, 4, 3]) is None
    assert apart(value, 9, [3, 4, 3]) == (
        make_affine([(0, 4), (1, 1)], 0),
        3,
        make_affine([(2, 1)], 0),
    )


def test_division_of_a_merged_loop_asks_for_its_split():
    merged = Affine(((0, 1),), 0)

    assert divide(merged, 4, [12]) == Split(0, 4)


def test_dot_is_the_linear_offset():
    indices = [Affine(((0, 1),), 1), Affine(((1, 2),), 0)]

    assert dot(indices, [10, 3], 5) == Affine(((0, 10), (1, 6)), 15)
