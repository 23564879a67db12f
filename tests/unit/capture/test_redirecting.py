"""Code whose calls go elsewhere does what the original does, and calls what it is given."""

from __future__ import annotations

import types
from typing import Any

import pytest
from single_steps import CASE_FILE, Outcome, outcome_of

from graphwright.capture.redirecting import make_redirecting_code

CASES = {
    "calls of every kind": """
class A:
    def __init__(self, x):
        self.x = x
    def m(self, *args, **kwargs):
        return self.x, args, kwargs
    @property
    def p(self):
        return self.m

class B(A):
    def __init__(self):
        super().__init__(5)
    def m(self, *args):
        return super().m(*args, k=1)

def f(x=1, more=(2, 3), named={"z": 4}):
    a, b = A(x), B()
    a.own = lambda *args: args
    return [a.m(), a.m(x), a.m(x, k=x), a.m(*more), a.m(*more, **named), a.m(x, *more, k=2, **named),
            b.m(1), a.own(), a.own(x), a.p(x), A.m(a, x), "x".join(["a", "b"]).upper(), [str(i) for i in more]]
""",
    "exceptions out of calls": """
def g(x):
    raise ValueError(x)

def f(x=1):
    found = []
    for i in range(3):
        try:
            found.append(
                g(
                    i))
        except ValueError as error:
            found.append(str(error))
        finally:
            found.append(len(found))
    return g(found)
""",
    "frames that are looked at": """
def f(x=1, y=2):
    z = [x]
    z.append(y)
    return sorted(locals()), eval("x + y"), dir()
""",
    "closures and generators": """
def f(n=3):
    count = 0
    def add(by):
        nonlocal count
        count += by
        return count
    def steps():
        for i in range(n):
            yield add(i)
    return list(steps()), [add(k) for k in steps()], {**dict(a=add(1))}
""",
    "a wrong call": """
def g(a, *, k):
    return a

def f(x=1):
    return g(x, x)
""",
}


def run(source: str, redirect: Any = None) -> Outcome:
    """Run `f` of a case, its calls redirected or not."""
    space: dict[str, Any] = {"__name__": "case"}
    exec(compile(source, CASE_FILE, "exec"), space)
    function = space["f"]
    if redirect is not None:
        code = make_redirecting_code(function.__code__, redirect)
        function = types.FunctionType(code, space, "f", function.__defaults__)
    outcome = outcome_of(function)
    return Outcome(repr(outcome.value), outcome.raised)


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_calls_that_go_to_the_same_do_the_same(source: str) -> None:
    called: list[object] = []

    def redirect(function: object) -> object:
        called.append(function)
        return function

    assert run(source, redirect) == run(source)
    assert called


def test_the_function_that_is_given_is_called() -> None:
    source = "def g(x):\n return 1\ndef f(x=2):\n return g(x), g(x=x), g(*[x]), max(x, 3)"

    def redirect(function: Any) -> Any:
        return (lambda x: x * 10) if function.__name__ == "g" else function

    assert run(source, redirect).value == "(20, 20, 20, 3)"
