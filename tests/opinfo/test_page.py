"""What the page of operators tells of results."""

from opinfo.known_failures import IN_SLICE
from opinfo.outcomes import Case, Outcome, Result, Variant
from opinfo.page import render_page


def result(op, variant, sample, outcome=Outcome.PASSED, detail=""):
    return Result(Case(op, "float32", variant, sample), outcome, detail)


def test_page_gives_the_reason_that_is_known_and_else_what_differs():
    text = render_page(
        [
            result("as_strided.partial_views", Variant.FUNCTION, 0, Outcome.WRONG, "another value"),
            result("as_strided.partial_views", Variant.INPLACE, 0, Outcome.REFUSED, "Unsupported"),
        ]
    )

    reason = IN_SLICE["as_strided.partial_views", "in place"]
    assert "1 × function, wrong: another value" in text
    assert f"1 × in place, refused: {reason}" in text


def test_page_counts_samples_and_those_of_gradients_but_not_errors():
    text = render_page(
        [
            *[result("sin", Variant.FUNCTION, number) for number in (0, 4, 9)],
            result("sin", Variant.OUT, 9),
            *[result("sin", Variant.GRADIENT, number) for number in (0, 4)],
            *[result("sin", Variant.ERROR, number) for number in range(8)],
        ]
    )

    assert "At most 3 samples of each op and dtype were run, and 2 of each for gradients." in text
