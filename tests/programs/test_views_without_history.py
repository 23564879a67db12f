"""Views made while gradients are off: what autograd refuses in eager, it refuses of what a program gives; guards see what they require."""

import pytest
import torch

import graphwright as gw

FORBIDDEN = "A view was created in no_grad mode"


def test_view_whose_base_was_written_to_is_refused_as_in_eager() -> None:
    def program(weight):
        with torch.no_grad():
            view = weight.view(-1)
            view.mul_(0.5)
        return view, weight.sum()

    weight = torch.ones(2, 2, requires_grad=True)

    view, total = gw.compile(program)(weight)

    assert weight.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert view.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()
    with pytest.raises(RuntimeError, match=FORBIDDEN):
        _ = view.grad_fn
    total.backward()
    assert weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_program_of_a_tensor_without_gradient_does_not_serve_a_view_of_one_with() -> None:
    def program(x):
        return x * 2

    compiled = gw.compile(program)
    compiled(torch.ones(3, 3)[1:])
    base = torch.ones(3, 3, requires_grad=True)
    with torch.no_grad():
        view = base[1:]

    found = compiled(view)

    assert found.requires_grad
    assert found.grad_fn is not None
