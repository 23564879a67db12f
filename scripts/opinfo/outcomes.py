"""What is recorded of one triple, as data.

In: nothing.   Out: `Case`, which names a triple, and `Result`, which tells what became of it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec


class Variant(enum.Enum):
    """Which form of an op is called."""

    FUNCTION = "function"
    INPLACE = "in place"
    OUT = "out="
    GRADIENT = "gradient"
    """The function, and the gradients of its results by all arguments that can have one."""
    ERROR = "error"
    """The function, with arguments that it must refuse."""


class Outcome(enum.Enum):
    """What became of a triple."""

    PASSED = "passed"
    EAGER_RAISED = "eager raised"
    """Eager does not take this sample; it says nothing about the compiler."""
    WRONG = "wrong"
    """Another value, dtype, shape, layout or effect than eager's, and no error: the worst that can happen."""
    NO_ERROR = "no error"
    """Eager raises and the compiled function does not."""
    OTHER_ERROR = "other error"
    """Both raise, of another type or with another text."""
    REFUSED = "refused"
    """`gw.errors.Unsupported`: it cannot be captured."""
    RAISED = "raised"
    """Any other exception where eager raises none."""
    NOT_COMPILED = "not compiled"
    """The result is right, but eager made it."""
    RECOMPILED = "recompiled"
    """An equal second call was compiled anew."""
    CRASHED = "crashed"
    TIMED_OUT = "timed out"


FAILURES: Final = frozenset(Outcome) - {Outcome.PASSED, Outcome.EAGER_RAISED}
"""The outcomes that count against the compiler."""


class Case(msgspec.Struct, frozen=True, tag="case"):
    """A triple: one sample of one op for one dtype, in one form of the op."""

    op: str
    dtype: str
    variant: Variant
    sample: int
    """Position among the samples that the database gives for the op and dtype."""


class Errors(msgspec.Struct, frozen=True):
    """The largest errors of the elements of one result, in ulps of its dtype (see `accuracy.py`)."""

    ours: float
    eager: float


class Result(msgspec.Struct, frozen=True, tag="result"):
    """What became of a triple."""

    case: Case
    outcome: Outcome
    detail: str = ""
    """What differs, or the exception, in one text."""
    first_call_ms: float = 0.0
    """The compiled function's first call, compile included."""
    num_kernels: int = 0
    externs: tuple[str, ...] = ()
    """The overloads that the plan calls, in order; told for the form that is a function."""
    late_calls: tuple[str, ...] = ()
    """The functions that are called once the graph has run."""
    errors: Errors | None = None
    """How far the values are from the exact ones; None where that was not measured."""


Line = Case | Result
"""What a line of a results file holds: a case when it begins, its result when it ends."""


def samples_line(results: Sequence[Result]) -> str:
    """Tell how many samples were run."""
    most = _most_samples(results, is_gradient=False)
    most_gradients = _most_samples(results, is_gradient=True)
    gradients = f", and {most_gradients} of each for gradients" if most_gradients else ""
    return f"At most {most} samples of each op and dtype were run{gradients}.\n"


def _most_samples(results: Sequence[Result], *, is_gradient: bool) -> int:
    taken = {
        (result.case.op, result.case.dtype, result.case.sample)
        for result in results
        if result.case.variant is not Variant.ERROR
        and (result.case.variant is Variant.GRADIENT) == is_gradient
    }
    return max(Counter((op, dtype) for op, dtype, _ in taken).values(), default=0)


def read_results(path: Path) -> Iterator[Result]:
    """Give the results of a file."""
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as lines:
        for line in lines:
            item = decoder.decode(line)
            if isinstance(item, Result):
                yield item
