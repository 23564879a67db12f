"""Sample calls of ATen ops for the shape rules: simple signatures are filled in, the others are listed by hand."""

import torch
from torch.nn import functional

aten = torch.ops.aten

LAYOUTS = {
    "contiguous": lambda: torch.rand(4, 6),
    "transposed": lambda: torch.rand(6, 4).t(),
    "with gaps": lambda: torch.rand(4, 12)[:, ::2],
    "three dimensions": lambda: torch.rand(2, 4, 6).permute(1, 2, 0),
    "expanded": lambda: torch.rand(4, 1).expand(4, 6),
    "ones": lambda: torch.rand(1, 4, 1, 6).transpose(0, 3),
    "channels last": lambda: torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "scalar": lambda: torch.rand(()),
    "empty": lambda: torch.rand(0, 3),
    "offset": lambda: torch.rand(30)[3:27].view(4, 6),
}
DTYPES = (torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64, torch.uint8)


def overloads(name):
    """Give the overloads that a key of the rules' table stands for."""
    parts = name.split(".")
    packet = getattr(aten, parts[1])
    if len(parts) == 3:
        return [getattr(packet, parts[2])]
    return [getattr(packet, overload) for overload in packet.overloads()]


def simple_arguments(overload, tensor):
    """Give arguments for a signature of tensors and numbers, or None if it is not that simple."""
    arguments = []
    for argument in overload._schema.arguments:
        if argument.kwarg_only or argument.has_default_value():
            break
        kind = str(argument.type)
        if kind == "Tensor":
            arguments.append(tensor)
        elif kind in ("number", "float"):
            arguments.append(1.5)
        elif kind == "int" and "dtype" not in argument.name:
            arguments.append(1)
        else:
            return None
    return arguments


def images(channels=4, size=8):
    """Give a batch of images in both memory formats."""
    image = torch.rand(2, channels, size, size)
    return image, image.contiguous(memory_format=torch.channels_last)


def _convolutions():
    for image in images():
        functional.conv2d(image, torch.rand(6, 4, 3, 3), torch.rand(6), padding=1)
        functional.conv2d(image, torch.rand(6, 2, 3, 2), stride=2, dilation=2, groups=2)
        functional.conv_transpose2d(
            image, torch.rand(4, 3, 2, 2), stride=2, output_padding=1, padding=1
        )
        weight = torch.rand(6, 4, 3, 3, requires_grad=True)
        own = image.clone().requires_grad_()
        functional.conv2d(own, weight, torch.rand(6, requires_grad=True)).sum().backward()
    functional.conv1d(torch.rand(2, 3, 9), torch.rand(5, 3, 3), stride=2)
    functional.conv3d(torch.rand(1, 2, 4, 5, 6), torch.rand(3, 2, 2, 2, 2))


def _pooling():
    for image in images():
        own = image.clone().requires_grad_()
        for result in (
            functional.max_pool2d(own, 3, 2, 1),
            functional.max_pool2d(own, 2, ceil_mode=True),
            functional.avg_pool2d(own, 3, 2, 1, ceil_mode=True, count_include_pad=False),
            functional.adaptive_avg_pool2d(own, (3, 2)),
            functional.adaptive_max_pool2d(own, (3, 2)),
        ):
            result.sum().backward()
    volume = torch.rand(1, 2, 6, 6, 6)
    functional.max_pool3d(volume, 2)
    differentiable = torch.rand(2, 3, 5, 5, 5, requires_grad=True)
    functional.fractional_max_pool3d(differentiable, 2, (2, 3, 2)).sum().backward()
    functional.avg_pool3d(volume, 2)
    functional.adaptive_avg_pool3d(volume, (2, 3, 2))
    functional.max_pool1d(torch.rand(2, 3, 9, requires_grad=True), 3).sum().backward()


