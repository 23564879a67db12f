"""Arguments that eager refuses and shape rules take: the compiled function raises what eager raises."""

import pytest
import torch

import graphwright as gw

X = torch.randn(3, 4)
CALLS = {
    "negated truth": lambda: (torch.neg, (X > 0,), {}),
    "negative lambda": lambda: (torch.nn.functional.softshrink, (X, -0.5), {}),
    "unknown approximation": lambda: (torch.nn.functional.gelu, (X,), {"approximate": "exact"}),
    "delta of zero": lambda: (torch.nn.functional.huber_loss, (X, X), {"delta": 0.0}),
    "no normalised shape": lambda: (torch.native_layer_norm, (X, [], None, None, 1e-5), {}),
    "weight of another rank": lambda: (torch.native_layer_norm, (X, [4], X, None, 1e-5), {}),
    "fill with a vector": lambda: (torch.masked_fill, (X, X > 0, torch.ones(1)), {}),
    "fill beyond the dtype": lambda: (torch.masked_fill, (X, X > 0, 1e300), {}),
    "whole beyond the dtype": lambda: (torch.full, ((2,), 1e300), {}),
    "clamp beyond the dtype": lambda: (torch.clamp, (X.half(), -7e4), {}),
    "pad beyond the dtype": lambda: (torch.nn.functional.pad, (X, (1, 1), "constant", -1e39), {}),
    "negative columns": lambda: (torch.eye, (3, -1), {}),
    "range the wrong way": lambda: (torch.arange, (0, 3, -1), {}),
    "the same dimension twice": lambda: (torch.sum, (X, (1, -1)), {}),
    "out of a dtype that is not converted to": lambda: (
        torch.gather,
        (X, 1, torch.zeros(3, 4, dtype=torch.int64)),
        {"out": torch.empty(3, 4, dtype=torch.float64)},
    ),
    "extremes into another dtype": lambda: (
        torch.aminmax,
        (X,),
        {"out": (torch.empty(()), torch.empty((), dtype=torch.float64))},
    ),
    "complex numbers into another dtype": lambda: (
        torch.polar,
        (X, X),
        {"out": torch.empty(3, 4, dtype=torch.complex128)},
    ),
    "draws into another dtype": lambda: (
        torch.multinomial,
        (X.abs(), 2),
        {"out": torch.empty(3, 2, dtype=torch.float64)},
    ),
    "a write to a part of what is read": lambda: (
        lambda x: torch.add(x[1:], 1, out=x[:-1]),
        (X.clone(),),
        {},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_refused_arguments_raise_what_eager_raises(name):
    function, args, kwargs = CALLS[name]()

    def program(*args, **kwargs):
        return function(*args, **kwargs)

    with pytest.raises((RuntimeError, TypeError, IndexError)) as expected:
        program(*args, **kwargs)

    with pytest.raises(expected.type) as found:
        gw.compile(program, fullgraph=True)(*args, **kwargs)

    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "program",
    [
        lambda x: torch.softmax(x[:, :0], 1),
        lambda x: torch.log_softmax(x[:0], 0),
        lambda x: torch.arange(0.1, 2.9, 1.3, dtype=torch.int32) + x.int()[0, 0],
        lambda x: torch.normal(1.0, x.abs()),
        lambda x: torch.nonzero_static(x, size=9),
    ],
)
def test_corners_of_shape_rules_are_those_of_eager(program):
    torch.manual_seed(3)
    expected = program(X)
    torch.manual_seed(3)

    result = gw.compile(program, fullgraph=True)(X)

    assert gw.testing.same(result, expected)
    assert result.stride() == expected.stride()


def test_complex_factors_reach_a_matrix_product():
    a, b, c = torch.randn(3, 2, 2, dtype=torch.complex64)

    def program(a, b, c):
        return torch.addmm(a, b, c, beta=1 + 2j, alpha=2 - 1j), torch.baddbmm(
            a[None], b[None], c[None], alpha=3j
        )

    assert gw.testing.same(gw.compile(program, fullgraph=True)(a, b, c), program(a, b, c))
