"""Random programs do what eager does, over calls with changed arguments.

A longer run by hand, of other programs each time: `make fuzz`, or `FUZZ_EXAMPLES=5000 pytest tests/fuzz/test_random_programs.py`.
"""

from __future__ import annotations

import itertools
import linecache
import os
import sys
import types
import warnings
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from program_cases import MADE_TWICE, Call, Case, after, call, check_case, t
from random_programs import programs

import graphwright as gw

NUM_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "120"))

CALLS: tuple[Call, ...] = (
    call(t(2, 3), t(2, 3), 2, True),
    call(t(2, 3), t(2, 3), 2, True),
    call(t(2, 3), t(2, 3), 3, False),
    after(lambda module: change(module.STATE), call(t(2, 3), t(2, 3), 2, True)),
    call(t(2, 3), t(2, 3), 2, True),
    after(lambda module: setattr(module, "COUNT", 3), call(t(2, 3), t(2, 3), 2, True)),
)


def change(state: Any) -> None:
    """Change what a program keeps, between two calls."""
    state.count += 2
    state.table["c"] = state.count
    state.items.append(state.box.value)
    state.box.size = 5


def load(source: str, number: int) -> types.ModuleType:
    """Make a module of the source, whose lines tracebacks can show."""
    name = f"{MADE_TWICE}_{number}"
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


class Kept:
    """What a program keeps from call to call, as attributes that are compared."""

    def __init__(self, module: types.ModuleType) -> None:
        object.__setattr__(self, "_module", module)

    @property
    def STATE(self) -> Any:
        return self._module.STATE

    @property
    def __dict__(self) -> dict[str, Any]:
        return {"STATE": vars(self._module.STATE), "COUNT": self._module.COUNT}

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


@settings(
    max_examples=NUM_EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
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

    numbers = itertools.count()

    def make() -> tuple[Any, Any]:
        module = load(source, next(numbers))
        return module.program, Kept(module)

    case = Case("random", make, CALLS, is_one_graph=False)

    with gw.config.patch(strict=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", gw.errors.GraphwrightWarning)
        check_case(case, lambda function, _: gw.compile(function, backend="aten"))
