"""Closures, cells, nonlocal, lambdas, defaults, recursion."""

import functools

import torch
from program_cases import Topic, after, again, call, fresh_call, t

TOPIC = Topic("closures")


@TOPIC.made(
    fresh_call(t(3)), again(t(3)), after(lambda s: s.set(5.0), fresh_call(t(3))), again(t(3))
)
def reads_a_number_of_its_closure():
    scale = 2.0

    def set_scale(value):
        nonlocal scale
        scale = value

    def program(x):
        return x * scale

    program.set = set_scale
    return program


@TOPIC.made(call(t(3)), call(t(4)))
def reads_a_tensor_of_its_closure():
    weight = torch.arange(3.0).sum()

    def program(x):
        return x + weight

    return program


@TOPIC.made(call(t(3)), call(t(3)), call(t(3)))
def counts_its_calls_in_a_cell():
    count = 0

    def read():
        return count

    def program(x):
        nonlocal count
        count += 1
        return x + count, read()

    return program


@TOPIC.made(call(t(3)), call(t(3)))
def keeps_a_tensor_in_a_cell():
    total = torch.zeros(3)

    def program(x):
        nonlocal total
        total = total + x
        return total * 1.0

    return program


@TOPIC.program(call(t(3)))
def closure_made_and_called_inside(x):
    def scaled(factor):
        return x * factor

    return scaled(2) + scaled(3)


@TOPIC.program(call(t(3)))
def nonlocal_of_an_inner_function(x):
    steps = 0

    def step(value):
        nonlocal steps
        steps += 1
        return value + steps

    y = step(step(step(x)))
    return y * steps, steps


@TOPIC.program(call(t(3)))
def lambdas_bind_late(x):
    functions = [lambda v: v * i for i in range(3)]
    return [f(x) for f in functions]


@TOPIC.program(call(t(3)))
def lambdas_bind_early_by_default(x):
    functions = [lambda v, i=i: v * i for i in range(3)]
    return [f(x) for f in functions]


@TOPIC.program(call(t(3)))
def three_levels_of_functions(x):
    def outer(a):
        def middle(b):
            def inner(c):
                return a + b * c + x

            return inner(b) + a

        return middle(a) * 2

    return outer(x + 1)


@TOPIC.program(call(t(3)), call(t(3), 3.0), call(t(3), bias=1))
def defaults_of_the_program(x, scale=2.0, *, bias=0):
    return x * scale + bias


@TOPIC.program(call(t(3)))
def default_is_shared_between_calls_of_an_inner_function(x):
    def append(value, to=[]):
        to.append(value)
        return len(to)

    return x + append(1) + append(2) * 10


@TOPIC.program(call(t(3), 4), call(t(3), 0))
def recursion(x, depth):
    def go(value, left):
        return value if left == 0 else go(value * 2 + left, left - 1)

    return go(x, depth)


def _even(x, n):
    return x if n == 0 else _odd(x + 1, n - 1)


def _odd(x, n):
    return -x if n == 0 else _even(x * 2, n - 1)


@TOPIC.program(call(t(2), 5), call(t(2), 4))
def mutual_recursion(x, n):
    return _even(x, n)


@TOPIC.program(call(t(3)))
def returns_a_function(x):
    y = x + 1

    def later(z):
        return z * 2

    return later(y), later


@TOPIC.program(call(t(3)))
def decorator_of_the_users(x):
    def doubled(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs) * 2

        return wrapper

    @doubled
    def plus(a, b=1):
        return a + b

    return plus(x) + plus(x, b=3)


@TOPIC.program(call(t(3)))
def variable_deleted_and_set_again(x):
    y = x + 1
    del y
    y = x * 2
    return y


@TOPIC.program(call(t(3)))
def cell_deleted_and_set_again(x):
    y = x + 1

    def read():
        return y

    first = read()
    del y
    y = x * 3
    return first + read()


@TOPIC.program(call(t(3)))
def unbound_local(x):
    if x.shape[0] > 100:
        y = x
    return y


@TOPIC.program(call(t(3)))
def unbound_free_variable(x):
    def read():
        return y

    if x.shape[0] > 100:
        y = 1
    return read()


@TOPIC.program(call(t(3)))
def walrus(x):
    if (n := x.shape[0]) > 2 and (y := x * n) is not None:
        return y + n
    return x


@TOPIC.program(call(t(3)))
def walrus_in_a_comprehension(x):
    out = [last := x * i for i in range(3)]
    return out, last


@TOPIC.made(
    call(t(3)),
    after(lambda s: s[1].append(4.0), call(t(3))),
    after(lambda s: s[1].clear(), call(t(3))),
)
def reads_a_list_of_its_closure():
    numbers = [1.0, 2.0]

    def program(x):
        for number in numbers:
            x = x * number
        return x

    return program, (program, numbers)


@TOPIC.made(call(t(3)), after(lambda s: s["helper"](lambda v: v - 1), call(t(3))), call(t(3)))
def calls_a_function_of_its_closure():
    def helper(value):
        return value + 1

    def program(x):
        return helper(x) * 2

    def change(new):
        nonlocal helper
        helper = new

    return program, {"helper": change}


@TOPIC.program(call(t(3)))
def function_attributes(x):
    def scaled(v):
        return v * scaled.factor

    scaled.factor = 3
    return scaled(x)


@TOPIC.made(call(t(3), 0), call(t(3), 4), call(t(3), 5))
def calls_a_function_that_calls_itself_by_a_shared_cell():
    def deepen(x, depth):
        return x if depth == 0 else deepen(x + 1, depth - 1)

    def program(x, depth):
        return deepen(x * 2, depth) + deepen(x, 1)

    return program


@TOPIC.made(call(t(3), 1), call(t(3), 4))
def calls_functions_that_call_each_other_by_shared_cells():
    def even(x, n):
        return x if n == 0 else odd(x + 1, n - 1)

    def odd(x, n):
        return -x if n == 0 else even(x * 2, n - 1)

    def program(x, n):
        return even(x, n), odd(x, n), (lambda: even)() is even

    return program
