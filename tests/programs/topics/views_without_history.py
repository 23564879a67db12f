"""Views of parameters made while gradients are off, writes through them, `.data` and `.detach()`."""

import torch
from program_cases import Topic, call, t
from torch import nn

TOPIC = Topic("views_without_history")
CALLS = (call(t(4, grad=True), t(4)), call(t(4, grad=True), t(4)), call(t(4), t(4)))


@TOPIC.program(*CALLS)
def scaled_through_a_view(weight, x):
    with torch.no_grad():
        flat = weight.view(-1)
        flat.mul_(0.9)
    return weight * x


@TOPIC.program(*CALLS)
def handed_on(weight, x):
    with torch.no_grad():
        square = weight.view(2, 2)
        column = square[:, 1]
    return square, column, weight * x


@TOPIC.program(*CALLS)
@torch.no_grad()
def handed_on_by_a_function_without_gradients(weight, x):
    return weight.view(2, 2).t(), weight[1:3], weight * x


@TOPIC.program(*CALLS)
@torch.inference_mode()
def handed_on_by_inference(weight, x):
    wide = weight.view(2, 2, 1).expand(2, 2, 3)
    return weight.view(2, 2), wide * 2, wide.sum()


@TOPIC.program(*CALLS)
def of_what_was_computed(weight, x):
    y = weight * x
    with torch.no_grad():
        view = y.view(2, 2)
    return view, y


@TOPIC.program(*CALLS)
def of_what_is_not_handed_on(weight, x):
    y = weight * x
    with torch.no_grad():
        view = y.view(2, 2)[1]
    return view


@TOPIC.program(*CALLS, is_one_graph=False)
@torch.no_grad()
def over_a_break(weight, x):
    view = weight.view(2, 2)
    print("in between")
    view.mul_(2)
    return weight + x, view.sum()


@TOPIC.program(*CALLS)
def written_by_data_and_detach(weight, x):
    weight.data.mul_(0.5)
    weight.detach()[1:].add_(x[1:])
    return weight.data, weight.detach() * x, (weight * x).sum()


@TOPIC.program(*CALLS)
def detached_views(weight, x):
    view = weight.detach().view(2, 2)
    view[0].zero_()
    return view, view.requires_grad, weight * x


@TOPIC.program(*CALLS, is_one_graph=False)
def data_replaced(weight, x):
    weight.data = weight.data * 0.5 + x
    return (weight * x).sum()


@TOPIC.made(*[call(t(3, 4))] * 3)
def moving_average_of_weights():
    torch.manual_seed(2)
    model, average = nn.Linear(4, 2), nn.Linear(4, 2)
    average.requires_grad_(requires_grad=False)

    def program(x):
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.data.mul_(0.9).add_(fast.data, alpha=0.1)
                slow.lerp_(fast, 0.05)
        return average(x), model(x).detach()

    return program, average


@TOPIC.made(*[call(t(3, 4))] * 3)
def rows_made_to_have_unit_length():
    torch.manual_seed(2)
    model = nn.Linear(4, 2)

    def program(x):
        with torch.no_grad():
            rows = model.weight.view(2, 4)
            rows.div_(rows.norm(dim=1, keepdim=True))
            first, second = model.weight.unbind(0)
            first.add_(second, alpha=0.5)
        return model(x)

    return program, model
