"""Inputs that a program gives another shape, `out=` that does not fit, and views with flags: the caller sees what eager shows."""

import pytest
import torch

import graphwright as gw


def unsqueezed(x):
    x.unsqueeze_(0)
    return x * 2


def transposed_and_written(x):
    x.t_().add_(1)
    return x


def shrunk(x):
    return x.resize_(2, 2)


def grown(x):
    x.resize_(3, 4)
    x[1, 2:] = 7
    x[2] = 8
    return x


def resized_like(x):
    return x.resize_as_(torch.ones(6)) + 1


def restrided(x):
    return x.as_strided_((2, 2), (1, 2))


def twice(x):
    x.unsqueeze_(-1).squeeze_()
    x.mul_(3)
    return x.sum()


PROGRAMS = [unsqueezed, transposed_and_written, shrunk, grown, resized_like, restrided, twice]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@pytest.mark.parametrize("wrapper", ["native", "python"])
def test_tensor_of_the_caller_gets_its_new_shape(program, wrapper):
    compiled = gw.compile(program, fullgraph=True, options={"wrapper": wrapper})

    for _ in range(2):
        x, own = torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)
        before = own.data_ptr()
        expected, result = program(x), compiled(own)

        assert gw.testing.same(result, expected)
        assert gw.testing.same(own, x)
        assert own.stride() == x.stride()
        assert (result is own) == (expected is x)
        assert program is grown or own.data_ptr() == before


def test_other_views_of_the_memory_stay():
    x = torch.arange(6.0).reshape(2, 3)
    view = x[1]

    gw.compile(transposed_and_written, fullgraph=True)(x)

    assert torch.equal(view, torch.tensor([4.0, 5.0, 6.0]))


def test_change_of_shape_of_what_needs_a_gradient_is_left_to_eager():
    x = torch.ones(2, 3, requires_grad=True)

    with pytest.raises(gw.errors.Unsupported, match="gradient"), torch.no_grad():
        gw.compile(unsqueezed, fullgraph=True)(x)


OUTS = {
    "empty": (lambda x, out: torch.mul(x, 2, out=out), torch.float32),
    "sorted": (lambda x, out: torch.msort(x, out=out), torch.float32),
    "determinant": (lambda x, out: torch.linalg.det(x @ x.t(), out=out), torch.float32),
    "converted": (lambda x, out: torch.add(x, 1, out=out), torch.float64),
    "filled": (lambda x, out: torch.ones(2, 3, out=out), torch.int64),
    "counted": (lambda x, out: torch.arange(4, out=out), torch.float32),
    "product": (lambda x, out: torch.matmul(x, x.t(), out=out), torch.float32),
    "batched product": (
        lambda x, out: torch.matmul(x.expand(4, 2, 3), x[0], out=out),
        torch.float32,
    ),
    "rank": (lambda x, out: torch.linalg.matrix_rank(x, out=out), torch.int64),
    "Kronecker product": (lambda x, out: torch.kron(x, x, out=out), torch.float32),
}


@pytest.mark.parametrize("name", OUTS)
def test_out_gets_the_result_and_its_shape(name):
    program, dtype = OUTS[name]
    x = torch.tensor([[3.0, 1.0, 2.0], [5.0, 4.0, 0.0]])
    wanted, out = torch.empty(0, dtype=dtype), torch.empty(0, dtype=dtype)
    program(x, wanted)

    result = gw.compile(program, fullgraph=True)(x, out)

    assert result is out
    assert gw.testing.same(out, wanted)


def test_out_that_repeats_a_place_in_memory_is_refused_as_in_eager():
    def program(x, out):
        return torch.cat([x, x], out=out)

    x, memory = torch.ones(2, 3), torch.zeros(1, 3)
    compiled = gw.compile(program, fullgraph=True)

    with pytest.raises(RuntimeError, match="single memory location"):
        compiled(x, memory.expand(4, 3))

    assert torch.equal(memory, torch.zeros(1, 3))


