"""Binding gives what CPython gives, errors included."""

import inspect

import pytest

from graphwright.capture.binding import bind
from graphwright.capture.guards import Guards
from graphwright.capture.session import make_code_table
from graphwright.capture.world import World

SIGNATURES = [
    "a",
    "a, b",
    "a, b=2",
    "a, /, b=2",
    "a, /, b, *, c",
    "a=1, *args",
    "*args, c",
    "a, *, c=3, d",
    "a, b=2, **kw",
    "a, /, **kw",
    "*args, c=3, **kw",
    "",
]
CALLS = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3), {}),
    ((), {"a": 1}),
    ((1,), {"a": 1}),
    ((1,), {"b": 5}),
    ((1,), {"c": 5}),
    ((1, 2), {"c": 5, "d": 6}),
    ((), {"b": 1, "a": 2}),
    ((1,), {"zzz": 1}),
    ((1, 2, 3), {"c": 4, "zzz": 1}),
]


def _outcome(run):
    try:
        return run(), None
    except TypeError as error:
        return None, error


class StaticInputs:
    """Leaves all values as they are."""

    def int_symbol(self, value, source):
        return None


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
@pytest.mark.parametrize("signature", SIGNATURES)
def test_binding_gives_what_a_call_gives(signature, args, kwargs):
    space = {}
    exec(f"def f({signature}): return locals()", space)
    function = space["f"]
    world = World(Guards(lambda: None), StaticInputs())
    info = make_code_table().info(function.__code__)
    expected, expected_error = _outcome(lambda: function(*args, **kwargs))

    slots, error = _outcome(lambda: bind(world, function, info, args, kwargs))

    assert str(error) == str(expected_error)
    assert slots == expected
    assert slots is None or set(slots) == set(inspect.signature(function).parameters)
