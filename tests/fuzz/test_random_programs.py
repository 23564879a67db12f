"""Random programs do what eager does, over calls with changed arguments.

A longer run by hand: `GRAPHWRIGHT_FUZZ_EXAMPLES=5000 pytest tests/fuzz/test_random_programs.py`.
"""

from __future__ import annotations

import linecache
import os
import sys
import types

from hypothesis import HealthCheck, given, note, settings
from program_cases import Call, Case, call, check_case, t
from random_programs import programs

import graphwright as gw

NUM_EXAMPLES = int(os.environ.get("GRAPHWRIGHT_FUZZ_EXAMPLES", "60"))

CALLS: tuple[Call, ...] = (
    call(t(2, 3), t(2, 3), 2, True),
    call(t(2, 3), t(2, 3), 2, True),
    call(t(2, 3), t(2, 3), 3, False),
    call(t(2, 3), t(2, 3), 2, True),
)


def load(source: str) -> types.ModuleType:
    """Make a module of the source, whose lines tracebacks can show."""
    name = "program_topics_random"
    module = types.ModuleType(name)
    module.__file__ = f"<{name}>"
    sys.modules[name] = module
    linecache.cache[module.__file__] = (
        len(source),
        None,
        source.splitlines(keepends=True),
        module.__file__,
    )
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    return module


@settings(
    max_examples=NUM_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
@given(programs())
def test_random_program_does_what_eager_does(source: str) -> None:
    note(source.partition("def program")[2])

    program = load(source).program

    case = Case("random", lambda: (program, None), CALLS, is_one_graph=False)

    check_case(case, lambda function, _: gw.compile(function, backend="aten"))
