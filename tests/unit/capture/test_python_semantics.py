"""Programs without tensors: the language and the library, interpreted, against CPython itself.

Modules of the library that would run natively are interpreted here too, so that the interpreter meets much code.
"""

import ast
import collections
import colorsys
import configparser
import contextlib
import dataclasses
import decimal
import difflib
import enum
import fnmatch
import fractions
import functools
import heapq
import html
import itertools
import operator
import shlex
import statistics
import string
import textwrap
import urllib.parse

import pytest
from captured_calls import capture
from program_cases import compare

from graphwright.capture import policy

PROGRAMS = []
LOOKS_AT_CODE = {"enum", "inspect", "typing", "types", "abc", "re._compiler", "os"}
"""Modules that stay native: they look at frames and classes, or make C objects."""


def program(function):
    PROGRAMS.append(function)
    return function


@program
def wraps_text():
    return textwrap.wrap("the quick brown fox jumps over the lazy dog " * 3, 20), textwrap.dedent(
        "  a\n  b"
    )


@program
def finds_differences():
    return (
        list(difflib.unified_diff(["a", "b", "c"], ["a", "x", "c"])),
        difflib.get_close_matches("appel", ["ape", "apple", "peach"]),
        difflib.SequenceMatcher(None, "abcd", "bcde").ratio(),
    )


@program
def computes_statistics():
    return (
        statistics.mean([1, 2, 3, 4]),
        statistics.median([3, 1, 2]),
        statistics.stdev([1.0, 2.0, 4.0]),
        statistics.mode([1, 1, 2]),
    )


@program
def adds_fractions():
    return str(fractions.Fraction(1, 3) + fractions.Fraction("2/7")), fractions.Fraction(
        3.25
    ).limit_denominator(10).numerator


@program
def fills_templates():
    return (
        string.Template("$a and ${b}").substitute(a=1, b="x"),
        string.capwords("hello world"),
        "{0!r:>10}|{x[1]}|{y.real}".format("a", x=[1, 2], y=3),
    )


@program
def uses_a_formatter():
    return string.Formatter().format("{0} {a}", 1, a=2)


@program
def parses_literals():
    return ast.literal_eval("{'a': [1, 2.5, (3, None)], 'b': True}")


@program
def splits_a_command():
    return shlex.split("a 'b c' \"d e\" f"), shlex.quote("a b")


@program
def escapes_markup():
    return html.escape("<a&b>"), html.unescape("&lt;&amp;&#65;")


@program
def takes_addresses_apart():
    return (
        urllib.parse.urlparse("http://a.b/c;d?e=f#g"),
        urllib.parse.quote("a b/c"),
        urllib.parse.parse_qs("a=1&b=2&a=3"),
        urllib.parse.urljoin("http://a/b/c", "../d"),
    )


@program
def counts_and_chains():
    return (
        colorsys.rgb_to_hsv(0.1, 0.2, 0.3),
        collections.Counter("abracadabra").most_common(2),
        collections.ChainMap({"a": 1}, {"a": 2, "b": 3})["b"],
    )


@program
def reads_a_configuration():
    c = configparser.ConfigParser()
    c.read_string("[a]\nx=1\ny=%(x)s2\n")
    return dict(c["a"]), c.getint("a", "x")


@program
def filters_names():
    return fnmatch.filter(["a.py", "b.txt"], "*.py")


@program
def keeps_a_heap():
    h = []
    for v in (5, 1, 4):
        heapq.heappush(h, v)
    return (
        [heapq.heappop(h) for _ in range(3)],
        list(heapq.merge([1, 4], [2, 3])),
        heapq.nlargest(2, [1, 5, 3]),
    )


@program
def uses_user_containers():
    u = collections.UserDict(a=1)
    u["b"] = 2
    items = collections.UserList([3, 1])
    items.sort()
    s = collections.UserString("ab")
    return dict(u), list(items), str(s.upper()), "a" in u


@program
def orders_a_dict():
    d = collections.OrderedDict(a=1, b=2, c=3)
    d.move_to_end("a")
    d.popitem(last=False)
    return list(d.items()), d == collections.OrderedDict([("c", 3), ("a", 1)])


@program
def makes_a_named_tuple():
    P = collections.namedtuple("P", "x y", defaults=[5])
    p = P(1)
    return tuple(p._replace(y=2)), p._asdict(), P._fields, p == (1, 5)


