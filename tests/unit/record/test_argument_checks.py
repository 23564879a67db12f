"""Arguments that eager refuses and shape rules take: the compiled function raises what eager raises."""

import pytest
import torch
import torch.nn.functional as F

import graphwright as gw

X = torch.randn(3, 4)
WHOLE = torch.arange(12).reshape(3, 4)
PLACES = torch.zeros(3, 4, dtype=torch.int64)
CALLS = {
    "negated truth": lambda: (torch.neg, (X > 0,), {}),
    "negative lambda": lambda: (F.softshrink, (X, -0.5), {}),
    "unknown approximation": lambda: (F.gelu, (X,), {"approximate": "exact"}),
    "delta of zero": lambda: (F.huber_loss, (X, X), {"delta": 0.0}),
    "no normalised shape": lambda: (torch.native_layer_norm, (X, [], None, None, 1e-5), {}),
    "weight of another rank": lambda: (torch.native_layer_norm, (X, [4], X, None, 1e-5), {}),
    "fill with a vector": lambda: (torch.masked_fill, (X, X > 0, torch.ones(1)), {}),
    "fill beyond the dtype": lambda: (torch.masked_fill, (X, X > 0, 1e300), {}),
    "whole beyond the dtype": lambda: (torch.full, ((2,), 1e300), {}),
    "clamp beyond the dtype": lambda: (torch.clamp, (X.half(), -7e4), {}),
    "pad beyond the dtype": lambda: (F.pad, (X, (1, 1), "constant", -1e39), {}),
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
    "no limits": lambda: (torch.clamp, (X, None, None), {}),
    "truths without a kernel": lambda: (torch.abs, (X > 0,), {}),
    "truths of none without a kernel": lambda: (F.silu, (X[:0] > 0,), {}),
    "whole numbers without a kernel": lambda: (F.hardswish, (WHOLE,), {}),
    "floats without a kernel": lambda: (torch.bitwise_and, (WHOLE, 1.5), {}),
    "difference of truths": lambda: (F.tanhshrink, (X > 0,), {}),
    "largest of complex": lambda: (torch.amax, (X.to(torch.complex64), 0), {}),
    "lambda that is no number": lambda: (
        F.softshrink,
        (X, float("nan")),
        {},
    ),
    "limit beyond the dtype": lambda: (torch.clamp_max, (X > 0, 1e40), {}),
    "whole number beyond the dtype": lambda: (torch.full, ((2,), 300), {"dtype": torch.uint8}),
    "infinity among whole numbers": lambda: (torch.full_like, (WHOLE, float("inf")), {}),
    "stack of two sizes": lambda: (torch.stack, ([X, X, X[:2]],), {}),
    "dimension squeezed twice": lambda: (torch.squeeze, (X[:1], (0, -2)), {}),
    "complex pairs": lambda: (torch.view_as_complex, (X[:, :2].to(torch.complex64),), {}),
    "product of two dtypes": lambda: (torch.mv, (X, torch.ones(4).half()), {}),
    "gather along no dimension": lambda: (torch.gather, (X, 5, PLACES), {}),
    "gather of one rank less": lambda: (torch.gather, (X, 0, PLACES[0]), {}),
    "scatter along no dimension": lambda: (torch.scatter, (X, 2, PLACES, 1.0), {}),
    "scatter of another dtype": lambda: (torch.scatter, (X, 0, PLACES, X.double()), {}),
    "scatter_reduce along no dimension": lambda: (
        torch.scatter_reduce,
        (X, 2, PLACES, X, "sum"),
        {},
    ),
    "rows copied along no dimension": lambda: (torch.index_copy, (X, 3, PLACES[0], X), {}),
    "rows filled along no dimension": lambda: (torch.index_fill, (X, -3, PLACES[0], 1.0), {}),
    "rows by a matrix": lambda: (torch.index_select, (X, 0, PLACES), {}),
    "rows by floats": lambda: (torch.index_select, (X, 0, X[0]), {}),
    "weight of another size": lambda: (F.layer_norm, (X, (4,), torch.ones(5)), {}),
    "bias of another dtype": lambda: (
        F.layer_norm,
        (X, (4,), torch.ones(4), torch.ones(4).double()),
        {},
    ),
    "groups of another dtype": lambda: (F.group_norm, (X, 2, torch.ones(4).half()), {}),
    "groups that do not fit": lambda: (
        torch.native_group_norm,
        (X, None, None, 3, 4, 1, 3, 1e-5),
        {},
    ),
    "statistics of another dtype": lambda: (
        F.batch_norm,
        (X, torch.ones(4).double(), torch.ones(4).double()),
        {},
    ),
    "statistics of two dimensions": lambda: (
        F.batch_norm,
        (X, torch.zeros(1, 4), torch.ones(4)),
        {},
    ),
    "narrow images": lambda: (
        F.batch_norm,
        (X.bfloat16(), torch.zeros(4), torch.ones(4), torch.ones(4).bfloat16()),
        {"training": True},
    ),
    "pool of too many dimensions": lambda: (F.adaptive_avg_pool2d, (X[None, None, None], 2), {}),
    "largest of too many dimensions": lambda: (
        F.max_pool2d,
        (X[None, None, None], 2),
        {"return_indices": True},
    ),
    "weight of the loss that does not fit": lambda: (
        F.binary_cross_entropy_with_logits,
        (X, X, torch.ones(2)),
        {},
    ),
    "margins that do not fit": lambda: (F.soft_margin_loss, (X, X[None]), {}),
    "weight of other classes": lambda: (F.nll_loss, (X, PLACES[0, :3], torch.ones(2)), {}),
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


ZERO = torch.tensor(2.0)
TAKEN = {
    "all over no dimensions": lambda: torch.all(X, dim=[]),
    "any over no dimensions": lambda: torch.any(X > 0, dim=(), keepdim=True),
    "any byte over no dimensions": lambda: torch.any(WHOLE.to(torch.uint8), dim=[]),
    "any complex over no dimensions": lambda: torch.any(X.to(torch.complex64), dim=[]),
    "squeeze of no dimensions": lambda: torch.squeeze(X[:1], []),
    "narrow from the end": lambda: torch.narrow_copy(X, 0, -2, 2),
    "flip of a scalar": lambda: torch.flip(ZERO, [0]),
    "unshuffled pixels of no image": lambda: F.pixel_unshuffle(torch.ones(1, 1, 6, 0), 3),
    "likelihood of one": lambda: F.nll_loss(X[0], PLACES[0, :1], reduction="none"),
    "gather of a scalar": lambda: ZERO.gather(0, PLACES[0, :1]),
    "scatter to a scalar": lambda: ZERO.scatter(0, PLACES[0, 0], ZERO),
    "a negative byte": lambda: torch.full((2,), -3, dtype=torch.uint8),
    "infinity beside whole numbers": lambda: WHOLE.clamp(max=float("inf")),
    "norm beside a narrow image": lambda: F.layer_norm(X.bfloat16(), (4,), torch.ones(4)),
    "statistics beside a narrow image": lambda: F.batch_norm(
        X.bfloat16(), torch.zeros(4), torch.ones(4)
    ),
    "hardsigmoid of none": lambda: F.hardsigmoid(torch.ones(1, 0).expand(2, 0), inplace=True),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_eager_takes_is_taken(name):
    expected = TAKEN[name]()

    result = gw.compile(lambda: TAKEN[name](), fullgraph=True)()

    assert (result.dtype, result.stride()) == (expected.dtype, expected.stride())
    torch.testing.assert_close(result, expected, equal_nan=True)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
@pytest.mark.parametrize(
    "program", [torch.clone, torch.Tensor.contiguous, torch.neg, lambda x: (x + 1, x.clone())]
)
def test_tensors_of_no_elements_whose_strides_are_zero(program, shape):
    x = torch.empty_strided(shape, (0,) * len(shape))

    result = gw.compile(lambda x: program(x), fullgraph=True)(x)

    for one, other in zip(result, program(x), strict=True) if type(result) is tuple else ():
        assert one.stride() == other.stride()
