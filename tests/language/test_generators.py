"""Generators inside compiled functions: each test is a program, run compiled and plain, whose log must be the same."""

import inspect
import sys

import torch
from language_checks import same

X = torch.arange(3.0)


def test_values_are_made_one_at_a_time():
    def program(x):
        log = []

        def produce():
            for k in range(3):
                log.append(("made", k))
                yield x + k
                log.append(("resumed", k))

        for value in produce():
            log.append(value)
        return log

    same(program, X)


def test_send_reaches_every_kind_of_yield():
    def program(x):
        def echo():
            got = yield
            while True:
                got = (yield got), (yield)
                yield [(yield)] + [(yield), *((yield),)]

        g = echo()
        log = [next(g)]
        for k in range(10):
            log.append(g.send(x * k if k % 3 else k))
        return log

    same(program, X)


def test_send_to_an_unstarted_generator():
    def program(x):
        def produce():
            yield x

        g = produce()
        try:
            g.send(1)
        except TypeError as error:
            return str(error), next(g)

    same(program, X)


def test_return_value_is_in_the_exception():
    def program(x):
        def produce(value):
            yield 1
            return value

        log = []
        for value in (None, x, (1, 2), StopIteration(3), ValueError("v")):
            g = produce(value)
            next(g)
            try:
                next(g)
            except StopIteration as stop:
                log.append((type(stop.value).__name__, len(stop.args)))
                log.append(next(g, "over"))
        return log

    same(program, X)


def test_stop_iteration_inside_becomes_a_runtime_error():
    def program(x):
        def produce():
            yield x
            raise StopIteration("inner")

        log = []
        g = produce()
        next(g)
        try:
            next(g)
        except RuntimeError as error:
            log.append((str(error), repr(error.__cause__), error.__suppress_context__))
        log.append(next(g, "over"))

        def implicit():
            yield next(iter(()))

        try:
            list(implicit())
        except RuntimeError as error:
            log.append(type(error.__cause__).__name__)
        return log

    same(program, X)


def test_throw_into_each_state():
    def program(x):
        log = []

        def produce():
            try:
                yield 1
            except ValueError as error:
                log.append(repr(error))
                yield 2
            yield 3

        g = produce()
        try:
            g.throw(KeyError("unstarted"))
        except KeyError as error:
            log.append(repr(error))
        log.append(list(g))
        g = produce()
        log.append(next(g))
        log.append(g.throw(ValueError("running")))
        try:
            g.throw(IndexError)
        except IndexError as error:
            log.append(repr(error))
        try:
            g.throw(OSError("finished"))
        except OSError as error:
            log.append(repr(error))
        return x, log

    same(program, X)


def test_close_runs_finally_blocks_inside_out():
    def program(x):
        log = []

        def inner():
            try:
                yield 1
            finally:
                log.append("inner")

        def outer():
            try:
                yield from inner()
            finally:
                log.append("outer")

        g = outer()
        next(g)
        g.close()
        fresh = outer()
        fresh.close()
        log.append(list(fresh))
        return x, log

    same(program, X)


def test_generator_exit_may_be_answered():
    def program(x):
        log = []

        def returns():
            try:
                yield 1
            except GeneratorExit:
                return 5

        def raises():
            try:
                yield 1
            except GeneratorExit:
                raise ValueError("while closing") from None

        for make in (returns, raises):
            g = make()
            next(g)
            try:
                log.append(g.close() if sys.version_info < (3, 13) else bool(g.close()))
            except ValueError as error:
                log.append(str(error))
        return x, log

    same(program, X)


def test_yield_from_passes_everything_through():
    def program(x):
        log = []

        class Iterator:
            def __init__(self):
                self.n = 0

            def __iter__(self):
                log.append("iter")
                return self

            def __next__(self):
                self.n += 1
                if self.n > 3:
                    raise StopIteration("result")
                return self.n

            def throw(self, *details):
                log.append(("thrown", type(details[0]).__name__))
                return "from throw"

            def close(self):
                log.append("closed")

        def delegate():
            log.append((yield from Iterator()))
            yield x

        g = delegate()
        log.append(next(g))
        log.append(g.throw(ValueError("v")))
        log.extend(next(g) for _ in range(2))
        log.append(next(g))
        g = delegate()
        next(g)
        g.close()
        return log

    same(program, X)


def test_yield_from_something_without_send():
    def program(x):
        def delegate():
            yield from [1, 2]
            yield from "ab"
            yield from {"k": x}
            yield from (k for k in range(2))
            return "end"

        g = delegate()
        log = [next(g)]
        try:
            g.send("to a list iterator")
        except AttributeError as error:
            log.append(str(error))
        return log, list(delegate())

    same(program, X)


def test_throw_comes_back_as_a_return_of_the_inner_generator():
    def program(x):
        def inner():
            try:
                yield 1
            except ValueError:
                return "caught inside"

        def outer():
            result = yield from inner()
            yield result, x

        g = outer()
        next(g)
        return g.throw(ValueError)

    same(program, X)


