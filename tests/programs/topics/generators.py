"""Generators, yield from, send, close, generator expressions, comprehensions, iterators."""

import torch
from program_cases import Topic, call, t

TOPIC = Topic("generators")


def _count(n):
    for i in range(n):
        yield i
    return "done"


def _relay(n):
    result = yield from _count(n)
    yield result


def _accumulate():
    total = 0
    while True:
        value = yield total
        if value is None:
            return
        total = total + value


class Countdown:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return self.n


@TOPIC.program(call(t(3)))
def list_comprehension(x):
    return [x * i for i in range(4) if i != 2]


@TOPIC.program(call(t(3)))
def nested_comprehension(x):
    return [[x[i] * j for j in range(2)] for i in range(3)], [
        (i, j) for i in range(3) for j in range(i)
    ]


@TOPIC.program(call(t(3)))
def dict_and_set_comprehension(x):
    return {str(i): x + i for i in range(3)}, {i % 2 for i in range(5)}


@TOPIC.program(call(t(3)))
def generator_expression(x):
    return sum(x * i for i in range(3)), max(i * i for i in range(-3, 2)), list(i for i in "ab")


@TOPIC.program(call(t(3)))
def comprehension_variable_does_not_leak(x):
    i = 10
    values = [i for i in range(3)]
    return x * i, values


@TOPIC.program(call(t(3)))
def generator_in_a_for(x):
    for i in _count(3):
        x = x + i
    return x


@TOPIC.program(call(t(3)))
def yield_from_gives_the_return(x):
    return x, list(_relay(3))


@TOPIC.program(call(t(3)))
def send(x):
    g = _accumulate()
    first = next(g)
    second = g.send(x)
    third = g.send(x * 2)
    g.close()
    return first, second, third


@TOPIC.program(call(t(3)))
def stop_iteration_value(x):
    g = _count(1)
    next(g)
    try:
        next(g)
    except StopIteration as stop:
        return x, stop.value
    return x, None


@TOPIC.program(call(t(3)))
def next_with_default(x):
    it = iter([x])
    return next(it), next(it, 5), next(iter(()), None)


@TOPIC.program(call(t(3)))
def exhausted_iterator(x):
    it = iter([x])
    next(it)
    return next(it)


@TOPIC.program(call(t(3)))
def class_iterator(x):
    return [x + n for n in Countdown(3)], 2 in Countdown(5), list(Countdown(2))


@TOPIC.program(call(t(3)))
def generator_over_a_closure(x):
    scale = 3

    def scaled():
        for i in range(2):
            yield x * scale * i

    return list(scaled())


@TOPIC.program(call(t(3)))
def generator_with_finally(x):
    log = []

    def work():
        try:
            yield x
            yield x + 1
        finally:
            log.append("closed")

    for _value in work():
        break
    g = work()
    first = next(g)
    g.close()
    return first, log[-1:]


@TOPIC.program(call(t(3)))
def throw_into_a_generator(x):
    def work():
        try:
            yield x
        except ValueError as error:
            yield x * 2 if str(error) == "up" else x

    g = work()
    first = next(g)
    return first, g.throw(ValueError("up"))


@TOPIC.program(call(t(3)))
def error_inside_a_generator(x):
    def work():
        yield x
        raise KeyError("inside")

    return list(work())


@TOPIC.program(call(t(3)))
def generator_is_lazy(x):
    log = []

    def work():
        log.append("started")
        yield 1

    g = work()
    log.append("made")
    next(g)
    return log, x


@TOPIC.program(call(t(3)))
def two_generators_in_turn(x):
    a, b = _count(3), _count(3)
    out = []
    for i, j in zip(a, b):
        out.append(x * (i + j))
    return out


@TOPIC.program(call(t(3)))
def recursive_generator(x):
    def walk(tree):
        if isinstance(tree, list):
            for child in tree:
                yield from walk(child)
        else:
            yield tree

    return sum(walk([1, [2, [x, 3]], 4]))


@TOPIC.program(call(t(3)))
def unpacking_a_generator(x):
    a, *rest = _count(4)
    return x * a, rest, [*_count(2)], (*_count(2),)


@TOPIC.program(call(t(3, 2)))
def comprehension_over_a_tensor(x):
    return torch.stack([row * i for i, row in enumerate(x)]), [v.shape for v in x]


@TOPIC.program(call(t(3)))
def any_all_over_generators(x):
    return any(i > 2 for i in range(5)), all(i > 2 for i in range(5)), tuple(i for i in range(2)), x


@TOPIC.program(call(t(3)))
def stop_iteration_becomes_runtime_error(x):
    def work():
        yield x
        raise StopIteration

    return list(work())
