"""Branches, loops, match, chained comparison, assert."""

import torch
from program_cases import Topic, again, call, fresh_call, t

TOPIC = Topic("control_flow")


@TOPIC.program(
    fresh_call(t(3), True), fresh_call(t(3), False), again(t(3), True), again(t(3), False)
)
def branch_on_a_bool(x, flag):
    return x + 1 if flag else x - 1


@TOPIC.program(call(t(3), 1), call(t(3), 2), call(t(3), -1), call(t(3), 1.5))
def branch_on_a_number(x, n):
    if n > 1:
        return x * n
    elif n > 0:
        return x + n
    else:
        return x / n


@TOPIC.program(call(t(3), None), call(t(3), t(3)), call(t(3), None))
def branch_on_none(x, mask=None):
    if mask is not None:
        x = x * mask
    return x + 1


@TOPIC.program(call(t(3)), call(t(3, 2)), call(t(1, 2, 3)))
def branch_on_dimensions(x):
    if x.dim() == 1:
        return x.sum()
    if x.ndim == 2:
        return x.t()
    return x.flatten()


@TOPIC.program(call(t(3)), call(t(3, dtype=torch.float64)), call(t(3, dtype=torch.int32)))
def branch_on_dtype(x):
    if x.dtype == torch.float32:
        return x * 2
    return x + 1 if x.is_floating_point() else x.float()


@TOPIC.program(call(t(3), "relu"), call(t(3), "gelu"), call(t(3), "swish"))
def branch_on_a_string(x, activation):
    if activation == "relu":
        return x.relu()
    if activation.startswith("ge"):
        return torch.nn.functional.gelu(x)
    raise ValueError(f"no activation {activation!r}")


@TOPIC.program(call(t(2), 4), call(t(2), 0))
def while_loop(x, n):
    while n > 0:
        x = x * 2
        n -= 1
    else:
        x = x + 1
    return x, n


@TOPIC.program(call(t(4)))
def break_continue_else(x):
    out = []
    for i in range(10):
        if i % 2:
            continue
        if i > 6:
            break
        out.append(x * i)
    else:
        out.append("never")
    for _ in range(2):
        pass
    else:
        out.append("else")
    return out


@TOPIC.program(call(t(3, 4)))
def loop_over_a_tensor(x):
    out = []
    for row in x:
        out.append(row.sum())
    return torch.stack(out)


@TOPIC.program(call(t(3, 4)))
def nested_loops(x):
    total = 0
    for i in range(x.shape[0]):
        for j in range(i, x.size(1)):
            if j == 2:
                break
            total = total + x[i, j]
    return total


@TOPIC.program(call(t(2), 5), call(t(2), 1), call(t(2), 12))
def chained_comparison(x, n):
    return x + 1 if 2 < n <= 10 else x - 1


@TOPIC.program(call(t(2), 0, ""), call(t(2), 3, "a"), call(t(2), None, []))
def and_or_not(x, a, b):
    return x, a and b, a or b, not a, bool(a and not b or a == 3)


@TOPIC.program(call(t(2), 1), call(t(2), -1))
def asserts(x, n):
    assert n > 0, f"{n} is not positive"
    assert x.shape[0] == 2
    return x * n


@TOPIC.program(
    call(t(2), ("scale", 2)),
    call(t(2), ("shift", 1, 2)),
    call(t(2), "no"),
    call(t(2), {"op": "neg"}),
    call(t(2), []),
)
def match_statement(x, command):
    match command:
        case ("scale", n):
            return x * n
        case ("shift", *amounts):
            return x + sum(amounts)
        case {"op": "neg", **rest}:
            return -x, rest
        case str() as text if len(text) > 1:
            return x, text
        case _:
            return x.sum()


class Shape:
    __match_args__ = ("width", "height")

    def __init__(self, width, height):
        self.width = width
        self.height = height


@TOPIC.program(call(t(2), 3))
def match_a_class(x, n):
    match Shape(n, x):
        case Shape(3, height=h):
            return h * 2
        case Shape(width=w):
            return w


@TOPIC.program(call(t(2), 1), call(t(2), 2), call(t(2), 3))
def match_alternatives(x, n):
    match n:
        case 1 | 2:
            return x * n
        case int():
            return x


@TOPIC.program(call(t(3)), call(t(5)))
def loops_by_shape(x):
    out = x
    for i in range(len(x)):
        out = out + i
    return out


@TOPIC.program(call(t(3), [1, 2]), call(t(3), [1, 2, 3]), call(t(3), (1, 2)))
def branch_on_a_container(x, sizes):
    if not sizes:
        return x
    if isinstance(sizes, tuple):
        return x * sizes[0]
    return x * len(sizes)


@TOPIC.program(call(t(3), t(3)), call(t(3), 2))
def branch_on_the_type(x, y):
    if isinstance(y, torch.Tensor):
        return x @ y
    return x**y


@TOPIC.program(call(t(2), 3))
def conditional_expressions_nest(x, n):
    return x if n == 1 else x * 2 if n == 2 else x * 3 if n == 3 else None


@TOPIC.program(call(t(2)))
def loop_variable_survives(x):
    for i in range(3):
        y = x + i
    return y, i


@TOPIC.program(call(t(2, 2)))
def unpack_a_tensor(x):
    a, b = x
    (c, d), e = x, 1
    return a + b, c - d, e


@TOPIC.program(call(t(2), t(2)), call(t(2), t(3)))
def shapes_compared(x, y):
    if x.shape == y.shape:
        return x + y
    if x.shape[0] != y.shape[0]:
        return torch.cat([x, y])
    return x


@TOPIC.program(call(t(3)))
def range_arithmetic(x):
    steps = range(10, 0, -3)
    return x * len(steps), steps[1], 4 in steps, list(steps), steps[-1], range(3) == range(0, 3)


@TOPIC.program(call(t(3)))
def empty_loops_and_pass(x):
    for _ in ():
        x = x + 100
    while False:
        x = x + 100
    if x is None:
        pass
    return x * 1
