"""functools, itertools, operator, collections, contextlib, copy, enum, dataclasses, math: each function that model code may use."""

import bisect
import collections
import contextlib
import copy
import dataclasses
import enum
import functools
import heapq
import itertools
import math
import operator
import sys
import types
import typing

import torch
from program_cases import Topic, call, t

TOPIC = Topic("library_in_full")


# itertools


@TOPIC.program(call(t(3), 4), call(t(3), 5))
def itertools_endless(x, n):
    a = list(itertools.islice(itertools.count(n, 2), 4))
    b = list(itertools.islice(itertools.cycle("abc"), 7))
    c = list(itertools.repeat(x, 2))
    d = list(itertools.islice(itertools.count(0.5), 3))
    return a, b, sum(c), d


@TOPIC.program(call(t(3), 4), call(t(3), 5))
def itertools_selecting(x, n):
    numbers = range(2 * n)
    a = list(itertools.takewhile(lambda k: k < n, numbers))
    b = list(itertools.dropwhile(lambda k: k < n, numbers))
    c = list(itertools.filterfalse(lambda k: k % 2, numbers))
    d = list(itertools.compress("abcdef", [1, 0, True, False, n, None]))
    e = list(itertools.filterfalse(None, [0, 1, "", "a"]))
    return x, a, b, c, d, e


@TOPIC.program(call(t(3)))
def itertools_accumulate(x):
    a = list(itertools.accumulate([1, 2, 3]))
    b = list(itertools.accumulate([1, 2, 3], operator.mul, initial=10))
    c = list(itertools.accumulate([x, x * 2, x * 3]))
    d = list(itertools.accumulate([x, x + 1], lambda p, q: p * q))
    e = list(itertools.accumulate([3, 1, 2], max))
    return a, b, c, d, e


@TOPIC.program(call(t(3)))
def itertools_combining(x):
    tensors = [x, x + 1, x + 2]
    a = [p * q for p, q in itertools.combinations(tensors, 2)]
    b = [p - q for p, q in itertools.permutations(tensors, 2)]
    c = [p * k for p, k in itertools.product(tensors[:2], (1, 2))]
    d = list(itertools.combinations_with_replacement("ab", 2))
    e = list(itertools.product("ab", repeat=2))
    return a, b, c, d, e


@TOPIC.program(call(t(3)))
def itertools_chaining(x):
    a = list(itertools.chain("ab", [x], (1,)))
    b = list(itertools.chain.from_iterable([[x], [x + 1, 2]]))
    c = list(itertools.zip_longest([x], "ab", fillvalue=0))
    d = [p + q for p, q in itertools.pairwise([x, x * 2, x * 3])]
    e = list(itertools.starmap(operator.add, [(x, 1), (x, x)]))
    f = list(itertools.starmap(lambda p, q: (q, p), [(1, 2)]))
    return a, b, c, d, e, f


