"""`strict_numerics`: pointwise ops, alone and in chains, give the bits that eager gives.

Equal means: the same bits, or NaN both times (which NaN is the processor's choice).
"""

import random

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, UnaryUfuncInfo

import graphwright as gw

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
POINTWISE = frozenset(
    (
        *("where", "clamp", "clamp_min", "clamp_max", "lerp", "addcmul", "addcdiv", "masked_fill"),
        *("nn.functional.relu6", "nn.functional.hardtanh", "nn.functional.hardswish"),
        *("nn.functional.gelu", "nn.functional.leaky_relu", "nn.functional.softplus"),
        *("nn.functional.hardshrink", "nn.functional.softshrink", "nn.functional.logsigmoid"),
    )
)
INFOS = [
    info
    for info in op_db
    if (isinstance(info, UnaryUfuncInfo | BinaryUfuncInfo) or info.name in POINTWISE)
    and not info.name.startswith("jiterator")  # only for GPUs
    and info.name != "nn.functional.prelu"  # its second operand is no tensor of the same shape
    and info.name != "nn.functional.rrelu"  # draws random numbers
]
NUM_PARTS = 4
INTEGER_TWIN = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def differing_bits(actual, expected):
    """Count the elements whose bits differ."""
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if not actual.is_floating_point():
        return int((actual != expected).sum())
    whole = INTEGER_TWIN[actual.itemsize]
    pair = [tensor.contiguous().view(whole) for tensor in (actual, expected)]
    return int(((pair[0] != pair[1]) & ~(actual.isnan() & expected.isnan())).sum())


def tensors_of(result):
    """Give the tensors of a result, which is one or several."""
    items = result if isinstance(result, tuple | list) else (result,)
    return [item for item in items if isinstance(item, torch.Tensor) and not item.is_complex()]


def resized(sample):
    """Make the first tensor long enough for vectors and what is left of them, where all are of one shape."""
    tensors = [value for value in (sample.input, *sample.args) if isinstance(value, torch.Tensor)]
    if any(tensor.shape != tensors[0].shape or not tensor.numel() for tensor in tensors):
        return sample
    return sample.transform(
        lambda value: (
            value.reshape(-1).repeat(1 + 143 // value.numel())[:143]
            if isinstance(value, torch.Tensor) and value.numel()
            else value
        )
    )


def iter_samples(info, dtype):
    torch.manual_seed(0)
    samples = list(info.sample_inputs("cpu", dtype))
    yield samples[len(samples) // 2]
    yield resized(samples[0])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("part", range(NUM_PARTS))
@pytest.mark.filterwarnings("ignore")
def test_pointwise_op_gives_the_bits_of_eager(part, dtype):
    wrong = []
    num_kernels = gw.counters["codegen"]["kernels"]

    for info in INFOS[part::NUM_PARTS]:
        if not info.supports_dtype(dtype, "cpu"):
            continue
        for sample in iter_samples(info, dtype):
            call = (sample.input, *sample.args)
            gw.reset()
            compiled = gw.compile(
                lambda *args, op=info.op, **kwargs: op(*args, **kwargs),
                options={"strict_numerics": True},
            )
            expected = tensors_of(info.op(*call, **sample.kwargs))
            actual = tensors_of(compiled(*call, **sample.kwargs))
            num_wrong = sum(map(differing_bits, actual, expected))
            if num_wrong:
                wrong.append(f"{info.name}: {num_wrong} elements of {sample.summary()}")

    assert wrong == []
    assert gw.counters["codegen"]["kernels"] > num_kernels


UNARY = [
    *(torch.neg, torch.abs, torch.relu, torch.sqrt, torch.reciprocal, torch.floor, torch.square),
    *(torch.exp, torch.tanh, torch.sigmoid, torch.sin, torch.rsqrt, torch.log1p, torch.erf),
    *(torch.nn.functional.gelu, torch.nn.functional.silu, torch.nn.functional.hardswish),
    lambda x: x * 1.1,
    lambda x: x / 3,
    lambda x: x + 0.3,
    lambda x: x.clamp(-0.7, 1.3),
    lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    lambda x: x.float().to(x.dtype),
]
BINARY = [
    *(torch.add, torch.sub, torch.mul, torch.div, torch.maximum, torch.minimum, torch.atan2),
    lambda x, y: torch.add(x, y, alpha=0.7),
    lambda x, y: torch.where(x > y, x, y * 2),
    lambda x, y: torch.addcmul(x, x, y, value=0.3),
    lambda x, y: x * y + x,
    lambda x, y: x - y * y,
    lambda x, y: torch.lerp(x, y, 0.3),
    lambda x, y: x + y[:1],
]


def make_chain(seed):
    """Make a program of random pointwise ops on two tensors."""
    choose = random.Random(seed)
    steps = []
    for number in range(10):
        ops, arity = choose.choice([(UNARY, 1), (BINARY, 2)])
        steps.append((choose.choice(ops), [choose.randrange(number + 2) for _ in range(arity)]))

    def chain(x, y):
        values = [x, y]
        for op, operands in steps:
            values.append(op(*[values[place] for place in operands]))
        return tuple(values[-3:])

    return chain


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("seed", range(8))
def test_chain_gives_the_bits_of_eager(seed, dtype):
    torch.manual_seed(seed)
    x, y = torch.randn(13, 11).to(dtype), torch.randn(13, 11).to(dtype)
    chain = make_chain(seed)

    actual = gw.compile(chain, fullgraph=True, options={"strict_numerics": True})(x, y)

    assert list(map(differing_bits, actual, chain(x, y))) == [0, 0, 0]


def test_product_and_sum_are_rounded_twice():
    """A fused multiply-add gives another last bit."""
    x = torch.tensor([1 + 2.0**-12] * 64)
    y = torch.full((64,), -1.0)

    def program(x, y):
        return x * x + y

    strict = gw.compile(program, options={"strict_numerics": True})(x, y)
    loose = gw.compile(program)(x, y)

    assert differing_bits(strict, program(x, y)) == 0
    assert differing_bits(loose, strict) == 64


def test_strict_program_still_fuses_what_is_exact():
    before = gw.counters.snapshot().get("codegen", {})

    gw.compile(lambda x: (x + 1) * 2 - x.abs(), options={"strict_numerics": True})(torch.ones(64))

    after = gw.counters.snapshot()["codegen"]
    changes = {name: number - before.get(name, 0) for name, number in after.items()}
    expected = {"kernels": 1, "fused_nodes": 4, "extern_calls": 0}
    assert {name: changes[name] for name in expected} == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_values_are_rounded_between_ops_unless_switched_off(dtype):
    torch.manual_seed(0)
    x = torch.randn(200).to(dtype)

    def program(x):
        return (x * 1.75 + 0.3125) * 0.875 - x

    exact = program(x.double())
    rounded = gw.compile(program, options={"strict_numerics": True})(x)
    unrounded = gw.compile(program, options={"emulate_precision_casts": False})(x)

    assert differing_bits(rounded, program(x)) == 0
    assert (unrounded.double() - exact).abs().max() <= (rounded.double() - exact).abs().max()
    assert (
        differing_bits(unrounded, exact.to(dtype)) < 10 < differing_bits(rounded, exact.to(dtype))
    )
