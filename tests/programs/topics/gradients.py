"""Programs whose inputs or parameters need gradients; the check differentiates what they return."""

import torch
import torch.nn.functional as F
from program_cases import Fresh, Topic, after, again, call, fresh_call, t, under
from torch import nn

TOPIC = Topic("gradients")


@TOPIC.program(
    fresh_call(t(3, grad=True)), again(t(3, grad=True)), call(t(4, grad=True)), call(t(3))
)
def pointwise_chain(x):
    return (x * 2 + 1).sin() * x.exp()


@TOPIC.program(call(t(3, 4, grad=True), t(4, 5, grad=True)), call(t(3, 4), t(4, 5, grad=True)))
def matrix_product(x, w):
    return (x @ w).relu().sum()


@TOPIC.program(
    call(t(3, grad=True), t(3)), call(t(3), t(3, grad=True)), call(t(3, grad=True), t(3, grad=True))
)
def one_of_two_inputs(x, y):
    return x * y, (x + y).tanh()


@TOPIC.program(call(t(2, 5, grad=True)))
def softmax_and_norm(x):
    return x.softmax(-1) * 2, F.layer_norm(x, (5,)), x.log_softmax(0), x.std(1)


@TOPIC.program(call(t(3, grad=True)))
def detached_parts(x):
    return x * x.detach(), (x.detach() * 2), x.sum()


@TOPIC.program(call(t(3, grad=True)))
def unused_and_several_outputs(x):
    y = x * 2
    z = y + 1
    return {"y": y, "z": [z, z * y]}, 3


@TOPIC.program(
    call(t(3, grad=True)), under(torch.no_grad, call(t(3, grad=True))), call(t(3, grad=True))
)
def without_gradients_outside(x):
    return x * 2, x.requires_grad


@TOPIC.program(call(t(4, grad=True)))
def no_grad_in_the_middle(x):
    y = x * 2
    with torch.no_grad():
        scale = y.abs().max()
    return y / scale


@TOPIC.program(call(t(3, 3, grad=True)))
def views_and_indexing(x):
    return x[0], x.t()[1:] * 2, x.view(9)[::2].sum(), x.diagonal()


@TOPIC.program(call(t(3, grad=True)))
def output_is_the_input(x):
    return x, x * 2


@TOPIC.program(call(t(3, grad=True)))
def in_place_on_an_intermediate(x):
    y = x * 2
    y.mul_(3).add_(x)
    return y


@TOPIC.made(fresh_call(t(2, 4)), again(t(2, 4)), call(t(5, 4)))
def linear_layers():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2))
    return model, model


@TOPIC.made(
    call(t(2, 4)), after(lambda m: m[0].requires_grad_(False), call(t(2, 4))), call(t(2, 4))
)
def frozen_first_layer():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    return model, model


@TOPIC.made(call(t(6, 4)), call(t(6, 4)))
def batch_norm_in_training():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())
    return model, model


@TOPIC.made(call(t(2, 4)), call(t(2, 4)))
def dropout_in_training():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    return model, model


@TOPIC.made(call(t(2, 3, 8, 8)))
def convolutions():
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)
    )
    return model, model


@TOPIC.made(call(torch.tensor([[1, 2], [3, 1]])), call(torch.tensor([[0, 2], [3, 1]])))
def embeddings_and_loss():
    torch.manual_seed(3)
    table = nn.Embedding(5, 4)
    head = nn.Linear(4, 5)

    def program(ids):
        return F.cross_entropy(head(table(ids)).flatten(0, 1), ids.flatten())

    return program, [table, head]


@TOPIC.made(call(t(2, 5, 8)))
def attention_block():
    torch.manual_seed(3)
    qkv, out = nn.Linear(8, 24), nn.Linear(8, 8)

    def program(x):
        q, k, v = qkv(x).view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + out(y.transpose(1, 2).reshape(2, 5, 8))

    return program, [qkv, out]


