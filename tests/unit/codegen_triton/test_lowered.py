"""Kernels as lowering makes them: rendered, interpreted, and compared with eager."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from graphwright.ir.plan import InputPlace, NewOutput, RunKernel
from graphwright.lower import lower_graph
from graphwright.record import record_function

torch.manual_seed(0)
PROGRAMS = {
    "pointwise": (lambda x: torch.relu(x * 2 + 1).sin(), [torch.randn(8, 8)]),
    "gelu_broadcast": (lambda x, b: F.gelu(x) * b + 1, [torch.randn(37, 50), torch.randn(50)]),
    "transposed_add": (lambda x, y: x.t() + y, [torch.randn(64, 96), torch.randn(96, 64)]),
    "column_sums": (lambda x: x.sum(0), [torch.randn(130, 300)]),
    "row_sums": (lambda x: (x * x).sum(-1, keepdim=True) + x, [torch.randn(20, 300)]),
    "total": (lambda x: (x + 1).sum(), [torch.randn(300, 200)]),
    "largest": (lambda x: (x.amax(-1), x.argmax(-1)), [torch.randn(24, 100)]),
    "any_positive": (lambda x: (x > 2).any(-1), [torch.randn(24, 100)]),
    "cat": (lambda x, y: torch.cat([x, y * 2], 1), [torch.randn(8, 16), torch.randn(8, 24)]),
    "where": (lambda x, m: torch.where(m, x, -x), [torch.randn(99), torch.rand(99) > 0.5]),
    "integers": (lambda x: (x // 3) * 7 % 5, [torch.randint(-50, 50, (77,))]),
    "mean_centred": (lambda x: x - x.mean(-1, keepdim=True), [torch.randn(33, 200)]),
}


def run_plan(interpreter, plan, kernels, inputs):
    """Run a plan whose steps are all kernels."""
    by_key = dict(zip([reference.symbol for reference in plan.kernels], kernels, strict=True))
    memory = []
    for buffer in plan.buffers:
        match buffer.place:
            case InputPlace(index):
                memory.append(inputs[index].contiguous().reshape(-1).numpy().copy())
            case _:
                size = max(1, buffer.size_bytes // buffer.dtype.size_bytes)
                memory.append(torch.zeros(size, dtype=buffer.dtype.torch_dtype).numpy())
    for step in plan.steps:
        if not isinstance(step, RunKernel):
            pytest.fail(f"not a kernel: {step}")
        kernel = by_key[plan.kernels[step.kernel].symbol]
        assert not any(step.offsets_bytes)
        arrays = {
            param.name: memory[buffer]
            for param, buffer in zip(kernel.params, step.buffers, strict=True)
        }
        found = interpreter.run(kernel, arrays, {})
        for param, buffer in zip(kernel.params, step.buffers, strict=True):
            memory[buffer] = found[param.name]
    return [
        torch.from_numpy(memory[output.buffer]).as_strided(output.meta.shape, output.meta.strides)
        for output in plan.outputs
        if isinstance(output, NewOutput)
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_lowered_program_gives_what_eager_gives(interpreter, name) -> None:
    function, inputs = PROGRAMS[name]
    expected = function(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    lowered = lower_graph(record_function(function, inputs).graph, num_threads=2)

    found = run_plan(interpreter, lowered.plan, lowered.kernels, inputs)

    assert len(lowered.kernels) > 0
    for result, tensor in zip(found, expected, strict=True):
        torch.testing.assert_close(result, tensor, rtol=2e-5, atol=2e-5)
        assert result.stride() == tensor.stride()
