"""Methods and operators of tensors, torch functions, reductions, dtype conversion, indexing, factories."""

import torch
import torch.nn.functional as F
from program_cases import Topic, again, call, fresh_call, i64, t

TOPIC = Topic("tensor_methods")


@TOPIC.program(call(t(3), t(3)), call(t(2, 3), t(3)), call(t(2, 1), t(1, 3)), call(t(3), 2.0))
def arithmetic(x, y):
    return (
        x + y,
        x - y,
        x * y,
        x / (y + 10),
        x // 2,
        x % 2.5,
        x**2,
        -x,
        +x,
        abs(x),
        1 + x,
        2 - x,
        3 * x,
        1 / (x + 9),
        2**x,
    )


@TOPIC.program(call(i64(4), i64(4, low=1)))
def integer_arithmetic(x, y):
    return x + y, x - y, x * y, x // y, x % y, x / y, x & y, x | y, x ^ y, ~x, x << 1, x >> 1, -x


@TOPIC.program(call(t(3), t(3)), call(i64(3), i64(3)))
def comparisons(x, y):
    return (
        x < y,
        x <= y,
        x > y,
        x >= y,
        x == y,
        x != y,
        x == 0,
        (x > 0) & (y > 0),
        (x > 0) | (y > 0),
        ~(x > 0),
    )


@TOPIC.program(call(t(4)), call(t(2, 3)), call(t(3, dtype=torch.float64)))
def pointwise_methods(x):
    return (
        x.exp(), x.sin(), x.cos(), x.tanh(), x.sigmoid(), x.relu(), x.abs().sqrt(), x.abs().log1p(), x.square(), x.sign(),
        x.floor(), x.ceil(), x.round(), x.trunc(), x.neg(), x.erf(), x.abs().add(1).rsqrt(), x.reciprocal(), x.expm1(),
        x.clamp(-1, 1), x.clamp(min=0), x.clip(max=0.5), x.frac(),
    )  # fmt: skip


@TOPIC.program(call(t(4), t(4)))
def binary_functions(x, y):
    return (
        torch.maximum(x, y),
        torch.minimum(x, y),
        torch.add(x, y, alpha=2),
        torch.atan2(x, y),
        torch.fmod(x, 1.5),
        torch.where(x > y, x, y),
        torch.lerp(x, y, 0.3),
        torch.addcmul(x, y, y, value=0.5),
        torch.hypot(x, y),
        x.pow(y.abs()),
        torch.sub(x, 1, alpha=3),
    )


@TOPIC.program(call(t(3, 4)), call(t(3, 4, dtype=torch.float64)), call(t(4, 3, transposed=True)))
def reductions(x):
    return (
        x.sum(), x.sum(0), x.sum(-1, keepdim=True), x.sum((0, 1)), x.mean(), x.mean(1), x.max(), x.min(), x.amax(0), x.amin(1),
        x.var(), x.var(0, unbiased=False), x.std(1), x.prod(0), x.norm(), x.argmax(), x.argmax(1), x.argmin(0), x.logsumexp(1),
        (x > 0).any(), (x > 0).all(1), x.cumsum(0), x.max(1), x.min(0).values, x.count_nonzero(),
    )  # fmt: skip


@TOPIC.program(call(i64(3, 4)), call(t(3, 4, dtype=torch.bool)))
def reductions_of_integers(x):
    return (
        x.sum(),
        x.sum(0),
        x.any(),
        x.all(),
        x.cumsum(1),
        x.to(torch.int32).sum(dtype=torch.float32),
    )


@TOPIC.program(call(t(3)))
def dtype_conversions(x):
    return (
        x.double(),
        x.half(),
        x.bfloat16(),
        x.long(),
        x.int(),
        x.bool(),
        x.to(torch.float64),
        x.to(torch.int8),
        x.type(torch.float16),
        x.to("cpu"),
        x.float() is x,
        x.to(x.dtype) is x,
    )


@TOPIC.program(
    call(t(3), i64(3)),
    call(t(3, dtype=torch.float16), i64(3)),
    call(t(3, dtype=torch.bool), i64(3)),
)
def type_promotion(x, n):
    return (
        x + n,
        x * 2,
        x + 2.5,
        n + 1.5,
        n / 2,
        torch.where(x > 0, x, n),
        torch.result_type(x, n),
        torch.promote_types(torch.int8, torch.float16),
    )


@TOPIC.program(call(t(2, dtype=torch.bfloat16)), call(t(2, dtype=torch.float16)))
def low_precision(x):
    y = x * 3 + 1
    return y.exp().sum(), y.softmax(0), y.float() * 2


@TOPIC.program(call(t(4, 5)), call(t(6, 5)))
def basic_indexing(x):
    return (
        x[0],
        x[-1],
        x[1:3],
        x[:, 2],
        x[..., 0],
        x[1:, ::2],
        x[None],
        x[:, None, 1],
        x[0, 1],
        x[3:1],
        x[1:3, -2:],
    )


