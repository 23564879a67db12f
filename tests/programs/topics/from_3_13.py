"""What CPython 3.13 brought: `locals()` as a snapshot, defaults of type parameters, `copy.replace`."""

import copy
import dataclasses
import math
import re

from program_cases import Topic, call, t

TOPIC = Topic("from 3.13")


def make_default[T = int](value: T) -> T:
    return value


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


class Counted:
    """Indented, and the indentation goes.

    Here too.
    """

    def __init__(self, start):
        self.start = start
        self.end = start


@TOPIC.program(call(t(2)))
def locals_is_a_snapshot(x):
    a = 1
    before = locals()
    a = 2
    before["b"] = 3
    after = locals()
    return before["a"], sorted(before), after["a"], sorted(after), after is before, x + a


@TOPIC.program(call(t(2)))
def locals_inside_a_comprehension(x):
    a = 1
    return [sorted(locals()) for b in range(2)], x + a


@TOPIC.program(call(t(2)))
def locals_with_cells(x):
    a, unbound = 1, 2
    del unbound

    def inner():
        return a, sorted(locals())

    return locals()["a"], inner(), x


@TOPIC.program(call(t(2)))
def type_parameter_with_a_default(x):
    return make_default(x + 1), make_default.__type_params__[0].__name__


@TOPIC.program(call(t(2)))
def replaced_copies(x):
    point = copy.replace(Point(x, 1), y=x * 2)
    return point.x, point.y


@TOPIC.program(call(t(2)))
def generator_that_is_closed_returns(x):
    def numbers():
        try:
            yield x
        except GeneratorExit:
            return "closed"

    running = numbers()
    first = next(running)
    return first, running.close(), running.close()


@TOPIC.program(call(t(2)))
def attributes_of_classes(x):
    class Local:
        def set(self):
            self.a = self.b = 1

    return (
        sorted(Counted.__static_attributes__),
        sorted(Local.__static_attributes__),
        Counted.__doc__,
        x,
    )


@TOPIC.program(call(t(2)))
def keywords_of_library_functions(x):
    return (
        "aaa".replace("a", "b", count=2), math.fma(2.0, 3.0, 1.0), re.sub("a", "b", "aaa", count=1), re.split(",", "a,b,c"),
        re.sub("(a)", r"\1\1", "xax"), x,
    )  # fmt: skip


@TOPIC.program(call(t(2)))
def calls_with_keywords(x):
    def f(a, /, b=1, *rest, c=2, **more):
        return a + b, rest, c, more

    args, named = (3,), {"d": 4}
    return f(x, b=2), f(x, 1, 2, c=3), f(x, *args, **named), f(x, *args, 5, c=x, **named)


@TOPIC.program(call(t(2)), is_one_graph=False)
def break_in_calls_with_keywords(x):
    def f(a, b=1, **more):
        print(sorted(more), end=";", sep=",")
        return a * b

    return f(x, b=3, c=4), f(a=x, b=2, **{"d": 1})


@TOPIC.program(call(t(2)), call(t(2)), is_one_graph=False)
def break_in_a_loop_with_handlers(x):
    log = []
    for i in range(4):
        try:
            print("in", i)
            if i == 1:
                raise ValueError(i)
            if i == 2:
                continue
            log.append(x * i)
        except ValueError as error:
            print(error)
            log.append(str(error))
        finally:
            print("finally", i)
    return log
