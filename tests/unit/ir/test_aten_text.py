"""ATen graphs survive the round trip through text; malformed ones are named."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphwright.base.errors import InternalError
from graphwright.ir.aten import (
    AtenGraph,
    AtenNode,
    ComplexArg,
    ConstantTensor,
    DeviceArg,
    DTypeArg,
    FloatArg,
    GraphOutput,
    InputMutation,
    KwArg,
    LayoutArg,
    ListArg,
    LiteralArg,
    MemoryFormatArg,
    Ref,
    SymArg,
    TensorMeta,
    ViewKind,
)
from graphwright.ir.aten_text import parse_graph, render_graph
from graphwright.ir.aten_verify import hash_graph, verify_graph
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.symint_algebra import add, as_expr, floordiv, minimum, mul, symbol

S0, S1 = symbol("s0"), symbol("s1")
F32 = DType.FLOAT32
TEXT = """\
graph<s0>(%0: f32[s0, 8] = [8, 1] grad, %1: bf16[8] = [1] at [4] on cuda:0):
  constant %2: i64[1] = [1] hex 0100000000000000
  %3: f32[s0, 8] = [8, 1] = aten.mul.Tensor(%0, 2.0)   # model.py:3 in f
  %4: f32[s0, 8] = [8, 1], _ = mylib.foo.default(%3, [%2, none], mode="a, (b)", size=[{2*s0}, -1])
  write %0 = %3
  return (%4: f32[s0, 8] = [8, 1], %3: f32[8, s0] = [1, 8] of input 0, %4: f32[s0] = [8] at [3] of output 0)