@TOPIC.program(call(t(4, 5), i64(3, low=0, high=4), t(4, dtype=torch.bool)))
def advanced_indexing(x, index, mask):
    return (
        x[index],
        x[:, index],
        x[index, index],
        x[[0, 2]],
        x[index.unsqueeze(1), torch.arange(5)],
        x[mask.long()],
        x[torch.tensor(1)],
    )


@TOPIC.program(call(t(4, 5), i64(4, 1, low=0, high=5)))
def gather_and_friends(x, index):
    return (
        x.gather(1, index),
        x.index_select(0, torch.tensor([2, 0])),
        torch.take_along_dim(x, index, 1),
        x.masked_fill(x > 0, -1.0),
        torch.zeros(4, 5).scatter(1, index, 1.0),
        x.take(torch.tensor([0, 7])),
    )


@TOPIC.program(call(t(3, 4)), call(t(5, 4)))
def factories(x):
    return (
        torch.zeros(2, 3), torch.ones_like(x), torch.full((2,), 3.5), torch.arange(5), torch.arange(1, 2, 0.25), torch.eye(3),
        torch.empty(2, 0), torch.tensor([1, 2]), torch.tensor(1.5), x.new_zeros(2), x.new_full((1,), 2), torch.linspace(0, 1, 5),
        torch.zeros_like(x, dtype=torch.int64), torch.full_like(x, 2), torch.arange(x.shape[0]), torch.tril(torch.ones(3, 3)),
        torch.as_tensor([1.0]), torch.scalar_tensor(2), torch.tensor([[True], [False]]), x.new_tensor([3]),
    )  # fmt: skip


@TOPIC.program(call(t(2, 3)), call(t(2, 3)))
def random_factories(x):
    return (
        torch.rand(2),
        torch.randn_like(x),
        torch.randint(0, 10, (3,)),
        torch.bernoulli(torch.full((4,), 0.5)),
        torch.randperm(5),
        torch.rand(1),
    )


@TOPIC.program(call(t(2, 3)), call(t(2, 3)))
def dropout_uses_the_random_stream(x):
    return F.dropout(x, 0.5, training=True), F.dropout(x, 0.5, training=False), torch.rand(1)


@TOPIC.program(call(t(2, 3), t(2, 3)))
def joining_and_splitting(x, y):
    return (
        torch.cat([x, y]), torch.cat([x, y], dim=1), torch.stack([x, y], -1), x.split(2, 1), x.chunk(2), torch.hstack([x, y]),
        torch.unbind(x), x.repeat(2, 1), torch.tile(x, (2,)), x.repeat_interleave(2, 0), torch.meshgrid(x[0], y[0], indexing="ij"),
        torch.vstack((x, y)), torch.split(x, [1, 2], dim=1), torch.block_diag(x, y),
    )  # fmt: skip


@TOPIC.program(call(t(2, 3, 4), t(2, 4, 5)))
def matrix_products(x, y):
    return (
        x @ y,
        torch.bmm(x, y),
        x[0] @ y[0],
        x[0, 0] @ y[0],
        x @ y[0],
        torch.einsum("bij,bjk->bik", x, y),
        torch.matmul(x, y[0, :, 0]),
        torch.mm(x[0], y[1]),
        torch.addmm(torch.ones(5), x[0], y[0]),
        x[0, 0].dot(x[0, 1]),
        torch.outer(x[0, 0], y[0, 0]),
    )


@TOPIC.program(call(t(2, 5)), call(t(2, 1)))
def softmax_and_losses(x):
    target = torch.zeros(2, dtype=torch.long)
    return (
        x.softmax(-1),
        x.log_softmax(1),
        F.cross_entropy(x, target),
        F.mse_loss(x, x * 2),
        F.layer_norm(x, x.shape[1:]),
        F.gelu(x),
        F.silu(x),
        F.normalize(x),
        F.nll_loss(x.log_softmax(1), target),
        F.binary_cross_entropy_with_logits(x, x.sigmoid()),
        F.smooth_l1_loss(x, -x),
        F.softplus(x),
        F.leaky_relu(x),
        F.elu(x),
        F.hardtanh(x),
    )


@TOPIC.program(call(t(1, 2, 6, 6), t(3, 2, 3, 3)))
def convolutions_and_pools(x, w):
    y = F.conv2d(x, w, padding=1)
    return (
        y,
        F.max_pool2d(y, 2),
        F.avg_pool2d(y, 2),
        F.adaptive_avg_pool2d(y, 1),
        F.interpolate(x, scale_factor=2),
        F.pad(x, (1, 1)),
        F.conv2d(x, w, stride=2),
        F.unfold(x, 3),
    )


@TOPIC.program(call(t(1, 2, 4, 8), t(1, 2, 4, 8), t(1, 2, 4, 8)))
def attention(q, k, v):
    return (
        F.scaled_dot_product_attention(q, k, v),
        F.scaled_dot_product_attention(q, k, v, is_causal=True),
        F.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(4, 4).tril().bool()),
    )