def test_out_too_small_that_repeats_a_place_in_memory_is_refused_as_in_eager():
    def program(x, out):
        return torch.index_select(x, 1, torch.tensor([0, 1]), out=out)

    compiled = gw.compile(program, fullgraph=True)

    with pytest.raises(RuntimeError, match="single memory location"):
        compiled(torch.ones(3, 6), torch.zeros(1, 6).expand(2, 6))


NOWHERE = torch.zeros(0, dtype=torch.long)


@pytest.mark.parametrize(
    "program",
    [
        lambda x: torch.cat([x, torch.ones(4)], out=x),
        lambda x: torch.gather(x, 0, NOWHERE, out=x),
        lambda x: torch.take(x, NOWHERE, out=x),
        lambda x: torch.index_select(x, 0, NOWHERE, out=x),
        lambda x: torch.masked_select(x, x > 0, out=x),
        lambda x: x.scatter_(0, NOWHERE, x),
        lambda x: x.put_(NOWHERE, x),
        lambda x: x.index_put_((NOWHERE,), x),
        lambda x: x.index_copy_(0, NOWHERE, x),
        lambda x: x.index_add_(0, NOWHERE, x),
    ],
)
def test_a_tensor_without_elements_is_not_read_and_written_at_once_as_in_eager(program):
    with pytest.raises(RuntimeError, match="single memory location"):
        program(torch.zeros(0))
    with pytest.raises(RuntimeError, match="single memory location"):
        gw.compile(program)(torch.zeros(0))


def test_out_that_outgrows_memory_of_another_input_is_left_to_eager():
    def program(x, out):
        return torch.cat([x, x], out=out)

    x = torch.arange(24.0).reshape(4, 6)

    with pytest.raises(gw.errors.Unsupported, match="shares memory"):
        gw.compile(program, fullgraph=True)(x, x[:0])


def test_out_that_outgrows_its_memory_is_not_reused_for_one_that_shares_it():
    def program(x, out):
        return torch.cat([x, x], out=out)

    x = torch.arange(24.0).reshape(4, 6)
    compiled = gw.compile(program)
    compiled(x, torch.zeros(0))

    with (
        pytest.warns(gw.errors.GraphwrightWarning, match="shares memory"),
        pytest.raises(RuntimeError, match="single memory location"),
    ):
        compiled(x, x[:0])


def placed_anew(x):
    return x.as_strided_((2, 2), (1, 1), 3)


def part_of_memory(x):
    return x.as_strided((2, 2), (1, 1), 3) * 2


def told_its_place(x):
    return x + x.storage_offset(), x[1:].storage_offset(), x.view(torch.int16).storage_offset()


@pytest.mark.parametrize(
    "program",
    [placed_anew, part_of_memory, told_its_place],
    ids=lambda program: program.__name__,
)
@pytest.mark.parametrize("wrapper", ["native", "python"])
def test_program_that_looks_at_the_place_in_memory_is_made_for_that_place(program, wrapper):
    compiled = gw.compile(program, fullgraph=True, options={"wrapper": wrapper})
    frames = gw.counters["capture"]["frames"]

    for start in (0, 2, 3, 2, 0):
        x, own = torch.arange(12.0)[start : start + 6], torch.arange(12.0)[start : start + 6]
        expected, result = program(x), compiled(own)
        assert gw.testing.same(result, expected)
        assert own.storage_offset() == x.storage_offset()

    assert gw.counters["capture"]["frames"] == frames + 3


def test_program_that_does_not_look_at_the_place_in_memory_serves_all():
    compiled = gw.compile(lambda x: x[1:].as_strided((2,), (1,)) * 2, fullgraph=True)
    frames = gw.counters["capture"]["frames"]

    results = [compiled(torch.arange(12.0)[start : start + 6]) for start in range(4)]

    assert [result.tolist() for result in results] == [[2 * i + 2, 2 * i + 4] for i in range(4)]
    assert gw.counters["capture"]["frames"] == frames + 1


def test_place_before_the_beginning_of_an_input_is_left_to_eager():
    with pytest.raises(gw.errors.Unsupported, match="before the beginning"):
        gw.compile(lambda x: x.as_strided_((2,), (1,), 0), fullgraph=True)(torch.arange(6.0)[2:])


