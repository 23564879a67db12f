"""Programs compiled with symbolic sizes and ints do what eager does, for the sizes they were written for and for random others."""

import dataclasses
import random
import warnings

import pytest
from program_cases import Call, Case, Compiles, TensorSpec, check_case
from program_suite import all_cases

import graphwright as gw

CASES = all_cases()
NUM_VARIATIONS = 3
SIZES = range(1, 8)


def varied(value, sizes):
    """Give a specification with other extents: those that were alike stay alike."""
    if isinstance(value, TensorSpec):
        shape = tuple(sizes.setdefault(extent, extent) for extent in value.shape)
        return dataclasses.replace(value, shape=shape)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(varied(item, sizes) for item in value))
    if type(value) in (tuple, list):
        return type(value)(varied(item, sizes) for item in value)
    if type(value) is dict:
        return {key: varied(item, sizes) for key, item in value.items()}
    return value


def variations(case):
    """Give the calls of a case, then again with sizes drawn at random."""
    draw = random.Random(case.name)
    calls = [dataclasses.replace(step, compiles=Compiles.ANYTHING) for step in case.calls]
    for _ in range(NUM_VARIATIONS):
        sizes = {size: draw.choice(SIZES) for size in range(2, 65)} | {0: 0, 1: 1}
        calls += [
            Call(varied(step.args, sizes), varied(dict(step.kwargs), sizes), under=step.under)
            for step in case.calls
        ]
    return dataclasses.replace(case, calls=tuple(calls))


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_program_with_symbolic_sizes_does_what_eager_does(case: Case) -> None:
    with warnings.catch_warnings(), gw.config.patch(recompile_limit=100):
        # Some sizes make eager warn (a deviation of one number), as often as it is run.
        warnings.simplefilter("ignore", UserWarning)
        check_case(
            variations(case),
            lambda function, is_one_graph: gw.compile(
                function, fullgraph=is_one_graph, dynamic=True
            ),
        )