def _resizing():
    for image in images():
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
            own = image.clone().requires_grad_()
            functional.interpolate(own, (5, 11), mode=mode).sum().backward()
        functional.interpolate(image, (5, 11), mode="bilinear", antialias=True)
        functional.interpolate(image, (5, 11), mode="bicubic", antialias=True)
        functional.pixel_shuffle(image, 2)
        functional.pixel_unshuffle(image, 2)
        own = image.clone().requires_grad_()
        functional.pad(own, (1, 2, 1, 0), mode="reflect").sum().backward()
        functional.pad(own, (1, 2, 1, 0), mode="replicate").sum().backward()
        functional.pad(own, (1, -2, 1, 0)).sum().backward()
    line = torch.rand(2, 3, 9, requires_grad=True)
    for mode in ("nearest", "nearest-exact", "linear"):
        functional.interpolate(line, 5, mode=mode).sum().backward()
    volume = torch.rand(1, 2, 4, 4, 4, requires_grad=True)
    for mode in ("nearest", "nearest-exact", "trilinear"):
        functional.interpolate(volume, (3, 5, 6), mode=mode).sum().backward()
    functional.pad(line, (1, 2), mode="reflect").sum().backward()
    functional.pad(line, (1, 2), mode="replicate").sum().backward()
    functional.pad(volume, (1, 1, 1, 1, 1, 1), mode="reflect")
    functional.pad(volume, (1, 1, 1, 1, 1, 1), mode="replicate")
    columns = functional.unfold(torch.rand(2, 3, 6, 6), 2, stride=2)
    functional.fold(columns, (6, 6), 2, stride=2)
    functional.grid_sample(torch.rand(2, 3, 4, 5), torch.rand(2, 6, 7, 2), align_corners=False)
    functional.grid_sample(torch.rand(1, 2, 3, 4, 5), torch.rand(1, 2, 3, 4, 3), align_corners=True)


def _norms():
    for image in images():
        own = image.clone().requires_grad_()
        weight, bias = torch.rand(4, requires_grad=True), torch.rand(4, requires_grad=True)
        functional.group_norm(own, 2, weight, bias).sum().backward()
        mean, variance = torch.zeros(4), torch.ones(4)
        functional.batch_norm(own, mean, variance, weight, bias, training=True).sum().backward()
        functional.batch_norm(own, mean, variance, weight, bias).sum().backward()
        result, *_ = aten._batch_norm_with_update(own, weight, bias, mean, variance, 0.1, 1e-5)
        result.sum().backward()
        aten._batch_norm_with_update_functional(image, None, None, mean, variance, 0.1, 1e-5)
        aten._native_batch_norm_legit_functional(image, None, None, mean, variance, True, 0.1, 1e-5)
        aten._native_batch_norm_legit.no_stats(image, None, None, True, 0.1, 1e-5)
    rows = torch.rand(2, 3, 6, requires_grad=True)
    weight, bias = torch.rand(6, requires_grad=True), torch.rand(6, requires_grad=True)
    functional.layer_norm(rows, (6,), weight, bias).sum().backward()
    functional.layer_norm(rows.transpose(0, 1), (3 - 1, 6)).sum().backward()


def _losses():
    for reduction in ("none", "mean", "sum"):
        scores = torch.rand(5, 4, requires_grad=True)
        target = torch.rand(5, 4)
        for loss in (
            functional.mse_loss,
            functional.smooth_l1_loss,
            functional.huber_loss,
            functional.soft_margin_loss,
            functional.binary_cross_entropy_with_logits,
            functional.binary_cross_entropy,
        ):
            loss(scores, target, reduction=reduction).sum().backward()
        functional.cross_entropy(
            scores, torch.tensor([0, 1, 2, 3, 0]), reduction=reduction
        ).sum().backward()
        functional.multi_margin_loss(
            scores, torch.tensor([0, 1, 2, 3, 0]), reduction=reduction
        ).sum().backward()
        functional.multilabel_margin_loss(
            scores, torch.tensor([[0, 2, -1, 1]] * 5), reduction=reduction
        ).sum().backward()
        pixels = torch.rand(2, 4, 3, 3, requires_grad=True)
        labels = torch.zeros(2, 3, 3, dtype=torch.long)
        functional.cross_entropy(pixels, labels, reduction=reduction).sum().backward()
    steps = torch.rand(7, 2, 5, requires_grad=True)
    words = torch.tensor([[1, 2, 3], [3, 1, 2]])
    functional.ctc_loss(steps.log_softmax(2), words, (7, 6), (3, 2)).backward()
    narrow = torch.randn(2, 5, 3, 1).as_strided((2, 5, 3, 1), (15, 3, 1, 2)).requires_grad_()
    for scores in (torch.randn(5, 4).t().requires_grad_(), narrow):
        labels = torch.zeros_like(scores[:, 0], dtype=torch.int64)
        for reduction in ("none", "mean", "sum"):
            functional.nll_loss(scores, labels, reduction=reduction).sum().backward()


