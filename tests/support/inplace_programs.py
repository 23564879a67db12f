"""Small programs that write to tensors, view them, and return aliases; each takes one [3, 4] float32 tensor."""

import torch
from torch.nn import functional


def add_to_input(x):
    x.add_(1)
    return x * 2


def write_through_flat_view(x):
    y = x.contiguous().view(-1)
    y[2:4] = 0
    return x + 1, y


def assign_strided_slice(x):
    x = x.clone()
    x[1:, ::2] = 5.0
    return x


def write_through_row_of_transpose(x):
    y = x.t()
    y[1].mul_(2)
    return x, y.contiguous(), y[1] + 0


def return_views_of_input(x):
    return x[0], x[1:], x.t()


def return_mutated_input_and_view(x):
    x.add_(1)
    return x[0], x


def return_aliased_outputs(x):
    y = x + 1
    return y, y.t(), y[1]


def fill_diagonal(x):
    y = x @ x.t()
    y.diagonal().fill_(7.0)
    return y


def write_base_then_view(x):
    y = x.clone()
    view = y[0]
    y.add_(1)
    view.mul_(3)
    return y, view


def copy_transposed(x):
    y = torch.zeros(4, 3)
    y.copy_(x.t())
    return y, y.t()


def copy_broadcast(x):
    y = torch.zeros(3, 4)
    y.copy_(x[0])
    y[1].copy_(x[2])
    return y


def copy_to_other_dtypes(x):
    y = torch.zeros(3, 4, dtype=torch.float64)
    y.copy_(x)
    z = torch.zeros(3, 4, dtype=torch.int32)
    z.copy_(x * 10)
    return y, z


def write_to_out_argument(x):
    y = torch.empty(3, 4)
    torch.add(x, 1, out=y)
    torch.mul(y, 2, out=y)
    return y


def write_to_view_as_out(x):
    y = torch.zeros(6, 4)
    torch.add(x, 1, out=y[:3])
    return y


def two_out_arguments(x):
    values, indices = torch.empty(3), torch.empty(3, dtype=torch.long)
    torch.max(x, 1, out=(values, indices))
    return values, indices


def assign_by_mask(x):
    y = x.clone()
    y[y > 0] = 0.0
    return y


def assign_by_index(x):
    y = x.clone()
    y[torch.tensor([0, 2])] = 1.0
    y[[1], [2]] += 4
    return y


def write_through_unsqueezed(x):
    y = x.clone()
    y.unsqueeze(1)[:, 0, 1] = 3
    y.squeeze().add_(1)
    return y


def write_to_parts_of_split(x):
    y = x.clone()
    first, second = y.split(2, dim=1)
    first.add_(1)
    second.mul_(2)
    first.mul_(3)
    return y, first, second


def write_to_unbound_and_chunks(x):
    y = x.clone()
    rows = y.unbind(0)
    rows[1].zero_()
    y.chunk(2, 1)[0].add_(5)
    return y, rows[1], rows[0]


def write_through_permuted(x):
    y = x.clone(memory_format=torch.contiguous_format).view(3, 2, 2).permute(2, 0, 1)
    y[0].add_(1)
    y.mul_(2)
    return y


def add_to_transposed_input(x):
    y = x.t()
    y += 1
    return y


def write_through_as_strided(x):
    y = x.clone(memory_format=torch.contiguous_format)
    y.as_strided((2, 2), (4, 1), 1).fill_(9)
    return y


def clone_expanded(x):
    y = x[0:1].expand(3, 4)
    z = y.clone()
    z[0] = 1
    return z, y


def chain_of_inplace_activations(x):
    y = x.clone()
    y.clamp_(min=-0.5)
    y.relu_()
    y.sigmoid_()
    return y


def masked_fill_inplace(x):
    y = x.clone()
    y.masked_fill_(y < 0, 0.0)
    y[0].masked_fill_(y[1] > 0, -1)
    return y


def index_add_and_scatter(x):
    y = x.clone()
    y.index_add_(0, torch.tensor([0, 0]), x[:2])
    y.scatter_(1, torch.tensor([[0], [1], [2]]), 9.0)
    return y


def write_to_detached(x):
    y = x * 1
    y.detach().add_(1)
    return y


def write_to_detached_input(x):
    x.detach().mul_(2)
    return x + 0


def swap_rows(x):
    y = x.clone()
    row = y[0].clone()
    y[0] = y[1]
    y[1] = row
    return y


def shift_rows(x):
    y = x.clone()
    y[1:] = y[:-1].clone()
    return y


