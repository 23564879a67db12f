"""Products of matrices are computed by kernels, with what follows them; every way of cutting them is right."""

import pytest
import torch
from eager_graphs import graph_of
from loop_interpreter import Interpreter
from plan_interpreter import run_lowered

from graphwright.graph.dead_code import dead_code
from graphwright.graph.decompositions import decompositions
from graphwright.ir.loops import Loop, MatmulTile
from graphwright.ir.plan import CallExtern, InputPlace
from graphwright.lower import lower_graph, product_nest, product_panels, products


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(products, "LEAST_ROWS", 1)
    monkeypatch.setattr(products, "LEAST_COLS", 1)
    monkeypatch.setattr(products, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(product_nest, "CHUNK_ROWS", 4)
    monkeypatch.setattr(product_panels, "_WIDTHS", (8, 4))
    monkeypatch.setattr(product_panels, "_TRANSPOSED_WIDTH", 4)
    monkeypatch.setattr(product_panels, "IMAGE_COLS", 12)
    monkeypatch.setattr(product_panels, "PART_DEPTH", 10)
    monkeypatch.setattr(product_panels, "FEW_ROWS", 3)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def statements(body):
    for statement in body:
        yield statement
        if isinstance(statement, Loop):
            yield from statements(statement.body)


def tiles_of(kernel):
    return [item for item in statements(kernel.body) if isinstance(item, MatmulTile)]


def calls_of(plan):
    return [step for step in plan.steps if isinstance(step, CallExtern)]


A, B = normal(6, 7), normal(7, 9, seed=1)
FEW = normal(2, 7)
LEFT, RIGHT = normal(3, 6, 7), normal(3, 7, 9, seed=1)
ROW, WHOLE, SQUARE = normal(9, seed=2), normal(6, 9, seed=3), normal(8, 8, seed=4)

CASES = {
    "bare": (torch.mm, A, B),
    "one part": (torch.mm, normal(5, 3), normal(3, 8)),
    "transposed right": (lambda x, y: x @ y.t(), A, normal(9, 7)),
    "transposed left": (lambda x, y: x.t() @ y, normal(7, 6), B),
    "one row": (torch.mm, normal(1, 7), B),
    "one column": (torch.mm, A, normal(7, 1)),
    "few rows": (torch.mm, FEW, B),
    "few rows, transposed": (lambda x, y: x @ y.t(), FEW, normal(9, 7)),
    "slices": (lambda x, y: x[1:, 2:] @ y[2:, 1:], A, B),
    "bias and activation": (lambda x, y, z: torch.addmm(z, x, y).tanh(), A, B, ROW),
    "factors": (lambda x, y, z: torch.addmm(z, x, y, beta=0.5, alpha=-2.0), A, B, WHOLE),
    "residual": (lambda x, y, z: (x @ y + z).relu() * 2, A, B, WHOLE),
    "residual is a side": (lambda x, y: x + x @ y, SQUARE, normal(8, 8, seed=5)),
    "kept too": (lambda x, y: ((p := x @ y), p.exp()), A, B),
    "batches": (lambda x, y: torch.bmm(x, y).sin(), LEFT, RIGHT),
    "batch sum": (lambda x, y, z: torch.baddbmm(z, x, y, beta=3), LEFT, RIGHT, WHOLE),
    "broadcast along columns": (lambda x, y, z: x @ y * z, A, B, normal(6, 1)),
    "rows in two": (lambda x, y, z: (x @ y).view(2, 3, 9) + z, A, B, normal(2, 1, 1)),
    "columns in two": (lambda x, y, z: (x @ y).view(6, 3, 3) + z, A, B, normal(3, 1)),
    "columns in two, kept": (
        lambda x, y, z: ((p := x @ y), p.view(6, 3, 3) + z),
        *(A, B, normal(3, 1)),
    ),
    "float32": (torch.mm, A.float(), B.float()),
}


def convolution(**options):
    """Give a program of `convolution` with PyTorch's defaults but for `options`."""
    given = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1} | options

    def program(image, weight, bias=None):
        return torch.ops.aten.convolution(
            *(image, weight, bias, given["stride"], given["padding"], given["dilation"]),
            *(False, [0, 0], given["groups"]),
        )

    return program


IMAGE, KERNEL, BIAS = normal(2, 3, 6, 5), normal(5, 3, 3, 3, seed=1), normal(5, seed=2)