def _activations():
    for layout in (torch.rand(4, 6), torch.rand(6, 4).t()):
        x = layout.clone().requires_grad_()
        for function in (
            functional.relu,
            functional.gelu,
            functional.silu,
            functional.mish,
            functional.elu,
            functional.leaky_relu,
            functional.softplus,
            functional.hardswish,
            functional.hardtanh,
            functional.hardsigmoid,
            functional.logsigmoid,
            functional.softshrink,
            functional.hardshrink,
            torch.sigmoid,
            torch.tanh,
            functional.glu,
            torch.logit,
        ):
            function(x).sum().backward()
        functional.prelu(x, torch.tensor([0.1], requires_grad=True)).sum().backward()
        functional.rrelu(x, training=True).sum().backward()
        aten.rrelu_with_noise_functional(layout, torch.rand(4, 6), 0.1, 0.3, True)
        aten.threshold(layout, 0.5, 0.0)
        aten.native_dropout(layout, 0.5, True)
        aten.native_dropout_backward(layout, layout > 0.5, 2.0)


def _reductions():
    x = torch.rand(4, 5, 6)
    for name in ("sum", "mean", "nansum", "nanmean", "amax", "amin", "var", "std"):
        getattr(torch, name)(x, dim=(0, 2))
        getattr(torch, name)(x, dim=1, keepdim=True)
    torch.var_mean(x, dim=1)
    torch.std_mean(x, dim=(0, 1), keepdim=True)
    torch.prod(x, 1)
    for name in ("max", "min", "median", "nanmedian", "mode", "cummax", "cummin"):
        getattr(torch, name)(x, 1)
    for name in ("argmax", "argmin", "any", "all"):
        getattr(torch, name)(x, 1, keepdim=True)
    torch.argmax(x, keepdim=True)
    torch.any(x.to(torch.uint8), 0)
    torch.aminmax(x, dim=1)
    torch.kthvalue(x, 2, 1)
    torch.linalg.vector_norm(x, 2, (0, 1), keepdim=True)
    torch.linalg.vector_norm(x, dtype=torch.float64)
    aten.norm.Scalar(x)
    aten.norm.ScalarOpt_dim(x, 2, [1], True)
    aten.norm.ScalarOpt_dtype(x, 2, dtype=torch.float64)
    aten.norm.ScalarOpt_dim_dtype(x, 2, [0, 1], False, dtype=torch.float64)
    torch.logsumexp(x, (0, 1))
    torch.logcumsumexp(x, 1)
    torch.cumsum(x.int(), 1)
    torch.cumprod(x, 2, dtype=torch.float64)
    torch.count_nonzero(x, (0, 1))
    torch.nonzero_static(x, size=5)
    torch.sort(x, 1)
    torch.sort(x.permute(2, 0, 1), stable=True)
    torch.topk(x, 3, 1)
    torch.trace(torch.rand(3, 3))
    aten._safe_softmax(x, -1)
    for function in (torch.softmax, torch.log_softmax):
        function(x.permute(2, 0, 1).requires_grad_(), 1).sum().backward()


