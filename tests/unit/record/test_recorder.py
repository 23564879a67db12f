"""The life of a recording: inputs, constants, locations, outputs, refusals."""

import pytest
import torch

from graphwright.base.errors import Unsupported
from graphwright.graph import execute
from graphwright.ir.aten import ConstantTensor, DTypeArg, LiteralArg, Ref, SymArg, TensorMeta
from graphwright.ir.dims import render_dim
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.record import AbstractTensor, Recorder, record_function


def test_input_looks_like_its_tensor():
    real = torch.randn(2, 3, dtype=torch.float64, requires_grad=True).t()
    recorder = Recorder()
    with recorder:
        stand_in = recorder.add_input(real)

    assert isinstance(stand_in, AbstractTensor)
    assert isinstance(stand_in, torch.Tensor)
    assert (stand_in.shape, stand_in.stride(), stand_in.dtype) == ((3, 2), (1, 3), torch.float64)
    assert stand_in.requires_grad
    assert stand_in.device == real.device


def test_same_tensor_is_one_input():
    x = torch.randn(3)
    with Recorder() as recorder:
        first, second = recorder.add_input(x), recorder.add_input(x)
        graph = recorder.finish([first + second])

    assert first is second
    assert len(graph.inputs) == 1


def test_parameter_stays_a_parameter():
    with Recorder() as recorder:
        weight = recorder.add_input(torch.nn.Parameter(torch.randn(3)))

    assert isinstance(weight, torch.nn.Parameter)
    assert weight.is_leaf


def test_real_tensor_is_asked_for_once():
    asked, table = [], torch.randn(4)

    def on_real_tensor(tensor):
        asked.append(tensor)
        return recorder.add_input(tensor)

    recorder = Recorder(on_real_tensor=on_real_tensor)
    with recorder:
        x = recorder.add_input(torch.randn(4))
        graph = recorder.finish([x + table, x * table])

    assert [tensor is table for tensor in asked] == [True]
    assert len(graph.inputs) == 2


def test_unknown_small_tensor_becomes_a_constant():
    table = torch.tensor([1, 2, 3])
    real = torch.tensor([1, 1, 1])
    with Recorder() as recorder:
        x = recorder.add_input(real)
        graph = recorder.finish([x + table])

    (constant,) = graph.constants
    assert constant == ConstantTensor(TensorMeta(DType.INT64, (3,), (1,)), table.numpy().tobytes())
    assert execute(graph, [torch.tensor([1, 1, 1])])[0].tolist() == [2, 3, 4]


def test_unknown_large_tensor_is_refused():
    table = torch.zeros(600_000)
    x = torch.zeros(600_000)
    with Recorder() as recorder, pytest.raises(Unsupported, match="2400000 bytes"):
        recorder.add_input(x) + table


def test_write_to_an_unknown_tensor_is_refused():
    table = torch.zeros(3)
    real = torch.zeros(3)
    with Recorder() as recorder:
        x = recorder.add_input(real)
        with pytest.raises(Unsupported, match="found by value only"):
            table.add_(x)


def test_literal_tensor_belongs_to_each_call():
    def program(x):
        counts = torch.tensor([1.0, 2.0])
        counts += x
        return counts

    recorded = record_function(program, [torch.zeros(2)])

    for _ in range(2):
        assert execute(recorded.graph, [torch.ones(2)])[0].tolist() == [2.0, 3.0]


def test_every_node_has_the_users_line():
    line = 1
    real = torch.randn(3)
    with Recorder(location=lambda: Loc("m.py", line, "f")) as recorder:
        x = recorder.add_input(real).sin()
        line = 2
        graph = recorder.finish([x.cos()])

    expected = [Loc("m.py", 1, "f"), Loc("m.py", 2, "f")]
    assert [node.loc for node in graph.nodes] == expected
    assert [call.loc for call in recorder.trace.calls[1:]] == expected


def test_arguments_are_kept_as_data():
    real = torch.randn(3, 4)
    with Recorder() as recorder:
        x = recorder.add_input(real)
        graph = recorder.finish([x.sum([0], keepdim=True, dtype=torch.float64)])

    (node,) = graph.nodes
    assert node.op == "aten.sum.dim_IntList"
    assert node.args[0] == Ref(0)
    assert node.args[2] == LiteralArg(value=True)
    assert node.kwargs[0].value == DTypeArg(DType.FLOAT64)
    assert node.metas == (TensorMeta(DType.FLOAT64, (1, 4), (4, 1)),)