@TOPIC.program(call(t(5)), call(t(5)))
def sorting(x):
    return (
        x.sort(),
        x.sort(descending=True),
        x.topk(2),
        x.argsort(),
        x.sort().values.diff(),
        x.median(),
        x.kthvalue(2),
        x.flip(0),
        x.roll(1),
    )


@TOPIC.program(call(t(2, 3)), call(t(4, 3)))
def properties(x):
    return (
        x * x.numel(),
        x.size(),
        x.size(0),
        x.shape[1],
        x.dim(),
        x.dtype,
        x.device,
        x.layout,
        x.is_cuda,
        x.stride(),
        x.is_contiguous(),
        x.element_size(),
        x.nelement(),
        len(x),
        x.T.is_contiguous(),
        x.requires_grad,
        x.ndim,
        x.is_leaf,
        x.itemsize,
    )


@TOPIC.program(call(i64(2, 3, low=0, high=7)))
def embedding_and_one_hot(ids):
    table = torch.arange(21.0).reshape(7, 3)
    return (
        F.embedding(ids, table),
        F.one_hot(ids, 7),
        table[ids],
        ids.bincount if False else ids.max(),
    )


@TOPIC.program(call(t(3)))
def keyword_forms(x):
    return (
        torch.sum(input=x),
        torch.clamp(x, min=0.0, max=1.0),
        torch.add(input=x, other=1),
        x.sum(dim=0, keepdim=True),
        torch.mean(x, dim=[0]),
        torch.softmax(x, dim=0),
        torch.cat(tensors=[x, x], dim=0),
    )


@TOPIC.program(call(t(3), t(3)))
def out_arguments(x, y):
    out = torch.empty(3)
    torch.add(x, y, out=out)
    again = torch.mul(x, 2, out=y)
    return out, again is y, y


@TOPIC.program(call(t(2, 3)))
def tensor_protocols(x):
    return (
        [r.sum() for r in x],
        x.__len__(),
        x.__getitem__(0),
        torch.is_tensor(x),
        isinstance(x, torch.Tensor),
        type(x),
        x.__class__ is torch.Tensor,
    )


@TOPIC.program(
    fresh_call(t(2, 3)),
    again(t(2, 3)),
    call(t(3, 3)),
    call(t(5, 3)),
    call(t(7, 3)),
    call(t(0, 3)),
    call(t(1, 3)),
)
def changing_sizes(x):
    return (x * 2 + 1).softmax(-1).sum(0)


@TOPIC.program(
    call(t(3)),
    call(t(3, dtype=torch.float64)),
    call(t(3, dtype=torch.float16)),
    call(i64(3)),
    call(t(3, dtype=torch.bool)),
)
def changing_dtypes(x):
    return x + 1, (x * 2).sum()


@TOPIC.program(call(t(2, 3)), call(t(3, 2, transposed=True)), call(t(2, 3)))
def changing_strides(x):
    return x + 1, x.contiguous(), x.reshape(-1)


@TOPIC.program(call(t()), call(t()))
def zero_dimensional(x):
    return x + 1, x.unsqueeze(0), x.expand(3), x.reshape(1, 1), x * x, torch.stack([x, x])


@TOPIC.program(call(t(3, dtype=torch.complex64)))
def complex_numbers(x):
    return x * 2, x.abs(), x.real, x.imag, x.angle(), torch.view_as_real(x), x * 1j


@TOPIC.program(call(t(2, 3)))
def einsum_and_tensordot(x):
    return (
        torch.einsum("ij,kj->ik", x, x),
        torch.tensordot(x, x, dims=([1], [1])),
        torch.einsum("ij->j", x),
        torch.linalg.norm(x),
        torch.cdist(x, x),
        torch.trace(x[:, :2]),
    )


@TOPIC.program(call(t(3)))
def python_scalars_from_shapes(x):
    n = x.shape[0]
    return torch.arange(n) / n, x / n**0.5, torch.zeros(n // 2, n + 1), x.view(n, 1).expand(n, n)


@TOPIC.program(call(t(3, grad=True), t(3)))
def grad_tracking(x, y):
    z = (x * y).sum()
    return (
        z,
        z.requires_grad,
        (y * 2).requires_grad,
        x.detach(),
        x.detach() * 2,
        z.grad_fn is not None,
    )


@TOPIC.program(call(t(3)), is_one_graph=False)
def data_dependent_branch(x):
    if x.sum() > 0:
        return x * 2
    return x * 3


@TOPIC.program(call(t(3)), is_one_graph=False)
def reads_an_item(x):
    return x * x.sum().item()


@TOPIC.program(call(t(5)), is_one_graph=False)
def size_that_depends_on_values(x):
    return torch.unique_consecutive(x.sign()), x.nonzero()


@TOPIC.program(call(t(3, grad=True)), call(t(3)), is_one_graph=False)
def detached_in_place(x):
    y = x * 2
    x.detach_()
    return y.detach_(), x * 3, x.requires_grad