CASES |= {
    "convolution": (convolution(), IMAGE, KERNEL),
    "convolution, padded": (convolution(padding=[1, 1]), IMAGE, KERNEL, BIAS),
    "convolution, wide padding": (convolution(padding=[3, 4]), IMAGE, KERNEL, BIAS),
    "convolution, strides": (convolution(stride=[2, 3], padding=[1, 2]), IMAGE, KERNEL),
    "convolution, dilated": (convolution(dilation=[2, 1], padding=[2, 0]), IMAGE, KERNEL),
    "convolution, padded across": (convolution(padding=[0, 1]), IMAGE, KERNEL),
    "convolution, groups": (
        convolution(groups=2, padding=[1, 1]),
        *(normal(2, 6, 6, 5), normal(4, 3, 3, 3), normal(4)),
    ),
    "convolution, 1 x 1": (convolution(), IMAGE, normal(5, 3, 1, 1), BIAS),
    "convolution, 1 x 1, groups": (convolution(groups=3), IMAGE, normal(6, 1, 1, 1)),
    "convolution, 1 x 1, strides": (convolution(stride=[2, 2]), IMAGE, normal(5, 3, 1, 1)),
    "convolution, even kernel": (convolution(padding=[1, 0]), IMAGE, normal(5, 3, 2, 4)),
    "convolution, large kernel": (convolution(padding=[2, 2]), IMAGE, normal(2, 3, 5, 5)),
    "convolution of slices": (
        lambda x, w: convolution(padding=[1, 1])(x[:, 1:, 1:, 2:], w),
        *(normal(2, 4, 6, 7), KERNEL),
    ),
    "convolution and more": (
        lambda x, w, b, s, r: (convolution(padding=[1, 1])(x, w, b) * s + r).relu(),
        *(IMAGE, KERNEL, BIAS, normal(5, 1, 1), normal(2, 5, 6, 5)),
    ),
}


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_product_gives_what_eager_gives(name, num_threads):
    function, *inputs = CASES[name]
    lowered = lower_graph(graph_of(function, *inputs), num_threads=num_threads)

    actual = run_lowered(lowered, inputs)

    expected = function(*inputs)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    torch.testing.assert_close(tuple(actual), wanted, check_stride=True)
    assert len(lowered.kernels) == 1
    assert tiles_of(lowered.kernels[0])
    assert not calls_of(lowered.plan)


class Recorder(Interpreter):
    """Notes where tiles are laid out from (or read, where they lie), and what is asked for ahead."""

    def __init__(self, *args):
        super().__init__(*args)
        self.read, self.asked = [], []

    def run_transpose(self, stmt):
        self.read.append(self.index(stmt.source_index))
        super().run_transpose(stmt)

    def run_matmul(self, stmt):
        if stmt.right == stmt.ahead.buffer:
            self.read.append(self.index(stmt.right_index))
        self.asked.append(self.index(stmt.ahead.index))
        super().run_matmul(stmt)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("depth", "cols"), [(20, 12), (7, 16), (15, 14)])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_what_is_asked_for_ahead_is_what_the_next_tile_reads(depth, cols, is_transposed):
    left = normal(3, depth)
    right = normal(cols, depth) if is_transposed else normal(depth, cols)
    function = (lambda x, y: x @ y.t()) if is_transposed else torch.mm
    lowered = lower_graph(graph_of(function, left, right), num_threads=1)
    (kernel,), (step,) = lowered.kernels, lowered.plan.steps
    out = torch.empty(3 * cols, dtype=torch.float64)
    memory = [left.view(-1), right.view(-1)]
    places = [lowered.plan.buffers[buffer].place for buffer in step.buffers]
    buffers = [memory[place.index] if isinstance(place, InputPlace) else out for place in places]
    recorder = Recorder(
        kernel, dict(zip([p.name for p in kernel.params], buffers, strict=True)), {}
    )

    recorder.run()

    torch.testing.assert_close(out.view(3, cols), function(left, right))
    assert len(recorder.asked) > 1
    assert recorder.asked[:-1] == recorder.read[1:]


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize(("shift", "is_copied"), [(0, True), (1, False)])
def test_rows_that_collide_in_the_cache_are_copied_apart(
    shift, is_copied, num_threads, monkeypatch
):
    monkeypatch.setattr(product_nest, "WAY_BYTES", 12 * 8)
    monkeypatch.setattr(product_nest, "WAYS", 4)
    monkeypatch.setattr(product_nest, "LEAST_USES", 8)

    def function(x, w, b):
        return torch.addmm(b, x[1:, shift : shift + 9], w)

    inputs = [normal(6, 12 + shift), normal(9, 10, seed=1), normal(10, seed=2)]
    lowered = lower_graph(graph_of(function, *inputs), num_threads=num_threads)

    torch.testing.assert_close(run_lowered(lowered, inputs), [function(*inputs)])
    strides = {tile.left_row_stride for tile in tiles_of(lowered.kernels[0])}
    assert strides == {9 + 8 if is_copied else 12 + shift}


