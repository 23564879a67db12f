"""Entering code in the middle: whole functions, run one instruction at a time, do what they do at once."""

from __future__ import annotations

import dis
import importlib
import itertools
import sys
import types
from collections.abc import Iterator
from types import CodeType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from single_steps import CASE_FILE, LEAVE, Outcome, Stepper, outcome_of
from stack_effects import stack_depths

from graphwright.base.errors import InternalError, Unsupported
from graphwright.capture.decode import FIRST_PSEUDO_OPCODE, decode, iter_raw_handlers
from graphwright.capture.entering import (
    SLOT_OPCODES,
    SLOT_PAIR_OPCODES,
    make_entry_code,
    make_step_code,
)
from graphwright.capture.instructions import Op
from graphwright.capture.liveness import live_slots
from graphwright.capture.places import Place, exits_of, first_of_raw
from graphwright.capture.rewriting import Protected, assemble, raw_instructions
from graphwright.ir.program import StackItem

CASES = {
    "arithmetic": """
def f(x=3, y=4):
    z = x * y - -x
    z += ~y
    return [z, (x, y), {x: y}, {z}, x[0:2] if z < 0 else z]
""",
    "nested loops": """
def f(n=3):
    found = []
    for i in range(n):
        for j in range(i):
            if j == 1:
                continue
            found.append((i, j))
        else:
            found.append(i)
    while n:
        n -= 1
        if n == 1:
            break
    else:
        found.append("never")
    return found, n
""",
    "loop left from inside": """
def f(n=5):
    for i in range(n):
        for j in [i, i + 1]:
            if i * j > 5:
                return i, j, n
""",
    "with": """
class Manager:
    def __init__(self, log, swallows):
        self.log, self.swallows = log, swallows
    def __enter__(self):
        self.log.append("enter")
        return self
    def __exit__(self, *error):
        self.log.append(("exit", error[0]))
        return self.swallows

def f(x=1):
    with Manager(log, True) as a, Manager(log, False):
        a.log.append(x)
        x.missing
    with Manager(log, False) as b:
        x = 2
        return x, a is b
""",
    "with that lets through": """
class Manager:
    def __enter__(self):
        log.append("enter")
    def __exit__(self, *error):
        log.append(error[0])

def f(x=1):
    with Manager():
        return x / 0
""",
    "try, except, else, finally": """
def g(x):
    if x == 2:
        raise ValueError(x)
    if x == 3:
        raise KeyError(x)
    return x

def f():
    for i in range(5):
        try:
            log.append(g(i))
        except ValueError as error:
            log.append(str(error))
            try:
                g(3)
            except LookupError as inner:
                log.append(type(inner.__context__))
        except KeyError:
            log.append("key")
            continue
        else:
            log.append("else")
        finally:
            log.append(("finally", i))
    return i
""",
    "exception out of finally": """
def f(x=0):
    try:
        y = 1 / x
    finally:
        log.append("finally")
        [].pop()
""",
    "exception in a deeper call": """
def g(x):
    return h(x)

def h(x):
    return (x +
            x.missing)

def f(x=1):
    y = [
        x,
        g(
            x
        ),
    ]
    return y
""",
    "raise from": """
def f(x=1):
    try:
        x[0]
    except TypeError as error:
        raise ValueError("no") from error
""",
    "what is being handled": """
def f(x=1):
    import sys
    try:
        x.missing
    except AttributeError:
        log.append(repr(sys.exc_info()[1]))
        try:
            [][x]
        except IndexError as inner:
            log.append((repr(sys.exc_info()[1]), type(inner.__context__)))
        log.append(repr(sys.exc_info()[1]))
        try:
            raise
        except AttributeError as same:
            log.append(same is sys.exc_info()[1])
    log.append(sys.exc_info())
    try:
        raise KeyError(x) from None
    finally:
        log.append(repr(sys.exc_info()[1]))
""",
    "unbound local": """
def f(x=1):
    if x == 2:
        y = 1
    try:
        return y
    except UnboundLocalError as error:
        log.append(str(error))
    del x
    return x
""",
    "closures": """
def f(a=1, b=2):
    count = 0
    def add(by):
        nonlocal count, a
        count += by * b
        a += 1
        return count
    add(a)
    count += 100
    add(3)
    functions = [lambda k=k: (k, count, a) for k in range(2)]
    del b
    return count, a, [function() for function in functions]
""",
    "free variables": """
def outer():
    total, unset = 10, 1
    def f(x=2):
        nonlocal total
        total += x
        later = lambda: total + x + len(__name__)
        total *= 2
        return later(), unset
    return f
f = outer()
""",
    "empty cell": """
def f(x=1):
    def g():
        return y
    try:
        g()
    except NameError as error:
        log.append(str(error))
    y = x
    return g(), y
""",
    "cell variable that is deleted": """
def f(x=1, y=2):
    get = lambda: x + y
    log.append(get())
    del x
    log.append(sorted(locals()))
    try:
        get()
    except NameError as error:
        log.append(str(error))
    x = 5
    log.append(get())
    del x, y
    return x
""",
    "comprehensions": """
def f(n=4):
    a = [i * n for i in range(n) if i % 2]
    b = {i: [j for j in range(i)] for i in range(n)}
    c = {i + n for i in a}
    d = sum(i * j for i in a for j in c)
    e = [lambda: i for i in range(2)]
    i = 7
    return a, b, c, d, [one() for one in e], i
""",
    "comprehension alone": """
f = None
def outer(n=4):
    return [i * n for i in range(n) if i % 2]
""",
    "match": """
class Point:
    __match_args__ = ("x", "y")
    def __init__(self, x, y):
        self.x, self.y = x, y

def g(x):
    match x:
        case 0 | 1:
            return "small"
        case [a, *rest] if a:
            return a, rest
        case {"k": value, **others}:
            return value, others
        case Point(x=0, y=b):
            return b
        case Point(a, b):
            return a, b
        case str() as text:
            return text
        case _:
            return None

def f():
    match [1, {"k": 2, "l": Point(3, 4)}]:
        case [int(n), {"k": 2 as k, "l": Point(x, y=4)}]:
            log.append((n, k, x))
    return [g(x) for x in (0, [1, 2], {"k": 1, "l": 2}, Point(0, 5), Point(1, 2), "text", 1.5)]
""",
    "calls": """
def g(*args, **kwargs):
    return args, tuple(kwargs.items())

def f(a=1, b=(2, 3), c={"k": 4}):
    return [
        g(),
        g(a, b),
        g(a, x=b, y=c),
        g(*b),
        g(a, *b, **c),
        g(*b, a, z=a, **c, **{"w": 1}),
        "x".join(["a", "b"]).upper().split(sep="x"),
        dict(a=1, **c),
        sorted(b, key=lambda one: -one, reverse=False),
    ]
""",
    "wrong calls": """
def g(a, *, k):
    return a

def f(x=1):
    for args, kwargs in [((), {}), ((1, 2), {}), ((1,), {"k": 1}), ((1,), {"l": 2})]:
        try:
            log.append(g(*args, **kwargs))
        except TypeError as error:
            log.append(str(error))
    return g(x, **{"k": 1}, **{"k": 2})
""",
    "parameters of every kind": """
def f(a=1, /, b=2, *args, c=3, d, **kwargs):
    return a, b, args, c, d, kwargs
f.__kwdefaults__ = {"c": 5, "d": 6}
""",
    "methods and super": """
class Base:
    def __init__(self, x):
        self.x = x
    def twice(self, y):
        return self.x * 2 + y
    @property
    def value(self):
        return self.x

class Derived(Base):
    def twice(self, y):
        z = 1
        first = super().twice(y)
        second = super(Derived, self).twice(y=z)
        other = super()
        return first, second, other.twice(3), super().value, __class__.__name__

    def captured(self, y):
        log.append(y)
        get = lambda: self.x
        return get() + super().twice(y)

def f(y=2):
    return Derived(1).twice(y)
""",
    "method at module, class, instance": """
class A:
    def m(self):
        return 1
    @classmethod
    def c(cls):
        return cls.__name__
    @staticmethod
    def s():
        return 3

def f():
    a = A()
    a.own = lambda: 4
    return a.m(), A.m(a), a.c(), A.c(), a.s(), a.own(), a.missing()
""",
    "chained comparisons, and, or, not": """
def f(x=3, y=0, z=[]):
    a = x < 5 < 7 < 6
    b = 0 < x <= 3
    c = x and y or z
    d = not (x or y) or (y and z)
    e = x if z else y
    if x is not None and (y or not z):
        log.append("in")
    if None is None and x in [1, 3] and 4 not in (x, y):
        log.append("and in")
    while y is None or x:
        x -= 1
    return a, b, c, d, e, x
""",
    "truth that raises": """
class Undecided:
    def __bool__(self):
        raise ValueError("undecided")

def f(x=1):
    for which in range(3):
        try:
            if which == 0 and Undecided():
                log.append(1)
            elif which == 1 and not Undecided():
                log.append(2)
            else:
                log.append(3)
        except ValueError as error:
            log.append((which, str(error)))
    return x or Undecided() or x if Undecided() else 1
""",
    "f-strings": """
def f(x=3.14159, name="pi", width=10):
    return f"{name!r:>{width}} = {x:.2f}, {x} {name=} {'nested ' + f'{x!s}'}"
""",
    "starred unpacking": """
def f(x=(1, 2, 3, 4)):
    a, *b, c = x
    (d, e), [g, *h] = (1, 2), "text"
    *i, = x
    first, second = second, first = 1, 2
    log.append([*x, *b, 0])
    a, b = x
""",
    "walrus": """
def f(x=5):
    while (y := x - 1) > 2:
        x = y
        log.append([z := y, z * 2])
    return x, y, z, [last := i for i in range(3)], last
""",
    "globals": """
counter = 1
def f(x=2):
    global counter, fresh
    counter += x
    fresh = counter * 2
    del counter
    log.append(fresh)
    return counter
""",
    "del": """
class Bag:
    pass

def f(x=1):
    items, bag = [1, 2, 3], Bag()
    bag.a = x
    bag.b = 5
    del items[0], bag.a, x
    log.append(vars(bag))
    items[0:1] = [7, 8, 9]
    items[-1] += 1
    bag.b -= 1
    return items, bag.b
""",
    "names of locals": """
def f(a=1, b=2):
    c = [a, b]
    d = None
    log.append(sorted(locals()))
    e = eval("a + b")
    del d
    return sorted(locals().items(), key=str), dir()
""",
    "imports and assertions": """
def f(x=1):
    import os.path as p
    from math import pi, floor as down
    import json
    assert x, "not raised"
    log.append((p.join("a", "b"), down(pi), json.dumps(x)))
    assert not x, f"raised {x}"
""",
    "classes inside": """
def f(x=1):
    y = 2
    @staticmethod
    def decorated(z: int = x, *, k: "str" = "k") -> int:
        return z, k, y
    class Inner(dict):
        a = x
        def m(self):
            return __class__, y
    return decorated(), Inner.a, Inner().m()[1], Inner().m()[0].__name__
""",
    "generator made": """
def f(n=3):
    def g():
        for i in range(n):
            got = yield i
            log.append(got)
    running = g()
    next(running)
    return [running.send("a"), *running]
""",
    "exception at the function's own line": """
def f(x=[]):
    return x[
        0
    ].value
""",
}


