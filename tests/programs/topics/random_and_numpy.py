"""Random numbers in order, Python's random module, NumPy values."""

import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from program_cases import Fresh, Topic, call, t

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


def _ones():
    return np.ones(3, dtype=np.float32)


def _twos():
    return np.full(3, 2, dtype=np.float32)


@TOPIC.program(call(t(3), Fresh(_ones)), call(t(3), Fresh(_twos)), is_one_graph=False)
def array_argument(x, a):
    return x + torch.from_numpy(a), a.shape, len(a)


@TOPIC.program(call(t(3), Fresh(_ones)), call(t(3), Fresh(_twos)), is_one_graph=False)
def array_argument_changes_in_place(x, a):
    a += 1
    torch.from_numpy(a).mul_(2)
    return x + float(a[0])


@TOPIC.program(call(t(3), Fresh(_ones)), call(t(3), Fresh(_twos)), is_one_graph=False)
def result_shares_the_memory_of_an_array(x, a):
    y = torch.from_numpy(a)
    y.add_(x)
    return y, y.numpy() is not a, x.detach().numpy()


@TOPIC.program(
    *(call(t(3), kind(n)) for n in (1, 2, 0) for kind in (np.int64, np.float32)), is_one_graph=False
)
def numpy_scalars_everywhere(x, k):
    if k:
        x = x + 1
    return x * int(k), k + 1, k == 2, f"{k}", bool(k), isinstance(k, float)


@TOPIC.program(*(call(t(3), np.int64(n)) for n in (0, 1, 2)), is_one_graph=False)
def numpy_scalar_as_an_index(x, k):
    return [x, x * 2, x * 3][k], "abc"[k:], x[k]


@TOPIC.program(*(call(t(3), np.int64(n)) for n in (0, 1)), is_one_graph=False)
def numpy_scalar_as_a_key(x, k):
    return {0: x, 1: x * 2}[k], {0: "a"}.get(k), k in {1, 2}, k in [1, 2]


@TOPIC.program(*(call(t(3), np.int64(n)) for n in (0, 1)), is_one_graph=False)
def numpy_scalar_as_a_truth(x, k):
    return x + 1 if k else x - 1


@TOPIC.program(*(call(t(3), {"k": np.float32(n)}) for n in (0, 1)), is_one_graph=False)
def numpy_scalar_in_a_container(x, table):
    return x * 2 if table["k"] else x, any(table.values()), max(table.values(), default=0)


@TOPIC.program(*(call(t(3), Fresh(lambda n=n: bytearray(n))) for n in (2, 3)), is_one_graph=False)
def byte_array_grows(x, data):
    data += b"!"
    return x * len(data)


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def random_numbers_of_python(x):
    random.seed(3)
    return x * random.random(), random.choice([1, 2]), random.sample(range(5), 2)


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def random_numbers_of_numpy(x):
    np.random.seed(3)
    return x * np.random.rand(), np.random.default_rng(1).integers(5)


@TOPIC.program(call(t(3)), is_one_graph=False)
def functions_of_numpy(x):
    mean = np.mean([1.0, 2.0])
    return x * mean, torch.as_tensor(np.arange(3)) + x, torch.tensor(np.eye(2))


@TOPIC.program(call(t(3)), call(t(5)))
def arrays_and_lists_of_results(x):
    y = x * 2
    return y.numpy(), y, y[1:].numpy(), y.tolist(), y.detach().cpu().numpy()


@TOPIC.program(call(t(3)))
def array_of_an_argument_that_was_written_to(x):
    x.add_(1)
    return x.numpy(), x[:2].numpy()


@TOPIC.program(call(t(3), t(3, grad=True)))
def arrays_beside_gradients(x, w):
    y = x * w
    return y, y.detach().numpy(), (x + 1).numpy(), y.numpy(force=True)


@TOPIC.program(call(t(3), t(3, grad=True)), is_one_graph=False)
def array_of_what_needs_a_gradient(x, w):
    try:
        return (x * w).numpy()
    except RuntimeError as error:
        return type(error).__name__


@TOPIC.program(call(t(3)), is_one_graph=False)
def array_that_is_written_to_later(x):
    y = x + 1
    a = y.numpy()
    y.mul_(2)
    a += 1
    return a, y


@TOPIC.program(call(t(3)), is_one_graph=False)
def array_that_goes_back_to_a_tensor(x):
    y = x + 1
    return torch.from_numpy(y.numpy()), y
