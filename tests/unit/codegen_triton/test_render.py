from __future__ import annotations

import ast

import numpy as np
import pytest

from graphwright.codegen.triton import NotExpressible, render_kernel
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Access,
    Carry,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Param,
    Scratch,
    Store,
    Term,
    TransposeTile,
)
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.ir.symint_algebra import mul, symbol

F32 = DType.FLOAT32
I64 = DType.INT64
RNG = np.random.default_rng(0)


def at(const=0, **coeffs) -> Index:
    return Index(tuple(Term(name, coeff) for name, coeff in coeffs.items()), const)


def loop(var, stop, body, kind=LoopKind.VECTOR, start=None, carries=(), step=1) -> Loop:
    stops = stop if isinstance(stop, tuple) else (stop,)
    stops = tuple(each if isinstance(each, Index) else at(each) for each in stops)
    return Loop(var, start or at(), stops, kind, tuple(body), step, tuple(carries))


def parallel(var, stop, body, **rest) -> Loop:
    return loop(var, stop, body, LoopKind.PARALLEL, **rest)


def serial(var, stop, body, **rest) -> Loop:
    return loop(var, stop, body, LoopKind.SERIAL, **rest)


def kernel(body, params, scratch=(), symbols=(), name="k") -> Kernel:
    return Kernel(name, tuple(params), tuple(scratch), tuple(symbols), tuple(body))


def inp(name, dtype=F32) -> Param:
    return Param(name, dtype, Access.READ)


def out(name, dtype=F32) -> Param:
    return Param(name, dtype, Access.WRITE)


def mul_exp(index) -> list:
    return [
        Const("c", (0.5).hex(), F32),
        Load("x", "a", index),
        Compute("half", ScalarOp.MUL, ("x", "c"), F32),
        Compute("y", ScalarOp.EXP, ("half",), F32),
        Store("b", index, "y"),
    ]


