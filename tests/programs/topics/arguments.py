"""Positional, keyword, starred, keyword-only and positional-only arguments, and their errors."""

import functools

from program_cases import Fresh, Topic, call, t

TOPIC = Topic("arguments")


@TOPIC.program(call(t(3)), call(t(3), t(3)), call(t(3), t(3), t(3)))
def star_args(*xs):
    return sum(xs), len(xs)


@TOPIC.program(call(a=t(3)), call(b=t(3), a=t(3)), call())
def star_kwargs(**kw):
    return {key: value * 2 for key, value in kw.items()}


@TOPIC.program(call(t(3), 1, 2, k=3, z=4), call(t(3), k=1))
def all_kinds(x, /, *rest, k, **more):
    return x * k + sum(rest) + sum(more.values()), sorted(more)


@TOPIC.program(call(t(3), y=t(3)), call(y=t(3), x=t(3)), call(t(3), t(3)))
def positional_or_keyword(x, y):
    return x - y


@TOPIC.program(call(t(3)))
def calls_with_everything(x):
    def f(a, b=2, *args, c=3, **kw):
        return (a * b + c, args, kw)

    args, kw = (x, 5), {"c": 1, "d": 2}
    return f(*args), f(*args, **kw), f(x, *[1, 2, 3], **{"e": 0}), f(b=1, a=x)


@TOPIC.program(call(t(3)))
def missing_argument(x):
    return (lambda a, b: a)(x)


@TOPIC.program(call(t(3)))
def too_many_arguments(x):
    return (lambda a: a)(x, x)


@TOPIC.program(call(t(3)))
def unexpected_keyword(x):
    return (lambda a: a)(x, b=1)


@TOPIC.program(call(t(3)))
def argument_twice(x):
    return (lambda a, b=1: a)(x, a=x)


@TOPIC.program(call(t(3)))
def keyword_twice(x):
    def f(**kw):
        return kw

    return f(a=x, **{"a": 1})


@TOPIC.program(call(t(3)))
def missing_keyword_only(x):
    def f(a, *, b, c):
        return a

    return f(x)


@TOPIC.program(call(t(3)))
def positional_only_by_keyword(x):
    def f(a, /):
        return a

    return f(a=x)


@TOPIC.program(call(t(3)), call(), call(t(3), t(3)))
def program_called_wrongly(x, *, k=1):
    return x


@TOPIC.program(call(t(3), Fresh(lambda: {"scale": 2})))
def options_are_passed_on(x, options):
    def inner(v, scale=1, **rest):
        return v * scale, rest

    return inner(x, **options, other=3)


@TOPIC.program(call(t(3)))
def partials(x):
    def f(a, b, c=0):
        return a * b + c

    double = functools.partial(f, b=2)
    first = functools.partial(f, x)
    return (
        double(x),
        first(3, c=1),
        functools.partial(double, c=x)(x),
        first.args[0],
        double.keywords,
    )


@TOPIC.program(call(t(3), 2, 3.5, "s", None, True, (1, 2), [3], {"k": 4}))
def constants_of_many_types(x, i, f, s, n, b, tup, lst, d):
    return x * i + f + len(s) + b + tup[1] + lst[0] + d["k"], n


@TOPIC.program(call(t(3), 1), call(t(3), 1.0), call(t(3), True))
def one_is_not_one_point_zero(x, n):
    return x, n, type(n).__name__, n + 1


@TOPIC.program(
    call(t(3), 0.0), call(t(3), -0.0), call(t(3), float("nan")), call(t(3), float("inf"))
)
def special_floats(x, f):
    return x * f, f


@TOPIC.program(call(t(3), 2**70), call(t(3), -(2**63)))
def big_integers(x, n):
    return x, n + 1, n % 7


@TOPIC.program(call(t(3), 1 + 2j))
def complex_constant(x, c):
    return x * c.real, c * 2, abs(c)


@TOPIC.program(call(t(3), slice(0, 2)), call(t(3), slice(None, None, 2)))
def slice_argument(x, s):
    return x[s], s.start


@TOPIC.program(call(t(3), range(3)), call(t(3), range(1, 4)))
def range_argument(x, r):
    return x * sum(r)


@TOPIC.program(call(t(3), print), call(t(3), len))
def function_argument(x, f):
    return x, f is len


def _plus(x):
    return x + 1


def _times(x):
    return x * 5


@TOPIC.program(call(t(3), _plus), call(t(3), _times), call(t(3), lambda v: v - 2))
def callback_argument(x, f):
    return f(x) * 2