def _views():
    x = torch.rand(2, 3, 4)
    x.view(6, 4), x.view(-1), x.view(2, 1, 3, 4), x.transpose(0, 1).view(3, 2, 2, 2)
    x[:, :, :1].view(2, 3), x.view(torch.int32), x.double().view(torch.float32)
    x.view(torch.float16), x.half().view(torch.float32)
    x.permute(2, 0, 1), x.transpose(0, -1), x[0].t(), x[0, 0].t()
    x.expand(5, 2, 3, 4), x[:1].expand(7, -1, 4), torch.rand(()).expand(2, 2)
    x.unsqueeze(0), x.unsqueeze(-1), x.squeeze(), x[:, :1].squeeze(), x[:, :1].squeeze(1)
    aten.squeeze.dims(x[:1, :, :1], [0, 2])
    x[1], x[-1], x[:, 1:], x[:, -2:], x[..., ::2], x[5:], x[:, 2:1]
    x.split(2, 1), x.split([1, 2], 1), x.chunk(3, 2), x.unbind(1)
    x.diagonal(), x.diagonal(1, 1, 2), x.diagonal(-1, 0, 2)
    x.as_strided((2, 2), (1, 2), 3), x.unfold(2, 2, 1), torch.rand(()).unfold(0, 1, 1)
    pairs = torch.rand(3, 4, 2)
    torch.view_as_real(torch.view_as_complex(pairs))
    aten._unsafe_view(x, [6, 4]), aten._reshape_alias(x, [6, 4], [4, 1])
    aten.detach(x), aten.alias(x), aten.lift_fresh(x)
    aten._conj(torch.view_as_complex(pairs)), aten._neg_view(x)
    for name in ("permute", "expand", "as_strided"):
        own = {"permute": [[2, 0, 1]], "expand": [[5, 2, 3, 4]], "as_strided": [[2], [1]]}[name]
        getattr(aten, f"{name}_copy")(x, *own)
    aten.transpose_copy.int(x, 0, 1), aten.t_copy(x[0]), aten.unsqueeze_copy(x, 1)
    aten.squeeze_copy(x[:1]), aten.squeeze_copy.dim(x[:1], 0), aten.squeeze_copy.dims(x[:1], [0])
    aten.select_copy.int(x, 1, 0), aten.slice_copy.Tensor(x, 1, 1, 3), aten.split_copy.Tensor(x, 2)
    aten.split_with_sizes_copy(x, [1, 1]), aten.unbind_copy.int(x), aten.diagonal_copy(x)
    aten.unfold_copy(x, 2, 2, 1), aten.alias_copy(x), aten.detach_copy(x)
    aten.view_copy.dtype(x, torch.int32), aten.narrow_copy(x, 2, 1, 2)


def _indexing():
    x = torch.rand(4, 5, 6)
    i, j = torch.tensor([0, 2, 1]), torch.tensor([[1], [0]])
    x[i], x[:, i], x[i, :, i], x[:, i, j], x[i[None], j], x[None, i], x.transpose(0, 2)[:, i]
    aten._unsafe_index.Tensor(x, [None, i])
    aten._unsafe_index_put(x, [i], x[i])
    torch.take(x, i), torch.gather(x, 1, torch.zeros(4, 2, 6, dtype=torch.long))
    torch.index_select(x, 1, i), torch.index_select(torch.rand(()), 0, torch.tensor([0]))
    functional.embedding(j, torch.rand(7, 3, requires_grad=True)).sum().backward()
    own = x.clone().requires_grad_()
    (own[1].sum() + own[:, 1:3].sum() + own.diagonal().sum() + own.unfold(2, 2, 2).sum()).backward()
    aten.index_put(x, [i], x[i]), aten.put(x, i, torch.rand(3))
    mask = torch.zeros(4, 2, 6, dtype=torch.long)
    for layout in (x, x.transpose(0, 2).contiguous().transpose(0, 2)):
        torch.scatter(layout, 1, mask, 1.0), torch.scatter(layout, 1, mask, x)
        torch.scatter_add(layout, 1, mask, x), torch.scatter_reduce(layout, 1, mask, x, "sum")
        torch.index_add(layout, 1, i, x[:, :3]), torch.index_copy(layout, 1, i, x[:, :3])
        torch.index_fill(layout, 1, i, 2.0), torch.index_reduce(layout, 1, i, x[:, :3], "prod")
        torch.masked_fill(layout, layout > 0.5, 1.0), torch.masked_scatter(layout, layout > 0.5, x)
        torch.flip(layout, (0, 1)), torch.roll(layout, 1, 0), torch.tril(layout), torch.triu(layout)
        torch.select_scatter(layout, x[0], 0, 1), torch.slice_scatter(layout, x[:2], 0, 1, 3)
        torch.diagonal_scatter(layout, x[:, :, 0].diagonal().expand(6, 4), 0)
        torch.renorm(layout, 2, 0, 1.0), layout.repeat(1, 2, 1), layout.repeat(2, 1, 1, 1)
        functional.pad(layout, (1, 1, 0, 2))
    torch.as_strided_scatter(x, torch.rand(2, 2), (2, 2), (1, 2))
    torch.cat([x, x[:2]]), torch.cat([x, torch.zeros(0)], 1), torch.cat([x, x.double()], -1)
    torch.cat(images(), 1), torch.stack([x, x], 1), torch.diag_embed(x, 1, 0, 2)
    torch.bucketize(x, torch.tensor([0.2, 0.5]), out_int32=True)
    torch.isin(x.transpose(0, 2), x[0, 0]), torch.isin(x.transpose(0, 2), 0.5, invert=True)
    (
        torch.searchsorted(torch.tensor([0.2, 0.5]), x),
        torch.searchsorted(torch.tensor([0.2, 0.5]), 0.3),
    )