@TOPIC.program(call(t(3)))
def itertools_groupby(x):
    a = [(key, list(group)) for key, group in itertools.groupby("aabbbca")]
    b = [
        (key, sum(item for _, item in group))
        for key, group in itertools.groupby(
            [(0, x), (0, x + 1), (1, x)], key=operator.itemgetter(0)
        )
    ]
    c = [(key, len(list(group))) for key, group in itertools.groupby(range(6), lambda k: k // 4)]
    return a, b, c


@TOPIC.program(call(t(3)))
def itertools_tee(x):
    first, second = itertools.tee(iter([x, x + 1, x + 2]))
    next(first)
    return [p - q for p, q in zip(first, second)], next(second)


@TOPIC.program(call(t(3)))
def itertools_over_generators(x):
    seen = []

    def produce():
        for k in range(5):
            seen.append(k)
            yield x * k

    a = list(itertools.islice(produce(), 1, 4, 2))
    b = next(itertools.chain(produce()))
    return a, b, seen


@TOPIC.program(call(t(3)))
def itertools_errors(x):
    log = []
    for make in (
        lambda: itertools.islice([1], -1),
        lambda: list(itertools.combinations([1], -1)),
        lambda: itertools.count("a"),
        lambda: list(itertools.starmap(max, [1])),
        lambda: next(itertools.islice([], 0)),
    ):
        try:
            log.append(make())
        except (ValueError, TypeError, StopIteration) as error:
            log.append((type(error).__name__, str(error)))
    return x, log


# operator


@dataclasses.dataclass
class Point:
    first: object
    second: object = 2

    def scaled(self, by, *, extra=0):
        return self.first * by + extra


@TOPIC.program(call(t(3)))
def operator_getters(x):
    pair = Point(Point(x, 5), 7)
    a = operator.attrgetter("second")(pair)
    b = operator.attrgetter("first.first", "first.second")(pair)
    c = operator.itemgetter(1)([x, x + 1])
    d = operator.itemgetter(0, -1)((x, 2, 3))
    e = operator.itemgetter("k")({"k": x})
    f = operator.methodcaller("scaled", 3, extra=1)(Point(x))
    g = operator.methodcaller("upper")("abc")
    h = operator.itemgetter(slice(1, None))([1, 2, 3])
    return a, b, c, d, e, f, g, h


@TOPIC.program(call(t(3), Point(1, "b")))
def operator_getters_of_an_argument(x, point):
    get = operator.attrgetter("second", "first")
    return x * point.first, get(point), sorted([point, Point(0)], key=operator.attrgetter("first"))


@TOPIC.program(call(t(3)))
def operator_functions_in_full(x):
    items = [x, 1, 2]
    operator.setitem(items, 1, 5)
    operator.delitem(items, 2)
    return (
        items,
        operator.concat([1], [2]),
        operator.countOf([1, 2, 1], 1),
        operator.indexOf([1, 2, 1], 2),
        operator.contains([1, 2], 2),
        operator.index(3),
        operator.is_not(x, None),
        operator.not_([]),
        operator.truediv(x, 2),
        operator.floordiv(7, 2),
        operator.iadd([1], (2,)),
        operator.iconcat([1], [2]),
        operator.length_hint([1, 2]),
        operator.call(lambda p: p * 2, x),
        operator.inv(5),
        operator.matmul(x, x),
        operator.or_({1}, {2}),
    )


# functools


@TOPIC.program(call(t(3)))
def partials_in_full(x):
    def scale(value, by=2, *rest, shift=0):
        return value * by + shift + len(rest)

    double = functools.partial(scale, shift=1)
    nested = functools.partial(double, x, 3, 4, 5, shift=2)
    return double(x), double(x, 5), nested(), nested.args, nested.keywords, nested.func is scale


class Meter:
    def __init__(self, size):
        self.size = size
        self.reads = 0

    def measure(self, by, *, shift=0):
        return self.size * by + shift

    double = functools.partialmethod(measure, 2)
    shifted = functools.partialmethod(measure, shift=3)

    @functools.cached_property
    def squared(self):
        self.reads += 1
        return self.size**2

    @functools.singledispatchmethod
    def kind(self, value):
        return "other"

    @kind.register
    def _(self, value: int):
        return f"int {value}"

    @kind.register(str)
    def _(self, value):
        return f"str {value}"


@TOPIC.program(call(t(3)))
def partial_methods(x):
    meter = Meter(x)
    return meter.double(), meter.double(shift=1), meter.shifted(4)


@TOPIC.program(call(t(3)), call(t(3)))
def cached_properties_are_made_once(x):
    meter = Meter(x)
    first, second = meter.squared, meter.squared
    del meter.squared
    third = meter.squared
    return first, second is first, third, meter.reads, "squared" in vars(meter)


# 3.13 keeps the bound methods in a dict of weak references, which no recipe makes again.
@TOPIC.program(call(t(3)), is_one_graph=sys.version_info[:2] != (3, 13))
def single_dispatch_methods(x):
    meter = Meter(x)
    return x, meter.kind(3), meter.kind("a"), meter.kind(2.0), meter.kind(True)


@functools.singledispatch
def describe(value, *rest):
    return ("object", rest)


@describe.register
def _(value: int, *rest):
    return ("int", value, rest)


@describe.register(list)
@describe.register(tuple)
def _(value, *rest):
    return [describe(item, *rest) for item in value]


@describe.register(torch.Tensor)
def _(value, *rest):
    return value * 2


@TOPIC.program(call(t(3)))
def single_dispatch_in_full(x):
    return describe([x, 1, (2, "a")], 7), describe(True), describe(x), describe(None)


@TOPIC.program(call(t(3)))
def reduce_in_full(x):
    return (
        functools.reduce(operator.add, [x, x, x]),
        functools.reduce(lambda p, q: p * q, [1, 2, 3], x),
        functools.reduce(lambda p, q: {**p, q: len(p)}, "abc", {}),
        functools.reduce(max, [3, 1, 4]),
    )


@TOPIC.program(call(t(3)))
def reduce_of_nothing(x):
    return functools.reduce(operator.add, [])


@functools.lru_cache(maxsize=2)
def _cached_sum(a, b=2):
    return a + b


@functools.cache
def _cached_names(text):
    return text.split(",")


@TOPIC.program(call(t(3), 3), call(t(3), 4), call(t(3), 3))
def caches_of_functions(x, n):
    return x * _cached_sum(n) * _cached_sum(n, b=3), list(_cached_names("a,b"))


@TOPIC.program(call(t(3)))
def wraps_keeps_the_name(x):
    def noted(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            """Inner."""
            return function(*args, **kwargs) + 1

        return inner

    @noted
    @noted
    def work(value):
        """Doubles."""
        return value * 2

    return work(x), work.__name__, work.__doc__, work.__wrapped__.__wrapped__(x)


@TOPIC.program(call(t(3)))
def total_ordering_and_cmp_to_key(x):
    @functools.total_ordering
    class Version:
        def __init__(self, number):
            self.number = number

        def __eq__(self, other):
            return self.number == other.number

        def __lt__(self, other):
            return self.number < other.number

    one, two = Version(1), Version(2)
    ranked = sorted([3, 1, 2], key=functools.cmp_to_key(lambda p, q: q - p))
    return x, one <= two, one >= two, two > one, one != two, ranked


# collections


@TOPIC.program(call(t(3)))
def deque_in_full(x):
    d = collections.deque([1, 2, 3], maxlen=4)
    d.append(x)
    d.append(5)
    d.appendleft(0)
    d.rotate(1)
    d.extendleft([7, 8])
    e = d.copy()
    e.reverse()
    popped = d.popleft(), d.pop()
    d.insert(1, "i") if len(d) < 4 else None
    d.extend("ab")
    return (
        list(d),
        list(e),
        popped,
        d.maxlen,
        d.count("a"),
        d.index("b"),
        "a" in d,
        d[0],
        len(d),
        d == e,
    )


@TOPIC.program(call(t(3)))
def deque_errors(x):
    d = collections.deque([1])
    log = []
    for action in (
        lambda: d[5],
        lambda: d.remove(9),
        lambda: d.index(9),
        lambda: (d.clear(), d.pop()),
        lambda: d.popleft(),
        lambda: collections.deque(maxlen=-1),
    ):
        try:
            log.append(action())
        except (IndexError, ValueError) as error:
            log.append((type(error).__name__, str(error)))
    return x, log


@TOPIC.program(call(t(3)))
def deque_arithmetic(x):
    d = collections.deque([1, 2])
    e = d + collections.deque([3])
    f = d * 2
    d += [4]
    d *= 2
    del d[0]
    d[0] = "z"
    return x, list(d), list(e), list(f), list(reversed(d)), d < e if d[0] != "z" else None


@TOPIC.program(call(t(3)))
def returns_a_deque(x):
    return collections.deque([x, 2], maxlen=3)


@TOPIC.program(call(t(3)))
def ordered_dict_in_full(x):
    d = collections.OrderedDict(a=1, b=x, c=3)
    d.move_to_end("a")
    d.move_to_end("c", last=False)
    order = list(d)
    last = d.popitem()
    first = d.popitem(last=False)
    d.setdefault("z", 9)
    d |= {"q": 1}
    e = collections.OrderedDict([("q", 1), ("b", 2)])
    return (
        order,
        last,
        first,
        d,
        list(reversed(d)),
        e == {"b": 2, "q": 1},
        e == collections.OrderedDict([("b", 2), ("q", 1)]),
    )


@TOPIC.program(call(t(3)))
def counter_in_full(x):
    c = collections.Counter("abracadabra")
    d = collections.Counter(a=3, b=1)
    c.update("xyz")
    c.subtract({"a": 1})
    return (
        x * c["a"],
        c.most_common(2),
        c["missing"],
        c.total(),
        dict(c + d),
        dict(c - d),
        dict(c & d),
        dict(c | d),
        sorted(c.elements())[:4],
        dict(+collections.Counter(a=-1, b=2)),
        d <= c,
        d,
    )


@TOPIC.program(call(t(3)))
def default_dict_in_full(x):
    groups = collections.defaultdict(list)
    for k in range(5):
        groups[k % 2].append(x * k)
    counts = collections.defaultdict(lambda: 10)
    counts["a"] += 1
    nested = collections.defaultdict(lambda: collections.defaultdict(int))
    nested["p"]["q"] += 3
    return (
        groups,
        dict(counts),
        {k: dict(v) for k, v in nested.items()},
        "zz" in counts,
        counts.get("zz"),
        groups.default_factory is list,
        collections.defaultdict(int, a=1).copy(),
    )


@TOPIC.program(call(t(3)))
def chain_map_in_full(x):
    base = {"a": 1, "b": 2}
    maps = collections.ChainMap({"a": x}, base)
    child = maps.new_child({"c": 3})
    child["d"] = 4
    del child["c"]
    base["e"] = 5
    return (
        maps["a"],
        maps["b"],
        dict(child),
        list(child),
        len(child),
        "e" in child,
        child.get("none", 0),
        child.parents["a"],
        child.maps[0],
    )


Pair = collections.namedtuple("Pair", ["left", "right"], defaults=[7])


class Typed(typing.NamedTuple):
    value: object
    count: int = 3

    @property
    def twice(self):
        return self.value * 2

    def grown(self):
        return self._replace(count=self.count + 1)


@TOPIC.program(call(t(3)), call(t(3)))
def named_tuples_in_full(x):
    p = Pair(x)
    q = p._replace(left=2)
    left, right = q
    made = Pair._make([1, 2])
    typed = Typed(x).grown()
    return (
        p,
        q,
        left + right,
        made._asdict(),
        Pair._fields,
        Pair._field_defaults,
        typed,
        typed.twice,
        typed[1],
        made == (1, 2),
        made < (1, 3),
        hash(made) == hash((1, 2)),
        repr(made),
        Pair(*made) + (3,),
    )


@TOPIC.program(call(t(3), Typed(1.5)), call(t(3), Typed(1.5, 4)), call(t(3), Typed(2.5, 4)))
def named_tuple_argument(x, typed):
    match typed:
        case Typed(value, count=3):
            return x * value
        case Typed(value=value):
            return x + value, typed.grown()


class Stack(collections.UserList):
    def push(self, item):
        self.append(item)
        return self


class Registry(collections.UserDict):
    def __missing__(self, key):
        return f"no {key}"


@TOPIC.program(call(t(3)))
def user_containers(x):
    stack = Stack([x]).push(2).push(3)
    registry = Registry(a=1)
    registry["b"] = x
    return len(stack), stack[0], stack[1:].data, list(registry), registry["zz"], registry.data


# heapq, bisect


@TOPIC.program(call(t(3)))
def heaps_and_bisection(x):
    heap = [5, 1, 4]
    heapq.heapify(heap)
    heapq.heappush(heap, 0)
    first = heapq.heappop(heap)
    swapped = heapq.heapreplace(heap, 9), heapq.heappushpop(heap, 2)
    ordered = [1, 3, 5]
    bisect.insort(ordered, 4)
    return (
        x,
        heap,
        first,
        swapped,
        heapq.nlargest(2, [1, 5, 3]),
        heapq.nsmallest(2, [4, 2, 8], key=lambda k: -k),
        list(heapq.merge([1, 4], [2, 3])),
        ordered,
        bisect.bisect_left(ordered, 3),
        bisect.bisect(ordered, 3),
    )


# contextlib


@TOPIC.program(call(t(3)))
def exit_stacks_in_full(x):
    log = []

    @contextlib.contextmanager
    def noted(name):
        log.append(f"in {name}")
        try:
            yield name * 2
        finally:
            log.append(f"out {name}")

    with contextlib.ExitStack() as stack:
        names = [stack.enter_context(noted(n)) for n in "ab"]
        stack.callback(log.append, "called back")
        stack.push(lambda kind, error, trace: log.append(kind))
        moved = stack.pop_all()
        log.append("inside")
    log.append("still open")
    moved.close()
    return x, names, log


@TOPIC.program(call(t(3)))
def exit_stack_swallows(x):
    log = []
    with contextlib.ExitStack() as stack:
        stack.push(lambda kind, error, trace: (log.append(str(error)), True)[1])
        stack.enter_context(contextlib.suppress(KeyError))
        raise ValueError("swallowed")
    return x, log


@TOPIC.program(call(t(3)))
def suppress_and_closing(x):
    log = []

    class Closable:
        def close(self):
            log.append("closed")

    with contextlib.suppress(ZeroDivisionError, KeyError):
        log.append("before")
        log.append(1 / 0)
    with contextlib.closing(Closable()) as thing:
        log.append(type(thing).__name__)
    with contextlib.nullcontext(x) as y, contextlib.nullcontext():
        log.append(y is x)
    return log


@TOPIC.program(call(t(3)))
def context_decorators(x):
    log = []

    class Noted(contextlib.ContextDecorator):
        def __enter__(self):
            log.append("in")
            return self

        def __exit__(self, *details):
            log.append("out")
            return False

    @Noted()
    def work(value):
        log.append("work")
        return value + 1

    @contextlib.contextmanager
    def managed():
        log.append("start")
        yield
        log.append("end")

    @managed()
    def more(value):
        return value * 2

    return work(x), more(x), more(x), log


@TOPIC.program(call(t(3)))
def manager_that_does_not_stop(x):
    @contextlib.contextmanager
    def twice():
        yield
        yield

    with twice():
        x = x + 1
    return x


@TOPIC.program(call(t(3)))
def manager_that_changes_the_error(x):
    @contextlib.contextmanager
    def translated():
        try:
            yield
        except KeyError as error:
            raise ValueError("translated") from error

    try:
        with translated():
            raise KeyError("k")
    except ValueError as error:
        return x, repr(error), repr(error.__cause__)


# copy


class Tree:
    def __init__(self, value, children=()):
        self.value = value
        self.children = list(children)
        self.parent = None
        for child in self.children:
            child.parent = self


class Countable:
    def __init__(self, n):
        self.n = n

    def __copy__(self):
        return Countable(self.n + 1)

    def __deepcopy__(self, memo):
        made = Countable(self.n + 10)
        memo[id(self)] = made
        return made


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a = a
        self.b = b


@TOPIC.program(call(t(3)))
def copies_in_full(x):
    inner = [x, 1]
    outer = {"i": inner, "j": inner, "k": (inner, 2), "s": {1, 2}}
    shallow, deep = copy.copy(outer), copy.deepcopy(outer)
    deep["i"].append(3)
    return (
        shallow["i"] is inner,
        deep["i"] is deep["j"],
        deep["k"][0] is deep["i"],
        deep["i"] is inner,
        outer,
        deep,
    )


@TOPIC.program(call(t(3)))
def copies_of_objects(x):
    tree = Tree(x, [Tree(1), Tree(2)])
    flat, deep = copy.copy(tree), copy.deepcopy(tree)
    deep.children[0].value = 9
    return (
        flat.children is tree.children,
        deep.children[0].parent is deep,
        tree.children[0].value,
        deep.children[0].value,
        copy.copy(Countable(1)).n,
        [c.n for c in copy.deepcopy([Countable(1), Countable(2)])],
        deep,
    )


@TOPIC.program(call(t(3)))
def copies_of_odd_kinds(x):
    slotted = Slotted(x, [1])
    flat, deep = copy.copy(slotted), copy.deepcopy(slotted)
    d = collections.deque([1, [2]], maxlen=5)
    o = collections.OrderedDict(a=[1])
    f = collections.defaultdict(list, a=[x])
    return (
        flat.b is slotted.b,
        deep.b is slotted.b,
        list(copy.copy(d)),
        list(copy.deepcopy(d)),
        copy.deepcopy(o),
        copy.deepcopy(f),
        copy.copy(f),
        copy.deepcopy(Pair(1, [2])),
        copy.copy((1, [2])),
        copy.deepcopy(frozenset({1})),
    )


@TOPIC.program(call(t(3), [1, [2]], Tree(1)))
def copies_of_arguments(x, items, tree):
    flat, deep = copy.copy(items), copy.deepcopy(items)
    flat.append(x)
    deep[1].append(3)
    other = copy.deepcopy(tree)
    other.value += 1
    return flat, deep, other


@TOPIC.program(call(t(3)))
def replace_and_fields_of_dataclasses(x):
    point = Point(x)
    moved = dataclasses.replace(point, second=5)
    return (
        moved,
        dataclasses.asdict(Point(1, Point(2))),
        dataclasses.astuple(Point(1, [Point(2)])),
        [f.name for f in dataclasses.fields(point)],
        dataclasses.is_dataclass(Point),
    )


# enum


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"
    CRIMSON = 1

    @property
    def label(self):
        return self.name.lower()

    @classmethod
    def first(cls):
        return next(iter(cls))


class Level(enum.IntEnum):
    LOW = enum.auto()
    HIGH = enum.auto()


class Mode(enum.StrEnum):
    TRAIN = enum.auto()
    EVAL = "evaluate"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = READ | WRITE


@TOPIC.program(call(t(3), Colour.RED), call(t(3), Colour.GREEN))
def enums_in_full(x, colour):
    log = [
        colour.label,
        Colour(1),
        Colour["GREEN"],
        Colour.CRIMSON is Colour.RED,
        list(Colour),
        len(Colour),
        Colour.first(),
        colour in Colour,
        isinstance(colour, Colour),
        {Colour.RED: 1}[Colour.CRIMSON],
        [m.value for m in Colour],
        list(Colour.__members__),
        repr(colour),
        str(colour),
        f"{colour}",
    ]
    return x * (2 if colour is Colour.RED else 3), log


@TOPIC.program(call(t(3), Level.LOW), call(t(3), Level.HIGH))
def number_and_text_enums(x, level):
    return (
        x * level,
        level + 1,
        level < Level.HIGH,
        Level(2).name,
        Mode.EVAL + "!",
        Mode("train") is Mode.TRAIN,
        f"{Mode.EVAL:>10}",
        sorted([Level.HIGH, Level.LOW]),
        max(Level),
        "%s" % Mode.TRAIN,
    )


@TOPIC.program(call(t(3), Right.READ), call(t(3), Right.BOTH))
def flags_in_full(x, right):
    return (
        x * (1 if Right.WRITE in right else 2),
        right | Right.WRITE,
        right & Right.READ,
        ~right,
        right ^ Right.BOTH,
        bool(right & Right.WRITE),
        list(Right.BOTH),
        right.value,
        Right(3) is Right.BOTH,
    )


@TOPIC.program(call(t(3)))
def enum_errors(x):
    log = []
    for action in (lambda: Colour(7), lambda: Colour["BLUE"], lambda: Colour.BLUE):
        try:
            log.append(action())
        except (ValueError, KeyError, AttributeError) as error:
            log.append((type(error).__name__, str(error)))
    return x, log


@TOPIC.program(call(t(3)))
def enum_made_inside(x):
    Size = enum.Enum("Size", ["SMALL", "BIG"])
    return x * Size.BIG.value, [s.name for s in Size], Size.__module__


@TOPIC.program(call(t(3)))
def number_enum_made_inside(x):
    Size = enum.IntEnum("Size", "SMALL BIG", start=3)
    return x * Size.BIG, Size(3).name, Size["BIG"].value, f"{Size.BIG!r}", Colour(1).name


# math, types, typing


@TOPIC.program(call(t(3), 7, 2.5), call(t(3), 9, -0.5))
def math_in_full(x, n, f):
    return (
        x * math.sqrt(n),
        math.isqrt(n),
        math.comb(n, 2),
        math.perm(n, 2),
        math.factorial(5),
        math.gcd(n, 14),
        math.lcm(n, 4),
        math.prod([1, 2, n]),
        math.fsum([0.1] * 3),
        math.floor(f),
        math.ceil(f),
        math.trunc(f),
        math.modf(f),
        math.frexp(f),
        math.ldexp(f, 2),
        math.copysign(1, f),
        math.hypot(3, 4),
        math.dist((0, 0), (3, 4)),
        math.isclose(f, f + 1e-12),
        math.isnan(math.nan),
        math.inf > n,
        math.log(n, 2),
        math.log2(n),
        math.log1p(n),
        math.exp(f),
        math.atan2(f, n),
        math.degrees(f),
        math.fmod(n, 4),
        math.remainder(n, 4),
    )


@TOPIC.program(call(t(3)))
def math_errors(x):
    log = []
    for action in (
        lambda: math.sqrt(-1),
        lambda: math.log(0),
        lambda: math.exp(1000),
        lambda: math.factorial(-1),
        lambda: math.floor(math.inf),
        lambda: math.gcd(1.5),
    ):
        try:
            log.append(action())
        except (ValueError, OverflowError, TypeError) as error:
            log.append((type(error).__name__, str(error)))
    return x, log


class Ceiling:
    def __init__(self, n):
        self.n = n

    def __ceil__(self):
        return self.n + 1

    def __floor__(self):
        return self.n - 1

    def __trunc__(self):
        return self.n

    def __round__(self, digits=None):
        return (self.n, digits)

    def __float__(self):
        return float(self.n)

    def __index__(self):
        return self.n


@TOPIC.program(call(t(3)))
def math_of_objects(x):
    c = Ceiling(4)
    return (
        x,
        math.ceil(c),
        math.floor(c),
        math.trunc(c),
        round(c),
        round(c, 2),
        math.sqrt(c),
        [0, 1, 2, 3, 4][c],
        hex(c),
        list(range(c)),
        "a" * Ceiling(2),
        operator.index(c),
    )


T = typing.TypeVar("T")


class Holder(typing.Generic[T]):
    def __init__(self, item: T):
        self.item = item

    def get(self) -> T:
        return self.item


class Sized(typing.Protocol):
    size: int


@TOPIC.program(call(t(3)))
def typing_in_full(x):
    holder = Holder[int](3)
    value = typing.cast("Holder[str]", holder).get()
    hints = typing.get_origin(list[int]) is list, typing.get_args(dict[str, int])
    if typing.TYPE_CHECKING:
        raise AssertionError
    return x * value, hints, typing.Optional[int] == typing.Union[int, None]


@TOPIC.program(call(t(3)))
def simple_namespaces_and_proxies(x):
    space = types.SimpleNamespace(a=1, b=x)
    space.c = space.a + 1
    return (
        space.b,
        space.c,
        vars(space)["a"],
        space == types.SimpleNamespace(a=1, b=2, c=2) if 0 else None,
    )


class Config(typing.TypedDict, total=False):
    size: int
    name: str


@TOPIC.program(call(t(3)))
def typed_dicts(x):
    config = Config(size=3)
    config["name"] = "n"
    return x * config["size"], config


@TOPIC.program(call(t(3)))
def generic_aliases_and_isinstance(x):
    return (
        isinstance(x, (int, torch.Tensor)),
        isinstance([], collections.abc.Sequence),
        isinstance({}, collections.abc.Mapping),
        isinstance(1, int | str),
        issubclass(bool, (int, str)),
        isinstance(lambda: 0, typing.Callable),
        isinstance(iter([]), collections.abc.Iterator),
        isinstance((k for k in ()), collections.abc.Generator),
    )


@functools.cache
def _steps(n):
    return list(range(n))


@TOPIC.program(call(t(3)), call(t(3)))
def caches_give_the_same_object(x):
    return x + len(_steps(3)), _steps(3) is _steps(3), _steps(3) is _steps(2)


class _Scaled:
    def __init__(self, factor):
        self.factor = factor

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def times(self, n):
        return self.factor * n


@TOPIC.program(call(t(3)), call(t(3)))
def caches_of_methods(x):
    scaled, other = _Scaled(2), _Scaled(3)
    return x * scaled.times(2) * other.times(2) * scaled.times(2)


@TOPIC.program(call(t(3)), call(t(3)))
def caches_made_in_the_program(x):
    asked = []

    @functools.cache
    def double(n):
        asked.append(n)
        return n * 2

    return x * double(2) * double(2) * double(3), asked