def test_nothing_is_asked_for_ahead_where_products_are_many():
    lowered = lower_graph(graph_of(torch.bmm, normal(4, 6, 20), normal(4, 20, 40)), num_threads=1)

    tiles = tiles_of(lowered.kernels[0])
    assert tiles
    assert all(tile.ahead is None for tile in tiles)


def test_addend_is_not_read_when_its_factor_is_zero():
    nan = torch.full((9,), torch.nan, dtype=torch.float64)
    graph = graph_of(
        lambda x, y, z: torch.addmm(z, x, y, beta=0), normal(6, 7), normal(7, 16), nan[:1]
    )
    (actual,) = run_lowered(
        lower_graph(graph, num_threads=1), [normal(6, 7), normal(7, 16), nan[:1]]
    )
    assert not actual.isnan().any()


def test_product_is_not_written_over_its_own_side():
    """`x` dies with the product that reads all of it: the result must have another place."""

    def function(x, y, z):
        left = (x + 1).relu()
        return (left @ y + left) * z

    inputs = [normal(32, 32), normal(32, 32, seed=1), normal(32, 32, seed=2)]
    lowered = lower_graph(graph_of(function, *inputs), num_threads=1)
    (actual,) = run_lowered(lowered, inputs)
    torch.testing.assert_close(actual, function(*inputs))


def test_attention_of_heads_side_by_side_copies_nothing():
    """Two axes of batches that are no one axis; the result is laid out as the queries are."""

    def function(q, k, v):
        heads = [x.transpose(1, 2) for x in (q, k, v)]
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*heads)[0]

    inputs = [normal(2, 18, 3, 16), normal(2, 17, 3, 16, seed=1), normal(2, 17, 3, 16, seed=2)]
    graph = dead_code(decompositions(graph_of(function, *inputs)))
    lowered = lower_graph(graph, num_threads=1)
    (actual,) = run_lowered(lowered, inputs)
    torch.testing.assert_close(actual, function(*inputs), check_stride=True)
    assert sum(len(tiles_of(kernel)) for kernel in lowered.kernels) == 2
    assert len(lowered.kernels) == 3
    assert not calls_of(lowered.plan)


def test_two_products_have_two_kernels():
    def function(x, y, z):
        return x @ y + x @ z

    inputs = [normal(32, 32), normal(32, 32, seed=1), normal(32, 32, seed=2)]
    lowered = lower_graph(graph_of(function, *inputs), num_threads=1)
    assert sum(len(tiles_of(kernel)) for kernel in lowered.kernels) == 2
    (actual,) = run_lowered(lowered, inputs)
    torch.testing.assert_close(actual, function(*inputs))


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param((normal(1, 64), normal(64, 64)), id="one row"),
        pytest.param((normal(64, 64), normal(64, 8)), id="few columns"),
        pytest.param((normal(64, 0), normal(0, 64)), id="no depth"),
        pytest.param((normal(64, 64).half(), normal(64, 64).half()), id="float16"),
        pytest.param((normal(64, 64), normal(64, 128)[:, ::2]), id="columns with gaps"),
    ],
)
def test_other_products_are_calls(inputs):
    lowered = lower_graph(graph_of(torch.mm, *inputs), num_threads=1)
    assert calls_of(lowered.plan)
    assert not lowered.kernels


@pytest.mark.parametrize(
    ("rows", "cols", "num_threads", "widths"),
    [
        (64, 768, 1, [128]),
        (64, 768, 2, [128]),
        (64, 384, 2, [96]),  # three panels of 128 would leave one thread waiting
        (64, 384, 16, [32]),
        (64, 200, 1, [128, 72]),
        (512, 768, 2, [64]),
        (64, 33, 1, [33]),
    ],
)
def test_panels_are_as_wide_as_keeps_all_threads_busy(rows, cols, num_threads, widths):
    graph = graph_of(torch.mm, normal(rows, 20), normal(20, cols))
    lowered = lower_graph(graph, num_threads=num_threads)
    found = {tile.cols: None for tile in tiles_of(lowered.kernels[0])}
    assert list(found) == widths


def test_panels_of_a_transposed_matrix_have_two_vectors():
    graph = graph_of(lambda x, y: x @ y.t(), normal(64, 20), normal(768, 20))
    (kernel,) = lower_graph(graph, num_threads=1).kernels
    assert {tile.cols for tile in tiles_of(kernel)} == {32}
