"""Products with packed right sides are what they were."""

from __future__ import annotations

import pytest
import torch

from graphwright.graph import execute, packing
from graphwright.ir.aten_text import parse_graph, render_graph
from graphwright.ir.aten_verify import verify_graph
from graphwright.ir.packed import PACKED_MM, packed_mm

GRAPHS = {
    "transposed": """
graph(%0: f64[3, 8] = [8, 1], %1: f64[64, 8] = [8, 1], %2: f64[64] = [1]):
  %3: f64[8, 64] = [1, 8] = aten.t.default(%1)
  %4: f64[3, 64] = [64, 1] = aten.addmm.default(%2, %0, %3)
  %5: f64[3, 64] = [64, 1] = aten.relu.default(%4)
  return (%5: f64[3, 64] = [64, 1])
""",
    "filled up": """
graph(%0: f64[3, 8] = [8, 1], %1: f64[8, 40] = [40, 1]):
  %2: f64[3, 40] = [40, 1] = aten.mm.default(%0, %1)
  return (%2: f64[3, 40] = [40, 1])
""",
    "twice": """
graph(%0: f64[3, 32] = [32, 1], %1: f64[32, 32] = [32, 1]):
  %2: f64[3, 32] = [32, 1] = aten.mm.default(%0, %1)
  %3: f64[3, 32] = [32, 1] = aten.mm.default(%2, %1)
  return (%3: f64[3, 32] = [32, 1], %2: f64[3, 32] = [32, 1])
""",
}


@pytest.mark.parametrize("name", GRAPHS)
def test_packed_graph_gives_what_the_graph_gives(name):
    graph = parse_graph(GRAPHS[name].strip())
    products = [node.results[0] for node in graph.nodes if "mm." in node.op]
    inputs = [
        torch.randn([int(extent) for extent in meta.shape], dtype=torch.float64)
        for meta in graph.inputs
    ]

    packed = packing(graph, products)

    verify_graph(packed)
    ops = [node.op for node in packed.nodes]
    assert ops.count(PACKED_MM) == len(products)
    assert ops.count("aten.clone.default") == 1
    assert not {"aten.mm.default", "aten.addmm.default"} & set(ops)
    for found, wanted in zip(execute(packed, inputs), execute(graph, inputs), strict=True):
        torch.testing.assert_close(found, wanted)


def test_nothing_is_packed_that_was_not_asked_for():
    graph = parse_graph(GRAPHS["twice"].strip())

    assert render_graph(packing(graph, [3])).count(PACKED_MM) == 1
    assert packing(graph, []) is graph


def test_the_op_is_a_product_with_the_matrix_in_panels():
    left, matrix = torch.randn(5, 7), torch.randn(7, 64)
    panels = matrix.view(7, 2, 32).permute(1, 0, 2).contiguous()

    torch.testing.assert_close(packed_mm(left, panels, 64), left @ matrix)
    torch.testing.assert_close(packed_mm(left, panels, 50), left @ matrix[:, :50])