@program
def makes_a_dataclass():
    @dataclasses.dataclass(order=True)
    class D:
        a: int
        b: list = dataclasses.field(default_factory=list)
        c: float = 1.0

        def __post_init__(self):
            self.c *= 2

    d = D(1)
    e = dataclasses.replace(d, a=2)
    return (
        dataclasses.asdict(d),
        d < e,
        d == D(1),
        repr(e).split(".")[-1],
        [f.name for f in dataclasses.fields(d)],
    )


@program
def makes_enums():
    class C(enum.Enum):
        A = 1
        B = 2

    class F(enum.Flag):
        X = 1
        Y = 2

    return C(1).name, [c.value for c in C], (F.X | F.Y).value, C["B"].value, C.A is C(1)


@program
def dispatches_on_type():
    @functools.singledispatch
    def f(x):
        return "o"

    @f.register(int)
    def _(x):
        return "i"

    return f(1), f("a")


@program
def compares_by_methods():
    @functools.total_ordering
    class V:
        def __init__(s, v):
            s.v = v

        def __eq__(s, o):
            return s.v == o.v

        def __lt__(s, o):
            return s.v < o.v

    return (
        V(1) <= V(2),
        V(2) > V(1),
        sorted([V(3), V(1)], key=lambda v: v.v)[0].v,
        max(V(1), V(5)).v,
        min([V(4), V(2)]).v,
        sorted([V(3), V(1)])[0].v,
        V(1) in [V(2), V(1)],
    )


@program
def enters_contexts():
    out = []

    @contextlib.contextmanager
    def m(n):
        out.append(n)
        try:
            yield n
        except ValueError as e:
            out.append(str(e))
        finally:
            out.append(-n)

    with m(1) as a, m(2):
        out.append(a)
        raise ValueError("v")
    with contextlib.suppress(KeyError):
        {}["a"]
    with contextlib.ExitStack() as s:
        s.enter_context(m(3))
        s.callback(out.append, "cb")
    return out


@program
def adds_decimals():
    return str(decimal.Decimal("1.10") + decimal.Decimal("2.2"))


@program
def raises_and_catches():
    out = []

    def f():
        try:
            raise KeyError("a")
        except KeyError as e:
            raise ValueError("b") from e

    try:
        f()
    except ValueError as e:
        out += [repr(e), repr(e.__cause__), repr(e.__context__), e.__suppress_context__]
    try:
        try:
            1 / 0  # noqa: B018
        finally:
            out.append("f")
    except ZeroDivisionError as e:
        out.append(str(e))

    def g():
        try:
            return 1
        finally:
            out.append("g")

    out.append(g())

    def h():
        for i in range(3):
            try:
                if i == 1:
                    continue
                if i == 2:
                    break
            finally:
                out.append(i)
        else:
            out.append("else")

    h()
    try:
        try:
            raise TypeError("t")
        except TypeError:
            raise
    except TypeError as e:
        out.append(e.args)
    return out


@program
def drives_generators():
    def g():
        try:
            x = yield 1
            while True:
                x = yield x * 2
        except GeneratorExit:
            raise
        except ValueError:
            yield "caught"
        finally:
            pass

    a = g()
    r = [next(a), a.send(5), a.send(6), a.throw(ValueError("x"))]
    a.close()

    def d():
        r = yield from sub()
        yield r

    def sub():
        yield 1
        yield 2
        return 3

    def e():
        return (yield)

    z = e()
    next(z)
    try:
        z.send(9)
    except StopIteration as s:
        r.append(s.value)
    return (
        r,
        list(d()),
        sum(x * x for x in range(4)),
        list(zip(*[iter(range(6))] * 2, strict=False)),
    )


