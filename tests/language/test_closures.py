"""Closures and scopes inside compiled functions."""

import functools

import torch
from language_checks import same

X = torch.arange(3.0)


def test_cells_are_shared_by_siblings_and_generations():
    def program(x):
        def account(balance):
            history = []

            def deposit(amount):
                nonlocal balance
                balance = balance + amount
                history.append(amount)
                return balance

            def undo():
                nonlocal balance
                balance = balance - history.pop()
                return lambda: (balance, len(history))

            return deposit, undo

        first, second = account(x), account(1)
        log = [first[0](2), second[0](x), first[0](3)]
        look = first[1]()
        log.append(look())
        log.append(first[0](5))
        log.append(look())
        return log

    same(program, X)


def test_nonlocal_through_a_level_that_does_not_name_it():
    def program(x):
        count = 0

        def outer():
            def middle():
                def inner():
                    nonlocal count
                    count += 1
                    return count

                return inner

            return middle

        f = outer()()
        return x * f(), f(), count, outer()()(), count

    same(program, X)


def test_class_bodies_skip_their_own_scope():
    def program(x):
        name = "function"

        class Outer:
            name = "class"
            seen_by_body = name

            def method(self):
                return name

            listed = [name for _ in range(1)]
            first = (lambda: name)()

            class Inner:
                seen = name

        return x, Outer.seen_by_body, Outer().method(), Outer.listed, Outer.first, Outer.Inner.seen

    same(program, X)


def test_class_cell_and_zero_argument_super():
    def program(x):
        class Base:
            def who(self):
                return ["base"]

            @classmethod
            def made(cls):
                return cls.__name__

            @property
            def prop(self):
                return 1

        class Sub(Base):
            def who(self):
                return ["sub", *super().who(), __class__.__name__]

            def in_nested(self):
                def inner():
                    return __class__.__name__, super(Sub, self).who()

                return inner()

            def in_lambda(self):
                return (lambda: super(Sub, self).who())()

            def in_comprehension(self):
                up = super()
                return [up.who() for _ in range(2)]

            @classmethod
            def made(cls):
                return "sub " + super().made()

            @property
            def prop(self):
                return super().prop + 1

        class Leaf(Sub):
            pass

        leaf = Leaf()
        return (
            x,
            leaf.who(),
            leaf.in_nested(),
            leaf.in_lambda(),
            leaf.in_comprehension(),
            Leaf.made(),
            leaf.prop,
        )

    same(program, X)


def test_unbound_names_in_every_position():
    def program(x, go):
        log = []

        def local():
            if go:
                value = 1
            return value

        def free():
            def inner():
                return later

            if go:
                later = 1
            return inner()

        def deleted():
            value = 1
            del value
            return value

        def deleted_cell():
            value = 1

            def inner():
                return value

            del value
            return inner()

        def augmented():
            missing += 1

        def loop():
            for k in ():
                pass
            return k

        def handler():
            try:
                raise ValueError
            except ValueError as error:
                pass
            return error

        for f in (local, free, deleted, deleted_cell, augmented, loop, handler):
            try:
                log.append(f())
            except NameError as error:
                log.append((type(error).__name__, str(error)))
        return x, log

    same(program, X, False)
    same(program, X, True)


def test_defaults_are_evaluated_once():
    def program(x):
        log = []

        def note(value):
            log.append(value)
            return value

        def f(item, bucket=note([]), *, table=note({})):
            bucket.append(item)
            table[len(bucket)] = item
            return bucket, table

        f(1)
        f(x)
        return f(3)[0], log, f.__defaults__[0] is f(4)[0]

    same(program, X)


def test_loop_variables_in_closures():
    def program(x):
        made = []
        for i in range(3):
            for j in range(2):
                made.append(
                    (
                        lambda: (i, j),
                        lambda i=i, j=j: (i, j),
                        functools.partial(lambda a, b: (a, b), i, j),
                    )
                )
        return x, [[f() for f in trio] for trio in made]

    same(program, X)


def test_decorators_stack_and_take_arguments():
    def program(x):
        log = []

        def traced(name):
            log.append(f"make {name}")

            def decorate(function):
                log.append(f"decorate {name}")

                @functools.wraps(function)
                def wrapper(*args, **kwargs):
                    log.append(f"call {name}")
                    return function(*args, **kwargs)

                wrapper.tags = [name, *getattr(function, "tags", ())]
                return wrapper

            return decorate

        class Registry(dict):
            def __call__(self, function):
                self[function.__name__] = function
                return function

        register = Registry()

        @register
        @traced("a")
        @traced("b")
        def work(value, *, by=2):
            return value * by

        return work(x), register["work"](x, by=3), work.tags, work.__name__, log

    same(program, X)


def test_recursive_closures_and_fixed_points():
    def program(x, n):
        def memoised(function):
            known = {}

            def inner(k):
                if k not in known:
                    known[k] = function(k)
                return known[k]

            inner.known = known
            return inner

        @memoised
        def fib(k):
            return k if k < 2 else fib(k - 1) + fib(k - 2)

        fix = lambda f: (lambda g: g(g))(lambda g: f(lambda k: g(g)(k)))
        fact = fix(lambda self: lambda k: 1 if k == 0 else k * self(k - 1))
        return x * fib(n), len(fib.known), fact(n)

    same(program, X, 7)


def test_walrus_binds_outside_the_comprehension():
    def program(x):
        total = 0
        partial = [total := total + k for k in range(4)]
        last = [y := k * 2 for k in range(3)][-1]
        if (n := len(partial)) > 3 and (m := n + 1):
            return x * m, partial, total, last, y, [z for k in range(4) if (z := k % 3)]

    same(program, X)


def test_cells_keep_what_the_loop_left():
    def program(x):
        def outer(n):
            fs = []
            for k in range(n):

                def f():
                    nonlocal k
                    k += 10
                    return k

                fs.append(f)
            return [f() for f in fs], k

        return x, outer(3)

    same(program, X)


def test_functions_compare_and_hash_by_identity():
    def program(x):
        def make():
            return lambda: 1

        f, g = make(), make()
        table = {f: "f", g: "g"}
        return x, f == g, f is f, table[f], table[g], len({f, g, f}), f.__code__ is g.__code__

    same(program, X)


def test_star_arguments_in_every_order():
    def program(x):
        def f(a, /, b, *c, d=4, **e):
            return a, b, c, d, e

        def g(*args, **kwargs):
            return f(*args, **kwargs)

        rest, more = [3, 4], {"z": x}
        return (
            f(1, 2),
            f(1, 2, *rest, d=5, **more),
            f(*(1, 2), *rest, **{"d": 6}, y=1, **more),
            g(1, b=2, a=3),
            f(1, **{"b": 2, "a": 9}),
            (lambda *a, k=1, **kw: (a, k, kw))(*"ab", k=2, q=3),
        )

    same(program, X)
