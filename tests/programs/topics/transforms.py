"""torch.func transforms, torch.no_grad as a wrapper, and other functions of torch's that wrap the user's."""

import functools

import torch
from program_cases import Topic, call, t
from torch import nn

TOPIC = Topic("transforms")


@TOPIC.program(call(t(3, 4), t(3, 4)), call(t(2, 4), t(2, 4)))
def vmap(x, w):
    return torch.vmap(lambda a, b: (a * b).sum())(x, w)


@TOPIC.program(call(t(3, 4), t(4, 2)))
def vmap_with_dimensions(x, w):
    return torch.vmap(lambda a, b: a.dot(b), in_dims=(None, 1))(x[0], w), torch.vmap(
        torch.sin, out_dims=1
    )(x)


@TOPIC.program(call(t(3, 4)))
def grad_of_a_function(x):
    return torch.func.grad(lambda a: (a * 2).sin().sum())(x)


@TOPIC.program(call(t(3)))
def value_and_gradient(x):
    return torch.func.grad_and_value(lambda a: (a**3).sum())(x)


@TOPIC.program(call(t(3, 4), t(4)))
def gradient_of_each_sample(x, w):
    def loss(weight, sample):
        return (weight * sample).sum().exp()

    return torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(w, x)


@TOPIC.program(call(t(3)))
def jacobian(x):
    return torch.func.jacrev(lambda a: a.sin() * a.sum())(x)


@TOPIC.program(call(t(3), t(3)))
def vector_jacobian_product(x, v):
    value, pull = torch.func.vjp(lambda a: a * a, x)
    return value, pull(v)


@TOPIC.made(call(t(2, 4)))
def functional_call():
    torch.manual_seed(1)
    layer = nn.Linear(4, 3).requires_grad_(False)

    def program(x):
        weights = {name: value * 2 for name, value in layer.named_parameters()}
        return torch.func.functional_call(layer, weights, (x,))

    return program


@TOPIC.program(call(t(3)))
def wrapped_by_functools(x):
    def logged(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args) + 100

        return wrapper

    return logged(torch.sin)(x), logged(lambda v: v * 2)(x)


@TOPIC.program(call(t(3, grad=True)))
def no_grad_wraps_a_function(x):
    def double(v):
        return v * 2

    quiet = torch.no_grad()(double)
    return quiet(x), double(x), quiet.__name__


@TOPIC.program(call(t(3)))
def tree_map(x):
    tree = {"a": [x, x + 1], "b": (x * 2, 3)}
    return torch.utils._pytree.tree_map(lambda v: v * 2, tree)


@TOPIC.program(call(t(4, 4)))
def scan_by_hand(x):
    return functools.reduce(lambda a, b: a * 0.5 + b, x.unbind(0))


GRADED = (call(t(3, grad=True), t(5, 3)), call(t(3), t(5, 3)), call(t(3, grad=True), t(2, 3)))


@TOPIC.program(*GRADED)
def gradients_through_a_map(w, x):
    return torch.func.vmap(lambda row: (row * w).sin().sum())(x) * 2


@TOPIC.program(*GRADED)
def gradients_of_gradients_of_samples(w, x):
    def loss(w, row):
        return (row * w).sin().sum()

    return torch.func.vmap(torch.func.grad(loss), (None, 0))(w, x), w + 1


@TOPIC.program(*GRADED)
def gradients_through_jacobians(w, x):
    slope, value = torch.func.grad_and_value(lambda w: ((x * w) ** 2).sum())(w)
    return torch.func.jacrev(lambda w: (x * w).sin())(w), slope * 2, value


@TOPIC.program(*GRADED)
def gradients_through_directions(w, x):
    value, direction = torch.func.jvp(lambda w: (x * w).sin(), (w,), (torch.ones_like(w),))
    return value, direction, torch.func.hessian(lambda w: ((x * w) ** 3).sum())(w)


@TOPIC.made(call(t(5, 3)), call(t(2, 3)))
def gradients_of_samples_of_a_module():
    torch.manual_seed(3)
    model = torch.nn.Linear(3, 2)

    def program(x):
        def loss(params, row):
            return torch.func.functional_call(model, params, (row,)).pow(2).sum()

        params = dict(model.named_parameters())
        return torch.func.vmap(torch.func.grad(loss), (None, 0))(params, x)

    return program, model
