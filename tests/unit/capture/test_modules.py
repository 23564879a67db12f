"""Modules: their parts, their call, their hooks, and the fast paths of attention layers."""

import itertools

import pytest
import torch
from captured_calls import capture
from torch import nn

from graphwright.base.errors import Unsupported
from graphwright.capture import capture_call


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.register_buffer("offset", torch.ones(3))
        self.scale = 2.0

    def forward(self, x):
        return self.inner(x) * self.scale + self.offset


def net():
    return Net().requires_grad_(requires_grad=False).eval()


def test_parameters_and_buffers_become_inputs():
    module, x = net(), torch.randn(2, 3)

    program = capture(module, (x,))

    assert len(program.captured.inputs) == 4
    assert any(tensor is module.inner.weight for tensor in program.captured.inputs)
    torch.testing.assert_close(program(x), module(x))


CHANGES = {
    "a parameter's size": lambda m: setattr(m, "inner", nn.Linear(3, 3, bias=False)),
    "a parameter's dtype": lambda m: m.inner.to(torch.float64),
    "requires_grad": lambda m: m.inner.requires_grad_(),
    "a submodule's class": lambda m: setattr(m, "inner", nn.Identity()),
    "an attribute": lambda m: setattr(m, "scale", 3.0),
    "a buffer that becomes None": lambda m: setattr(m, "offset", None),
    "a forward hook": lambda m: m.inner.register_forward_hook(lambda *a: None),
    "a forward pre-hook": lambda m: m.inner.register_forward_pre_hook(lambda *a: None),
    "a full backward hook": lambda m: m.inner.register_full_backward_hook(lambda *a: None),
    "an own forward": lambda m: setattr(m.inner, "forward", lambda x: x),
    "an own attribute over a parameter": lambda m: m.inner.__dict__.update(weight=torch.ones(3, 3)),
    "one tensor under two names": lambda m: m.inner._parameters.update(bias=m.offset),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_of_a_module_fails_a_guard(name):
    module, x = net(), torch.randn(2, 3)
    program = capture(module, (x,))

    CHANGES[name](module)

    assert not program.serves(x)


def test_values_of_parameters_are_read_at_each_call():
    module, x = net(), torch.randn(2, 3)
    program = capture(module, (x,))

    module.inner.weight.data.mul_(2)
    module.offset = torch.zeros(3)

    torch.testing.assert_close(program(x), module(x))


def test_training_flag_is_guarded_where_it_is_read():
    module, x = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).eval(), torch.randn(2, 3)
    module.requires_grad_(requires_grad=False)
    program = capture(module, (x,))

    module.train()

    assert not program.serves(x)


def test_forward_hooks_are_part_of_the_program():
    module, x = net(), torch.randn(2, 3)
    module.inner.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    module.inner.register_forward_hook(lambda m, args, out: out + 1)

    torch.testing.assert_close(capture(module, (x,))(x), module(x))


def test_backward_hooks_are_refused():
    module = net()
    module.inner.register_full_backward_hook(lambda *args: None)

    with pytest.raises(Unsupported, match="backward hooks"):
        capture_call(module, (torch.randn(2, 3),), {})


def test_slice_of_a_module_list_is_a_list_of_the_same_modules():
    layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(3)).requires_grad_(requires_grad=False)

    def program(x):
        for layer in layers[1:]:
            x = layer(x)
        return layers[-1](x), len(layers[:2]), isinstance(layers[:2], nn.ModuleList)

    x = torch.randn(2, 3)
    found = capture(program, (x,))(x)

    torch.testing.assert_close(found[0], program(x)[0])
    assert found[1:] == (2, True)


def test_new_buffer_value_is_an_effect():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen = self.seen + x.sum()
            return x * 2

    module, x = Counts(), torch.ones(2)
    program = capture(module, (x,))
    before = module.seen

    program(x)
    program(x)

    assert before.item() == 0
    assert module.seen.item() == 4
    assert "seen" in module._buffers


LAYERS = [
    (norm_first, activation, mask)
    for norm_first, activation, mask in itertools.product(
        (False, True), ("relu", "gelu"), (None, "pairs", "padding")
    )
]


@pytest.mark.parametrize(("norm_first", "activation", "mask"), LAYERS)
def test_fast_path_of_an_encoder_layer_gives_values_and_layout_of_eager(
    norm_first, activation, mask
):
    layer = nn.TransformerEncoderLayer(
        8, 2, 16, activation=activation, batch_first=True, norm_first=norm_first
    ).eval()
    x = torch.randn(2, 5, 8)
    kwargs = {}
    if mask == "pairs":
        kwargs["src_mask"] = torch.ones(5, 5).triu(1).bool()
    elif mask == "padding":
        kwargs["src_key_padding_mask"] = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])

    with torch.no_grad():
        program = capture(layer, (x,), kwargs)
        found, expected = program(x, **kwargs), layer(x, **kwargs)

    nodes = program.captured.program.graph.nodes
    assert not any("transformer_encoder_layer" in node.op for node in nodes)
    torch.testing.assert_close(found, expected)
    assert found.stride() == expected.stride()


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_fast_path_of_attention_gives_values_and_layout_of_eager(need_weights, batch_first):
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    x = torch.randn(2, 5, 8)

    with torch.no_grad():
        found = capture(layer, (x, x, x), {"need_weights": need_weights})(
            x, x, x, need_weights=need_weights
        )
        expected = layer(x, x, x, need_weights=need_weights)

    torch.testing.assert_close(found, expected)
    assert found[0].stride() == expected[0].stride()


def test_recurrent_module_is_captured():
    module, x = nn.LSTM(4, 5, 2, batch_first=True).eval(), torch.randn(2, 3, 4)

    with torch.no_grad():
        found, expected = capture(module, (x,))(x), module(x)

    torch.testing.assert_close(found, expected)