@TOPIC.program(call(t(2, 6, grad=True)))
def views_of_one_tensor(x):
    y = x * 2
    return y.chunk(3, 1)


@TOPIC.program(call(t(4, 6, grad=True)))
def overlapping_views_of_one_tensor(x):
    y = x.exp()
    return y[:3], y[1:], y[1:3, ::2], y.t()


@TOPIC.program(call(t(3, grad=True)))
def detached_argument(x):
    return x.detach()


@TOPIC.program(call(t(2, 3, grad=True)))
def detached_views_beside_views(x):
    y = x * 3
    return y, y.detach(), y[0], y[0].detach(), x[1].detach()


@TOPIC.program(
    call(Fresh(lambda: torch.ones(2, requires_grad=True) * 2)),
    call(Fresh(lambda: torch.ones(2, requires_grad=True))),
    call(Fresh(lambda: torch.ones(2))),
)
def history_of_an_argument(x):
    return x.is_leaf, x.grad_fn is None, x * 2


@TOPIC.made(call(t(2, 3)), call(t(2, 3)))
def gradient_of_a_parameter():
    torch.manual_seed(4)
    layer = nn.Linear(3, 2)

    def program(x):
        y = layer(x)
        return y if layer.weight.grad is None else y + layer.weight.grad.sum()

    return program, layer


@TOPIC.program(call(t(3, grad=True)))
def requires_grad_is_readable(x):
    y = x * 2
    z = y.detach()
    return y.requires_grad, z.requires_grad, x.is_leaf, y.is_leaf, x.grad is None, y


@TOPIC.program(call(t(2, 3, grad=True)), call(t(2, 3, grad=True)))
def reductions_with_gradients(x):
    return x.sum(0), x.mean(1), x.amax(0), x.var(), x.prod(1), x.cumsum(0), x.norm(), x.max()


@TOPIC.program(call(t(3, grad=True)), again(t(3, grad=True)), call(t(3)))
def history_that_sends_nothing_back(x):
    return torch.norm(x, 0)


@TOPIC.program(call(t(3, grad=True), t(3, grad=True)), call(t(3), t(3, grad=True)))
def history_of_several_inputs_that_sends_nothing_back(x, y):
    return torch.norm(x, 0), torch.norm(x * y, 0), x.detach() * y.detach()


@TOPIC.program(call(t(4, 4, dtype=torch.complex64, grad=True)))
def loss_that_does_not_depend_on_the_phases_of_singular_vectors(x):
    u, values, v = torch.linalg.svd(x)
    return u.abs().sum() + values.sum() + v.abs().sum()


class _SendsNothingBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return None


class _Scaled(torch.autograd.Function):
    """Its gradient is not that of its operations; both read what may change between calls."""

    forward_scale = 2.0
    backward_scale = 10.0

    @staticmethod
    def forward(ctx, x):
        ctx.scale = _Scaled.forward_scale
        ctx.save_for_backward(x)
        return x * _Scaled.forward_scale

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * x.exp() * ctx.scale * _Scaled.backward_scale


class _Powers(torch.autograd.Function):
    @staticmethod
    def forward(x, number):
        return x**number, x.sign()

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.number = inputs
        ctx.save_for_backward(x)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, gradient, of_sign):
        assert of_sign is None
        (x,) = ctx.saved_tensors
        return gradient * ctx.number * x if ctx.needs_input_grad[0] else None, None


def _set_scales(forward, backward):
    def change(_function):
        _Scaled.forward_scale, _Scaled.backward_scale = forward, backward

    return change


@TOPIC.program(
    after(_set_scales(2.0, 10.0), call(t(3, grad=True))),
    again(t(3, grad=True)),
    after(_set_scales(2.0, 7.0), call(t(3, grad=True))),
    after(_set_scales(5.0, 7.0), call(t(3, grad=True))),
    call(t(3)),
)
def function_with_another_gradient(x):
    return _Scaled.apply(x * 3) + 1


