"""State that is handed over at a graph break, which no piece may run eagerly for: generators that stand in the middle, exceptions."""

import contextlib
import itertools

from program_cases import Topic, call, t

import graphwright as gw

TOPIC = Topic("handed_over")


def _count(x, n, log):
    try:
        for i in range(n):
            sent = yield x + i
            if sent is not None:
                log.append(sent)
    finally:
        log.append("closed")
    return n


def _relay(x, log):
    found = yield from _count(x, 2, log)
    log.append(found)
    yield from _count(x * 10, found, log)


@contextlib.contextmanager
def _noted(log, name):
    log.append(f"in {name}")
    try:
        yield name
    finally:
        log.append(f"out {name}")


@TOPIC.program(call(t(3)), call(t(5)), is_one_graph=False)
def break_inside_a_generator_manager(x):
    log = []
    with _noted(log, "a") as name:
        y = x * 2
        print(name)
        y = y + 1
    return y, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_inside_nested_generator_managers(x):
    log = []
    with _noted(log, "a"), _noted(log, "b"):
        y = x * 2
        gw.graph_break()
        with _noted(log, "c"):
            y = y.relu() + 1
            gw.graph_break()
    return y, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_in_a_loop_over_a_generator(x):
    log, total = [], 0
    for value in _count(x, 4, log):
        total = total + value
        gw.graph_break()
    return total, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_while_generators_delegate(x):
    log, total = [], 0
    generator = _relay(x, log)
    for value in generator:
        total = total + value
        gw.graph_break()
        if len(log) > 1:
            generator.close()
    return total, log, list(generator)


@TOPIC.program(call(t(3)), is_one_graph=False)
def generators_before_their_first_step(x):
    log = []
    generator = _count(x, 3, log)
    again = generator
    gw.graph_break()
    first = next(generator)
    gw.graph_break()
    return first, generator.send("sent"), next(again), generator.close(), log, again is generator


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_that_shares_a_cell(x):
    total = x

    def steps():
        nonlocal total
        for i in range(3):
            total = total + i
            yield total.sum()

    generator = steps()
    next(generator)
    gw.graph_break()
    total = total * 2
    return list(generator), total


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_expressions_and_what_wraps_them(x):
    squares = (i * i for i in range(4))
    pairs = zip(squares, itertools.count(3), strict=False)
    next(pairs)
    gw.graph_break()
    return [x * a + b for a, b in pairs]


@TOPIC.program(call(t(3)), is_one_graph=False)
def annotations_of_a_function(x):
    def inner(a: int) -> list:
        return a

    gw.graph_break()
    annotations = inner.__annotations__
    inner.__annotations__["b"] = x + 1
    gw.graph_break()
    return sorted(annotations), annotations is inner.__annotations__, annotations["b"]


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_with_attributes_of_its_own(x):
    log = []
    generator = _count(x, 2, log)
    next(generator)
    gw.graph_break()
    return (
        generator.__name__,
        generator.gi_frame.f_lineno,
        generator.gi_yieldfrom,
        generator.close(),
    )


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_that_throws(x):
    log = []

    def careful():
        while True:
            try:
                yield x
            except KeyError as error:
                log.append(str(error))

    generator = careful()
    next(generator)
    gw.graph_break()
    value = generator.throw(KeyError("k"))
    gw.graph_break()
    return value + 1, log


class _Refused(ValueError):
    def __init__(self, value, *, code):
        super().__init__(f"refused {value}")
        self.code = code


@TOPIC.program(call(t(3)), is_one_graph=False)
def exceptions_that_were_not_raised_yet(x):
    plain, own = KeyError("k", 1), _Refused(3, code=x * 2)
    own.__cause__ = plain
    errors = [plain, own]
    gw.graph_break()
    return x + 1, errors, own, own is errors[1]


@TOPIC.program(call(t(3)))
def exceptions_in_the_result(x):
    error = _Refused(4, code=x + 1)
    error.__context__ = KeyError("context")
    return str(error), error, error.__context__, x


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_before_a_function_is_made(x):
    def make(scale):
        gw.graph_break()
        return lambda y: y * scale

    return make(2)(x), [make(i)(x) for i in range(2)]