def function_names(text: str) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("size", [1, 1000, 1024, 5000])
def test_flat_vector_loop_is_spread_over_programs(check_meaning, size) -> None:
    made = kernel([loop("i", size, mul_exp(at(i=1)))], [inp("a"), out("b")])

    code = render_kernel(made)
    assert code.launches[0].num_programs == -(-size // 1024)
    assert ("mask" in code.text) == (size % 1024 != 0)
    check_meaning(
        made, {"a": RNG.normal(size=size).astype("f4"), "b": np.zeros(size, "f4")}, rtol=1e-6
    )


def test_flat_parallel_loop_is_spread_over_lanes(check_meaning) -> None:
    made = kernel([parallel("i", 3000, mul_exp(at(i=1)))], [inp("a"), out("b")])

    assert render_kernel(made).launches[0].num_programs == 3
    check_meaning(
        made, {"a": RNG.normal(size=3000).astype("f4"), "b": np.zeros(3000, "f4")}, rtol=1e-6
    )


def test_tiled_flat_loop_stops_at_the_nearest_bound(check_meaning) -> None:
    inner = loop("i", (at(256, t=1), 1000), mul_exp(at(i=1)), start=at(t=1))
    made = kernel([parallel("t", 1000, [inner], step=256)], [inp("a"), out("b")])

    code = render_kernel(made)
    assert code.launches[0].num_programs == 4
    assert "for " not in code.text
    check_meaning(
        made, {"a": RNG.normal(size=1000).astype("f4"), "b": np.zeros(1100, "f4")}, rtol=1e-6
    )


def softmax(rows, length, scratch_size, symbols=()) -> Kernel:
    """Softmax of `a: [rows, length]`, the exponentials kept in scratch."""
    first = [Load("x", "a", at(i=length, j=1))]
    second = [
        Load("x2", "a", at(i=length, k=1)),
        Compute("d", ScalarOp.SUB, ("x2", "top"), F32),
        Compute("e", ScalarOp.EXP, ("d",), F32),
        Store("row", at(k=1), "e"),
    ]
    third = [
        Load("e2", "row", at(m=1)),
        Compute("p", ScalarOp.DIV, ("e2", "total"), F32),
        Store("b", at(i=length, m=1), "p"),
    ]
    body = [
        loop("j", length, first, carries=[Carry("top", ReduceOp.MAX, "x", F32)]),
        loop("k", length, second, carries=[Carry("total", ReduceOp.SUM, "e", F32)]),
        loop("m", length, third),
    ]
    return kernel(
        [parallel("i", rows, body)],
        [inp("a"), out("b")],
        [Scratch("row", F32, scratch_size)],
        symbols,
    )


@pytest.mark.parametrize("length", [7, 64, 1000])
def test_softmax_row_that_fits_stays_in_registers(check_meaning, length) -> None:
    made = softmax(5, length, length)

    code = render_kernel(made)
    assert code.scratch == ()
    assert code.text.count("tl.load(") == 2
    check_meaning(
        made,
        {"a": RNG.normal(size=5 * length).astype("f4"), "b": np.zeros(5 * length, "f4")},
        rtol=1e-5,
    )


def test_softmax_row_that_does_not_fit_goes_through_memory(check_meaning) -> None:
    length = 9000
    made = softmax(2, length, length)

    code = render_kernel(made)
    assert [(s.name, s.num_elements) for s in code.scratch] == [("row", 2 * length)]
    assert code.text.count("tl.debug_barrier()") == 2
    check_meaning(
        made,
        {"a": RNG.normal(size=2 * length).astype("f4"), "b": np.zeros(2 * length, "f4")},
        rtol=1e-4,
    )


def test_symbolic_row_is_bounded_by_its_scratch_and_sizes_are_arguments(check_meaning) -> None:
    made = softmax(symbol("s0"), symbol("s1"), 512, ("s0", "s1"))

    code = render_kernel(made)
    assert code.sizes == (symbol("s1"),)
    assert code.launches[0].num_programs == symbol("s0")
    for rows, length in [(3, 100), (2, 512), (1, 1)]:
        arrays = {
            "a": RNG.normal(size=rows * length).astype("f4"),
            "b": np.zeros(rows * length, "f4"),
        }
        check_meaning(made, arrays, {"s0": rows, "s1": length}, rtol=1e-5)


def test_symbolic_extent_is_walked_block_by_block(check_meaning) -> None:
    size = mul(symbol("s0"), symbol("s0"))
    body = [
        loop("i", size, [Load("x", "a", at(i=1))], carries=[Carry("t", ReduceOp.SUM, "x", F32)]),
        Store("b", at(), "t"),
    ]
    made = kernel(body, [inp("a"), out("b")], symbols=["s0"])

    code = render_kernel(made)
    assert code.sizes == (size,)
    assert code.launches[0].num_programs == 1
    check_meaning(
        made,
        {"a": RNG.normal(size=4900).astype("f4"), "b": np.zeros(1, "f4")},
        {"s0": 70},
        rtol=1e-4,
    )


def reduction(op, dtype, length, index=None) -> Kernel:
    result = I64 if index else dtype
    body = [Load("x", "a", at(r=length, i=1)), IndexValue("n", at(i=1))]
    carry = Carry("t", op, "x", dtype, index)
    row = [loop("i", length, body, carries=[carry]), Store("b", at(r=1), "t")]
    return kernel([parallel("r", 4, row)], [inp("a", dtype), out("b", result)])


FLOATS = np.array([[3, -1, 2, 5], [0, -0.0, 7, 7], [np.nan, 1, np.nan, 2], [-np.inf] * 4], "f4")


@pytest.mark.parametrize("op", [ReduceOp.SUM, ReduceOp.PROD, ReduceOp.MAX, ReduceOp.MIN])
@pytest.mark.parametrize("dtype", ["float32", "int64", "int8", "uint8"])
def test_reduction_of_numbers(check_meaning, op, dtype) -> None:
    data = FLOATS if dtype == "float32" else RNG.integers(0, 6, size=(4, 4)).astype(dtype)

    check_meaning(reduction(op, DType(dtype), 4), {"a": data, "b": np.zeros(4, dtype)}, rtol=1e-6)


@pytest.mark.parametrize("op", list(ReduceOp)[:6])
def test_reduction_of_bools(check_meaning, op) -> None:
    data = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], "bool")

    check_meaning(reduction(op, DType.BOOL, 3), {"a": data, "b": np.zeros(4, "bool")})