@TOPIC.program(call(t(3, grad=True)), call(t(3)))
def function_with_a_context_set_up_apart(x):
    return _Powers.apply(x.exp(), 3)


@TOPIC.program(call(t(3, grad=True)), call(t(3)))
def function_that_sends_nothing_back(x):
    return _SendsNothingBack.apply(x)


@TOPIC.made(call(t(3, grad=True)), call(t(3, grad=True)), call(t(3)), is_one_graph=False)
def function_that_writes_while_gradients_are_computed():
    written = []

    class Writes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            written.append("forward")
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            written.append("backward")
            return gradient * 3

    return lambda x: (Writes.apply(x), list(written)), written


_ROWS = torch.tensor([True, False, True, True, False])


@TOPIC.program(
    call(t(5, 3, grad=True), t(3, 3, grad=True)),
    call(t(5, 3, grad=True), t(3, 1, grad=True)),
    call(t(5, 3, grad=True), t(1, 3, grad=True)),
    call(t(5, 3, grad=True), t(3, grad=True)),
    call(t(5, 3, grad=True), t(grad=True)),
    call(t(5, 3, dtype=torch.bfloat16, grad=True), t(dtype=torch.bfloat16, grad=True)),
)
def values_written_by_a_mask(x, values):
    y = x * 2
    y[_ROWS] = values.sin()
    z = (x * 3).t()
    z[:, _ROWS] = values.cos().expand(3, 3).t()
    return y.exp(), z.sin(), x.index_put((_ROWS,), values, accumulate=True).cos()


@TOPIC.program(
    call(t(2, 5, 3, grad=True), t(2, 3, 3, grad=True)),
    call(t(2, 5, 3, grad=True), t(2, 1, 3, grad=True)),
    call(t(2, 5, 3, grad=True), t(3, 1, grad=True)),
    call(t(2, 5, 3, grad=True), t(1, 3, 3, grad=True)),
    call(t(2, 5, 3), t(3, 3, grad=True)),
)
def values_written_by_a_mask_in_the_middle(x, values):
    y = x * 2
    y[:, _ROWS] = values.sin()
    return y.exp()


@TOPIC.program(call(t(4, 3, grad=True), t(grad=True)), call(t(3, 4, grad=True), t(grad=True)))
def number_filled_in_at_places_given_twice(x, number):
    places = torch.tensor([1, 2, 1])
    y = (x * 2).index_fill_(0, places, number)
    return torch.index_fill(x.t(), 1, places, number * 2).sin(), y.sin()


@TOPIC.program(call(t(4, grad=True), t(4, dtype=torch.bool)))
def where_and_masks(x, mask):
    return torch.where(mask, x, x * 2), x.masked_fill(mask, 0.0), x.clamp(-0.5, 0.5)


@TOPIC.program(
    call(t(3, dtype=torch.float64, grad=True)), call(t(3, dtype=torch.bfloat16, grad=True))
)
def other_dtypes(x):
    return (x * 3).float().sum() + x.to(torch.float64).sum()


@TOPIC.program(
    fresh_call(t(6, 2, grad=True), t(5, 3, dtype=torch.complex64, grad=True)),
    call(t(4, 2, grad=True), t(2, 3, dtype=torch.complex64, grad=True)),
)
def parts_and_pairs(x, z):
    """Views of complex numbers as real ones and the other way round, of inputs and of another result."""
    w = x * 2
    pairs = torch.view_as_complex(w)
    return z.imag[1:].t(), torch.view_as_real(z), torch.view_as_complex(x[1:]), w, pairs, pairs.real


@TOPIC.program(call(t(6, grad=True)), call(t(2, 6, grad=True)), call(t(4)))
def margins_of_labels(x):
    labels = torch.zeros(x.shape, dtype=torch.long)
    return [F.multilabel_margin_loss(x, labels, reduction=how) for how in ("none", "mean", "sum")]