def test_symbolic_sizes_reach_the_graph_as_expressions():
    def program(x):
        return x.view(x.shape[0] * x.shape[1], 4), torch.zeros(x.shape[0] + 1)

    recorded = record_function(
        program, [torch.randn(3, 5, 4)], dynamic_dims={0: {0: "s0", 1: "s1"}}
    )
    view, zeros = recorded.graph.nodes

    assert isinstance(view.args[1].items[0], SymArg)
    assert render_dim(view.metas[0].shape[0]) == "s0*s1"
    assert render_dim(zeros.metas[0].shape[0]) == "s0 + 1"
    assert recorded.graph.symbols == ("s0", "s1")
    outputs = execute(recorded.graph, [torch.randn(2, 7, 4)], {"s0": 2, "s1": 7})
    assert [tuple(output.shape) for output in outputs] == [(14, 4), (3,)]


def test_strides_of_an_input_follow_its_symbolic_extents():
    real = torch.randn(3, 5, 4).transpose(0, 1)
    with Recorder() as recorder:
        x = recorder.add_input(real, dynamic_dims={0: "s0", 1: "s1"})

    assert [str(stride) for stride in x.stride()] == ["4", "4*s0", "1"]


def test_new_symbol_can_be_used_as_a_size():
    with Recorder() as recorder:
        length = recorder.new_symbol("n", 6, maximum=64)
        graph = recorder.finish([torch.ones(length * 2)])

    assert render_dim(graph.outputs[0].meta.shape[0]) == "2*n"
    texts = [
        f"{render_dim(g.left)} {g.comparison.value} {render_dim(g.right)}"
        for g in recorder.shape_guards
    ]
    assert texts == ["2 <= n", "n <= 64"]


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t.sum().item(),
        lambda t: bool(t.sum() > 0),
        lambda t: float(t[0]),
        lambda t: int(t[0]),
        lambda t: t.tolist(),
        lambda t: t.numpy(),
        lambda t: t.data_ptr(),
        lambda t: t.nonzero(),
        lambda t: t[t > 0],
        lambda t: torch.equal(t, t),
        lambda t: torch.unique(t),
        lambda t: [*range(t[0].long())],
    ],
    ids=range(12),
)
def test_reading_data_is_refused_with_a_remedy(read):
    real = torch.randn(3)
    with Recorder() as recorder:
        x = recorder.add_input(real)
        with pytest.raises(Unsupported) as caught:
            read(x)

    assert "values" in caught.value.why
    assert caught.value.remedy


def test_metadata_is_answered_without_a_node():
    real = torch.randn(3, 4)
    with Recorder() as recorder:
        x = recorder.add_input(real)
        answers = (x.dim(), x.numel(), len(x), x.is_contiguous(), x.is_floating_point(), x.size(1))

    assert answers == (2, 12, 3, True, True, 4)
    assert recorder.num_nodes == 0


def test_printing_an_abstract_tensor_reads_no_data():
    real = torch.randn(3, 4)
    with Recorder() as recorder:
        x = recorder.add_input(real, dynamic_dims={0: "s0"})
        text = repr(x)

    assert text == "AbstractTensor([s0, 4], torch.float32)"


def test_paused_recorder_lets_real_tensors_compute():
    real = torch.ones(3)
    with Recorder() as recorder:
        x = recorder.add_input(real)
        with recorder.paused():
            real = torch.ones(3) + 1
        graph = recorder.finish([x * 2])

    assert real.tolist() == [2.0, 2.0, 2.0]
    assert [node.op for node in graph.nodes] == ["aten.mul.Tensor"]


def test_torch_works_as_before_once_a_recording_failed():
    class OwnError(Exception):
        pass

    real = torch.ones(3)

    def record_and_fail():
        with Recorder() as recorder:
            recorder.add_input(real) + 1
            raise OwnError

    with pytest.raises(OwnError):
        record_and_fail()

    assert (torch.ones(3) + 1).tolist() == [2.0, 2.0, 2.0]


def test_op_without_a_rule_is_told_and_answered_by_torch():
    told = []
    real = torch.randn(3, 3)
    with Recorder(on_fallback=told.append) as recorder:
        x = recorder.add_input(real)
        graph = recorder.finish([torch.linalg.inv(x)])

    assert told == ["aten.linalg_inv_ex.default", "aten._linalg_check_errors.default"]
    assert graph.outputs[0].meta.shape == (3, 3)


def test_wrong_arguments_raise_eagers_error():
    real = torch.randn(2, 3)
    with Recorder() as recorder:
        x = recorder.add_input(real)
        with pytest.raises(RuntimeError, match=r"must match|broadcast"):
            x + x[:, :2]
        with pytest.raises(IndexError, match="Dimension out of range"):
            x.sum(5)