def add_to_other_dtypes(x):
    y = torch.ones(3, 4, dtype=torch.float64)
    y += x
    z = torch.ones(3, 4, dtype=torch.float16)
    z += x
    return y, z


def compare_inplace(x):
    y = x.clone()
    y.gt_(0)
    return y


def write_through_other_dtype(x):
    y = x.clone()
    y.view(torch.int32).bitwise_and_(0x7FFFFFFF)
    return y


def write_through_complex_views(x):
    c = torch.view_as_complex(x.clone(memory_format=torch.contiguous_format).view(3, 2, 2))
    c.mul_(2)
    r = torch.view_as_real(c)
    r[..., 0] = 0
    return r, c


def update_scalar(x):
    y = x.sum()
    y += 1
    y.mul_(y)
    return y


def fill_empty(x):
    y = torch.empty_like(x)
    y.fill_(3)
    y[0] = x[1]
    return y


def return_same_tensors_twice(x):
    y = x + 1
    return y, y, x, x


def write_through_reshape(x):
    y = x.reshape(4, 3)
    y[0, 0] = 100.0
    return x.clone(), y


def write_to_copying_reshape(x):
    y = x.t().reshape(-1)
    y[0] = 5
    return x.clone(), y


def write_through_narrow_and_select(x):
    y = x.clone()
    y.narrow(1, 1, 2).zero_()
    y.select(0, 1).add_(1)
    return y


def write_through_flatten(x):
    y = x.clone()
    y.flatten().add_(1)
    y.ravel()[3] = 0
    return y


def write_through_moved_dims(x):
    y = x.clone(memory_format=torch.contiguous_format).view(3, 2, 2)
    y.movedim(0, -1)[0] = 2.0
    y.swapaxes(0, 1)[1].neg_()
    return y


def update_lists_of_tensors(x):
    y = [x.clone(), x[0].clone()]
    torch._foreach_add_(y, 1.0)
    torch._foreach_mul_(y, [2.0, 3.0])
    return y[0], y[1]


def write_through_unfold(x):
    y = x.clone()
    y.unfold(1, 2, 2)[:, 0].fill_(1.0)
    return y


def write_to_step_slices(x):
    y = x.clone()
    y[::2] = y[1]
    y[:, -1] = 0
    return y


def linear_algebra_inplace(x):
    y = torch.zeros(3, 3)
    y.addmm_(x, x.t())
    y.addcmul_(y, y, value=2)
    y.lerp_(y + 1, 0.5)
    return y


def scan_inplace(x):
    y = x.clone()
    y.cumsum_(1)
    torch.cumsum(x, 0, out=y)
    y.triu_()
    return y


def write_to_literal(x):
    y = torch.tensor([1.0, 2.0, 3.0, 4.0])
    y[1] = 0
    return x + y


def write_through_view_of_view(x):
    y = x.clone(memory_format=torch.contiguous_format)
    flat = y.view(12)
    wide = flat.view(2, 6)
    wide[0] += 1
    flat[11] = 3
    return y, flat, wide


def write_to_rows_of_transpose(x):
    y = x.clone()
    y.t()[0:2] *= x.t()[2:4]
    return y


def copy_into_input(x):
    x.copy_(x.clone() + 1)
    x[0].copy_(x[1])
    return x.sum()


def write_to_input_through_two_views(x):
    first, second = x[0], x[:, 1:]
    first += 1
    second *= 2
    return first, second


def clones_keep_layout(x):
    y = x.t().clone()
    y.add_(1)
    return y, torch.empty_like(x.t()).copy_(x.t())


def batch_norm_in_training(x):
    mean, variance = torch.zeros(4), torch.ones(4)
    y = functional.batch_norm(x, mean, variance, training=True)
    return y, mean, variance


def draw_random_numbers(x):
    dropped = functional.dropout(x, 0.5, training=True)
    uniform = torch.rand(3)
    uniform.uniform_(1, 2)
    normal = torch.randn_like(x)
    normal.normal_()
    coins = torch.bernoulli(torch.full((4,), 0.5))
    waits = torch.empty(3).exponential_()
    digits = torch.empty(4).random_(0, 10)
    return (
        dropped,
        uniform,
        normal,
        coins,
        torch.randperm(5),
        torch.randint(0, 9, (3,)),
        waits,
        digits,
    )


PROGRAMS = tuple(
    value
    for name, value in sorted(globals().items())
    if callable(value) and getattr(value, "__module__", None) == __name__
)