@pytest.mark.parametrize("op", [ReduceOp.ARGMAX, ReduceOp.ARGMIN])
@pytest.mark.parametrize("length", [4, 3000, 20000])
def test_arg_reduction_gives_the_first_extreme_and_nan_counts(check_meaning, op, length) -> None:
    data = np.tile(FLOATS, (1, length // 4))

    check_meaning(reduction(op, F32, data.shape[1], "n"), {"a": data, "b": np.zeros(4, "i8")})


def test_arg_reduction_over_a_serial_loop_keeps_the_first(check_meaning) -> None:
    body = [Load("x", "a", at(i=4, j=1)), IndexValue("n", at(j=1))]
    carries = [Carry("t", ReduceOp.ARGMAX, "x", F32, "n")]
    row = [serial("j", 4, body, carries=carries), Store("b", at(i=1), "t")]
    made = kernel([parallel("i", 4, row)], [inp("a"), out("b", I64)])

    check_meaning(made, {"a": FLOATS, "b": np.zeros(4, "i8")})


def test_column_sums_give_each_lane_a_column(check_meaning) -> None:
    body = [Load("x", "a", at(r=1500, c=1))]
    column = [
        serial("r", 7, body, carries=[Carry("t", ReduceOp.SUM, "x", F32)]),
        Store("b", at(c=1), "t"),
    ]
    made = kernel([parallel("c", 1500, column)], [inp("a"), out("b")])

    assert render_kernel(made).launches[0].num_programs == 2
    check_meaning(
        made, {"a": RNG.normal(size=(7, 1500)).astype("f4"), "b": np.zeros(1500, "f4")}, rtol=1e-5
    )


def test_accumulator_row_is_carried_through_a_serial_loop_in_registers(check_meaning) -> None:
    add_row = [
        Load("old", "row", at(j=1)),
        Load("x", "a", at(r=40, j=1)),
        Compute("new", ScalarOp.ADD, ("old", "x"), F32),
        Store("row", at(j=1), "new"),
    ]
    body = [
        Const("zero", (0.0).hex(), F32),
        loop("i", 40, [Store("row", at(i=1), "zero")]),
        serial("r", 6, [loop("j", 40, add_row)]),
        loop("k", 40, [Load("t", "row", at(k=1)), Store("b", at(k=1), "t")]),
    ]
    made = kernel([parallel("p", 1, body)], [inp("a"), out("b")], [Scratch("row", F32, 40)])

    assert render_kernel(made).scratch == ()
    check_meaning(
        made, {"a": RNG.normal(size=(6, 40)).astype("f4"), "b": np.zeros(40, "f4")}, rtol=1e-6
    )


def test_scratch_read_at_another_lane_goes_through_memory(check_meaning) -> None:
    body = [
        loop("i", 30, [Load("x", "a", at(p=30, i=1)), Store("row", at(i=1), "x")]),
        loop("j", 30, [Load("y", "row", at(29, j=-1)), Store("b", at(p=30, j=1), "y")]),
    ]
    made = kernel([parallel("p", 3, body)], [inp("a"), out("b")], [Scratch("row", F32, 30)])

    assert len(render_kernel(made).scratch) == 1
    check_meaning(made, {"a": RNG.normal(size=90).astype("f4"), "b": np.zeros(90, "f4")})


def test_scratch_of_a_lane_is_its_own(check_meaning) -> None:
    body = [
        serial("r", 3, [Load("x", "a", at(p=1, r=1200)), Store("own", at(r=1), "x")]),
        serial("q", 3, [Load("y", "own", at(2, q=-1)), Store("b", at(p=1, q=1200), "y")]),
    ]
    made = kernel([parallel("p", 1200, body)], [inp("a"), out("b")], [Scratch("own", F32, 3)])

    assert render_kernel(made).scratch[0].num_elements == 3 * 2048
    check_meaning(made, {"a": RNG.normal(size=3600).astype("f4"), "b": np.zeros(3600, "f4")})


def test_condition_that_differs_between_lanes_masks(check_meaning) -> None:
    body = [
        Load("x", "a", at(i=1)),
        Const("zero", (0.0).hex(), F32),
        Compute("is_positive", ScalarOp.GT, ("x", "zero"), DType.BOOL),
        If("is_positive", (Load("y", "c", at()), Store("b", at(i=1), "y"))),
    ]
    made = kernel([loop("i", 50, body)], [inp("a"), inp("c"), out("b")])

    check_meaning(
        made,
        {"a": RNG.normal(size=50).astype("f4"), "c": np.ones(1, "f4"), "b": np.zeros(50, "f4")},
    )


def test_condition_alike_for_all_lanes_branches(check_meaning) -> None:
    row = [
        Load("flag", "f", at(r=1)),
        If(
            "flag",
            (loop("i", 20, [Load("x", "a", at(r=20, i=1)), Store("b", at(r=20, i=1), "x")]),),
        ),
    ]
    made = kernel([parallel("r", 4, row)], [inp("a"), inp("f", DType.BOOL), out("b")])

    check_meaning(
        made,
        {
            "a": RNG.normal(size=80).astype("f4"),
            "f": np.array([True, False, True, False]),
            "b": np.zeros(80, "f4"),
        },
    )


def test_gathered_index_is_loaded_per_lane(check_meaning) -> None:
    body = [
        Load("n", "index", at(i=1)),
        Load("x", "a", at(n=10, r=1)),
        Store("b", at(i=10, r=1), "x"),
    ]
    made = kernel(
        [parallel("r", 10, [loop("i", 33, body)])],
        [inp("a"), inp("index", I64), out("b")],
    )

    check_meaning(
        made,
        {
            "a": RNG.normal(size=100).astype("f4"),
            "index": RNG.integers(0, 10, size=33),
            "b": np.zeros(330, "f4"),
        },
    )


def test_transposed_tile_is_one_load_and_one_store(check_meaning) -> None:
    tile = TransposeTile("b", at(t=40), 8, "a", at(t=5), 30, 5, 8)
    made = kernel([parallel("t", 6, [tile])], [inp("a"), out("b")])

    check_meaning(made, {"a": RNG.normal(size=300).astype("f4"), "b": np.zeros(300, "f4")})


def test_later_loop_sees_the_stores_of_an_earlier_one_through_a_second_launch(
    check_meaning,
) -> None:
    first = parallel("i", 64, [Load("x", "a", at(i=1)), Store("b", at(i=1), "x")])
    second = parallel("j", 64, [Load("y", "b", at(63, j=-1)), Store("c", at(j=1), "y")])
    made = kernel(
        [first, second], [inp("a"), Param("b", F32, Access.READ_WRITE), out("c")], name="two parts"
    )

    assert function_names(render_kernel(made).text) == ["k_two_parts_0", "k_two_parts_1"]
    check_meaning(
        made,
        {"a": RNG.normal(size=64).astype("f4"), "b": np.zeros(64, "f4"), "c": np.zeros(64, "f4")},
    )


def test_unrolled_and_serial_loops_know_their_index(check_meaning) -> None:
    inner = loop(
        "u",
        3,
        [
            IndexValue("n", at(u=1)),
            Compute("f", ScalarOp.CAST, ("n",), F32),
            Store("b", at(i=3, u=1), "f"),
        ],
        LoopKind.UNROLLED,
    )
    made = kernel([parallel("i", 20, [inner])], [out("b")])

    assert "static_range" in render_kernel(made).text
    check_meaning(made, {"b": np.zeros(60, "f4")})


def test_value_of_an_earlier_launch_is_refused() -> None:
    total = loop("i", 9, [Load("x", "a", at(i=1))], carries=[Carry("t", ReduceOp.SUM, "x", F32)])
    use = parallel("j", 9, [Store("b", at(j=1), "t")])

    with pytest.raises(NotExpressible, match=r"the use of t .* computed in an earlier launch"):
        render_kernel(kernel([total, use], [inp("a"), out("b")]))


def test_store_of_all_lanes_to_one_element_is_refused() -> None:
    body = [Load("x", "a", at(i=1)), Store("b", at(), "x")]

    with pytest.raises(NotExpressible, match="all lanes store to one element"):
        render_kernel(kernel([loop("i", 9, body)], [inp("a"), out("b")]))


def test_loop_bounds_that_differ_between_lanes_are_refused() -> None:
    inner = serial("j", at(i=1), [Load("x", "a", at(j=1)), Store("b", at(i=9, j=1), "x")])

    with pytest.raises(NotExpressible, match="bounds differ between lanes"):
        render_kernel(kernel([parallel("i", 9, [inner])], [inp("a"), out("b")]))


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(NotExpressible, match=r"complex64 .* no such type"):
        render_kernel(kernel([loop("i", 9, [])], [inp("a", DType.COMPLEX64)]))


def test_kernel_that_does_nothing_is_refused() -> None:
    with pytest.raises(NotExpressible, match="it does nothing"):
        render_kernel(kernel([], [inp("a")]))