def _products():
    a, b, v = torch.rand(3, 4), torch.rand(4, 5), torch.rand(4)
    a @ b, a @ v, v @ v, torch.outer(v, v), torch.addr(torch.rand(4, 4).t(), v, v)
    torch.addmm(torch.rand(5), a, b), torch.addmv(torch.rand(3), a, v), torch.vdot(v, v)
    batch = torch.rand(2, 3, 4)
    torch.bmm(batch, torch.rand(2, 4, 5)), torch.baddbmm(torch.rand(2, 3, 3), batch, batch.mT)
    torch.addbmm(torch.rand(3, 3), batch, batch.mT)
    with torch.inference_mode():
        functional.linear(batch, a, torch.rand(3))
    torch.cdist(batch.clone().requires_grad_(), torch.rand(1, 5, 4)).sum().backward()
    torch.cdist(torch.rand(3, 4, requires_grad=True), torch.rand(0, 5, 4)).sum().backward()
    aten._euclidean_dist(batch, batch)
    torch.linalg.cross(torch.rand(5, 3), torch.rand(1, 3))
    for heads in (torch.rand(2, 4, 6, 8), torch.rand(2, 6, 4, 8).transpose(1, 2)):
        query = heads.clone().requires_grad_()
        functional.scaled_dot_product_attention(
            query, heads, heads, is_causal=True
        ).sum().backward()


def _spectra():
    x = torch.rand(2, 3, 4)
    for layout in (x, x.permute(2, 0, 1), x.transpose(0, 1)):
        for transform in (torch.fft.fft2, torch.fft.rfft2, torch.fft.fftn, torch.fft.rfftn):
            transform(layout)
        torch.fft.fft(layout, dim=0), torch.fft.rfft(layout, dim=1), torch.fft.ihfft(layout, dim=0)
        (
            torch.fft.irfft2(layout + 0j),
            torch.fft.hfftn(layout + 0j),
            torch.fft.irfft(layout + 0j, dim=0),
        )
        torch.fft.hfft2(layout + 0j, dim=(0, 1))


def _factorisations():
    for matrix in (torch.rand(2, 5, 3), torch.rand(3, 5), torch.rand(4, 4)):
        (
            torch.linalg.svd(matrix),
            torch.linalg.svd(matrix, full_matrices=False),
            torch.linalg.svdvals(matrix),
        )
        torch.geqrf(matrix)
    torch.linalg.eig(torch.rand(2, 3, 3)), torch.linalg.eig(torch.rand(3, 3) + 1j)
    torch.histogram(torch.rand(5), 4), torch.histogram(torch.rand(5), torch.tensor([0.0, 0.5, 1.0]))
    pooled, indices = functional.max_pool2d(images()[1], 2, return_indices=True)
    functional.max_unpool2d(pooled, indices, 2)


def _recurrent():
    layer = torch.nn.LSTM(3, 4, 2, bidirectional=True)
    with torch.no_grad():
        layer(torch.rand(5, 2, 3))
    bags = torch.rand(7, 3, requires_grad=True)
    weights = torch.rand(4, requires_grad=True)
    indices, offsets = torch.tensor([1, 2, 2, 4]), torch.tensor([0, 1, 4])
    for table in (bags, bags.double(), bags.detach().t().contiguous().t()):
        for padding in (None, 2):
            for mode in ("sum", "mean", "max"):
                options = {"mode": mode, "padding_idx": padding}
                functional.embedding_bag(indices, table, offsets[:2], **options)
                functional.embedding_bag(
                    indices, table, offsets, include_last_offset=True, **options
                )
    functional.embedding_bag(indices, bags, offsets, mode="sum", per_sample_weights=weights)
    functional.embedding_bag(torch.tensor([[1, 2], [3, 4]]), bags, mode="sum").sum().backward()


