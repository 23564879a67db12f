"""Floats that change from call to call: to the program they are floats, whatever the capture makes of them."""

import copy
import dataclasses
import decimal
import fractions
import math
import operator
import struct
from typing import NamedTuple

import torch
from program_cases import Topic, call, t

TOPIC = Topic("symbolic_floats")
VALUES = (0.1, 0.25, -1.5, 1e10, 0.0, -0.0, math.inf, math.nan)
CALLS = tuple(call(t(7), value) for value in VALUES)
NUMBERS = tuple(call(t(7), value) for value in (0.5, 2.0, 3, 2.5, 4, 1.25, True, 0.75))


class Pair(NamedTuple):
    first: float
    second: float


@dataclasses.dataclass
class Box:
    number: float


@TOPIC.program(*CALLS)
def arithmetic(x, f):
    a = f
    a += 2
    a *= 3.5
    a -= 1
    a /= 7
    return x * a, a, f + True, 2 - f, f * f, -f, +f, f * 3, 0.1 + f + 0.2


@TOPIC.program(*CALLS)
def division(x, f):
    g = f if math.isfinite(f) and f else 0.7
    return x / g, 1 / g, g / 3, g // 0.3, g % 0.7, 7 // g, divmod(g, 2), x / 3 * (1 / g)


@TOPIC.program(*CALLS)
def division_by_zero(x, f):
    try:
        return x, 1.0 / f
    except ZeroDivisionError as error:
        return x + 1, str(error)


@TOPIC.program(*CALLS)
def powers(x, f):
    g = abs(f)
    return x, f**2, 2**f if g < 100 else 0, g**0.5, pow(f, 3), f**0, x**2 * f


@TOPIC.program(*CALLS)
def power_that_overflows(x, f):
    try:
        return x * f, (f + 1e200) ** 2
    except OverflowError:
        return x, "too large"


@TOPIC.program(*CALLS)
def root_of_negative(x, f):
    root = (-abs(f) - 1.0) ** 0.5
    try:
        return x, type(root), math.sqrt(f)
    except ValueError:
        return x + 1, type(root)


@TOPIC.program(*CALLS)
def functions_of_math(x, f):
    g = abs(f) if math.isfinite(f) else 1.0
    return (
        x * math.sqrt(g),
        math.exp(-g),
        math.log(g + 1),
        math.log(g + 2, 2),
        math.log1p(g),
        math.tanh(g),
        math.sin(g),
        math.atan2(g, 2),
        math.hypot(g, 3),
        math.fmod(g, 0.3),
        math.copysign(2.0, f),
        math.isnan(f),
        math.isinf(f),
        math.floor(g),
        math.ceil(g),
        math.trunc(g),
        math.fsum([g, 0.1]),
    )


@TOPIC.program(*CALLS)
def comparisons(x, f):
    y = x.sin() if f > 0.2 else x.cos()
    return y, 0 < f < 1, f == 0.25, f != 3, f <= -1.5, f == "a", f is None, not f, f and 5, f or 7


@TOPIC.program(*CALLS)
def extremes(x, f):
    return (
        x * max(f, 0.5),
        min(f, 1.0, 2.0),
        max(f, 1),
        min([f, 2.0]),
        sorted([f, 3.0, 0.2]),
        abs(f),
    )


@TOPIC.program(*CALLS)
def conversions(x, f):
    g = f if math.isfinite(f) else 2.5
    return x, float(f), int(g), round(g), round(g, 1), complex(f), bool(f), operator.truth(f)


@TOPIC.program(*CALLS)
def types(x, f):
    found = [
        isinstance(f, float),
        isinstance(f, (int, bool)),
        type(f),
        f.__class__,
        type(f) is float,
    ]
    return x * f, found, callable(f), hasattr(f, "real"), f.real, f.is_integer()


@TOPIC.program(*CALLS)
def texts(x, f):
    plain = f"{f} {f:>9.3f} {f!r}", "%g %s" % (f, f), "{} {:.2e}".format(f, f)
    return x, plain, str(f), repr([f]), format(f, ".4f"), f.hex()


@TOPIC.program(*CALLS)
def bits(x, f):
    return (
        x,
        struct.pack("d", f),
        f != f or hash(f) == hash(f * 1),
        copy.deepcopy([f]),
        copy.copy(f),
    )


@TOPIC.program(*CALLS[:-1])  # a NaN is found by its identity
def keys(x, f):
    table = {f: 1, (f, 2): 2}
    table[0.5] = 3
    found = table[f], table.get((f, 2)), f in table, f in [0.25, f]
    return x, found, {f, 1.0}, frozenset([abs(f)])