"""


def simple_graph(**changes):
    meta = TensorMeta(F32, (8, 8), (8, 1))
    node = AtenNode("aten.relu.default", (Ref(0),), (), (1,), (meta,), Loc("m.py", 3, "f"))
    graph = AtenGraph((meta,), (), (node,), (GraphOutput(1, meta),))
    return msgspec.structs.replace(graph, **changes)


def test_text_is_read_and_written_alike():
    assert render_graph(parse_graph(TEXT)) == TEXT


def test_parsed_graph_has_what_the_text_says():
    graph = parse_graph(TEXT)

    assert graph.symbols == ("s0",)
    assert graph.inputs[1] == TensorMeta(DType.BFLOAT16, (8,), (1,), "cuda:0", 4)
    assert graph.constants[0].data == b"\x01" + bytes(7)
    assert graph.nodes[0].loc == Loc("model.py", 3, "f")
    assert graph.nodes[1].results == (4, -1)
    assert graph.mutations == (InputMutation(0, 3),)
    assert graph.outputs[2].alias_of_output == 0
    assert graph.outputs[2].meta.offset == 3


dims = st.one_of(
    st.integers(0, 9),
    st.sampled_from(
        [S0, add(mul(S0, S1), 4), floordiv(add(S0, 1), 2), minimum((S0, S1)), mul(S1, 64)]
    ),
)
metas = st.lists(st.tuples(dims, dims), max_size=3).flatmap(
    lambda pairs: st.builds(
        TensorMeta,
        st.sampled_from(list(DType)),
        st.just(tuple(pair[0] for pair in pairs)),
        st.just(tuple(pair[1] for pair in pairs)),
        st.sampled_from(["cpu", "cuda:0", "meta"]),
        dims,
        st.booleans(),
    )
)
leaf_args = st.one_of(
    st.integers(0, 20).map(Ref),
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=12)).map(
        LiteralArg
    ),
    st.floats().map(lambda value: FloatArg(value.hex())),
    st.builds(ComplexArg, st.floats().map(float.hex), st.floats().map(float.hex)),
    st.sampled_from(list(DType)).map(DTypeArg),
    st.sampled_from(["cpu", "cuda:1"]).map(DeviceArg),
    st.just(LayoutArg("strided")),
    st.sampled_from(["contiguous_format", "channels_last"]).map(MemoryFormatArg),
    st.sampled_from([S0, add(S0, S1)]).map(lambda dim: SymArg(as_expr(dim))),
)
args = st.recursive(
    leaf_args,
    lambda inner: st.lists(inner, max_size=3).map(lambda i: ListArg(tuple(i))),
    max_leaves=5,
)
locs = st.one_of(
    st.none(),
    st.builds(
        Loc, st.sampled_from(["m.py", "/a b/c: d.py"]), st.integers(1, 99), st.just("f.<locals>.g")
    ),
)
nodes = st.lists(
    st.tuples(st.integers(0, 99), metas) | st.just((-1, None)), min_size=1, max_size=3
).flatmap(
    lambda results: st.builds(
        AtenNode,
        st.sampled_from(["aten.mul.Tensor", "my_lib.op2.default"]),
        st.lists(args, max_size=3).map(tuple),
        st.lists(st.builds(KwArg, st.sampled_from(["dim", "size"]), args), max_size=2).map(tuple),
        st.just(tuple(number for number, _ in results)),
        st.just(tuple(meta for _, meta in results)),
        locs,
    )
)
number_or_none = st.none() | st.integers(0, 5)
outputs = st.builds(
    GraphOutput,
    st.integers(0, 99),
    metas,
    number_or_none,
    st.just(False),
    number_or_none,
    st.sampled_from(ViewKind),
    st.booleans(),
    st.booleans(),
)
graphs = st.builds(
    AtenGraph,
    st.lists(metas, max_size=3).map(tuple),
    st.sampled_from([(), ("s0",), ("s0", "s1")]),
    st.lists(nodes, max_size=4).map(tuple),
    st.lists(outputs, max_size=3).map(tuple),
    st.lists(st.builds(InputMutation, st.integers(0, 3), st.integers(0, 99)), max_size=2).map(
        tuple
    ),
    st.lists(st.builds(ConstantTensor, metas, st.binary(max_size=9)), max_size=2).map(tuple),
    st.lists(st.integers(0, 3), max_size=2).map(tuple),
)


@settings(max_examples=80, deadline=None)
@given(graphs)
def test_any_graph_survives_the_round_trip(graph):
    # Values are numbered by place in a head and by name elsewhere; both come back.
    assert parse_graph(render_graph(graph)) == graph


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        ("graph(%0: f32[2] = [1]):\n", "return"),
        ("graph(%0: f33[2] = [1]):\n  return ()\n", "element type"),
        ("graph():\n  %0: f32[] = [] = aten.relu.default(%1\n  return ()\n", "', '"),
        ("graph():\n  %0: f32[] = [] = relu(%1)\n  return ()\n", "an op"),
        ("graph():\n  %0: f32[] = [] = aten.a.b(dim=1, 2)\n  return ()\n", "keyword"),
        ("graph():\n  %0: f32[] = [] = aten.a.b(what(1))\n  return ()\n", "an argument"),
    ],
)
def test_text_that_is_no_graph_is_refused(text, fault):
    with pytest.raises(ValueError, match=fault):
        parse_graph(text)


def test_well_formed_graph_passes():
    verify_graph(simple_graph())


META = TensorMeta(F32, (8, 8), (8, 1))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"nodes": (AtenNode("aten.relu.default", (Ref(1),), (), (1,), (META,)),)}, "reads %1"),
        (
            {"nodes": (AtenNode("aten.relu.default", (ListArg((Ref(7),)),), (), (1,), (META,)),)},
            "reads %7",
        ),
        (
            {"nodes": (AtenNode("aten.relu.default", (Ref(0),), (), (2,), (META,)),)},
            "should be number 1",
        ),
        (
            {"nodes": (AtenNode("aten.relu.default", (Ref(0),), (), (-1,), (META,)),)},
            "do not match",
        ),
        (
            {"nodes": (AtenNode("aten.relu.default", (Ref(0),), (), (1, 2), (META,)),)},
            "2 results, 1 metas",
        ),
        ({"nodes": (AtenNode("relu", (Ref(0),), (), (1,), (META,)),)}, "namespace.op.overload"),
        ({"inputs": (TensorMeta(F32, (8, 8), (8,)),)}, "2 extents, 1 strides"),
        ({"inputs": (TensorMeta(F32, (S0, 8), (8, 1)),)}, "not declared"),
        ({"inputs": (TensorMeta(F32, (-1, 8), (8, 1)),)}, "negative extent"),
        ({"mutations": (InputMutation(3, 1),)}, "no such input"),
        ({"mutations": (InputMutation(0, 9),)}, "not defined"),
        ({"mutations": (InputMutation(0, 1), InputMutation(0, 1))}, "listed twice"),
        ({"outputs": (GraphOutput(5, META),)}, "not defined"),
        ({"outputs": (GraphOutput(1, TensorMeta(F32, (8,), (1,))),)}, "is returned as"),
        ({"outputs": (GraphOutput(1, META, alias_of_input=4),)}, "does not exist"),
        ({"outputs": (GraphOutput(1, META, is_input_itself=True),)}, "does not say which"),
        ({"outputs": (GraphOutput(1, META, alias_of_output=0),)}, "not an earlier one"),
    ],
)
def test_malformed_graph_is_named(changes, fault):
    with pytest.raises(InternalError, match=fault):
        verify_graph(simple_graph(**changes))


def test_constant_of_the_wrong_size_is_named():
    constant = ConstantTensor(TensorMeta(F32, (3,), (1,)), bytes(8))

    with pytest.raises(InternalError, match="8 bytes, its shape takes 12"):
        verify_graph(AtenGraph((), (), (), (), (), (constant,)))


def test_fault_shows_the_nodes_around_it():
    wrong = AtenNode("aten.relu.default", (Ref(9),), (), (1,), (META,))

    with pytest.raises(
        InternalError, match=r"> %1: f32\[8, 8\] = \[8, 1\] = aten.relu.default\(%9\)"
    ):
        verify_graph(simple_graph(nodes=(wrong,)))


def test_hash_is_of_what_is_computed():
    graph = simple_graph()
    moved = msgspec.structs.replace(graph.nodes[0], loc=Loc("other.py", 9, "g"))
    other = msgspec.structs.replace(graph.nodes[0], op="aten.sin.default")

    assert hash_graph(simple_graph(nodes=(moved,))) == hash_graph(graph)
    assert hash_graph(simple_graph(nodes=(other,))) != hash_graph(graph)
