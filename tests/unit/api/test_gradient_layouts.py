"""Gradients that are views, conjugated, zeros without memory, or come with checks of their own."""

import pytest
import torch

import graphwright as gw


def gradients(program, x):
    """Give the result of a program and the gradient by its argument, for one direction of the result."""
    x = x.detach().requires_grad_()
    result = program(x)
    torch.manual_seed(1)
    (gradient,) = torch.autograd.grad(result, x, torch.randn_like(result))
    return result, gradient.resolve_conj()


def conjugated(x):
    return (x * 2).conj()


def conjugated_twice(x):
    return (x * 2).conj().conj()


def powers_of_an_expanded_tensor(x):
    return torch.linalg.vander(x)


@pytest.mark.parametrize(
    "program",
    [conjugated, conjugated_twice, powers_of_an_expanded_tensor],
    ids=lambda program: program.__name__,
)
def test_complex_program_has_the_gradient_of_eager(program):
    torch.manual_seed(0)
    x = torch.randn(3, dtype=torch.complex64)

    expected = gradients(program, x)
    result = gradients(gw.compile(program, fullgraph=True), x)

    assert gw.testing.same(result, expected)
    assert result[0].is_conj() == expected[0].is_conj()


def test_conjugated_result_of_a_real_argument_has_its_gradient():
    torch.manual_seed(0)
    x = torch.randn(5)

    expected = gradients(torch.fft.ihfft, x)

    assert gw.testing.same(gradients(gw.compile(torch.fft.ihfft, fullgraph=True), x), expected)


def test_check_in_the_backward_half_is_made_there():
    """The gradient of eigenvalues solves a system, and checks that it could."""
    torch.manual_seed(0)
    x = torch.randn(3, 3)

    expected = gradients(torch.linalg.eigvals, x)
    compiled = gw.compile(torch.linalg.eigvals, fullgraph=True)

    assert gw.testing.same(gradients(compiled, x), expected)


@pytest.mark.parametrize("axes", [(0,), (1,), (1, 3), (0, 1), (2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("wrapper", ["native", "python"])
def test_gradient_of_a_sum_repeats_each_number_along_the_axes(axes, wrapper):
    x = torch.arange(12.0).reshape(3, 2, 1, 2)

    def program(x):
        return x.sum(axes)

    expected = gradients(program, x)
    result = gradients(gw.compile(program, options={"wrapper": wrapper}), x)

    assert gw.testing.same(result, expected)
    assert result[1].stride() == expected[1].stride()


def test_gradient_of_a_multi_margin_loss():
    torch.manual_seed(0)
    x, target = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])

    def program(x):
        return torch.nn.functional.multi_margin_loss(x, target)

    assert gw.testing.same(gradients(gw.compile(program, fullgraph=True), x), gradients(program, x))


def sign_of_what_overflows(x):
    return torch.sgn(torch.exp(x) / 3)


def sum_of_signs(x):
    return torch.sgn(x.reshape(2, 2)).sum(0)


@pytest.mark.parametrize(
    "program", [torch.sgn, sign_of_what_overflows, sum_of_signs], ids=lambda it: it.__name__
)
def test_gradient_that_eager_keeps_without_memory_is_zero(program):
    """Eager multiplies such zeros with infinity and gets zeros."""
    x = torch.tensor([1000.0, 2.0, -1000.0, 0.0])

    expected = gradients(program, x)
    result = gradients(gw.compile(program, fullgraph=True), x)

    assert expected[1]._is_zerotensor()
    assert gw.testing.same(result, expected)
    assert result[1].untyped_storage().nbytes() == 16


@pytest.mark.parametrize("dynamic", [False, True])
def test_gradient_of_reflectors_lies_as_they_do(dynamic):
    torch.manual_seed(0)
    reflectors, scales = torch.randn(2, 3, 5).mT, torch.rand(2, 3)

    def program(x):
        return torch.linalg.householder_product(x, scales)

    expected = gradients(program, reflectors)
    result = gradients(gw.compile(program, fullgraph=True, dynamic=dynamic), reflectors)

    assert gw.testing.same(result, expected)
    assert result[1].stride() == expected[1].stride() == (15, 1, 5)
