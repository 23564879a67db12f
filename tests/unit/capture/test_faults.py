"""A bug of the interpreter's own is told apart from what the program raises: the program's handlers never see it."""

from __future__ import annotations

import inspect
import sys
import warnings
from pathlib import Path

import pytest
import torch

import graphwright as gw
from graphwright import capture
from graphwright.base.errors import InternalError, Unsupported
from graphwright.capture import CaptureOptions, capture_call, make_code_table
from graphwright.capture.assembly import OPCODES
from graphwright.capture.instructions import Op
from graphwright.capture.rules import collections as collection_rules
from graphwright.ir.recipes import FromConstant
from graphwright.ir.sources import PlainConst

PROGRAM = """
def program(x, items):
    try:
        total = x
        for item in items:
            total = total + item
        if len(items) > 1:
            total = -total
        pair = [total, {"n": items[0]}]
    except Exception:
        return "swallowed"
    return pair
"""

BUGS = {
    "missing attribute": "frame_or_args.nothing_like_it",
    "missing key": "{}[1]",
    "missing item": "[][0]",
    "unknown name": "nothing_like_it",
    "wrong call": "machine.world()",
    "wrong arguments": "len()",
    "unpacking": "(lambda a: (lambda b, c: None)(*a))([1])",
    "arithmetic": "1 + None",
}

USED = (
    Op.LOAD_FAST, Op.STORE_FAST, Op.GET_ITER, Op.FOR_ITER, Op.BINARY_OP, Op.LOAD_GLOBAL, Op.CALL, Op.COMPARE_OP,
    Op.POP_JUMP_IF_FALSE, Op.UNARY_OP, Op.BUILD_LIST, Op.BUILD_MAP, Op.LOAD_CONST, Op.JUMP,
)  # fmt: skip
"""Opcodes that the program has inside its `try`."""


FAILING_PROGRAM = """
def program(x):
    x = x + 1
    raise ValueError(x)
"""


def make_program(source=PROGRAM):
    namespace = {"__name__": "program_of_a_test"}
    exec(compile(source, "<program of a test>", "exec"), namespace)
    return namespace["program"]


def broken(body):
    """Make an opcode or rule with a bug, which lies where the interpreter's own code lies."""
    place = str(Path(capture.__file__).parent / "opcodes" / "broken.py")
    namespace = {}
    source = f"def broken(machine, frame_or_args, arg):\n    {body}\n"
    exec(compile(source, place, "exec"), namespace)
    return namespace["broken"]


@pytest.fixture
def break_opcode():
    """Give a function that puts a bug in an opcode's place until the test ends."""
    kept = list(OPCODES)

    def replace(op, body):
        OPCODES[op] = broken(body)

    yield replace
    OPCODES[:] = kept


def capture_program(function, *args):
    return capture_call(function, args, {}, options=CaptureOptions(codes=make_code_table()))


@pytest.mark.parametrize("op", USED, ids=lambda op: op.name)
def test_bug_in_an_opcode_is_no_exception_of_the_program(break_opcode, op):
    break_opcode(op, BUGS["missing attribute"])

    with pytest.raises(InternalError, match=r"AttributeError.*broken\.py:2"):
        capture_program(make_program(), torch.ones(2), [1, 2])


@pytest.mark.parametrize("bug", list(BUGS))
def test_every_kind_of_bug_is_recognised(break_opcode, bug):
    break_opcode(Op.BINARY_OP, BUGS[bug])

    with pytest.raises(InternalError, match="the interpreter failed while it captured <program"):
        capture_program(make_program(), torch.ones(2), [1, 2])


@pytest.mark.parametrize("body", ["assert arg is machine, 'why'", "assert not machine"])
def test_failed_assertion_of_the_interpreter_is_a_bug(break_opcode, body):
    break_opcode(Op.BINARY_OP, body)

    with pytest.raises(InternalError, match="AssertionError"):
        capture_program(make_program(), torch.ones(2), [1, 2])


def test_bug_in_a_rule_is_no_exception_of_the_program(monkeypatch):
    monkeypatch.setitem(collection_rules.RULES, len, broken("return frame_or_args[7]"))

    with pytest.raises(InternalError, match="IndexError"):
        capture_program(make_program(), torch.ones(2), [1, 2])


def test_bug_in_an_operation_is_no_exception_of_the_program(monkeypatch):
    monkeypatch.setattr("graphwright.capture.protocols.is_read_container", None)

    with pytest.raises(InternalError, match=r"'NoneType' object is not callable \(protocols\.py"):
        capture_program(make_program(), torch.ones(2), [1, 2])


def test_raise_statement_of_an_opcode_is_the_programs(break_opcode):
    break_opcode(Op.BINARY_OP, "raise ValueError('as CPython does')")

    captured = capture_program(make_program(), torch.ones(2), [1, 2])

    assert captured.program.result == FromConstant(PlainConst("swallowed"))


def test_what_native_operations_raise_is_the_programs():
    captured = capture_program(make_program(), torch.ones(2), ["text"])

    assert captured.program.result == FromConstant(PlainConst("swallowed"))


def test_bug_is_reported_and_breaks_the_graph(break_opcode):
    break_opcode(Op.BINARY_OP, BUGS["missing key"])
    function = make_program()
    compiled = gw.compile(function)
    gw.counters.clear()

    with (
        gw.config.patch(strict=False, disk_cache=False),
        warnings.catch_warnings(record=True) as notices,
    ):
        warnings.simplefilter("always")
        found = compiled(torch.ones(2), [1, 2])

    assert torch.equal(found[0], function(torch.ones(2), [1, 2])[0])
    counted = gw.counters["capture"]
    assert counted["internal_failures"] > 0
    assert counted["graph_breaks"] > 0
    assert "this is a bug of graphwright's" in str(notices[0].message)


def test_strict_raises_even_where_eager_raises_too(break_opcode):
    break_opcode(Op.BINARY_OP, BUGS["missing key"])
    compiled = gw.compile(make_program(FAILING_PROGRAM))

    with gw.config.patch(strict=True, disk_cache=False), pytest.raises(InternalError):
        compiled(torch.ones(2))


def recurse(x, depth):
    try:
        return x if depth == 0 else recurse(x, depth - 1)
    except RecursionError:
        return "too deep"


def test_program_does_not_see_that_the_interpreter_needs_more_stack():
    with pytest.raises(Unsupported, match="a recursion this deep"):
        capture_program(recurse, torch.ones(2), sys.getrecursionlimit() // 3)


@pytest.mark.parametrize("depth", [100, 200, 300, 900])
def test_recursion_too_deep_to_be_captured_needs_no_more_stack_than_eager(depth):
    def deepen(x, depth):
        return x if depth == 0 else deepen(x + 1, depth - 1)

    def program(x):
        return deepen(x * 2, depth) * 2

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 1000 + len(inspect.stack())))
    try:
        for _ in range(2):
            assert gw.compile(program)(torch.ones(2)).tolist() == [2 * depth + 4] * 2
    finally:
        sys.setrecursionlimit(limit)