@TOPIC.program(*CALLS)
def containers(x, f):
    pair = Pair(f, f * 2)
    box = Box(f + 1)
    box.number += f
    items = [f, *pair]
    items.append(f - 1)
    return x * pair.second, pair, box, items, {"f": f}, sum(items), items.index(f * 1)


@TOPIC.program(*CALLS)
def beside_tensors(x, f):
    return x * f, f * x, x + f, f + x, x - f, f - x, x / f, f / x, x < f, f <= x, x == f, x != f


@TOPIC.program(*CALLS)
def beside_integers(x, f):
    n, b = torch.arange(7), torch.arange(7) > 3
    return n * f, f - n, n / f, n + f, n < f, b * f, b + f, f > b


@TOPIC.program(*CALLS)
def beside_other_dtypes(x, f):
    return [
        (x.to(dtype) * f, x.to(dtype) + f, f - x.to(dtype), x.to(dtype) > f)
        for dtype in (torch.float64, torch.bfloat16, torch.float16)
    ]


@TOPIC.program(*CALLS)
def beside_tensors_without_dimensions(x, f):
    return x[0] * f, x[0].double() + f, x[0].bfloat16() * f, torch.tensor(3) * f, f - x[0], x[1] < f


@TOPIC.program(*CALLS)
def complex_tensors(x, f):
    z = torch.complex(x, x + 1)
    return (z * f).real, (z + f).imag, z == f, f * z[0]


@TOPIC.program(*CALLS)
def filled(x, f):
    return (
        torch.full((3,), f),
        torch.full((2, 2), f, dtype=torch.float64),
        torch.full_like(x, f),
        torch.where(x > 0, x, f),
        torch.where(x > 0, f, 0.5),
        x.masked_fill(x > 0, f),
        torch.zeros(3).fill_(f),
        torch.tensor(f),
        torch.tensor([f, 1.0]),
        torch.as_tensor(f),
        x.new_tensor([f]),
    )


@TOPIC.program(call(t(3), 0.5), call(t(3), 1e10), call(t(3), 1e300), call(t(3), -1e300))
def filled_with_what_float32_cannot_hold(x, f):
    try:
        return x.masked_fill(x > 0, f), x * f
    except RuntimeError:
        return x


@TOPIC.program(*CALLS)
def in_place(x, f):
    y, n = x.clone(), torch.arange(3.0)
    y *= f
    n -= f
    n[1] = f
    y.mul_(2).add_(f)
    return y, n


@TOPIC.program(*CALLS)
def arguments_of_ops(x, f):
    g = abs(f) if 0 < abs(f) < 1 else 0.5
    return (
        torch.add(x, x, alpha=f),
        x.clamp(min=f),
        torch.nn.functional.leaky_relu(x, g),
        torch.nn.functional.layer_norm(x, (7,), eps=g),
        x.abs() ** g,
        torch.lerp(x, x + 1, f),
    )


@TOPIC.program(*NUMBERS)
def numbers_of_several_types(x, f):
    return x * f, f + 1, f * 2.5, 7 / f, math.sqrt(f), float(f), type(f)


@TOPIC.program(
    *(call(t(7), f, n) for f, n in ((0.5, 3), (0.25, 4), (0.125, 5), (0.75, 2**40), (0.1, 7)))
)
def ints_beside_floats(x, f, n):
    return (
        x * (f * n),
        f + n,
        n / f,
        n**f,
        f < n,
        n / (n + 1),
        x * n * f,
        min(f, n),
        float(n),
        n / 3,
    )


@TOPIC.program(*CALLS)
def long_sums(x, f):
    total = 0.0
    for i in range(100):
        total = total * 0.5 + f * i
    return x * total, total


@TOPIC.program(*CALLS)
def closures(x, f):
    def scaled(y, by=f):
        return y * by * f

    return scaled(x), [g * f for g in (1.0, f)], (lambda: f)()


@TOPIC.program(*(call(t(7, grad=True), value) for value in VALUES))
def with_gradients(x, f):
    y = x * f + f
    return (f - y) * (f * 2), y / 3 * f, torch.where(x > f, y, f)


@TOPIC.program(*CALLS)
def beside_numbers_written_in_c(x, f):
    return x, f == decimal.Decimal(f), decimal.Decimal(2) > f, f == fractions.Fraction(f), hash(f)
