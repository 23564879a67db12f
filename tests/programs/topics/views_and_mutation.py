"""Views, in-place operations, aliasing of inputs and outputs."""

import torch
from program_cases import Topic, call, t

TOPIC = Topic("views_and_mutation")


@TOPIC.program(call(t(3)), call(t(3)))
def adds_in_place(x):
    x.add_(1)
    return x * 2


@TOPIC.program(call(t(3)))
def returns_the_mutated_input(x):
    x.mul_(2)
    return x


@TOPIC.program(call(t(3), t(3)))
def augmented_assignment(x, y):
    x += y
    y -= 1
    z = x * 1
    z *= 3
    z /= 2
    return z


@TOPIC.program(call(t(2, 3)))
def views_of_an_input(x):
    return (
        x.view(3, 2),
        x[0],
        x.t(),
        x.unsqueeze(0),
        x.reshape(6),
        x.expand(2, 2, 3),
        x.permute(1, 0),
        x.flatten(),
        x.squeeze(),
        x.transpose(0, 1),
        x.narrow(1, 0, 2),
        x.unfold(1, 2, 1),
        x.diagonal(),
        x.select(0, 1),
        x.view_as(x),
        x.movedim(0, 1),
        x.detach(),
    )


@TOPIC.program(call(t(2, 3)))
def returns_inputs(x):
    return x, x, [x]


@TOPIC.program(call(t(2, 3)))
def view_of_an_intermediate(x):
    y = x + 1
    return y, y[0], y.view(-1)


@TOPIC.program(call(t(2, 3)))
def writes_through_a_view(x):
    x[0].add_(5)
    x[:, 1] = 0.0
    x[1, 2] *= 2
    return x.sum()


@TOPIC.program(call(t(2, 3)))
def writes_into_an_intermediate(x):
    y = x.clone()
    y[0] = 1.0
    y[:, -1].zero_()
    y[y > 1] = -1.0
    v = y.view(-1)
    v[2:4] = torch.tensor([7.0, 8.0])
    return y, v


@TOPIC.program(call(t(3), t(3)))
def setitem_forms(x, y):
    out = torch.zeros(3, 3)
    out[0] = x
    out[1:, 0] = 2
    out[..., 2] = y
    out[torch.tensor([1, 2]), torch.tensor([1, 1])] = 9.0
    out[None] = out
    return out


@TOPIC.program(call(t(3)))
def many_in_place_methods(x):
    y = x.clone()
    y.clamp_(-1, 1).exp_().neg_().relu_().sub_(1).div_(2)
    y.fill_(2.0).copy_(x).masked_fill_(x > 0, 3.0)
    y.sigmoid_().sqrt_().pow_(2)
    return y


@TOPIC.program(call(t(3)))
def in_place_then_old_value(x):
    before = x * 2
    alias = x
    x.add_(1)
    return before, alias is x, alias + before


SAME = t(3)


@TOPIC.program(call(SAME, SAME), call(t(3), t(3)), call(SAME, SAME))
def one_tensor_twice(x, y):
    x.add_(1)
    return x + y, x is y


@TOPIC.program(call(SAME, [SAME, t(3)]), call(t(3), [t(3), t(3)]))
def alias_inside_a_container(x, ys):
    return x is ys[0], x + ys[0], ys[1]


@TOPIC.program(call(t(4)))
def in_place_on_a_view_of_a_view(x):
    v = x[1:][:2]
    v.mul_(10)
    return v, x.sum()


@TOPIC.program(call(t(2, 3)))
def resized_shapes_in_place(x):
    y = x.clone()
    y.unsqueeze_(0)
    y.squeeze_(0)
    y.t_()
    return y


@TOPIC.program(call(t(4)))
def detach_shares_memory(x):
    d = x.detach()
    d.add_(1)
    return x, d


@TOPIC.program(call(t(4, transposed=False), t(4)))
def copies_between_inputs(x, y):
    x.copy_(y)
    y.zero_()
    return x + y


@TOPIC.program(call(t(2, 2)))
def contiguous_may_be_the_same(x):
    return x.contiguous() is x, x.t().contiguous(), x.to(torch.float32) is x, x.clone()


@TOPIC.program(call(t(3), t(3)))
def swap(x, y):
    x, y = y, x
    x.add_(1)
    return x, y


@TOPIC.made(call(t(3)), call(t(3)), call(t(3)))
def buffer_in_a_closure_is_mutated():
    buffer = torch.zeros(3)

    def program(x):
        buffer.add_(x)
        return buffer * 2

    return program, [buffer]


@TOPIC.made(call(t(3)), call(t(3)))
def returns_a_captured_tensor():
    weight = torch.ones(3)

    def program(x):
        return weight, x + weight

    return program, [weight]


@TOPIC.program(call(t(3)))
def loop_of_in_place(x):
    for i in range(4):
        x.mul_(i + 1).sub_(i)
    return x


@TOPIC.program(call(t(2, 4)))
def chunks_mutated(x):
    a, b = x.chunk(2, dim=1)
    a.add_(b)
    b.zero_()
    return x * 1


@TOPIC.program(call(t(3)))
def scatter_in_place(x):
    out = torch.zeros(5)
    out.index_add_(0, torch.tensor([0, 2, 4]), x)
    out.scatter_(0, torch.tensor([1]), 5.0)
    out.index_copy_(0, torch.tensor([3]), x[:1])
    return out


@TOPIC.program(call(t(3, dtype=torch.int64)))
def in_place_dtype_error(x):
    x.add_(1.5)
    return x


@TOPIC.program(call(t(3)))
def in_place_broadcast_error(x):
    x.add_(torch.ones(2, 3))
    return x


@TOPIC.program(call(t(3, grad=True)))
def in_place_on_a_leaf_that_requires_grad(x):
    x.add_(1)
    return x


@TOPIC.program(call(t(3, grad=True)), is_one_graph=False)
def in_place_on_a_leaf_under_no_grad(x):
    with torch.no_grad():
        x.add_(1)
    return x * 2


@TOPIC.program(call(t(3)), call(t(3, grad=True)))
def writes_that_autograd_does_not_count(x):
    x.data.mul_(2)
    x[:2].data.zero_()
    return x * 1


@TOPIC.program(call(t(2, 3)), call(t(4, 3)))
def other_shapes_are_counted(x):
    x.unsqueeze_(0)
    x.transpose_(1, 2)
    return x * 1


@TOPIC.program(call(t(3), t(3)))
def writes_of_what_was_there_are_counted(x, y):
    x.copy_(x)
    return x + y


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def versions_of_arguments(x):
    before = x._version
    x.add_(1)
    return before, x._version, x.view(3)._version


@TOPIC.program(call(t(3)), call(t(3)))
def versions_of_results(x):
    y = x.clone()
    before = y._version
    y.add_(1)
    return y, before, y._version


@TOPIC.program(call(t(3)), call(t(3, grad=True)))
def histories_cannot_be_switched(x):
    y = x * 2
    try:
        y.requires_grad = True
    except RuntimeError as error:
        return y, str(error)
    return y.detach(), None
