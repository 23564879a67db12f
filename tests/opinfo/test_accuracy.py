"""How errors are measured."""

import pytest
import torch

from opinfo.accuracy import FACTOR, errors_of, ratio_of, render_accuracy, worst_ulps
from opinfo.outcomes import Case, Errors, Outcome, Result, Variant

NARROW = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_rounded_value_is_off_by_half_an_ulp_at_most(dtype):
    torch.manual_seed(0)
    exact = torch.randn(1000, dtype=torch.float64)

    assert 0.25 < worst_ulps(exact.to(dtype), exact) <= 0.5


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_neighbour_of_a_value_is_off_by_one_ulp(dtype):
    exact = torch.tensor([1.5, 3.0, 1000.0], dtype=torch.float64)
    values = exact.to(dtype)

    assert worst_ulps(torch.nextafter(values, values + 1e4), exact) == 1


def test_tiny_element_counts_in_the_ulps_of_large_ones():
    exact = torch.tensor([1024.0, 1e-9], dtype=torch.float64)

    assert worst_ulps(torch.tensor([1024.0, 0.0]), exact) < 0.01


@pytest.mark.parametrize(
    ("values", "exact", "is_right"),
    [
        (float("nan"), float("nan"), True),
        (float("inf"), float("inf"), True),
        (float("inf"), 1e300, True),
        (float("nan"), 1.0, False),
        (1.0, float("nan"), False),
        (float("inf"), 1.0, False),
        (float("inf"), float("-inf"), False),
        (1.0, float("inf"), False),
    ],
)
def test_values_that_are_not_finite_are_right_or_wrong(values, exact, is_right):
    error = worst_ulps(torch.tensor([values]), torch.tensor([exact], dtype=torch.float64))

    assert (error == 0) if is_right else (error > 1e9)


def test_parts_of_complex_numbers_are_measured():
    exact = torch.tensor([1 + 1j], dtype=torch.complex128)
    values = exact.to(torch.complex64) + 2.0**-22 * 1j

    assert worst_ulps(values, exact) == 2
    assert worst_ulps(values.conj(), exact.conj()) == 2


def test_worst_of_several_results_counts():
    exact = (torch.ones(2, dtype=torch.float64), torch.zeros(2))
    off = (torch.ones(2) + 2.0**-23, torch.zeros(2))

    assert errors_of(off, (torch.ones(2), torch.zeros(2)), exact) == Errors(1, 0)
    assert errors_of(torch.ones(2).bool(), torch.ones(2).bool(), torch.ones(2).bool()) is None


def test_small_error_of_eager_counts_as_one_ulp():
    assert ratio_of(Errors(1.5, 0.1)) == 1.5
    assert ratio_of(Errors(6, 2)) > FACTOR


def test_page_marks_what_is_worse_than_eager():
    def result(op, sample, errors):
        case = Case(op, "float32", Variant.FUNCTION, sample)
        return Result(case, Outcome.PASSED, errors=errors)

    text = render_accuracy(
        [
            result("sin", 0, Errors(0.5, 0.6)),
            result("sin", 1, Errors(0.7, 0.5)),
            result("cos", 0, Errors(9, 1)),
        ]
    )

    assert "| `sin` | 0.7 / 0.6 |" in text
    assert "| `cos` | **9 / 1** |" in text
    assert "| float32 | 2 | 1 | 0 | 9.00 (`cos`) |" in text
