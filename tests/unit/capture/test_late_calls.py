"""Late calls: what only values decide is called once the graph has run, and the program may not look at it."""

import copy

import pytest
import torch

import graphwright as gw

X = torch.tensor([[1.0, 0.0, -2.0], [0.0, 3.0, 0.0]])


def positions(x):
    return torch.nonzero(x * 2), x + 1


def masked(x):
    return x[x > 0]


def chained(x):
    return torch.masked_select(x, x > 0).sum() * 2 + 1


def number(x):
    return x.sum().item()


def number_of_a_result(x):
    return 2 * x.abs().max().item() - 1


def method_of_a_late_result(x):
    return x.nonzero().float().mean(0)


def named_parts(x):
    return torch.unique(x, return_counts=True)


def inside_a_container(x):
    return {"a": [torch.argwhere(x)], "b": torch.equal(x, x)}


def the_same_twice(x):
    found = x.nonzero()
    return found, found


def into_out(x, out=None):
    out = torch.empty(0, dtype=torch.int64) if out is None else out
    return torch.nonzero(x, out=out)


PROGRAMS = [
    positions,
    masked,
    chained,
    number,
    number_of_a_result,
    method_of_a_late_result,
    named_parts,
    inside_a_container,
    the_same_twice,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_late_call_gives_what_eager_gives(program):
    compiled = gw.compile(program, fullgraph=True)

    for x in (X, X.clone(), -X):
        assert gw.testing.same(compiled(x), program(x))


def test_late_result_is_one_object_where_eager_gives_one():
    first, second = gw.compile(the_same_twice, fullgraph=True)(X)

    assert first is second


def test_late_call_writes_to_out_of_the_caller():
    out = torch.empty(0, dtype=torch.int64)

    result = gw.compile(into_out, fullgraph=True)(X, out)

    assert result is out
    assert torch.equal(out, X.nonzero())


def test_late_call_sees_gradients():
    x = X.clone().requires_grad_()

    gw.compile(masked, fullgraph=True)(x).sum().backward()

    assert torch.equal(x.grad, (X > 0).float())


def look_at_shape(x):
    return x.nonzero().shape[0]


def branch_on_a_number(x):
    return x + 1 if x.sum().item() > 0 else x


def ask_for_the_class(x):
    return isinstance(x.nonzero(), torch.Tensor)


def go_through(x):
    return [row + 1 for row in x.nonzero()]


def write_afterwards(x):
    found = x.nonzero()
    x.zero_()
    return found


def read_out_afterwards(x, out):
    torch.nonzero(x, out=out)
    return out + 1


@pytest.mark.parametrize(
    "program",
    [look_at_shape, branch_on_a_number, ask_for_the_class, go_through, write_afterwards],
    ids=lambda program: program.__name__,
)
def test_program_that_looks_at_a_late_result_is_refused(program):
    x = X.clone()

    with pytest.raises(gw.errors.Unsupported, match="values"):
        gw.compile(program, fullgraph=True)(x)

    assert torch.equal(x, X)


def test_reading_out_after_a_late_call_is_refused():
    with pytest.raises(gw.errors.Unsupported, match="out="):
        gw.compile(read_out_afterwards, fullgraph=True)(X, torch.empty(0, dtype=torch.int64))


def test_random_numbers_drawn_before_a_late_call_are_those_of_eager():
    def program(x):
        return torch.nn.functional.dropout(x, 0.5).nonzero()

    torch.manual_seed(0)
    expected = program(X)
    torch.manual_seed(0)

    assert torch.equal(gw.compile(program, fullgraph=True)(copy.copy(X)), expected)
