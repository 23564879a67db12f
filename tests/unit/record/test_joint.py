"""Forward and backward in one graph, static and with symbolic sizes."""

import subprocess
import sys

import pytest
import torch
from recorded_blocks import ManualAttention, Perceptron, TransformerBlock, compare_with_eager

from graphwright.base.errors import Unsupported
from graphwright.graph import execute
from graphwright.ir.aten_verify import verify_graph
from graphwright.ir.dims import render_dim
from graphwright.record import record_function, record_joint


def guard_texts(guards):
    return [f"{render_dim(g.left)} {g.comparison.value} {render_dim(g.right)}" for g in guards]


@pytest.mark.parametrize("batch", [2, 5, 9])
def test_perceptron_with_symbolic_batch_equals_eager(batch):
    module = Perceptron()
    joint = record_joint(
        module, [torch.randn(3, 16, requires_grad=True)], dynamic_dims={0: {0: "s0"}}
    )

    verify_graph(joint.graph)
    compare_with_eager(joint, module, (batch, 16), {"s0": batch})

    assert guard_texts(joint.shape_guards) == ["2 <= s0"]


@pytest.mark.parametrize(("batch", "length"), [(2, 5), (3, 7), (7, 3), (4, 4)])
@pytest.mark.parametrize("make", [TransformerBlock, ManualAttention])
def test_transformer_block_with_symbolic_batch_and_length_equals_eager(make, batch, length):
    module = make()
    example = torch.randn(2, 6, 16, requires_grad=True)
    joint = record_joint(module, [example], dynamic_dims={0: {0: "s0", 1: "s1"}})

    verify_graph(joint.graph)
    compare_with_eager(joint, module, (batch, length, 16), {"s0": batch, "s1": length})

    assert joint.graph.symbols == ("s0", "s1")
    assert guard_texts(joint.shape_guards) == ["2 <= s0", "2 <= s1"]


def test_static_block_equals_eager():
    module = TransformerBlock()
    joint = record_joint(module, [torch.randn(2, 6, 16, requires_grad=True)])

    compare_with_eager(joint, module, (2, 6, 16), {})

    assert joint.graph.symbols == ()
    assert joint.shape_guards == ()


def test_every_parameter_gets_a_gradient():
    module = Perceptron()

    joint = record_joint(module, [torch.randn(3, 16)])

    assert [id(tensor) for tensor in joint.extra_inputs] == [id(p) for p in module.parameters()]
    assert joint.gradient_inputs == tuple(range(1, 7))
    assert joint.num_forward_outputs == 1
    assert len(joint.graph.outputs) == 7


def test_inplace_ops_under_autograd_equal_eager():
    def program(x):
        y = x * 2
        y[0] = y[1] * 3
        z = (y + 1).view(-1)
        z[::2].mul_(3)
        z.add_(y.view(-1))
        return z * y.sum()

    x = torch.randn(3, 4, requires_grad=True)
    joint = record_joint(program, [x])
    expected = program(x)
    (gradient,) = torch.autograd.grad(expected, x, torch.ones_like(expected))

    found = execute(joint.graph, [x.detach(), torch.ones_like(expected)])

    torch.testing.assert_close(found[0], expected.detach())
    torch.testing.assert_close(found[1], gradient)


def test_custom_autograd_function_is_recorded_with_its_backward():
    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(-1, 1)

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient * 3 * (x > 0)

    x = torch.randn(5, requires_grad=True)
    joint = record_joint(Clipped.apply, [x])
    expected = Clipped.apply(x)
    (gradient,) = torch.autograd.grad(expected, x, torch.ones(5))

    found = execute(joint.graph, [x.detach(), torch.ones(5)])

    torch.testing.assert_close(found[1], gradient)


def test_gradient_of_a_gradient_is_recorded():
    def program(x):
        y = (x**3).sum()
        (first,) = torch.autograd.grad(y, x, create_graph=True)
        return first * x

    x = torch.randn(4, requires_grad=True)
    joint = record_joint(program, [x])

    found = execute(joint.graph, [x.detach(), torch.ones(4)])

    torch.testing.assert_close(found[0], 3 * x.detach() ** 3)
    torch.testing.assert_close(found[1], 9 * x.detach() ** 2)


def test_saved_tensor_that_was_changed_raises_as_in_eager():
    def program(x):
        y = x.exp()
        z = y * 2
        y.add_(1)
        return z

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        record_joint(program, [torch.randn(3, requires_grad=True)])


def test_function_without_gradients_is_refused():
    with pytest.raises(Unsupported, match="without gradients"):
        record_joint(torch.sin, [torch.randn(3)])


def test_output_that_is_no_tensor_is_refused():
    with pytest.raises(Unsupported, match="output of type int"):
        record_function(lambda x: (x, 3), [torch.randn(3)])


RECORD_IN_A_FRESH_PROCESS = """
import sys
sys.path.insert(0, {support!r})
import torch
from recorded_blocks import TransformerBlock
from graphwright.record import record_joint
joint = record_joint(
    TransformerBlock(), [torch.randn(2, 6, 16, requires_grad=True)], dynamic_dims={{0: {{0: "s0", 1: "s1"}}}}
)
assert joint.graph.symbols == ("s0", "s1")
banned = ("sympy", "torch._dynamo", "torch._inductor", "torch._functorch.aot_autograd",
          "torch.fx.experimental.symbolic_shapes")
print([name for name in banned if name in sys.modules])
"""


@pytest.mark.slow
def test_recording_leaves_the_compile_stack_and_sympy_unloaded():
    support = next(path for path in sys.path if path.endswith("support"))
    code = RECORD_IN_A_FRESH_PROCESS.format(support=support)

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


def test_view_made_without_gradients_of_what_requires_them_is_refused_as_an_output():
    def bare_view(x):
        with torch.no_grad():
            return x.view(-1), x * 2

    with pytest.raises(Unsupported, match="made while gradients are off"):
        record_joint(bare_view, [torch.randn(3, 2, requires_grad=True)])
