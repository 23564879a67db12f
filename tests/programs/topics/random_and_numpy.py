"""Random numbers in order, Python's random module, NumPy values."""

import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from program_cases import Topic, call, t

TOPIC = Topic("random_and_numpy")


@TOPIC.program(call(t(4)), call(t(4)))
def several_draws_in_order(x):
    a = torch.rand(4)
    b = torch.randn(3)
    c = torch.randint(5, (2,))
    return x + a, b, c, torch.rand_like(x)


@TOPIC.program(call(t(8)), call(t(8)))
def dropout_between_draws(x):
    noise = torch.randn_like(x)
    y = F.dropout(x + noise, 0.3)
    return y, torch.rand(2)


@TOPIC.program(call(t(4)), call(t(4)))
def in_place_random(x):
    y = torch.empty(4).uniform_()
    z = torch.zeros(4).normal_(0, 2)
    return x + y, z, torch.zeros(3).bernoulli_(0.5)


@TOPIC.program(call(t(4)))
def unused_draw_still_moves_the_stream(x):
    torch.rand(10)
    return x * 2


@TOPIC.program(call(t(4)), is_one_graph=False)
def python_random(x):
    state = random.Random(3)
    return x * state.random()


@TOPIC.program(call(t(3), np.float32(2.5)), call(t(3), np.float32(3.5)), is_one_graph=False)
def numpy_scalar_argument(x, k):
    return x * float(k)


@TOPIC.program(call(t(3)), is_one_graph=False)
def from_numpy(x):
    return x + torch.from_numpy(np.arange(3, dtype=np.float32))


@TOPIC.program(call(t(3)), is_one_graph=False)
def to_numpy(x):
    return torch.from_numpy(x.numpy() * 2)


@TOPIC.program(call(t(3)))
def numpy_constants(x):
    return x * np.pi + math.tau


@TOPIC.program(call(t(3)), is_one_graph=False)
def reads_a_list_of_numbers(x):
    return sum(x.tolist())


@TOPIC.program(call(t(3)), is_one_graph=False)
def prints(x):
    print("shape", x.shape)
    return x + 1


@TOPIC.program(call(t(3)), is_one_graph=False)
def nonzero_has_a_size_of_its_own(x):
    return x[x > 0]