def test_recursive_delegation():
    def program(x, depth):
        def tree(level):
            if level == 0:
                return 1
            left = yield from tree(level - 1)
            yield x * level
            right = yield from tree(level - 1)
            return left + right

        def total():
            result = yield from tree(depth)
            yield result

        return list(total())

    same(program, X, 3)


def test_generator_that_runs_itself():
    def program(x):
        def produce():
            yield 1
            try:
                next(me)
            except ValueError as error:
                yield str(error)

        me = produce()
        return x, list(me)

    same(program, X)


def test_exception_state_is_the_generators_own():
    def program(x):
        log = []

        def produce():
            try:
                raise KeyError("inside")
            except KeyError:
                yield repr(sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1])
                log.append(repr(sys.exc_info()[1]))
                yield 2

        g = produce()
        log.append(next(g))
        log.append(sys.exc_info()[1])
        try:
            raise ValueError("outside")
        except ValueError:
            log.append(repr(sys.exc_info()[1]))
            next(g)
            log.append(repr(sys.exc_info()[1]))
        log.append(sys.exc_info()[1])
        return x, log

    same(program, X)


def test_generator_expressions_bind_early_and_late():
    def program(x):
        items, factor = [x, x + 1], 2
        g = (item * factor for item in items)
        items = []
        factor = 10
        nested = ((a, b) for a in range(3) for b in range(a) if (a + b) % 2)
        return list(g), list(nested), items

    same(program, X)


def test_generators_as_arguments():
    def program(x):
        def numbers():
            yield from range(4)

        def take(*args, **kwargs):
            return args, kwargs

        a, *b = numbers()
        return (
            take(*numbers(), **{k: v for k, v in zip("ab", numbers())}),
            (a, b),
            sum(x * k for k in numbers()),
            max(numbers(), key=lambda k: -k),
            sorted(numbers(), reverse=True),
            dict(zip(numbers(), "wxyz")),
            ",".join(str(k) for k in numbers()),
            set(numbers()) == {*numbers()},
            [*numbers(), *numbers()],
            any(k > 2 for k in numbers()),
            all(k > 2 for k in numbers()),
            2 in numbers(),
            list(map(lambda p, q: p * q, numbers(), numbers())),
            list(zip(numbers(), numbers(), strict=True)),
        )

    same(program, X)


def test_pipelines_and_shared_iterators():
    def program(x):
        def pairs(source):
            it = iter(source)
            while True:
                try:
                    yield next(it), next(it)
                except StopIteration:
                    return

        def window(source, n):
            buffer = []
            for item in source:
                buffer.append(item)
                if len(buffer) == n:
                    yield sum(buffer)
                    buffer.pop(0)

        shared = iter([x, x * 2, x * 3, x * 4, x * 5])
        first = next(shared)
        return first, list(pairs(shared)), list(window([x, x, x * 2], 2)), list(shared)

    same(program, X)


def test_generator_methods_and_state():
    def program(x):
        class Tree:
            def __init__(self, value, *children):
                self.value, self.children = value, children

            def __iter__(self):
                yield self.value
                for child in self.children:
                    yield from child

        def produce():
            yield 1

        g = produce()
        states = [inspect.isgenerator(g), inspect.isgeneratorfunction(produce), iter(g) is g]
        tree = Tree(x, Tree(x + 1, Tree(x + 2)), Tree(x + 3))
        return states, list(tree), g.__name__, g.__qualname__.rpartition(".")[2]

    same(program, X)


def test_generator_left_unfinished_at_the_end():
    def program(x):
        def produce():
            yield x
            yield x + 1

        g = produce()
        return next(g)

    same(program, X)


def test_coroutine_style_averages():
    def program(x):
        def averager():
            total, count = 0, 0
            average = None
            while True:
                value = yield average
                if value is None:
                    return average
                total, count = total + value, count + 1
                average = total / count

        g = averager()
        next(g)
        log = [g.send(x), g.send(x * 3)]
        try:
            g.send(None)
        except StopIteration as stop:
            log.append(stop.value)
        return log

    same(program, X)


def test_exception_from_a_generator_in_a_consumer():
    def program(x):
        log = []

        def failing():
            yield x
            raise ValueError("from the generator")

        for consume in (
            list,
            sum,
            tuple,
            lambda g: [*g],
            lambda g: [v for v in g],
            lambda g: dict(enumerate(g)),
        ):
            try:
                log.append(consume(failing()))
            except ValueError as error:
                log.append(str(error))
        return log

    same(program, X)


def test_with_and_try_inside_generators():
    def program(x):
        log = []

        class Manager:
            def __init__(self, name):
                self.name = name

            def __enter__(self):
                log.append(f"enter {self.name}")
                return self

            def __exit__(self, kind, error, trace):
                log.append((f"exit {self.name}", kind and kind.__name__))
                return kind is KeyError

        def produce():
            with Manager("a"):
                yield 1
                with Manager("b"):
                    yield 2
            with Manager("c"):
                try:
                    yield 3
                finally:
                    yield 4
            return

        g = produce()
        log.append(next(g))
        log.append(next(g))
        log.append(g.throw(KeyError("swallowed by b")))
        log.append(g.throw(KeyError("yields in finally")))
        log.append(next(g, "over"))
        return x, log

    same(program, X)
