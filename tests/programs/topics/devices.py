"""Devices as context managers and defaults, and tensors that have no data."""

import torch
from program_cases import Fresh, Topic, call, t
from torch import nn

TOPIC = Topic("devices")
HOST = torch.device("cpu")


def without_data(*shape):
    return Fresh(lambda: torch.empty(shape, device="meta"))


@TOPIC.program(call(t(3)), call(t(5)))
def factories_under_a_device(x):
    with torch.device("meta"):
        made = (
            torch.zeros(3),
            torch.tensor([1.0, 2.0]),
            torch.randn(2, 2),
            torch.full((2,), 3.0),
            torch.arange(3),
            torch.empty(2, device="cpu").fill_(1.0),
            torch.zeros_like(x),
        )
    return made, [str(one.device) for one in made], x * 2


@TOPIC.program(call(t(3)))
def default_device_read(x):
    before = torch.get_default_device()
    with torch.device("meta"):
        inside = torch.get_default_device()
        with torch.device("cpu"):
            innermost = torch.get_default_device()
    return before, inside, innermost, x + 1


@TOPIC.program(call(t(3)), call(t(3)))
def device_made_before(x):
    with HOST:
        return torch.arange(3.0) + x


@TOPIC.program(call(t(2, 3)), is_one_graph=False)
def module_made_without_data(x):
    with torch.device("meta"):
        layer = nn.Linear(3, 4)
    return layer.weight.is_meta, layer.weight.shape, x.sum()


@TOPIC.program(call(t(3)), is_one_graph=False)
def default_device_set_and_put_back(x):
    torch.set_default_device("meta")
    made = torch.ones(3)
    torch.set_default_device(None)
    return made.device, torch.ones(3) + x


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_under_a_device(x):
    with torch.device("meta"):
        made = torch.zeros(4)
        print("inside")
        more = torch.ones(4)
    return made + more, x + 1


@TOPIC.program(call(without_data(4), t(4)), call(without_data(4), without_data(4)))
def arguments_without_data(x, y):
    return (x + 1).view(2, 2).sum(0), x @ x, y * 2


@TOPIC.program(call(without_data(4)))
def writes_without_data(x):
    x.add_(1)
    return nn.functional.layer_norm(x, (4,)), torch.empty_like(x).normal_()