def many(count: int, text: str) -> str:
    """Give `text` for each number below `count`."""
    return "".join(text.format(i=i) for i in range(count))


CASES["more than 256 locals, constants and names"] = (
    "def f(x=1):\n"
    + many(300, "    v{i} = {i}.5\n")
    + "    g = lambda: (x, v299, v3)\n"
    + "    try:\n        v299 += v280.real + w\n    except NameError:\n        v299 -= v298\n"
    + "    for k in range(2):\n        v297 += v296\n"
    + "    return g(), v0, v255, v256, v297, v299.imag\n"
)
CASES["long jumps"] = (
    "def f(n=2):\n    t = 0\n    while n:\n        n -= 1\n        for i in range(n):\n"
    + many(45, "            t += {i} if t else i\n")
    + "        try:\n"
    + many(45, "            t = t + {i}.5\n")
    + "            t = t + None\n        except TypeError:\n            t += 1\n"
    + "    return t\n"
)
CASES["a deep stack"] = (
    "def f(x=1):\n    return [" + many(130, "x + {i}, ") + "x.real, f'{x}' * 2]\n"
)
LONG = ("more than 256 locals, constants and names", "long jumps", "a deep stack")


class Case:
    """A case's source, compiled once: the functions of all its runs share their code."""

    def __init__(self, source: str, path: str = "f") -> None:
        self.module = compile(source, CASE_FILE, "exec")
        self.path = path
        self.stepper = Stepper(self._load()[1].__code__)

    def _load(self) -> tuple[dict[str, Any], types.FunctionType]:
        space: dict[str, Any] = {"log": [], "__name__": "case"}
        exec(self.module, space)
        found: Any = space
        for part in self.path.split("."):
            found = found[part] if isinstance(found, dict) else getattr(found, part)
        return space, found

    def _seen(self, space: dict[str, Any], outcome: Outcome) -> tuple[Outcome, str, list[str]]:
        plain = Outcome(repr(outcome.value), outcome.raised)
        return plain, repr(space["log"]), sorted(space)

    def original(self, *args: str) -> Any:
        """Give what the function does at once; `args` are expressions."""
        space, function = self._load()
        values = tuple(eval(arg, space) for arg in args)
        return self._seen(space, outcome_of(lambda: function(*values)))

    def stepped(self, num_steps: int, *args: str) -> tuple[Any, bool]:
        """Give what it does in so many steps and the rest at once, and whether it ended within the steps."""
        space, function = self._load()
        values = tuple(eval(arg, space) for arg in args)
        has_ended = True

        def run() -> Any:
            nonlocal has_ended
            value, has_ended = self.stepper.run(function, values, num_steps)
            return value

        outcome = outcome_of(run)
        return self._seen(space, outcome), has_ended


