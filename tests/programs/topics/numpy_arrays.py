"""NumPy arrays that go in and out of a program: tensors on their memory, with whatever NumPy does in between."""

import numpy as np
import torch
from program_cases import Fresh, Topic, call, t

TOPIC = Topic("numpy_arrays")


def ramp(*shape, dtype=np.float32):
    """Give what makes an array of these sizes anew for each call."""
    return Fresh(lambda: np.arange(float(np.prod(shape)), dtype=dtype).reshape(shape) - 2)


def strided():
    """Give what makes an array that is every second column of another."""
    return Fresh(lambda: np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2])


def backwards():
    """Give what makes an array that no tensor has the strides of."""
    return Fresh(lambda: np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1])


CALLS = (
    call(t(3), ramp(2, 3)),
    call(t(3), strided()),
    call(t(3), ramp(2, 3, dtype=np.float64)),
    call(t(3), ramp(4, 3)),
    call(t(3), ramp(2, 3, dtype=np.int64)),
    call(t(3), ramp(2, 3)),
)


@TOPIC.program(*CALLS)
def from_numpy(x, a):
    return torch.from_numpy(a) * 2 + x


@TOPIC.program(*CALLS)
def other_ways_in(x, a):
    return (
        torch.as_tensor(a) + x,
        torch.as_tensor(a, dtype=torch.float64) + x,
        torch.asarray(a) * x,
        torch.tensor(a) - x,
        torch.tensor(a, dtype=torch.float64) * x,
    )


@TOPIC.program(*CALLS)
def memory_is_shared(x, a):
    seen, copy = torch.from_numpy(a), torch.tensor(a)
    seen.add_(1)
    torch.as_tensor(a)[0] = 5
    copy.mul_(0)
    return seen, a, copy, seen is torch.from_numpy(a), seen + x


@TOPIC.program(*CALLS)
def attributes(x, a):
    return (
        x * a.shape[0] + a.ndim,
        len(a),
        a.size,
        a.itemsize,
        a.nbytes,
        a.strides,
        isinstance(a, np.ndarray),
    )


@TOPIC.program(*CALLS)
def transposed(x, a):
    return torch.from_numpy(a.T), x + 1


@TOPIC.program(*CALLS)
def comes_out(x, a):
    return (x * 2).numpy(), a, (torch.from_numpy(a) * 3).numpy(), x.numpy(force=True)


@TOPIC.program(*CALLS)
def there_and_back(x, a):
    y = x * 2
    seen = torch.from_numpy(y.numpy())
    return torch.from_numpy(seen.numpy()) + 1, y


@TOPIC.program(call(t(3, grad=True), ramp(3)), call(t(3), ramp(3)))
def gradients_and_numpy(x, a):
    y = x * torch.from_numpy(a)
    return y, y.detach().numpy()


@TOPIC.program(call(t(3, grad=True), ramp(3)), call(t(3), ramp(3)), is_one_graph=False)
def refuses_to_leave_the_graph(x, a):
    return (x * torch.from_numpy(a)).numpy()


@TOPIC.program(call(t(3), Fresh(lambda: {"a": [np.ones(3, np.float32)], "n": 2})))
def inside_containers(x, state):
    state["a"].append((x * state["n"]).numpy())
    return x + torch.from_numpy(state["a"][0])


@TOPIC.program(*CALLS, call(t(3), backwards()), is_one_graph=False)
def functions_of_numpy(x, a):
    b = np.sin(a) + a.sum(axis=0)
    y = torch.from_numpy(np.ascontiguousarray(b)) * x
    c = a * 2 - np.maximum(a, 0)
    return y, c, x * float(c[0, 1]), [row.shape for row in c], np.float32(2)


@TOPIC.program(*CALLS, is_one_graph=False)
def array_is_written_to(x, a):
    a[0] = 7
    y = torch.from_numpy(a) + x
    a += 1
    return y, torch.from_numpy(a) * x


@TOPIC.program(*CALLS, is_one_graph=False)
def beside_tensors(x, a):
    return x * 2, a + 1, np.asarray(x * 3), np.stack([a, a]).shape, a.dtype == np.float32


@TOPIC.program(call(t(3), backwards()), call(t(3), backwards()), is_one_graph=False)
def strides_that_tensors_do_not_have(x, a):
    try:
        return torch.from_numpy(a) + x
    except ValueError:
        return torch.from_numpy(a.copy()) + x


@TOPIC.made(call(t(3)), call(t(3)))
def array_of_a_module():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = np.array([1.0, 2.0, 3.0], dtype=np.float32)

        def forward(self, x):
            return x * torch.from_numpy(self.scale)

    return Scaled()


@TOPIC.made(call(t(3)), call(t(3)))
def array_of_a_closure():
    scale = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    return lambda x: x * torch.as_tensor(scale)
