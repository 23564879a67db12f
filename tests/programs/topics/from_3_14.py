"""What CPython 3.14 brought: t-strings, annotations that are worked out when asked for, `except` without parentheses."""

import annotationlib
import functools
import string.templatelib
import typing

from program_cases import Topic, after, call, t

TOPIC = Topic("from 3.14")


def render(template):
    return "".join(
        part
        if isinstance(part, str)
        else format(part.value, part.format_spec) + f"<{part.expression}{part.conversion or ''}>"
        for part in template
    )


@TOPIC.program(call(t(2), "name", 3.25), is_one_graph=False)
def template_strings(x, s, number):
    width = 8
    template = t"{s!r}:{number:>{width}.1f}|{{}}{width + 1}{s}"
    kind = type(template) is string.templatelib.Template
    return (
        render(template),
        template.strings,
        template.values,
        len(template.interpolations),
        kind,
        x,
    )


@TOPIC.program(call(t(2)), is_one_graph=False)
def template_string_that_holds_a_tensor(x):
    template = t"a{x * 2}b"
    return template.values[0], template.interpolations[0].expression, template.strings


class Node:
    children: list[Later]
    size: int = 0

    def add(self, child: Later) -> Later:
        return child


class Later:
    pass


@TOPIC.program(call(t(2)))
def annotations_that_are_never_worked_out(x):
    def inner(a: missing_name, *, b: also_missing = 1) -> missing_too:  # noqa: F821  (never evaluated)
        return a + b

    count: also_missing = 3  # noqa: F821
    return inner(x, b=2), count


@TOPIC.program(call(t(2)), is_one_graph=False)
def annotations_that_are_worked_out(x):
    def inner(a: int, b: str = "") -> list:
        return a

    return (
        sorted(inner.__annotations__),
        inner(x),
        sorted(Node.__annotations__),
        Node.add.__annotations__["child"].__name__,
    )


@TOPIC.program(call(t(2)))
def annotations_that_a_library_works_out(x):
    def inner(a: int, b: missing_name):  # noqa: F821  (a library makes something of it)
        return a

    hints = typing.get_type_hints(inner, format=annotationlib.Format.FORWARDREF)
    return hints["a"] is int, type(hints["b"]).__name__, x


Size = int


@TOPIC.made(
    call(t(2)),
    after(lambda _: globals().update(Size=str), call(t(2))),
    after(lambda _: globals().update(Size=int), call(t(2))),
)
def annotations_of_a_function_that_is_returned():
    def program(x):
        y = x + 1

        def inner(a: missing_name, b: Size = 2) -> Size:  # noqa: F821  (never evaluated)
            return a + y * b

        def known(a: Size) -> list:
            return a

        names = sorted(known.__annotations__), known.__annotations__["a"].__name__
        known.__annotations__["b"] = y
        return inner(1), names, known.__annotations__["b"]

    return program


@TOPIC.program(call(t(2)))
def class_with_annotations(x):
    class Local:
        a: unknown  # noqa: F821
        b: int = 2

        def get(self) -> Local:
            return self

    return Local().get().b, x * Local.b


@TOPIC.program(call(t(2), 0), call(t(2), 1), call(t(2), 2))
def except_without_parentheses(x, which):
    try:
        if which == 0:
            raise KeyError(which)
        if which == 1:
            raise ValueError(which)
    except KeyError, ValueError:
        return x + which
    return x


@TOPIC.program(call(t(2)))
def partial_with_placeholder(x):
    def f(a, b, c=0):
        return a - b * 2 + c

    return functools.partial(f, functools.Placeholder, x)(x + 5), list(
        map(lambda a, b: a + b, [1], [2], strict=True)
    )


@TOPIC.program(call(t(2)))
def small_ints_and_borrowed_locals(x):
    a = b = 0
    for i in range(-3, 260, 64):
        a, b = b + i, a + 255
        a += 256 if a is not None and b > 255 else -1
    return a, b, x[0] + x[-1], [a, b][0], (a, 1, 2)[1]


@TOPIC.program(call(t(2)))
def consumers_of_generators(x):
    return (
        all(i >= 0 for i in range(3)), any(i > 5 for i in range(3)), tuple(x + i for i in range(2)), all(i for i in (1, 0)),
        any([]), tuple(i for i in "ab"),
    )  # fmt: skip


@TOPIC.program(call(t(2)), is_one_graph=False)
def break_in_a_with_block(x):
    class Manager:
        def __enter__(self):
            print("enter")
            return 3

        def __exit__(self, *error):
            print("exit", error[0] is None)
            return True

    with Manager() as a, Manager():
        print("inside")
        y = x * a
        raise ValueError
    return y
