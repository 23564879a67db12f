"""nn.Module: layers, containers, parameters, buffers, hooks, training flag, own modules."""

import torch
import torch.nn.functional as F
from program_cases import Topic, after, again, call, fresh_call, i64, t
from torch import nn

TOPIC = Topic("nn_modules")


def seeded(build):
    """Make a module with the same numbers each time."""
    torch.manual_seed(7)
    return build()


@TOPIC.made(fresh_call(t(2, 4)), again(t(2, 4)), call(t(5, 4)))
def linear_layer():
    return seeded(lambda: nn.Linear(4, 3)).requires_grad_(False)


@TOPIC.made(call(t(2, 4)), call(t(3, 4)))
def sequential():
    return (
        seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)))
        .eval()
        .requires_grad_(False)
    )


class Block(nn.Module):
    """Has a parameter, a buffer, a list and a dict of modules."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("offset", torch.full((4,), 0.5))
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 3)})
        self.dropout = nn.Dropout(0.5)
        self.residual = True

    def forward(self, x, head="a"):
        for layer in self.layers:
            y = F.relu(layer(x))
            x = x + y if self.residual else y
        x = self.dropout(x) * self.scale + self.offset
        return self.heads[head](x)


def _block():
    return seeded(Block).eval().requires_grad_(False)


@TOPIC.made(call(t(2, 4)), call(t(2, 4), head="b"), call(t(2, 4), "a"))
def own_module():
    return _block()


@TOPIC.made(
    fresh_call(t(2, 4)),
    after(lambda m: m.train(), fresh_call(t(2, 4))),
    after(lambda m: m.eval(), again(t(2, 4))),
)
def training_flag():
    module = _block()
    return module, module


@TOPIC.made(call(t(2, 4)), after(lambda m: setattr(m, "residual", False), call(t(2, 4))))
def attribute_of_a_module_changes():
    module = _block()
    return module, module


@TOPIC.made(call(t(2, 4)), after(lambda m: m.scale.data.mul_(3), call(t(2, 4))))
def parameter_data_changes():
    module = _block()
    return module, module


@TOPIC.made(
    call(t(2, 4)),
    after(
        lambda m: setattr(m, "scale", nn.Parameter(torch.full((4,), 9.0), requires_grad=False)),
        call(t(2, 4)),
    ),
)
def parameter_is_replaced():
    module = _block()
    return module, module


@TOPIC.made(call(t(2, 4)), after(lambda m: m.layers.append(nn.Identity()), call(t(2, 4))))
def layer_is_added():
    module = _block()
    return module, module


@TOPIC.made(call(t(2, 4)), after(lambda m: m.layers.__setitem__(0, nn.Identity()), call(t(2, 4))))
def layer_is_replaced():
    module = _block()
    return module, module


@TOPIC.made(call(t(6, 4)), call(t(6, 4)), after(lambda m: m.eval(), call(t(6, 4))))
def batch_norm_keeps_running_numbers():
    module = seeded(lambda: nn.BatchNorm1d(4)).requires_grad_(False)
    return module, module


@TOPIC.made(call(t(2, 4)), call(t(2, 4)))
def counting_buffer():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))
            self.calls = 0

        def forward(self, x):
            self.count += 1
            self.calls += 1
            self.last = x.mean()
            return x * self.count

    module = Counter()
    return module, module


@TOPIC.made(call(i64(2, 5, low=0, high=10)))
def embeddings():
    return seeded(lambda: nn.Sequential(nn.Embedding(10, 6), nn.LayerNorm(6))).requires_grad_(False)


@TOPIC.made(call(t(2, 3, 8, 8)))
def convolutional_net():
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
        )
    ).eval().requires_grad_(False)  # fmt: skip


@TOPIC.made(call(t(2, 5, 8)))
def multihead_attention():
    attention = (
        seeded(lambda: nn.MultiheadAttention(8, 2, batch_first=True)).eval().requires_grad_(False)
    )

    def program(x):
        return attention(x, x, x, need_weights=False)[0]

    return program


@TOPIC.made(call(t(2, 5, 8)))
def transformer_encoder_layer():
    return (
        seeded(lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0))
        .train()
        .requires_grad_(False)
    )


@TOPIC.made(call(t(2, 3, 4)))
def lstm_and_gru():
    lstm, gru = seeded(lambda: (nn.LSTM(4, 5, batch_first=True), nn.GRU(4, 5, batch_first=True)))
    lstm.requires_grad_(False)
    gru.requires_grad_(False)

    def program(x):
        y, (h, c) = lstm(x)
        z, _ = gru(x)
        return y, h, c, z

    return program


@TOPIC.made(call(t(2, 4)))
def module_that_returns_a_dict():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 2)

        def forward(self, x):
            return {"logits": self.a(x), "hidden": (x, [x * 2])}

    return seeded(Two).requires_grad_(False)


@TOPIC.made(
    call(t(2, 4)),
    after(lambda m: m.register_forward_hook(lambda mod, args, out: out * 2), call(t(2, 4))),
)
def forward_hook_is_added():
    return seeded(lambda: nn.Linear(4, 4)).requires_grad_(False)


@TOPIC.made(call(t(2, 4)))
def forward_pre_hook():
    module = seeded(lambda: nn.Linear(4, 4)).requires_grad_(False)
    module.register_forward_pre_hook(lambda mod, args: (args[0] + 1,))
    return module


@TOPIC.made(call(t(2, 4)))
def function_with_a_module_of_its_closure():
    layer = seeded(lambda: nn.Linear(4, 4)).requires_grad_(False)

    def program(x):
        return layer(x) + layer.weight.sum() + layer.in_features

    return program


@TOPIC.made(call(t(2, 4)), call(t(2, 4)))
def weights_are_shared():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4, bias=False)
            self.b = nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x)), self.a.weight is self.b.weight

    return seeded(Tied).requires_grad_(False)


@TOPIC.made(call(t(2, 4)))
def walks_its_children():
    module = _block()

    def program(x):
        names = [name for name, _ in module.named_children()]
        total = sum(p.sum() for p in module.parameters())
        return (
            x * total,
            names,
            len(list(module.modules())),
            sorted(dict(module.named_buffers())),
            module.training,
        )

    return program


@TOPIC.made(call(t(2, 4)))
def other_method_of_a_module():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def encode(self, x):
            return self.layer(x).tanh()

        def forward(self, x):
            return self.encode(x) * 2

    return seeded(Encoder).requires_grad_(False).encode


@TOPIC.made(call(t(2, 4)))
def module_in_a_plain_attribute():
    class Holder:
        def __init__(self):
            self.net = seeded(lambda: nn.Linear(4, 2)).requires_grad_(False)

        def __call__(self, x):
            return self.net(x)

    return Holder()


@TOPIC.made(call(t(2, 4)))
def inherits_and_calls_super_forward():
    class Base(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x)

    class Derived(Base):
        def forward(self, x, scale=2):
            return super().forward(x) * scale

    return seeded(Derived).requires_grad_(False)


@TOPIC.made(call(t(2, 4)))
def optional_layers():
    class Optional(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = None
            self.layer = nn.Linear(4, 4)
            self.register_parameter("bias", None)

        def forward(self, x):
            x = self.layer(x)
            if self.norm is not None:
                x = self.norm(x)
            if self.bias is not None:
                x = x + self.bias
            return x

    return seeded(Optional).requires_grad_(False)


@TOPIC.made(call(t(2, 4, grad=True)), call(t(2, 4)))
def module_with_gradients():
    return seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)))


@TOPIC.made(call(t(2, 4)), call(t(2, 4)))
def dropout_in_training():
    return (
        seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)))
        .train()
        .requires_grad_(False)
    )


@TOPIC.made(call(t(2, 4)))
def parameter_list_and_dict():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.ps = nn.ParameterList([nn.Parameter(torch.ones(4) * i) for i in range(3)])
            self.pd = nn.ParameterDict({"w": nn.Parameter(torch.ones(4))})

        def forward(self, x):
            for p in self.ps:
                x = x + p
            return x * self.pd["w"]

    return Listed().requires_grad_(False)


@TOPIC.made(call(t(2, 4)))
def calls_a_missing_attribute():
    module = seeded(lambda: nn.Linear(4, 4)).requires_grad_(False)

    def program(x):
        return module.nothing(x)

    return program


@TOPIC.made(call(t(2, 5)))
def wrong_input_size():
    return seeded(lambda: nn.Linear(4, 4)).requires_grad_(False)


@TOPIC.made(call(t(2, 4)))
def deep_stack():
    return seeded(
        lambda: nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(12)])
    ).requires_grad_(False)
