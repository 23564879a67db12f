"""Ints and sizes that change from call to call: to the program they are ints, whatever the capture makes of them."""

import collections
import dataclasses
import decimal
import fractions
import functools
import itertools
import math
import operator
from typing import NamedTuple

import torch
from program_cases import Topic, call, t

TOPIC = Topic("symbolic_ints")
CALLS = tuple(call(t(7), n) for n in (6, 4, 9, 12, 5, -3, 1, 0))


class Pair(NamedTuple):
    first: int
    second: int


@dataclasses.dataclass
class Box:
    number: int


@TOPIC.program(*CALLS)
def arithmetic(x, n):
    a = n
    a += 2
    a *= 3
    a -= 1
    return x * a, a, n + True, 2 - n, n * n, n * n * n, n**2, -n, +n, n * x.size(0) + 1


@TOPIC.program(*CALLS)
def division(x, n):
    m = n + 4
    return x, n // 3, n % 3, -(-n // 2), 100 % m, x.size(0) // m, n // -3, n % -3, divmod(n, 2)


@TOPIC.program(*CALLS)
def true_division(x, n):
    return (
        x / (n + 20),
        (n + 1) / 2,
        7 / (n + 20),
        math.sqrt(n + 20),
        float(n),
        n**0.5 if n > 0 else 0,
    )


@TOPIC.program(*CALLS)
def bits(x, n):
    return x, n & 1, n | 8, n ^ 3, n >> 1, n << 2, ~n, n.bit_length(), 2 ** abs(n)


@TOPIC.program(*CALLS)
def comparisons(x, n):
    y = x.sin() if n > 5 else x.cos()
    return y, 0 < n < 100, n == 6, n != 6.0, n < 2.5, n == "a", n is None, not n, n and 5, n or 7


@TOPIC.program(*CALLS)
def extremes(x, n):
    return x[: max(n, 1)], max(n, 3), min(n, 7, x.size(0)), abs(n), sorted([n, 3, 5]), max([n, 2])


@TOPIC.program(*CALLS)
def numbers(x, n):
    return (
        x,
        int(n),
        round(n),
        math.floor(n),
        math.ceil(n),
        operator.index(n),
        complex(n),
        pow(n, 2),
    )


@TOPIC.program(*CALLS)
def types(x, n):
    found = [isinstance(n, int), isinstance(n, (float, bool)), type(n), n.__class__, type(n) is int]
    return x * n, found, callable(n), hasattr(n, "real"), n.real, id(n) == id(n)


@TOPIC.program(*CALLS)
def texts(x, n):
    plain = f"{n} {n:>4} {x.shape}", "%d %s" % (n, x.shape), "{} {!r}".format(n, x.size(0))
    return x, plain, str(n), repr([n]), format(n, "03d"), "a" * n, str(x.shape)


@TOPIC.program(*CALLS)
def keys(x, n):
    table = {n: 1, (n, 2): 2, x.shape: 3}
    table[n + 1] = 4
    found = table[n], table.get((n, 2)), n in table, x.shape in {torch.Size([7]): 1}
    return x, found, {n, x.size(0)}, frozenset([n]), dict([(n, 1)]), table.pop(n), table


@TOPIC.program(*CALLS)
def sequences(x, n):
    k = abs(n) % 5
    items = [1, 2, 3, 4, 5]
    items.insert(k, n)
    return (
        x,
        items[k],
        items[k:],
        items,
        [0] * k,
        (1,) * k,
        n in items,
        items.index(n),
        range(k)[:2],
    )


@TOPIC.program(*CALLS)
def loops(x, n):
    for i in range(n):
        x = x + i
    return x, [i * n for i in range(3)], list(enumerate([n])), list(zip(x.shape, [n], strict=True))


@TOPIC.program(*CALLS)
def generators(x, n):
    def count():
        i = 0
        while i < n:
            yield i
            i += 1

    return x, list(count()), list(map(lambda v: v + 1, [n])), any([n]), all([n, 1])


@TOPIC.program(*CALLS)
def library(x, n):
    k = abs(n) + 1
    return (
        functools.reduce(operator.mul, [n, 2, 3]),
        list(itertools.accumulate([n, 1])),
        list(itertools.islice([1, 2, 3], k)),
        math.prod([n, *x.shape]),
        math.gcd(n, 4),
        functools.partial(operator.mul, n)(3),
        collections.Counter([n, n]),
        collections.deque([n], maxlen=3),
        collections.defaultdict(int, {1: n}),
        x.sum() + n,
    )


@TOPIC.program(*CALLS)
def objects(x, n):
    pair, box = Pair(n, n + 1), Box(n)
    box.number += 1
    return x, pair, pair._replace(first=n * 2), box.number, dataclasses.asdict(box), box


@TOPIC.program(*CALLS)
def shapes(x, n):
    rows, *rest = x.shape
    parts = x.shape[-1], x.shape[1:], x.shape + (n,), tuple(x.shape), torch.Size([rows, 2])
    counts = (
        x.numel(),
        x.shape.numel(),
        len(x),
        x.dim(),
        x.stride(),
        sum(x.shape),
        math.prod(x.shape),
    )
    return x.reshape(rows, -1), rest, parts, counts, x.shape == (7,), x.shape, x.size()


@TOPIC.program(*CALLS)
def tensors(x, n):
    k = abs(n) + 1
    return (
        torch.zeros(k, 2),
        torch.full((2,), n),
        torch.arange(k) * n,
        torch.tensor([n, 1]),
        torch.cat([x, x.new_ones(k)]),
        x.unsqueeze(0).expand(k, -1),
        x.repeat(k),
        x[:k],
        x[-k:],
        torch.ones(k, k).triu(1),
        torch.ones(k, 3) @ torch.ones(3, k),
        torch.ones(k).softmax(0),
        torch.where(x > n, x, n),
        x.clamp(max=n),
        x**2 * n,
    )


@TOPIC.program(*CALLS)
def handled(x, n):
    try:
        if n > 5:
            raise ValueError(n)
        return x, 12 // (n - 4)
    except (ValueError, ZeroDivisionError) as error:
        return x + 1, str(error), error.args


@TOPIC.program(*CALLS)
def matched(x, n):
    match n:
        case 4:
            return x
        case int(value) if value > 8:
            return x * value
        case _:
            return x + 1


@TOPIC.program(*CALLS)
def closures(x, n):
    def scaled(y, by=n):
        return y * n + by

    return scaled(x), scaled, slice(0, n)


@TOPIC.program(call([6], t(7)), call([4], t(7)), call([3], t(5)))
def product_of_a_list_that_existed_before(items, x):
    before = math.prod(items)
    items += x.shape
    return before, math.prod(items), x * items[0]


@TOPIC.program(*CALLS)
def beside_numbers_written_in_c(x, n):
    whole, part = decimal.Decimal(5), fractions.Fraction(9, 2)
    return x, n == whole, whole == n, n < whole, n == part, part > n, {n: 1}.get(5), hash(n)
