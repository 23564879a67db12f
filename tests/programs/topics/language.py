"""Less common corners of the language and its library."""

import abc
import bisect
import collections
import contextlib
import copy
import dataclasses
import enum
import functools
import heapq
import itertools
import json
import operator
import re
import statistics
import string
import textwrap
import types
import typing
import weakref

import torch
from program_cases import Fresh, Topic, call, t

TOPIC = Topic("language")


class Meta(type):
    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made.tagged = cls.tag
        return made

    @property
    def tag(cls):
        return cls.__name__.lower()

    def __len__(cls):
        return 7


class WithMeta(metaclass=Meta):
    def __init__(self, x):
        self.x = x


@TOPIC.program(call(t(3)))
def metaclass_call(x):
    made = WithMeta(x)
    return made.x * len(WithMeta), made.tagged, WithMeta.tag


class Registry:
    known = {}

    def __init_subclass__(cls, key=None, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.key = key

    def __class_getitem__(cls, item):
        return (cls.__name__, item)


class Registered(Registry, key="r"):
    pass


@TOPIC.program(call(t(3)))
def init_subclass_and_class_getitem(x):
    return x, Registered.key, Registry["int"], Registered.__mro__[1] is Registry


@TOPIC.program(call(t(3)))
def class_with_decorators_and_annotations(x):
    @dataclasses.dataclass
    class Local:
        a: int
        b: float = 2.0

        def scaled(self, v):
            return v * self.a * self.b

    return Local(3).scaled(x), Local(3) == Local(3)


@TOPIC.program(call(t(3)))
def named_tuple_made_inside(x):
    Pair = collections.namedtuple("Pair", "a b")
    p = Pair(x, 2)
    return p.a * p.b, p._asdict()["b"]


@TOPIC.program(call(t(3)))
def star_expressions_everywhere(x):
    def f(*a, **k):
        return a, k

    a, k = f(*[1, 2], 3, *(4,), x=x, **{"y": 1}, **{})
    first, (second, *third), *fourth = 1, (2, 3, 4), 5, 6
    return a, k, [first, second, third, fourth], {**k, "z": [*a]}


@TOPIC.program(call(t(3), 3), call(t(3), 0))
def for_else_and_while_else(x, n):
    for i in range(n):
        if i == 2:
            x = x * 2
            break
    else:
        x = x - 1
    while n:
        n -= 1
        if n == 1:
            continue
    else:
        x = x + 10
    return x


@TOPIC.program(call(t(3)))
def nested_functions_share_cells(x):
    count = 0
    log = []

    def bump(by=1):
        nonlocal count
        count += by
        log.append(count)
        return bump

    bump()(2)(3)
    return x * count, log


@TOPIC.program(call(t(3)))
def generator_pipeline(x):
    def source():
        for i in range(4):
            yield x * i

    def doubled(items):
        for item in items:
            yield item * 2

    def until(items, stop):
        for index, item in enumerate(items):
            if index == stop:
                return "stopped"
            yield item

    return list(until(doubled(source()), 3))


@TOPIC.program(call(t(3)))
def generator_delegates_and_returns(x):
    def inner():
        got = yield x
        return (got, 5)

    def outer():
        result = yield from inner()
        yield result

    g = outer()
    first = next(g)
    second = g.send(x * 2)
    return first, second


@TOPIC.program(call(t(3)))
def lazily_evaluated_defaults_and_closures_in_loops(x):
    fs = []
    for i in range(3):

        def f(v, i=i):
            return v * i + len(fs)

        fs.append(f)
    return [f(x) for f in fs]


class Matrix:
    def __init__(self, rows):
        self.rows = rows

    def __getitem__(self, key):
        if isinstance(key, tuple):
            return self.rows[key[0]][key[1]]
        if isinstance(key, slice):
            return Matrix(self.rows[key])
        return self.rows[key]

    def __setitem__(self, key, value):
        self.rows[key[0]][key[1]] = value

    def __delitem__(self, key):
        del self.rows[key]

    def __reversed__(self):
        return iter(self.rows[::-1])

    def __index__(self):
        return 1

    def __float__(self):
        return 2.5

    def __int__(self):
        return 7

    def __format__(self, spec):
        return f"<{spec}>"

    def __str__(self):
        return "matrix"

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.rows = []
        return True

    def __missing__(self, key):
        return key

    def __round__(self, n=0):
        return n

    def __divmod__(self, other):
        return (self, other)

    def __pow__(self, n, mod=None):
        return n

    def __rsub__(self, other):
        return ("rsub", other)

    def __invert__(self):
        return "inverted"

    def __abs__(self):
        return 3

    def __le__(self, other):
        return "le"


@TOPIC.program(call(t(3)))
def many_special_methods(x):
    m = Matrix([[x, 1], [2, x * 2]])
    m[0, 1] = x + 5
    out = [
        m[0, 1],
        m[1, 0],
        m[:1][0],
        [1, 2][m],
        float(m),
        int(m),
        f"{m:>3}",
        str(m),
        round(m, 2),
        divmod(m, 4)[1],
    ]
    out += [m**3, 5 - m, ~m, abs(m), m <= 3, [r[0] for r in reversed(m)][0], "%s" % m, 10 >= m]
    del m[0]
    with m as inner:
        out.append(len(inner.rows))
        raise ValueError("swallowed")
    return out, m.rows


@TOPIC.program(call(t(3)))
def comparison_falls_back_to_the_reflected(x):
    class A:
        def __lt__(self, other):
            return NotImplemented

    class B:
        def __gt__(self, other):
            return "reflected"

        def __eq__(self, other):
            return NotImplemented

        __hash__ = None

    return A() < B(), B() == 3, B() != 3, x


@TOPIC.program(call(t(3)))
def inheritance_diamond(x):
    class Base:
        def f(self):
            return ["base"]

    class Left(Base):
        def f(self):
            return ["left", *super().f()]

    class Right(Base):
        def f(self):
            return ["right", *super().f()]

    class Bottom(Left, Right):
        def f(self):
            return ["bottom", *super().f()]

    return Bottom().f(), [c.__name__ for c in Bottom.__mro__], x


@TOPIC.program(call(t(3)))
def property_with_setter_and_deleter(x):
    class P:
        def __init__(self):
            self._v = 1

        @property
        def v(self):
            return self._v

        @v.setter
        def v(self, value):
            self._v = value * 2

        @v.deleter
        def v(self):
            self._v = None

    p = P()
    p.v = x
    first = p.v
    p.v += 1
    second = p.v
    del p.v
    return first, second, p.v


@TOPIC.program(call(t(3)))
def read_only_property(x):
    class P:
        @property
        def v(self):
            return x

    P().v = 3


class Flag(enum.Flag):
    A = enum.auto()
    B = enum.auto()
    C = A | B


class Named(str, enum.Enum):
    ONE = "one"
    TWO = "two"

    @property
    def length(self):
        return len(self.value)

    @classmethod
    def default(cls):
        return cls.ONE


@TOPIC.program(call(t(3), Named.TWO), call(t(3), Named.ONE))
def enums_with_behaviour(x, kind):
    return (
        x * kind.length,
        kind == "two",
        kind in (Named.ONE,),
        Named.default(),
        [k.name for k in Named],
        kind.upper(),
    )


@TOPIC.program(call(t(3), Flag.A), call(t(3), Flag.C))
def flags(x, flag):
    return x, bool(flag & Flag.B), (flag | Flag.B) == Flag.C, Flag.A in flag


@TOPIC.program(call(t(3)))
def library_bits(x):
    heap = [3, 1, 2]
    heapq.heapify(heap)
    heapq.heappush(heap, 0)
    return (
        heapq.heappop(heap), bisect.bisect_left([1, 3, 5], 3), statistics.mean([1, 2, 3]), re.sub(r"\d+", "#", "a1b22"),
        re.match(r"(\w)(\d)", "a1").groups(), textwrap.dedent("  a"), json.dumps({"a": [1, None]}), json.loads("[1, 2.5]"),
        string.ascii_lowercase[:3], operator.itemgetter("a")({"a": 5}), x,
    )  # fmt: skip


@TOPIC.program(call(t(3)))
def itertools_are_lazy(x):
    log = []

    def noted(v):
        log.append(v)
        return v

    pairs = zip(map(noted, range(3)), itertools.count())
    first = next(pairs)
    a, b = itertools.tee([1, 2])
    cycle = itertools.cycle("ab")
    return first, log, list(a), next(b), [next(cycle) for _ in range(3)], x


@TOPIC.program(call(t(3)))
def sorting_with_keys_and_objects(x):
    class Item:
        def __init__(self, rank, value):
            self.rank, self.value = rank, value

        def __lt__(self, other):
            return self.rank < other.rank

    items = [Item(3, x), Item(1, x * 2), Item(2, x + 1)]
    ordered = sorted(items)
    by_key = sorted(items, key=lambda item: -item.rank)
    items.sort(key=operator.attrgetter("rank"), reverse=True)
    return (
        [i.rank for i in ordered],
        by_key[0].value,
        items[-1].rank,
        min(items).rank,
        max(items, key=lambda i: i.rank).rank,
    )


@TOPIC.program(call(t(3)))
def deep_copies(x):
    class Node:
        def __init__(self, value):
            self.value, self.links = value, []

    a = Node([1, 2])
    a.links.append(a)
    b = copy.deepcopy(a)
    b.value.append(3)
    c = copy.copy(a)
    return a.value, b.value, b.links[0] is b, c.links is a.links, x


@TOPIC.program(call(t(3)))
def contextlib_corners(x):
    log = []

    class Manager(contextlib.AbstractContextManager):
        def __exit__(self, *args):
            log.append("exit")

    @contextlib.contextmanager
    def timed(name):
        log.append(name)
        yield

    @timed("as a decorator")
    def work():
        return 5

    with Manager(), contextlib.closing(types.SimpleNamespace(close=lambda: log.append("closed"))):
        n = work()
    return x * n, log


@TOPIC.program(call(t(3)))
def chained_and_nested_exceptions(x):
    class A(Exception):
        pass

    class B(A):
        def __str__(self):
            return "b!"

    out = []
    for kind in (A, B, KeyError):
        try:
            try:
                raise kind("k")
            except B as error:
                out.append(("B", str(error)))
                raise ValueError("from b") from error
            except A as error:
                out.append(("A", error.args))
            finally:
                out.append("finally")
        except ValueError as error:
            out.append((str(error), type(error.__cause__).__name__))
        except LookupError:
            out.append("lookup")
    return out, x


@TOPIC.program(call(t(3)))
def return_in_finally_and_loops(x):
    def f(n):
        for i in range(5):
            try:
                if i == n:
                    return i
                if i == 3:
                    break
            finally:
                if i == 1:
                    continue  # noqa: B012
        return "end"

    return [f(n) for n in range(5)], x


@TOPIC.program(call(t(3)))
def conditional_imports_inside(x):
    import math
    from collections import OrderedDict as Ordered

    return x * math.floor(2.5), Ordered(a=1)


@TOPIC.program(call(t(3)))
def type_hints_and_casts(x: torch.Tensor) -> "torch.Tensor":
    values: typing.List[int] = [1, 2]
    n: int
    n = typing.cast("int", values[0])
    return x * n


@TOPIC.program(call(t(3)))
def global_functions_as_values(x):
    table = {"sum": torch.sum, "mean": torch.Tensor.mean, "own": _own}
    return [f(x) for f in table.values()], [f.__name__ for f in (torch.relu, _own)]


def _own(v):
    return v * 11


@TOPIC.program(call(t(3)))
def slices_with_objects(x):
    s = slice(1, 3)
    values = list(range(6))
    values[s] = [9]
    values[::2] = [0] * len(values[::2])
    return values, x[s], s == slice(1, 3), (s.start, s.stop, s.step)


@TOPIC.program(call(t(3)))
def string_building(x):
    parts = []
    parts += ["a"]
    parts.extend(c for c in "bc")
    text = "".join(parts)
    text += f"{len(text)}" * 2
    return text, text.join("xy"), f"{x.shape[0]:03d}", "{0!r:>5}{k}".format("z", k=1), x


@TOPIC.program(call(t(3)))
def integers_of_any_size(x):
    n = 1
    for i in range(1, 25):
        n *= i
    return n, n.bit_length(), -n // 7, n % 1000, hash(n) == hash(n), x


@TOPIC.program(call(t(3), Fresh(lambda: {"a": {"b": [1, {"c": 2}]}})))
def deep_updates_of_an_argument(x, tree):
    tree["a"]["b"][1]["c"] += 5
    tree["a"]["b"].append(x)
    tree.setdefault("new", {})["k"] = tree["a"]
    return tree["a"]["b"][1]["c"]


@TOPIC.made(call(t(3)), call(t(3)))
def object_graph_of_the_caller():
    class Node:
        def __init__(self, name):
            self.name, self.children, self.parent, self.total = name, [], None, 0

        def add(self, child):
            self.children.append(child)
            child.parent = self
            return child

    root = Node("root")
    leaf = root.add(Node("mid")).add(Node("leaf"))

    def program(x):
        node, depth = leaf, 0
        while node is not None:
            node.total = node.total + x.sum()
            depth += 1
            node = node.parent
        root.add(Node(f"made{len(root.children)}"))
        return depth, root.total

    return program, root


@TOPIC.made(call(t(3)), call(t(3)))
def objects_swap_places():
    state = {"a": [1], "b": [2]}

    def program(x):
        state["a"], state["b"] = state["b"], state["a"]
        state["a"].append(3)
        return x * len(state["a"]), state["a"] is state["b"]

    return program, state


@TOPIC.program(call(t(3)))
def weak_references_and_ids(x):
    class C:
        pass

    c = C()
    r = weakref.ref(c)
    return r() is c, x


@TOPIC.program(call(t(3)))
def partial_methods_and_static(x):
    class C:
        def scale(self, v, k):
            return v * k

        double = functools.partialmethod(scale, k=2)
        plus = staticmethod(lambda v: v + 1)

    c = C()
    return c.double(x), C.plus(x), c.plus(x)


@TOPIC.program(call(t(3)))
def abstract_class_is_refused(x):
    class A(abc.ABC):
        @abc.abstractmethod
        def f(self): ...

    A()
    return x


@TOPIC.program(call(t(3)))
def comprehension_scopes(x):
    i = 5
    squares = {i: i * i for i in range(3)}
    nested = [[j for j in range(i)] for i in range(3)]
    flat = [y for row in nested for y in row if y]
    total = sum(i for i in range(4))
    return i, squares, nested, flat, total, x


@TOPIC.program(call(t(3)))
def assertion_with_tensors_in_the_message(x):
    assert x.dim() == 1, f"shape {x.shape}"
    assert x.shape[0] == 2, f"shape {tuple(x.shape)}"


@TOPIC.program(
    call(t(3), 2),
    call(t(3), 5),
    call(t(3), "s"),
    call(t(3), [1, 2, 3]),
    call(t(3), {"x": 1, "y": 2}),
)
def match_everything(x, v):
    match v:
        case 2 | 3:
            return x, "small"
        case int(n) if n > 4:
            return x * n, "big"
        case str():
            return x, "text"
        case [first, *_, last]:
            return x, first, last
        case {"x": a, **rest}:
            return x * a, rest
    return None


@TOPIC.program(call(t(3)))
def lambda_corners(x):
    return (
        (lambda *a, k=2, **kw: (a, k, kw))(1, x, z=3),
        (lambda: (yield))().__class__.__name__,
        (lambda v: lambda w: v + w)(x)(1),
    )


@TOPIC.program(call(t(3)))
def iterators_protocol(x):
    class Twice:
        def __init__(self, items):
            self.items = items

        def __iter__(self):
            for item in self.items:
                yield item
                yield item

    class Old:
        def __getitem__(self, i):
            if i > 2:
                raise IndexError(i)
            return i * 10

    a, b, *c = Twice([1, x])
    rest = sum(Old()), [*map(str, Old())], iter(int, 0).__class__.__name__
    return list(Old()), 20 in Old(), a, b, len(c), dict(zip("ab", Twice([5]))), rest


@TOPIC.program(call(t(3)))
def callable_iterator(x):
    values = [3, 2, 1, 0, 5]
    return list(iter(lambda: values.pop(0), 0)), values, x


@TOPIC.program(call(t(3)))
def vars_and_locals_free(x):
    class C:
        __slots__ = ("a", "__dict__")

        def __init__(self):
            self.a, self.b = 1, 2

    c = C()
    return vars(c), c.a, x


@TOPIC.program(call(t(3)), is_one_graph=False)
def asynchronous_code_runs_eagerly(x):
    async def work():
        return x * 2

    c = work()
    try:
        c.send(None)
    except StopIteration as stop:
        return stop.value


@TOPIC.program(call(t(3)), is_one_graph=False)
def exec_and_eval_run_eagerly(x):
    return eval("x * 2", {"x": x})


@TOPIC.program(call(t(3)), is_one_graph=False)
def locals_and_globals(x):
    y = 3
    return sorted(locals()), y, x


@TOPIC.program(call(t(3), Fresh(lambda: collections.OrderedDict(a=1, b=2))))
def ordered_dict_argument(x, d):
    d.move_to_end("a")
    d["c"] = x
    return list(d), d.popitem(last=False)


@TOPIC.program(call(t(3), Fresh(lambda: collections.deque([1, 2, 3], maxlen=3))))
def deque_argument(x, d):
    d.append(4)
    d.rotate(1)
    return x * d[0], list(d), d.maxlen


@TOPIC.program(call(t(3), Fresh(lambda: collections.defaultdict(list, a=[1]))))
def default_dict_argument(x, d):
    d["b"].append(x)
    d["a"].append(2)
    return len(d), "zz" in d


@TOPIC.program(call(t(3), Fresh(lambda: collections.Counter("aab"))))
def counter_argument(x, c):
    c["a"] += 1
    c.update("bc")
    return x * c["a"], c.total(), dict(c)