def test_inference_mode_is_recorded():
    with torch.inference_mode():
        recorded = record_function(
            lambda x, w: torch.nn.functional.linear(torch.square(x), w),
            [torch.randn(2, 3), torch.randn(4, 3)],
        )
    x, w = torch.randn(2, 3), torch.randn(4, 3)

    torch.testing.assert_close(execute(recorded.graph, [x, w])[0], (x * x) @ w.t())


def test_assignment_to_data_points_at_the_other_memory():
    def program(x):
        y = torch.zeros(3)
        y.data = x
        y.mul_(2)
        return y + 1

    recorded = record_function(program, [torch.ones(3)])
    x = torch.ones(3)

    assert execute(recorded.graph, [x])[0].tolist() == [3.0, 3.0, 3.0]
    assert x.tolist() == [2.0, 2.0, 2.0]


def test_assignment_to_data_of_an_input_is_refused():
    def program(x, y):
        x.data = y
        return x

    with pytest.raises(Unsupported, match=r"\.data"):
        record_function(program, [torch.ones(3), torch.ones(3)])


def test_exchange_of_memory_is_refused():
    with pytest.raises(Unsupported, match="memory"):
        record_function(lambda x: x.clone().set_(x), [torch.ones(6)])


def test_autocast_region_is_recorded():
    weight = torch.randn(4, 4)

    def program(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return x @ weight

    recorded = record_function(program, [torch.randn(3, 4)])
    x = torch.randn(3, 4)

    assert torch.equal(execute(recorded.graph, [x, weight])[0], program(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize(
    "transform",
    [
        lambda x: torch.vmap(lambda row: row.sin().sum())(x),
        lambda x: torch.func.grad(lambda t: t.sin().sum())(x),
        lambda x: torch.func.jvp(torch.sin, (x,), (torch.ones_like(x),))[1],
        lambda x: torch.func.jacrev(torch.sin)(x[0]),
    ],
    ids=["vmap", "grad", "jvp", "jacrev"],
)
def test_functional_transform_is_recorded(transform):
    recorded = record_function(transform, [torch.randn(3, 4)])
    x = torch.randn(3, 4)

    torch.testing.assert_close(execute(recorded.graph, [x])[0], transform(x))


def test_composition_that_asks_for_plain_sizes_specialises_them():
    def program(x):
        return torch.nn.functional.interpolate(x, scale_factor=2.0)

    recorded = record_function(program, [torch.randn(2, 3, 4, 4)], dynamic_dims={0: {2: "s0"}})
    x = torch.randn(2, 3, 4, 4)

    torch.testing.assert_close(execute(recorded.graph, [x])[0], program(x))
    assert recorded.graph.symbols == ()


def test_tensor_of_another_recording_is_refused():
    real = torch.ones(3)
    with Recorder() as first:
        kept = first.add_input(real) + 1
    with Recorder() as second:
        x = second.add_input(real)
        with pytest.raises(Unsupported, match="another recording"):
            x * kept


def test_generator_argument_is_refused():
    with Recorder() as recorder:
        recorder.add_input(torch.randn(3))
        with pytest.raises(Unsupported, match="Generator"):
            torch.rand(3, generator=torch.Generator())


def test_user_op_that_writes_to_its_argument_works_on_a_copy():
    @torch.library.custom_op("graphwright_tests::scale_into", mutates_args=("out",))
    def scale_into(x: torch.Tensor, out: torch.Tensor) -> None:
        out.copy_(x * 3)

    def program(x):
        y = torch.zeros(3)
        scale_into(x, y[:3])
        return y + 1

    recorded = record_function(program, [torch.ones(3)])

    assert execute(recorded.graph, [torch.ones(3)])[0].tolist() == [4.0, 4.0, 4.0]


def test_user_op_with_a_fake_implementation_is_one_node():
    @torch.library.custom_op("graphwright_tests::double_rows", mutates_args=())
    def double_rows(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x])

    @double_rows.register_fake
    def _(x):
        return x.new_empty(x.shape[0] * 2, *x.shape[1:])

    recorded = record_function(lambda x: double_rows(x) + 1, [torch.ones(2, 3)])

    assert [node.op for node in recorded.graph.nodes] == [
        "graphwright_tests.double_rows.default",
        "aten.add.Tensor",
    ]
    assert execute(recorded.graph, [torch.ones(2, 3)])[0].shape == (4, 3)


def test_quantised_and_sparse_inputs_are_refused():
    sparse = torch.eye(3).to_sparse()
    with Recorder() as recorder, pytest.raises(Unsupported, match="layout"):
        recorder.add_input(sparse)


def test_tensor_with_a_pending_conjugation_is_refused():
    conjugate = torch.ones(3, dtype=torch.complex64).conj()
    with Recorder() as recorder, pytest.raises(Unsupported, match="conjugation"):
        recorder.add_input(conjugate)
