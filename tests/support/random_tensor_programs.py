"""Random small programs of pointwise ops, views and reductions, from a seed."""

from __future__ import annotations

import random

import torch

SHAPES = [
    (6, 8),
    (8, 6),
    (4, 2, 8),
    (8,),
    (6, 1),
    (1, 8),
    (2, 3, 4),
    (48,),
    (),
    (16, 5),
    (4, 19),
    (2, 3, 40),
]
UNARY = [
    torch.relu, torch.sin, torch.tanh, torch.sigmoid, torch.abs, torch.neg, torch.floor, torch.exp,
    lambda x: x * 2 + 1, lambda x: x.clamp(-1, 1), lambda x: torch.ops.aten.gelu(x), lambda x: x.clone(),
]  # fmt: skip
BINARY = [
    torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum,
    lambda x, y: torch.where(x > y, x, y * 2), lambda x, y: x / (y.abs() + 1),
]  # fmt: skip
REDUCTIONS = [
    lambda x, d, k: x.sum(d, keepdim=k), lambda x, d, k: x.mean(d, keepdim=k),
    lambda x, d, k: x.amax(d, keepdim=k), lambda x, d, k: x.amin(d, keepdim=k),
    lambda x, d, k: (x > 0).any(d, keepdim=k).to(x.dtype),
    lambda x, d, k: x.argmax(d, keepdim=k).to(x.dtype),
]  # fmt: skip


class RandomProgram:
    """A program made by drawing ops; called again with the same inputs it does the same."""

    def __init__(self, seed: int, *, length: int = 10, has_narrow: bool = True) -> None:
        self.seed = seed
        self.length = length
        self.has_narrow = has_narrow
        draw = random.Random(seed)
        self.shapes = [draw.choice(SHAPES) for _ in range(draw.randint(1, 3))]

    def inputs(self):
        generator = torch.Generator().manual_seed(self.seed)
        return [torch.randn(shape, generator=generator) for shape in self.shapes]

    def __call__(self, *inputs):
        draw = random.Random(self.seed + 1)
        pool = list(inputs)
        for _ in range(self.length):
            pool.append(self.step(draw, pool))
        made = pool[len(inputs) :]
        outputs = [made[-1], *draw.sample(made, k=min(2, len(made)))]
        return tuple(output.clone() for output in outputs)

    def step(self, draw, pool):
        recent = pool[-4:]
        x = draw.choice(recent)
        match draw.randint(0, 9):
            case 0 | 1:
                return draw.choice(UNARY)(x)
            case 2 | 3 | 4:
                return self.binary(draw, x, pool)
            case 5 | 6:
                return self.view(draw, x)
            case 7:
                return self.reduction(draw, x)
            case 8:
                return self.normalized(draw, x)
            case _:
                return self.joined(draw, x)

    def binary(self, draw, x, pool):
        candidates = list(pool)
        draw.shuffle(candidates)
        function = draw.choice(BINARY)
        for y in candidates:
            if self.can_broadcast(x.shape, y.shape) and max(x.dim(), y.dim()) <= 4:
                if x.dtype != y.dtype:
                    y = y.to(x.dtype)
                return function(x, y)
        return function(x, x)

    @staticmethod
    def can_broadcast(first, second):
        pairs = zip(reversed(first), reversed(second), strict=False)
        return all(a == b or 1 in (a, b) for a, b in pairs)

    def view(self, draw, x):
        rank = x.dim()
        if rank == 0:
            return x.reshape(1, 1)
        axis = draw.randrange(rank)
        match draw.randint(0, 6):
            case 0:
                return x.transpose(axis, draw.randrange(rank))
            case 1:
                return x.unsqueeze(axis) if rank < 4 else x
            case 2:
                start = draw.randrange(max(x.shape[axis] - 1, 1))
                return x.narrow(axis, start, draw.randint(1, x.shape[axis] - start))
            case 3:
                return x.reshape(-1)
            case 4:
                extent = x.shape[axis]
                factors = [f for f in range(1, extent + 1) if extent % f == 0]
                inner = draw.choice(factors)
                shape = [*x.shape[:axis], extent // inner, inner, *x.shape[axis + 1 :]]
                return x.reshape(shape) if rank < 4 else x
            case 5:
                return x.unsqueeze(0).expand(3, *x.shape) if rank < 3 else x
            case _:
                order = list(range(rank))
                draw.shuffle(order)
                return x.permute(order)

    def reduction(self, draw, x):
        if x.dim() == 0:
            return x.sum()
        axis = draw.randrange(x.dim())
        return draw.choice(REDUCTIONS)(x, axis, draw.random() < 0.5)

    def normalized(self, draw, x):
        if x.dim() == 0:
            return x
        axis = draw.randrange(x.dim())
        if draw.random() < 0.5:
            shifted = (x - x.amax(axis, keepdim=True)).exp()
            return shifted / shifted.sum(axis, keepdim=True)
        centred = x - x.mean(axis, keepdim=True)
        return centred * ((centred * centred).mean(axis, keepdim=True) + 1e-3).rsqrt()

    def joined(self, draw, x):
        if self.has_narrow and draw.random() < 0.3:
            return x.to(torch.bfloat16).to(x.dtype) if x.dtype == torch.float32 else x
        if x.dim() == 0 or x.numel() > 600:
            return x * 3
        axis = draw.randrange(x.dim())
        return torch.cat([x, x * 2, x.narrow(axis, 0, 1)], axis)