@program
def makes_classes():
    class M(type):
        def __call__(c, *a):
            o = super().__call__(*a)
            o.tag = "m"
            return o

    class B(metaclass=M):
        reg = []  # noqa: RUF012

        def __init_subclass__(c, **k):
            B.reg.append(c.__name__)

        def __init__(s, v):
            s.v = v

        def __getattr__(s, n):
            return n * 2

        @property
        def p(s):
            return s.v + 1

        @p.setter
        def p(s, x):
            s.v = x

        @classmethod
        def mk(c, v):
            return c(v)

        @staticmethod
        def st(a):
            return a

        def __repr__(s):
            return f"<{s.v}>"

        def __call__(s, *a):
            return a

        def __getitem__(s, k):
            return k

        def __contains__(s, k):
            return k == 1

        def __iter__(s):
            return iter([1, 2])

        def __len__(s):
            return 2

        def __add__(s, o):
            return s.v + o

        def __radd__(s, o):
            return o - s.v

        def __bool__(s):
            return False

        def __enter__(s):
            return s

        def __exit__(s, *a):
            return True

    class C(B):
        __slots__ = ()

        def __init__(s, v):
            super().__init__(v * 10)

    c = C.mk(1)
    c.p = 7
    with c:
        raise ValueError
    return (
        c.tag,
        c.v,
        c.zz,
        c.p,
        C.st(3),
        repr(c),
        c(1, 2),
        c[1:2],
        1 in c,
        list(c),
        len(c),
        c + 1,
        1 + c,
        bool(c),
        B.reg,
        [*c],
        f"{c!r:>6}",
        isinstance(c, B),
        C.__mro__[1] is B,
    )


@program
def matches_patterns():
    def f(v):
        match v:
            case [1, *r]:
                return ("l", r)
            case {"a": x, **k}:
                return ("d", x, k)
            case int(n) if n > 5:
                return ("i", n)
            case str() | bytes():
                return "s"
            case (a, b):
                return (a, b)
            case _:
                return None

    return [f(v) for v in ([1, 2, 3], {"a": 1, "b": 2}, 7, "x", (4, 5), 3.0)]


@program
def unpacks():
    a, *b, c = range(5)
    (d, e), f = (1, 2), 3
    x = [*b, *[9]]
    y = {"a": 1, "b": 2}
    return (
        a,
        b,
        c,
        d,
        e,
        f,
        x,
        y,
        (lambda *a, k=1, **kw: (a, k, kw))(1, 2, k=3, z=4),
        [i for i in range(3) if i],
        dict(zip("ab", (1, 2), strict=False)),
        {i % 2 for i in range(4)},
    )


@program
def closes_over_variables():
    n = 0

    def inc(k=2):
        nonlocal n
        n += k
        return n

    fs = [lambda i=i: i * n for i in range(3)]
    inc()
    inc(3)
    if (w := n + 1) > 3:
        pass
    del w
    try:
        w  # noqa: B018, F821
    except UnboundLocalError as e:
        m = str(e)
    return n, [f() for f in fs], m


@program
def formats():
    return (
        f"{3.14159:.2f} {42:#x} {'a':^5} {1e10:,} {True} {None!s} {[1, 2]}",
        "%s %d %r %5.1f" % ("a", 3, "b", 2.5),  # noqa: UP031
        "a".join(map(str, range(3))),
        "abc"[::-1],
        str(1j),
        repr({1: "a"}),
        "{:>{w}}".format("x", w=4),
    )


@program
def iterates():
    return (
        list(itertools.chain.from_iterable([[1], [2]])),
        list(itertools.accumulate([1, 2, 3])),
        next(iter(itertools.groupby("aab")))[0],
        list(itertools.takewhile(lambda x: x < 2, [1, 2])),
        list(itertools.starmap(pow, [(2, 3)])),
        list(map(lambda a, b: a + b, [1], [2])),
        list(filter(None, [0, 1])),
        functools.reduce(lambda a, b: a * b, [1, 2, 3]),
        list(reversed([1, 2])),
        dict(enumerate("ab")),
        all([]),
        any([0, 1]),
        divmod(7, 2),
        round(2.567, 1),
        pow(2, 3, 5),
        list(itertools.pairwise([1, 2, 3])),
        sorted("bca", key=ord, reverse=True),
        next(iter([]), "d"),
        max("ab", "abc", key=len),
        functools.reduce(operator.iadd, [[1], [2]], []),
        list(itertools.islice(itertools.count(), 2)),
        list(itertools.compress("ab", [1, 0])),
    )


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda function: function.__name__)
def test_interpreted_program_gives_what_cpython_gives(function, monkeypatch):
    monkeypatch.setattr(policy, "_NATIVE_STDLIB", frozenset(LOOKS_AT_CODE))

    compare(function(), capture(function)(), function.__name__)
