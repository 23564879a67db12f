"""Run a program compiled and plain, in one graph, and compare what it gives.

In: a function, and the arguments of one call.   Out: an AssertionError that names what differs; nothing when all is the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from program_cases import Call, Case, Fresh, check_case

import graphwright as gw

TIMES = 2
"""The second call is served by the program that the first one made."""


def same(program: Callable[..., Any], *args: Any) -> None:
    """Check that a program captured in one graph does what the plain one does, each time with arguments of its own."""
    fresh = tuple(Fresh(lambda value=value: copy.deepcopy(value)) for value in args)
    calls = (Call(fresh, {}),) * TIMES
    case = Case(program.__qualname__, lambda: (program, None), calls, is_one_graph=True)
    check_case(case, lambda function, _: gw.compile(function, fullgraph=True, backend="aten"))