RUNS = [(name, "f", ()) for name in CASES if name != "comprehension alone"] + [
    ("methods and super", "Derived.twice", ("Derived(1)", "5")),
    ("methods and super", "Derived.captured", ("Derived(1)", "5")),
    ("match", "g", ("Point(0, 5)",)),
    ("match", "g", ("[3, 4]",)),
    ("match", "g", ("{'k': 1}",)),
    ("comprehension alone", "outer", ()),
]


@pytest.mark.parametrize(("name", "path", "args"), RUNS, ids=lambda one: str(one))
def test_single_steps_do_what_the_function_does(
    name: str, path: str, args: tuple[str, ...]
) -> None:
    case = Case(CASES[name], path)

    stepped, _ = case.stepped(10**6, *args)

    assert stepped == case.original(*args)
    assert len(case.stepper.places) > 1


@pytest.mark.parametrize(("name", "path", "args"), RUNS, ids=lambda one: str(one))
def test_the_rest_of_a_function_goes_on_from_anywhere(
    name: str, path: str, args: tuple[str, ...]
) -> None:
    case = Case(CASES[name], path)
    expected = case.original(*args)

    for num_steps in itertools.count(0, 7 if name in LONG else 1):
        stepped, has_ended = case.stepped(num_steps, *args)
        assert stepped == expected, num_steps
        if has_ended:
            break