def test_memory_that_an_input_does_not_show_is_not_part_of_the_graph():
    def program(x):
        return x.as_strided((4,), (1,))

    compiled = gw.compile(program)
    result = compiled(torch.arange(8.0)[:2])

    assert result.tolist() == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="out of bounds for storage of size 8"):
        compiled(torch.ones(2))


def test_strides_that_leave_memory_of_the_program_raise_what_eager_raises():
    def program(x):
        return (x + 1).as_strided((4,), (1,))

    with pytest.raises(RuntimeError) as expected:
        program(torch.ones(2))
    with pytest.raises(RuntimeError) as found:
        gw.compile(program, fullgraph=True)(torch.ones(2))

    assert str(found.value) == str(expected.value)


def conjugated(x):
    return x.conj()


def conjugate_transposed(x):
    return x.mH, x + 1


def conjugated_twice(x):
    return x.conj().conj()


def imaginary_of_conjugated(x):
    return torch.imag(x * 2).clone(), x.conj().real.clone()


def written_through(x):
    x.conj().add_(1j)
    return x.clone()


def part_written_through(x):
    x.conj()[0] = 2j
    return x * 1


def negative_view_written_through(x):
    torch._neg_view(x).add_(1)
    return x.clone()


@pytest.mark.parametrize(
    "program",
    [
        conjugated,
        conjugate_transposed,
        conjugated_twice,
        imaginary_of_conjugated,
        written_through,
        part_written_through,
        negative_view_written_through,
    ],
    ids=lambda program: program.__name__,
)
def test_view_with_a_flag_is_what_it_is_in_eager(program):
    x = torch.tensor([[1 + 2j, 3 - 1j], [0.5j, -2]])
    own = x.clone()

    expected, result = program(x), gw.compile(program, fullgraph=True)(own)

    assert gw.testing.same(result, expected)
    assert gw.testing.same(own, x)


def test_conjugated_result_shares_memory_with_its_input():
    x = torch.tensor([1 + 2j])

    result = gw.compile(conjugated, fullgraph=True)(x)
    x.zero_()

    assert result.is_conj()
    assert result.item() == 0


@pytest.mark.parametrize("split", [torch.unsafe_split, torch.unsafe_chunk])
def test_pieces_of_an_unsafe_split_share_memory(split):
    x = torch.arange(6.0)

    first, *_ = gw.compile(lambda x: split(x, 2), fullgraph=True)(x)
    x[0] = 9

    assert first[0] == 9


@pytest.mark.parametrize("is_left", [True, False])
@pytest.mark.parametrize("batch", [(), (0,)])
def test_solution_from_the_right_is_conjugated_as_in_eager(is_left, batch):
    torch.manual_seed(0)
    factors, pivots = torch.linalg.lu_factor(torch.randn(*batch, 2, 2, dtype=torch.complex64))
    b = torch.randn(2, 2, dtype=torch.complex64)

    def program(factors, pivots, b):
        x = torch.linalg.lu_solve(factors, pivots, b, left=is_left)
        return x, x + 1, x.conj()

    expected = program(factors, pivots, b)
    results = gw.compile(program, fullgraph=True)(factors, pivots, b)

    assert gw.testing.same(results, expected)
    assert [result.is_conj() for result in results] == [result.is_conj() for result in expected]


def test_out_of_a_solution_from_the_right_is_conjugated_as_in_eager():
    torch.manual_seed(0)
    factors, pivots = torch.linalg.lu_factor(torch.randn(2, 2, dtype=torch.complex64))
    b, wanted, out = (torch.randn(2, 2, dtype=torch.complex64) for _ in range(3))
    torch.linalg.lu_solve(factors, pivots, b, left=False, out=wanted)

    def program(factors, pivots, b, out):
        return torch.linalg.lu_solve(factors, pivots, b, left=False, out=out)

    gw.compile(program, fullgraph=True)(factors, pivots, b, out)

    assert out.is_conj()
    assert gw.testing.same(out, wanted)
