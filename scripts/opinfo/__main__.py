"""The command line: `python -m opinfo run`, `python -m opinfo page` and `python -m opinfo accuracy`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from opinfo.accuracy import FACTOR, ratio_of, render_accuracy, worst_by_op
from opinfo.cases import Budget
from opinfo.outcomes import FAILURES, Result, Variant, read_results
from opinfo.page import render_page
from opinfo.run import run, write_results


def main() -> int:
    """Run the triples or write the page."""
    parser = argparse.ArgumentParser(prog="opinfo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="run triples and keep their results")
    runs.add_argument("results", type=Path, help="file of results, written anew")
    runs.add_argument("--samples", type=int, default=0, help="at most so many a dtype; 0 is all")
    runs.add_argument("--dtypes", nargs="*", default=(), help="names; none is all")
    runs.add_argument(
        "--variants", nargs="*", type=Variant, default=tuple(Variant), help="forms of the ops"
    )
    runs.add_argument("--ops", nargs="*", default=(), help="names of database entries; none is all")
    runs.add_argument("--slice", action="store_true", help="the fixed slice that the tests run")
    runs.add_argument("--part", default="0/1", help="i/n: only every n-th op, from the i-th on")
    runs.add_argument("--jobs", type=int, default=1, help="processes at a time")
    accuracy = commands.add_parser("accuracy", help="write the page of accuracy from results")
    accuracy.add_argument("results", type=Path)
    accuracy.add_argument("page", type=Path)
    page = commands.add_parser("page", help="write the page of operators from results")
    page.add_argument("results", type=Path)
    page.add_argument("page", type=Path)
    given = parser.parse_args()
    # The database reads the command line of the process when it is imported.
    del sys.argv[1:]
    if given.command == "page":
        given.page.write_text(render_page(list(read_results(given.results))), "utf-8")
        return 0
    if given.command == "accuracy":
        return _write_accuracy(given)
    return _run(given)


def _write_accuracy(given: argparse.Namespace) -> int:
    results = list(read_results(given.results))
    given.page.write_text(render_accuracy(results), "utf-8")
    worse = [
        f"{op} {dtype}: {errors.ours:.3g} ulps, eager {errors.eager:.3g}\n"
        for op, by_dtype in worst_by_op(results).items()
        for dtype, errors in by_dtype.items()
        if ratio_of(errors) > FACTOR
    ]
    sys.stdout.writelines(worse)
    return int(bool(worse))


def _run(given: argparse.Namespace) -> int:
    part, parts = map(int, given.part.split("/"))
    counts: Counter[str] = Counter()
    given.results.unlink(missing_ok=True)
    keep = write_results(given.results)

    def on_results(results: Sequence[Result]) -> None:
        keep(results)
        counts.update(result.outcome.value for result in results)

    run(
        lambda position, name: position % parts == part and (not given.ops or name in given.ops),
        Budget(given.samples, tuple(given.dtypes), tuple(given.variants), is_slice=given.slice),
        num_jobs=given.jobs,
        on_results=on_results,
    )
    for name, number in counts.most_common():
        sys.stdout.write(f"{number:8,}  {name}\n")
    return int(any(counts[outcome.value] for outcome in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