LIBRARY = ("argparse", "contextlib", "dataclasses", "functools", "inspect", "tarfile", "typing")


def iter_code(code: CodeType) -> Iterator[CodeType]:
    """Give `code` and all code in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from iter_code(constant)


def library_code(name: str) -> list[CodeType]:
    """Give all code of a module of the standard library."""
    module = importlib.import_module(name)
    with open(str(module.__file__), encoding="utf-8") as file:
        return list(iter_code(compile(file.read(), name, "exec")))


@pytest.mark.parametrize("name", LIBRARY)
def test_code_written_anew_is_the_same(name: str) -> None:
    for code in library_code(name):
        handlers = [Protected(*one) for one in iter_raw_handlers(code.co_exceptiontable)]

        made = assemble(
            raw_instructions(code),
            handlers,
            first_line=code.co_firstlineno,
            end_label=len(code.co_code),
        )
        written = code.replace(co_linetable=made.line_table)

        assert made.bytecode == code.co_code
        assert made.exception_table == code.co_exceptiontable
        assert list(written.co_positions()) == list(code.co_positions())
        assert list(written.co_lines()) == list(code.co_lines())


@pytest.mark.parametrize("name", LIBRARY)
def test_codes_for_the_library_have_consistent_stacks(name: str) -> None:
    made = [made for code in library_code(name) for made in _codes_of(code)]

    for code in made:
        assert max(stack_depths(decode(code)).values()) <= code.co_stacksize, code.co_qualname
    assert len(made) > 100


def _codes_of(code: CodeType, every: int = 23) -> Iterator[CodeType]:
    """Give step and entry codes for some of the places that frames of `code` can stand at, all slots passed that are live."""
    decoded = decode(code)
    starts = (Op.MAKE_CELL, Op.COPY_FREE_VARS)
    index = next(i for i, one in enumerate(decoded.instructions) if one.op not in starts)
    plain = tuple(
        name
        for name in code.co_varnames[: code.co_argcount]
        if name not in code.co_cellvars and name in live_slots(decoded, index)
    )
    pending, seen = [Place(index, (), plain)], set()
    while pending:
        place = pending.pop()
        if place.index in seen:
            continue
        seen.add(place.index)
        try:
            exits = exits_of(decoded, place)
        except Unsupported:
            continue
        pending += exits.places
        is_enterable = place.stack or place.names or "__class__" not in code.co_freevars
        if len(seen) % every == 1 and is_enterable:
            yield make_step_code(code, place, exits, LEAVE[: len(exits.places)])
            yield make_entry_code(code, place)


def test_raw_instructions_with_slots_are_those_of_dis() -> None:
    found = {dis.opname[one] for one in (*dis.haslocal, *dis.hasfree)}
    real = {name for name, opcode in dis.opmap.items() if opcode < FIRST_PSEUDO_OPCODE}
    known = SLOT_OPCODES | set(SLOT_PAIR_OPCODES)

    assert found & real - {"COPY_FREE_VARS"} == known & real


def function_code(source: str) -> CodeType:
    """Give the code of the first function in `source`."""
    module = compile(source, CASE_FILE, "exec")
    return next(one for one in module.co_consts if isinstance(one, CodeType))


def index_of(code: CodeType, op: Op) -> int:
    """Give the first instruction with `op`."""
    return next(i for i, one in enumerate(decode(code).instructions) if one.op is op)


@pytest.mark.parametrize(
    "source", ["def f():\n yield 1", "async def f():\n await g()", "class C:\n a = 1"]
)
def test_what_has_no_frame_to_enter_is_refused(source: str) -> None:
    code = function_code(source)

    with pytest.raises(Unsupported, match=r"<case>:1 in"):
        make_entry_code(code, Place(len(decode(code).instructions) - 1, (StackItem.VALUE,), ()))


def test_what_ends_the_frame_is_no_step() -> None:
    code = function_code("def f(x):\n return x")

    with pytest.raises(Unsupported, match=r"<case>:2 in f"):
        exits_of(decode(code), Place(index_of(code, Op.RETURN_VALUE), (StackItem.VALUE,), ("x",)))


def test_raise_has_no_way_but_its_handler() -> None:
    code = function_code("def f(x):\n try:\n  raise x\n except E:\n  pass\n raise x")
    raises = [i for i, one in enumerate(decode(code).instructions) if one.op is Op.RAISE]
    caught, free = (
        exits_of(decode(code), Place(index, (StackItem.VALUE,), ("x",)))
        for index in (raises[0], raises[-1])
    )

    assert caught.ways == free.ways == ()
    assert free.handler is None
    assert caught.handler is not None
    assert caught.handler.stack == (StackItem.VALUE,)


def test_an_exception_is_handled_in_entered_code_as_long_as_in_the_function() -> None:
    code = function_code("def f(x):\n try:\n  x()\n except ValueError:\n  see()\n see()")
    decoded = decode(code)
    seen: list[BaseException | None] = []
    error = ValueError("handed over")
    load = next(
        i for i, one in enumerate(decoded.instructions) if one.arg == "see" and one.line == 5
    )
    place = Place(first_of_raw(decoded, load), (StackItem.HANDLED,), ())
    space = {"see": lambda: seen.append(sys.exception())}

    types.FunctionType(make_entry_code(code, place), space)(error)

    assert seen == [error, None]


def test_place_inside_an_instruction_is_a_fault() -> None:
    code = function_code("def f(m):\n with m:\n  pass")
    inside = index_of(code, Op.LOAD_SPECIAL) + 1

    with pytest.raises(InternalError, match="inside an instruction"):
        exits_of(decode(code), Place(inside, (StackItem.VALUE,) * 2, ()))


def test_place_before_the_body_is_a_fault() -> None:
    code = function_code("def f(x):\n return lambda: x")

    with pytest.raises(InternalError, match="before the start"):
        make_entry_code(code, Place(index_of(code, Op.MAKE_CELL), (), ("x",)))


def test_first_of_raw_is_the_start_of_all_its_instructions() -> None:
    code = function_code("def f(m):\n with m:\n  m.foo(a=1)")
    decoded = decode(code)

    for index, one in enumerate(decoded.instructions):
        first = first_of_raw(decoded, index)
        assert decoded.instructions[first].offset == one.offset
        assert not first or decoded.instructions[first - 1].offset < one.offset


def test_super_without_a_first_argument_is_refused() -> None:
    source = "def f(x):\n def g(self):\n  h()\n  return super().m(lambda: self)\n __class__ = x\n return g"
    code = next(one for one in iter_code(function_code(source)) if one.co_name == "g")
    after_call = index_of(code, Op.CALL) + 1

    assert make_entry_code(code, Place(after_call, (StackItem.VALUE,), ())).co_argcount == 1
    with pytest.raises(Unsupported, match="super"):
        make_entry_code(code, Place(after_call + 1, (), ()))


def live_at(source: str, op: Op, skipped: int = 0) -> frozenset[str]:
    """Give the live slots after an instruction with `op`."""
    decoded = decode(function_code(source))
    found = [i for i, one in enumerate(decoded.instructions) if one.op is op]
    return live_slots(decoded, found[skipped] + 1)


@pytest.mark.parametrize(
    ("source", "op", "skipped", "expected"),
    [
        ("def f(x, y):\n g()\n y = x\n return y", Op.CALL, 0, {"x"}),
        ("def f(x, y):\n while g():\n  y = x\n  x = 1\n return y", Op.CALL, 0, {"x", "y"}),
        ("def f(x, y):\n for y in x:\n  g(y)\n return 1", Op.CALL, 0, set()),
        ("def f(x, y):\n try:\n  g()\n  x = 1\n except E:\n  return x\n", Op.CALL, 0, {"x"}),
        ("def f(x, y):\n g()\n del x, y", Op.CALL, 0, {"x", "y"}),
        ("def f(x):\n g()\n return lambda: x", Op.CALL, 0, {"x"}),
        ("def f(x):\n def h(): return x\n g()\n x = 1", Op.CALL, 0, {"x"}),
        ("def f(x, y):\n g()\n y = 1\n z = locals()", Op.CALL, 0, {"x", "y", "z"}),
    ],
)
def test_live_slots(source: str, op: Op, skipped: int, expected: set[str]) -> None:
    assert live_at(source, op, skipped) == expected


def test_nothing_outlives_its_last_use() -> None:
    """A value that is passed on at an exit is held by nobody else, as in the original frame."""
    seen: list[int] = []

    class Thing:
        def __del__(self) -> None:
            seen.append(len(seen))

    code = function_code("def f(x, g):\n x = x\n g()\n del x\n return g()")
    decoded = decode(code)
    place = Place(index_of(code, Op.CALL) - 2, (), ("x", "g"))
    exits = exits_of(decoded, place)
    entry = types.FunctionType(make_entry_code(code, exits.ways[0]), {})
    step = types.FunctionType(make_step_code(code, place, exits, [entry]), {})

    found = step(Thing(), lambda: list(seen))

    assert found == [0]


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "c", "items", "1", "0", "None", "'text'"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "-", "<", "==", "and", "or", "in"]), inner)
        .map(" ".join)
        .map("({})".format),
        inner.map("(not {})".format),
        inner.map("len({})".format),
        inner.map("call({}, k=a)".format),
        inner.map("items.count({})".format),
        inner.map("[i for i in (items, {})]".format),
        st.tuples(inner, inner, inner).map(lambda one: "({} if {} else {})".format(*one)),
        st.tuples(inner, inner).map(lambda one: "[*items, {}, {}][{}:]".format(*one, "1")),
        st.sampled_from(["a", "b"]).map("f'{{{}!r:>5}}'".format),
        inner.map("call(*items, x={})".format),
    ),
    max_leaves=4,
)
NAMES = st.sampled_from(["a", "b", "c"])


def _indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def _blocks(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    body = st.lists(inner, min_size=1, max_size=3).map(
        lambda one: _indented([*itertools.chain(*one)])
    )
    return st.one_of(
        st.tuples(EXPRESSIONS, body, body).map(
            lambda one: [f"if {one[0]}:", *one[1], "else:", *one[2]]
        ),
        st.tuples(NAMES, body).map(lambda one: [f"for {one[0]} in items[:2]:", *one[1]]),
        st.tuples(body, body).map(
            lambda one: ["for _ in range(2):", *one[0], "    continue", "else:", *one[1]]
        ),
        st.tuples(body, NAMES, body, body).map(
            lambda one: [
                "try:",
                *one[0],
                "except TypeError as error:",
                f"    {one[1]} = str(error)",
                *one[2],
                "finally:",
                "    log.append('finally')",
                *one[3],
            ]
        ),
        body.map(lambda one: ["with manager:", *one]),
    )


STATEMENTS = st.recursive(
    st.one_of(
        st.tuples(NAMES, EXPRESSIONS).map(lambda one: [f"{one[0]} = {one[1]}"]),
        st.tuples(NAMES, EXPRESSIONS).map(lambda one: [f"{one[0]} += {one[1]}"]),
        EXPRESSIONS.map(lambda one: [f"log.append({one})"]),
        st.tuples(NAMES, EXPRESSIONS).map(lambda one: [f"log.append(({one[0]} := {one[1]}))"]),
        NAMES.map(lambda one: [f"del {one}"]),
        NAMES.map(lambda one: [f"log.append((lambda: {one})())"]),
        EXPRESSIONS.map(lambda one: [f"if {one}: return c"]),
        st.just(["a, *b = items"]),
    ),
    _blocks,
    max_leaves=6,
)

PREFACE = """
class Manager:
    def __enter__(self):
        log.append("enter")
    def __exit__(self, *error):
        log.append(error[0])
        return error[0] is UnboundLocalError
manager = Manager()
def call(*args, **kwargs):
    return [*args, *kwargs]
def f(a=1, b=2, c="c", items=(3, "x", None)):
"""


@settings(max_examples=40, deadline=None)
@given(st.lists(STATEMENTS, min_size=1, max_size=5))
def test_made_functions_run_in_single_steps(statements: list[list[str]]) -> None:
    lines = [*itertools.chain(*statements), "return a, b, c"]
    case = Case(PREFACE + "\n".join(_indented(lines)))
    expected = case.original()

    stepped, _ = case.stepped(10**6)

    assert stepped == expected, lines
    for num_steps in (1, 5, 17, 40):
        assert case.stepped(num_steps)[0] == expected, (num_steps, lines)
