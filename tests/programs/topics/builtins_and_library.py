"""Builtins, functools, itertools, operator, math, copy, collections.abc, typing."""

import copy
import functools
import itertools
import math
import operator
import types
import typing

import torch
from program_cases import Fresh, Topic, call, t

TOPIC = Topic("builtins_and_library")


@TOPIC.program(call(t(3)))
def zip_map_filter_enumerate(x):
    a = [x * n for n, _ in zip((1, 2, 3), "ab")]
    b = list(map(lambda v, w: v + w, a, (10, 20)))
    c = list(filter(lambda n: n % 2, range(6)))
    d = [i * v for i, v in enumerate(b, start=1)]
    return (
        a,
        b,
        c,
        d,
        list(filter(None, [0, 1, "", "s"])),
        list(zip()),
        list(zip([1], [2], strict=True)),
    )


@TOPIC.program(call(t(3)))
def zip_strict_fails(x):
    return list(zip([1, 2], [x], strict=True))


@TOPIC.program(call(t(3)))
def sorted_reversed_min_max(x):
    words = ["ccc", "a", "bb"]
    return (
        sorted(words, key=len),
        sorted([3, 1, 2], reverse=True),
        list(reversed(words)),
        min(3, 1, 2),
        max(words, key=lambda w: len(w)),
        max([], default=7),
        min([(2, "a"), (1, "b")])[1],
        x,
    )


@TOPIC.program(call(t(3)))
def sum_any_all_len_abs(x):
    return (
        sum([x, x], start=x),
        any([0, 1]),
        all([]),
        len("abc"),
        abs(-3),
        abs(x),
        round(2.567, 2),
        divmod(7, 2),
        pow(2, 5),
        pow(2, 5, 7),
    )


@TOPIC.program(call(t(3)))
def conversions(x):
    return (
        int("12"),
        float("1.5"),
        str(3),
        bool([]),
        list("ab"),
        tuple([1]),
        dict([("a", x)]),
        set([1, 1]),
        bytes(2),
        chr(97),
        ord("b"),
        hex(255),
        bin(5),
        int(3.9),
        complex(1, 2),
        x,
    )


@TOPIC.program(call(t(3), 3), call(t(3), "s"), call(t(3), [1]))
def isinstance_and_type(x, v):
    return (
        isinstance(v, int),
        isinstance(v, (str, list)),
        isinstance(v, int | str),
        type(v) is int,
        type(v).__name__,
        issubclass(type(v), object),
        callable(v),
        isinstance(x, torch.Tensor),
        x,
    )


@TOPIC.program(call(t(3)))
def iter_next_range_slice(x):
    it = iter(range(3))
    s = slice(1, None)
    return next(it), list(it), x[s], s.indices(5), [0, 1, 2][s], list(iter({"a": 1}))


@TOPIC.program(call(t(3)))
def functools_reduce_partial(x):
    return (
        functools.reduce(operator.add, [x, x, x]),
        functools.reduce(lambda a, b: a * b, [1, 2, 3], 4),
        functools.partial(operator.mul, 3)(x),
    )


@functools.lru_cache(maxsize=None)
def _cached(n):
    return n * 2


@TOPIC.program(call(t(3), 2), call(t(3), 2), call(t(3), 3))
def lru_cache(x, n):
    return x * _cached(n)


@TOPIC.program(call(t(3)))
def itertools_functions(x):
    return (
        list(itertools.chain([1], (2, 3))),
        list(itertools.chain.from_iterable([[x], [x + 1]])),
        list(itertools.product("ab", [1, 2])),
        list(itertools.combinations([1, 2, 3], 2)),
        list(itertools.permutations([1, 2], 2)),
        list(itertools.islice(itertools.count(5), 3)),
        list(itertools.accumulate([1, 2, 3])),
        list(itertools.repeat(x, 2)),
        list(itertools.zip_longest([1, 2], [3])),
        [(k, list(g)) for k, g in itertools.groupby([1, 1, 2])],
        list(itertools.takewhile(lambda n: n < 3, [1, 2, 3, 1])),
        list(itertools.dropwhile(lambda n: n < 3, [1, 2, 3, 1])),
        list(itertools.starmap(operator.add, [(1, 2), (3, 4)])),
        list(itertools.compress("abc", [1, 0, 1])),
        list(itertools.pairwise([1, 2, 3])),
    )


@TOPIC.program(call(t(3)))
def operator_functions(x):
    get = operator.itemgetter(1)
    attr = operator.attrgetter("shape")
    return (
        get([1, x]),
        attr(x),
        operator.methodcaller("sum")(x),
        operator.index(3),
        operator.truth([]),
        operator.contains([1], 1),
    )


@TOPIC.program(call(t(3)))
def math_functions(x):
    return (
        x * math.sqrt(2) + math.pi,
        math.ceil(1.2),
        math.floor(-1.2),
        math.prod([2, 3]),
        math.log(8, 2),
        math.gcd(12, 18),
        math.isnan(float("nan")),
        math.inf,
        math.exp(1.0),
    )


@TOPIC.program(call(t(3), Fresh(lambda: {"a": [1, 2]})))
def copies(x, d):
    shallow, deep = copy.copy(d), copy.deepcopy(d)
    shallow["a"].append(3)
    deep["a"].append(4)
    return shallow, deep, d["a"] is shallow["a"], x


@TOPIC.program(call(t(3)))
def typing_is_transparent(x):
    value: typing.Optional[int] = 3
    return typing.cast(int, value) * x, typing.get_origin(list[int]) is list


@TOPIC.program(call(t(3)))
def simple_namespace(x):
    n = types.SimpleNamespace(a=1, b=x)
    n.c = n.a + 2
    return n.b * n.c, vars(n)["a"]


@TOPIC.program(call(t(3)))
def id_and_hash(x):
    y = x
    return id(x) == id(y), hash((1, "a")) == hash((1, "a")), x is y


@TOPIC.program(call(t(3)))
def vars_dir_getattr(x):
    class C:
        a = 1

        def m(self):
            return 2

    c = C()
    c.b = x
    return sorted(vars(c)), "m" in dir(c), getattr(c, "m")(), x


@TOPIC.program(call(t(3)))
def eval_free_arithmetic(x):
    a, b = 17, 5
    return (
        a // b,
        a % b,
        -a // b,
        a**b,
        a / b,
        a << 2,
        a >> 1,
        a & b,
        a | b,
        a ^ b,
        ~a,
        +a,
        -a,
        not a,
        x,
    )


@TOPIC.program(call(t(3)))
def float_and_int_methods(x):
    return (
        (2.0).is_integer(),
        (255).bit_length(),
        (1.5).as_integer_ratio(),
        int.from_bytes(b"\x01\x02", "big"),
        float.fromhex("0x1p1"),
        x,
    )


@TOPIC.program(call(t(3)))
def comparisons_of_constants(x):
    return (
        1 == 1.0,
        "a" < "b",
        [1, 2] == [1, 2],
        None is None,
        3 != 4,
        (1,) != (1,),
        1 <= 1,
        True + True,
        x,
    )


@TOPIC.program(call(t(3)))
def unpack_dict_into_call(x):
    return dict(**{"a": x}, b=1), max(*[1, 2, 3])


@TOPIC.program(call(t(3)))
def single_dispatch(x):
    @functools.singledispatch
    def describe(value):
        return "other"

    @describe.register
    def _(value: int):
        return "int"

    return describe(3), describe("s"), x
