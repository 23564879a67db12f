"""Every program of the topics, compiled, does what eager does: values, aliasing, mutations, exceptions, random numbers."""

import warnings

import pytest
from program_cases import Case, check_case
from program_suite import all_cases

import graphwright as gw

CASES = all_cases()


def _compiles_so_far() -> int:
    """Count programs that were captured, or found in a cache."""
    return gw.counters["capture"]["frames"] + gw.counters["program_cache"]["hit"]


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_compiled_program_does_what_eager_does(case: Case) -> None:
    with warnings.catch_warnings():
        if not case.is_one_graph:  # then a notice that it runs eagerly is in order
            warnings.simplefilter("ignore", gw.errors.GraphwrightWarning)
        check_case(
            case,
            lambda function, is_one_graph: gw.compile(function, fullgraph=is_one_graph),
            _compiles_so_far,
        )


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_torch_level_graph_does_what_eager_does(case: Case) -> None:
    with warnings.catch_warnings():
        if not case.is_one_graph:
            warnings.simplefilter("ignore", gw.errors.GraphwrightWarning)
        check_case(
            case,
            lambda function, is_one_graph: gw.compile(
                function, fullgraph=is_one_graph, backend="eager"
            ),
        )


def test_suite_has_several_hundred_programs() -> None:
    assert len(CASES) >= 300
