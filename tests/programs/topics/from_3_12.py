"""What CPython 3.12 brought: f-strings that hold anything, type parameters, comprehensions that run in the function's own frame."""

import torch
from program_cases import Topic, after, again, call, i64, t

TOPIC = Topic("from 3.12")


@TOPIC.program(call(t(2), {"key": 3.5, "other": "a\nb"}))
def f_strings_that_hold_anything(x, d):
    text = f"{d['key']:>{len('abcd')}}|{f'{f"{d['other']!r}"}'}|{'\n'.join(['a', 'b'])}|{
        d['key']  # a comment inside
        + 1
    }|{x.shape[0] = }"
    return x * d["key"], text


def first_of[T](values: list[T]) -> T:
    return values[0]


class Box[T]:
    def __init__(self, value: T):
        self.value = value

    def with_value[U](self, value: U) -> "Box[U]":
        return Box(value)

    def map(self, function):
        return Box[int](function(self.value))


type Tensors = list[torch.Tensor]


@TOPIC.program(call(t(3)))
def generic_functions_and_classes(x):
    box = Box(first_of([x, x + 1])).with_value(x * 2).map(torch.sin)
    return (
        box.value,
        type(box).__name__,
        [p.__name__ for p in Box.__type_params__],
        Tensors.__name__,
    )


@TOPIC.program(call(t(3)), is_one_graph=False)
def type_parameters_made_inside(x):
    def double[T: torch.Tensor](v: T) -> T:
        return v * 2

    class Pair[A, *B]:
        def __init__(self, a, *b):
            self.a, self.b = a, b

    type Alias[T] = list[T]
    pair = Pair(double(x), x + 1)
    return (
        pair.a,
        pair.b[0],
        double.__type_params__[0].__name__,
        Alias.__name__,
        len(Pair.__type_params__),
    )


@TOPIC.program(call(t(3)), again(t(3)))
def comprehension_leaves_a_local_of_its_name(x):
    i = x * 2
    found = [i * 3 for i in range(3)]
    found += [i + j for i in range(2) for j in [i, 5]]
    return i, found, {i: i for i in "ab"}, {i for i in (1, 1)}, i + 1


@TOPIC.program(call(t(3)))
def comprehension_leaves_an_unbound_local_unbound(x):
    if x is None:
        k = 0
    found = [k for k in range(3)]
    try:
        return k, x
    except UnboundLocalError as error:
        k = x + 1
        return found, str(error), k


@TOPIC.program(call(t(3)))
def comprehension_that_raises_leaves_its_names(x):
    i = x + 1
    try:
        [1 / i for i in (1, 0)]
    except ZeroDivisionError:
        return i * 2
    return x


@TOPIC.program(call(t(3)))
def closures_over_names_of_comprehensions(x):
    k = 100
    late = [lambda: k for k in range(3)]
    early = [lambda k=k: k * 2 for k in range(3)]

    def outer():
        return k

    return [f() for f in late], [f() for f in early], outer(), x + late[0]()


@TOPIC.program(call(t(3)))
def comprehensions_inside_each_other(x):
    rows = [[x * i + j for j in range(i)] for i in range(3)]
    named = {i: [last := j for j in range(i + 1)] for i in range(3)}
    return rows, named, last, [[(i, j) for i in range(2)] for j in range(2)]


@TOPIC.program(call(t(3)))
def comprehension_in_a_class_body(x):
    size = 2

    class Holder:
        items = [i * size for i in range(3)]
        own = [x * i for i in items]

    return Holder.items, Holder.own


@TOPIC.program(call(t(3)))
def comprehension_at_a_method(x):
    class Base:
        def scale(self, i):
            return x * i

    class Derived(Base):
        def scale(self, i):
            return [super(Derived, self).scale(i + j) for j in range(2)]

        def all(self):
            return [super().scale(i) for i in range(2)], [__class__.__name__ for _ in range(1)]

    return Derived().scale(1), Derived().all()


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def break_inside_a_comprehension(x):
    i = x + 1
    found = [print("item", i) or x * i for i in range(3)]
    return found, i


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_inside_comprehensions_with_closures(x):
    k = 7
    found = [(print(k), lambda: k + j)[1] for k in range(2) for j in [k]]
    return [f() for f in found], k, x + 1


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_inside_a_comprehension_whose_name_is_unbound(x):
    if x is None:
        k = 0
    found = {k: print(k) or x + k for k in range(2)}
    try:
        return k
    except UnboundLocalError:
        return found


@TOPIC.program(call(t(3)))
def slices_as_keys(x):
    return {slice(1, 2): x + 1}[slice(1, 2)], hash(slice(None)) == hash(slice(None))


@TOPIC.program(call(t(4)))
def slices_of_two_bounds(x):
    items, n = [1, 2, 3, 4], 3
    items[1:n] = [x]
    return items[0:2], x[1:n], "abcd"[1:n], (1, 2, 3)[:n]


@TOPIC.program(call(t(3)))
def exact_sums_of_floats(x):
    return sum([0.1] * 10), sum([1e16, 1.0, -1e16]), sum([0.1, 1, True, 2.5]), x * sum([0.1] * 3)


@TOPIC.made(call(t(3)), call(t(3)), after(lambda program: setattr(Config, "scale", 3), call(t(3))))
def class_with_type_parameters_read_from_outside():
    Config.scale = 2

    def program(x):
        return first_of([x * Config.scale])

    return program


class Config[T]:
    scale: T


@TOPIC.program(call(i64(3)))
def exceptions_inside_a_handler_of_a_comprehension(x):
    log = []

    def give(i):
        if i == 1:
            raise KeyError(i)
        return i

    try:
        try:
            log += [give(i) for i in range(3)]
        except KeyError as error:
            log.append(error.args)
            log += [give(i + 2) for i in range(2)]
            raise ValueError([i for i in (8, 9)]) from error
    except ValueError as error:
        log.append((error.args, type(error.__cause__).__name__))
    return log, x + len(log)
