"""The page of operators, made from results.

In: the results of a run.   Out: Markdown: counts, then one row an op with how it is compiled and what fails.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from opinfo.calls import reason_of_call
from opinfo.known_failures import reason_of
from opinfo.outcomes import FAILURES, Outcome, Result, Variant, samples_line

_HEAD: Final = """# Operators

PyTorch's operator database (`op_db`, which is part of its wheel), run through `gw.compile(fullgraph=True)` against eager.
A triple is one sample of one op for one dtype; it passes when values, dtypes, shapes, strides, aliasing, effects on the
arguments and, for arguments that an op refuses, the errors are eager's. Written by `make opinfo`.
"""
_MAX_REASON: Final = 110


def render_page(results: Sequence[Result]) -> str:
    """Render the page."""
    counted = [result for result in results if result.outcome is not Outcome.EAGER_RAISED]
    by_op: Mapping[str, list[Result]] = defaultdict(list)
    for result in counted:
        by_op[result.case.op].append(result)
    lines = [_HEAD, samples_line(results), *_totals(counted), "", "## Each op", ""]
    lines += [
        "“Own” is code that graphwright makes, or a view; in brackets for how many of the samples, where not for all. The ops named after",
        "it are calls of ATen, with the reason for them. A late call is one whose result's size or value depends on values: it is made",
        "once the graph has run, and what follows from it cannot be part of the program.",
    ]
    lines += [
        "",
        "| op | compiled as | triples | pass | what fails |",
        "| --- | --- | --- | --- | --- |",
    ]
    for op, of_op in by_op.items():
        failures = [result for result in of_op if result.outcome in FAILURES]
        num_passed = len(of_op) - len(failures)
        reasons = "<br>".join(_reasons(failures))
        lines.append(f"| `{op}` | {_how(of_op)} | {len(of_op)} | {num_passed} | {reasons} |")
    return "\n".join(lines) + "\n"


def _totals(results: Sequence[Result]) -> Iterator[str]:
    yield "| form | triples | " + " | ".join(outcome.value for outcome in _SHOWN) + " |"
    yield "| --- | --- | " + " | ".join("---" for _ in _SHOWN) + " |"
    for variant in (*Variant, None):
        counts = Counter(
            result.outcome
            for result in results
            if variant is None or result.case.variant is variant
        )
        cells = " | ".join(f"{counts[outcome]:,}" for outcome in _SHOWN)
        name = "all" if variant is None else variant.value
        yield f"| {name} | {counts.total():,} | {cells} |"


_SHOWN: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.EAGER_RAISED)


def _how(results: Sequence[Result]) -> str:
    passed = [
        result
        for result in results
        if result.outcome is Outcome.PASSED and result.case.variant is Variant.FUNCTION
    ]
    if not passed:
        return "—"
    num_own = sum(not result.externs and not result.late_calls for result in passed)
    parts = (
        []
        if not num_own
        else ["own" if num_own == len(passed) else f"own ({num_own} of {len(passed)})"]
    )
    dtypes: Mapping[str, set[str]] = defaultdict(set)
    for result in passed:
        for name in result.externs:
            dtypes[name].add(result.case.dtype)
    reasons = {
        name: reason_of_call(name, dtypes[name], is_own_else=num_own > 0) for name in sorted(dtypes)
    }
    parts += [f"`{name}` ({reason})" for name, reason in reasons.items()]
    late = sorted({name for result in passed for name in result.late_calls})
    parts += [f"`{name}`, called late" for name in late]
    return ", ".join(parts)


def _reasons(failures: Sequence[Result]) -> Iterator[str]:
    counts: Counter[tuple[Variant, Outcome, str]] = Counter(
        (result.case.variant, result.outcome, reason_of(result.case) or _short(result.detail))
        for result in failures
    )
    for (variant, outcome, text), number in counts.most_common(3):
        yield f"{number} × {variant.value}, {outcome.value}: {text}"
    if len(counts) > 3:
        yield f"{len(counts) - 3} more reasons"


def _short(text: str) -> str:
    clean = text.replace("|", "\\|").replace("`", "")
    return clean if len(clean) <= _MAX_REASON else clean[: _MAX_REASON - 1] + "…"