def _factories():
    x = torch.rand(6, 4).t()
    for factory in (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn):
        factory(3, 4), factory((2,), dtype=torch.float64)
    for factory in (torch.empty_like, torch.zeros_like, torch.ones_like, torch.rand_like):
        factory(x), factory(x, dtype=torch.float64, memory_format=torch.contiguous_format)
    torch.randn_like(x), torch.randint_like(x, 5), torch.full_like(x, 2)
    for factory in (x.new_empty, x.new_zeros, x.new_ones):
        factory((2, 3)), factory(5, dtype=torch.int64)
    x.new_full((2,), 1.5), x.new_empty_strided((2, 3), (1, 2)), torch.empty_strided((2, 3), (1, 2))
    torch.full((2, 3), 1), torch.full((2,), True), torch.full((), 2.5), torch.full((1,), 1j)
    torch._efficientzerotensor((2, 3), dtype=torch.float64)
    torch.empty(2, 3, 4, 5, memory_format=torch.channels_last)
    torch.arange(5), torch.arange(2, 9, 3), torch.arange(0.0, 1.0, 0.3), torch.arange(9, 0, -2)
    torch.arange(3.5, dtype=torch.int64), torch.arange(3, 3), torch.linspace(0, 1, 7)
    torch.logspace(0, 1, 3), torch.eye(3), torch.eye(2, 5), torch.scalar_tensor(3)
    torch.tril_indices(3, 4, -1), torch.triu_indices(3, 4, 1)
    x.clone(), x.clone(memory_format=torch.contiguous_format), aten.copy(x, torch.rand(6))
    x.to(torch.float64), x.to(torch.int32, memory_format=torch.contiguous_format)
    torch.randint(5, (2, 3)), torch.randint(2, 5, (2,)), torch.randperm(6)
    torch.normal(x, 1.0), torch.normal(0.0, x), torch.normal(x, x), torch.normal(0.0, 1.0, (2, 3))
    torch.bernoulli(x), aten.bernoulli.p(x, 0.3), torch.poisson(x), torch.multinomial(x, 2)
    torch.multinomial(x[0], 2)
    for name in ("uniform", "random", "exponential", "cauchy", "log_normal", "normal_functional"):
        getattr(aten, name)(x)
    aten.geometric(x, 0.5)


def _pointwise():
    a, b = torch.rand(3, 4), torch.rand(4)
    torch.where(a > 0.5, a, b), torch.where(a > 0.5, 1.0, b), torch.where(a > 0.5, a, 0)
    torch.where(a > 0.5, 1.0, 2.0)
    torch.div(a, b, rounding_mode="floor"), torch.div(a.int(), 2, rounding_mode="trunc")
    torch.clamp(a, 0.1, 0.9), torch.clamp(a, b), torch.clamp(a, max=b.double()), a.clamp_min(b)
    torch.rsub(a, b), torch.rsub(a, 1), torch.pow(a, 2), torch.pow(2, a), torch.pow(a, b)
    torch.lerp(a, b, 0.3), torch.lerp(a, b, a), torch.addcmul(a, b, b), torch.addcdiv(a, b, a)
    torch.polygamma(1, a), torch.complex(a, b), torch.polar(a, b), torch.fill(a.t(), 2.0)
    aten.zero(a.t()), torch.nan_to_num(a.t())
    a * torch.tensor(2.0, dtype=torch.float64), a.int() * torch.tensor(1.5), a.int() * 1.5, a * 1j
    a.bool() + a.bool(), a.to(torch.uint8) + 1, a.to(torch.uint8) + a.to(torch.int8)
    a.t() + torch.rand(4, 3), a.t() + torch.rand(3), a[:, None] + torch.rand(5, 1)


MANUAL = (
    _convolutions,
    _pooling,
    _resizing,
    _norms,
    _losses,
    _activations,
    _reductions,
    _views,
    _indexing,
    _products,
    _spectra,
    _factorisations,
    _recurrent,
    _factories,
    _pointwise,
)
