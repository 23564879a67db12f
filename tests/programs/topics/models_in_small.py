"""The kinds of functions that model code is made of."""

import math

import torch
import torch.nn.functional as F
from program_cases import Fresh, Topic, call, i64, t
from torch import nn

TOPIC = Topic("models_in_small")


def _rotate_half(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


@TOPIC.program(call(t(1, 2, 5, 8)), call(t(1, 2, 7, 8)))
def rotary_embedding(q):
    length, width = q.shape[-2:]
    inverse = 1.0 / (10000 ** (torch.arange(0, width, 2).float() / width))
    angles = torch.outer(torch.arange(length).float(), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return q * angles.cos() + _rotate_half(q) * angles.sin()


@TOPIC.program(call(t(2, 4, 8), t(8)), call(t(3, 2, 8), t(8)))
def rms_norm(x, weight, eps=1e-6):
    variance = x.float().pow(2).mean(-1, keepdim=True)
    return (x * torch.rsqrt(variance + eps)).to(x.dtype) * weight


@TOPIC.program(call(5, 8), call(7, 8))
def sinusoidal_positions(length, width):
    position = torch.arange(length)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    return table


@TOPIC.program(
    call(t(2, 5, 8), t(8, 8), t(8, 8), t(8, 8)), call(t(2, 3, 8), t(8, 8), t(8, 8), t(8, 8))
)
def causal_attention_by_hand(x, wq, wk, wv):
    q, k, v = x @ wq, x @ wk, x @ wv
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    mask = torch.triu(torch.ones(x.size(1), x.size(1), dtype=torch.bool), diagonal=1)
    return scores.masked_fill(mask, float("-inf")).softmax(-1) @ v


@TOPIC.program(call(t(2, 6, 8), 2), call(t(2, 6, 8), 4))
def split_and_merge_heads(x, heads):
    batch, length, width = x.shape
    y = x.view(batch, length, heads, width // heads).transpose(1, 2)
    return y.transpose(1, 2).contiguous().view(batch, length, width) + x, y.shape


class Cache:
    """Keys and values of earlier steps."""

    def __init__(self):
        self.keys = []
        self.length = 0

    def update(self, key):
        self.keys.append(key)
        self.length += key.shape[-2]
        return torch.cat(self.keys, dim=-2)


@TOPIC.made(call(t(1, 3, 4)), call(t(1, 1, 4)), call(t(1, 1, 4)))
def key_value_cache():
    cache = Cache()

    def program(x):
        return cache.update(x).sum(-2), cache.length

    return program, cache


@TOPIC.program(call(t(2, 9), 3), call(t(2, 9), 1))
def top_k_filter(logits, k):
    threshold = logits.topk(k).values[..., -1:]
    return logits.masked_fill(logits < threshold, float("-inf")).softmax(-1)


@TOPIC.program(call(t(4, 8), t(8, 3), t(3, 8, 8)))
def mixture_of_experts(x, gate, experts):
    weights, chosen = (x @ gate).softmax(-1).topk(2, dim=-1)
    out = torch.zeros_like(x)
    for index in range(experts.shape[0]):
        weight = (weights * (chosen == index)).sum(-1, keepdim=True)
        out = out + weight * (x @ experts[index])
    return out


@TOPIC.program(call(t(2, 3, 4, 4)), call(t(1, 3, 4, 4)))
def patches(image, size=2):
    batch, channels, height, width = image.shape
    x = image.reshape(batch, channels, height // size, size, width // size, size)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * size * size)


@TOPIC.program(call(t(3, 4), i64(3, low=0, high=4)))
def label_smoothing(logits, target, smoothing=0.1):
    log_p = logits.log_softmax(-1)
    nll = -log_p.gather(-1, target[:, None]).squeeze(1)
    return ((1 - smoothing) * nll - smoothing * log_p.mean(-1)).mean()


@TOPIC.program(call(t(3, 4), t(3, 4)))
def contrastive_loss(a, b):
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    logits = a @ b.t() * 10
    labels = torch.arange(len(a))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2


@TOPIC.program(call([t(4, 3), t(3)], [t(4, 3), t(3)]))
def optimiser_step(params, grads, lr=0.1, momentum=0.9):
    out = []
    for p, g in zip(params, grads):
        if p.ndim > 1:
            g = g + 0.01 * p
        out.append(p - lr * (g + momentum * g))
    norm = torch.stack([g.norm() for g in grads]).norm()
    return out, norm


@TOPIC.made(call(t(4)), call(t(4)), call(t(4)))
def adam_with_state():
    state = {"step": 0, "m": torch.zeros(4), "v": torch.zeros(4)}

    def program(grad):
        state["step"] += 1
        state["m"] = 0.9 * state["m"] + 0.1 * grad
        state["v"] = 0.99 * state["v"] + 0.01 * grad * grad
        hat = state["m"] / (1 - 0.9 ** state["step"])
        return hat / (state["v"].sqrt() + 1e-8)

    return program, state


@TOPIC.program(
    call({"input_ids": i64(2, 4, low=0, high=9), "attention_mask": t(2, 4, dtype=torch.bool)})
)
def mean_pooling(batch):
    hidden = F.one_hot(batch["input_ids"], 9).float()
    mask = batch["attention_mask"].unsqueeze(-1).expand(hidden.size()).float()
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


@TOPIC.program(call(t(2, 5, 3), t(3, 4), t(4, 4)))
def recurrent_loop(x, w, u):
    h = x.new_zeros(x.size(0), 4)
    outputs = []
    for step in range(x.size(1)):
        h = torch.tanh(x[:, step] @ w + h @ u)
        outputs.append(h)
    return torch.stack(outputs, dim=1), h


@TOPIC.program(call(t(3, 5)))
def iterated_normalisation(x):
    for _ in range(3):
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return x


@TOPIC.program(call(t(2, 3), depth=2), call(t(2, 3), depth=3))
def tree_of_lists(x, depth):
    def build(level):
        return (
            x * level
            if level == 0
            else [build(level - 1), build(level - 1) + 0 if level == 1 else x]
        )

    return build(depth)


class ResidualBlock(nn.Module):
    def __init__(self, width, layers=2, activation="gelu"):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.activation = {"gelu": F.gelu, "relu": F.relu}[activation]
        self.scale = 1 / math.sqrt(layers)

    def forward(self, x, *, return_all=False):
        states = []
        for index, layer in enumerate(self.layers):
            x = x + self.scale * self.activation(layer(x))
            if return_all:
                states.append((index, x))
        return (x, states) if return_all else x


@TOPIC.made(call(t(2, 4)), call(t(2, 4), return_all=True), call(t(2, 4)))
def residual_block():
    torch.manual_seed(1)
    return ResidualBlock(4).requires_grad_(False)


@TOPIC.program(call(t(2, 6), Fresh(lambda: {"mean": torch.zeros(6), "count": 0})))
def running_statistics(x, stats):
    stats["count"] += len(x)
    stats["mean"] = stats["mean"] + (x.mean(0) - stats["mean"]) / stats["count"]
    return (x - stats["mean"]).abs().amax()


@TOPIC.program(
    call(t(4, 4), "cpu", torch.float16), call(t(4, 4), torch.device("cpu"), torch.float64)
)
def moves_and_casts(x, device, dtype):
    return (
        x.to(device=device, dtype=dtype),
        x.to(device).dtype,
        torch.empty(0, dtype=dtype, device=device),
    )


@TOPIC.program(call(t(2, 3), [1, 2]), call(t(2, 3), [2, 1]), call(t(2, 3), [3, 3]))
def variable_lengths(x, lengths):
    mask = torch.arange(x.size(1))[None] < torch.tensor(lengths)[:, None]
    return x * mask, mask.sum(-1)
