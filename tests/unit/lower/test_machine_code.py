"""The machine code of key programs, from the graph down, for three instruction sets.

Code for other processors than this one is made and read, not run.
"""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import pytest
import torch
from eager_graphs import graph_of
from torch.nn import functional as F

from graphwright.codegen.llvm.machine_code import emit_assembly, make_target_machine
from graphwright.codegen.llvm.module import render_module
from graphwright.codegen.llvm.target import Target, initialize_llvm
from graphwright.graph.decompositions import decompositions
from graphwright.lower import lower_graph

A = torch.ops.aten
X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
TARGETS = {
    "avx512": Target(X86, "x86-64-v4", "", 512, True, ""),
    "avx2": Target(X86, "x86-64-v3", "", 256, False, ""),
    "neon": Target(ARM, "neoverse-n1", "", 128, False, ""),
}
REGISTER = {"avx512": r"%zmm\d", "avx2": r"%ymm\d", "neon": r"\bv\d+\.(?:4s|2d|8h|16b)"}
SCALAR = {
    X86: r"\sv?(?:add|sub|mul|div|max|min|cmp\w*|fn?m(?:add|sub)\d+)s[sd]\s",
    ARM: r"\s(?:fadd|fsub|fmul|fdiv|fmadd|fmax|fmin)\s+[sd]\d",
}
PACKED = {
    X86: r"\sv?(?:add|sub|mul|div|max|min|cmp\w*|fn?m(?:add|sub)\d+)p[sd]\s",
    ARM: r"\s(?:fadd|fsub|fmul|fmla|fmls|fdiv|fmax|fmaxnm|fmin|fcmgt|fcmge)\s+v\d",
}
CALL = {X86: r"\scall", ARM: r"\sbl\s"}
JUMP = r"[ \t](?:j\w+|b\.\w+|b|cbn?z[ \t]+\w+,)[ \t]+"


def drawn(*shape, dtype=torch.float32):
    return torch.randn(shape).to(dtype)


PROGRAMS = {
    "softmax": (lambda x: A._softmax(x, -1, False), drawn(64, 256)),
    "layer norm": (
        lambda x, w, b: A.native_layer_norm(x, [256], w, b, 1e-5)[0],
        *(drawn(64, 256), drawn(256), drawn(256)),
    ),
    "gelu": (F.gelu, drawn(64, 256)),
    "column sum": (lambda x: A.sum.dim_IntList(x, [0]), drawn(64, 256)),
    "narrow column sum": (lambda x: A.sum.dim_IntList(x, [0]), drawn(4096, 4)),
    "row sum": (lambda x: A.sum.dim_IntList(x, [1]), drawn(64, 256)),
    "transposed add": (lambda x, y: x + y.t(), drawn(256, 256), drawn(256, 256)),
    "bfloat16 add": (
        lambda x, y: x + y,
        *(drawn(64, 256, dtype=torch.bfloat16), drawn(64, 256, dtype=torch.bfloat16)),
    ),
    "column cumsum": (lambda x: A.cumsum(x, 0), drawn(64, 256)),
    "max pool": (lambda x: F.max_pool2d(x, 2), drawn(2, 4, 64, 64)),
    "average pool": (lambda x: F.avg_pool2d(x, 3, 1), drawn(2, 4, 34, 66)),
}


def assembly_of(name, target_name):
    """Give the machine code of all kernels of a program."""
    function, *inputs = PROGRAMS[name]
    lowered = lower_graph(decompositions(graph_of(function, *inputs)), num_threads=1)
    initialize_llvm()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = TARGETS[target_name]
    text = render_module(lowered.kernels, target, num_threads=1)
    return emit_assembly(text, make_target_machine(target))


def loops_in(assembly):
    """Give the innermost loops: from a label to the jump back to it, with no other label between."""
    blocks = re.split(r"^(\.L\w+):", assembly, flags=re.MULTILINE)
    found = []
    for label, body in zip(blocks[1::2], blocks[2::2], strict=True):
        jump = re.search(rf"{JUMP}{re.escape(label)}$", body, flags=re.MULTILINE)
        if jump is not None:
            found.append(body[: jump.end()])
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_innermost_loops_are_vector_code(name, target):
    triple = TARGETS[target].triple

    loops = loops_in(assembly_of(name, target))

    hot = [loop for loop in loops if re.search(PACKED[triple], loop)]
    assert any(re.search(REGISTER[target], loop) for loop in hot)
    for loop in loops:
        assert not re.search(SCALAR[triple], loop), loop
        assert not re.search(CALL[triple], loop), loop
        assert "gather" not in loop


@pytest.mark.parametrize(
    ("function", "cpu", "streams"),
    [
        (lambda x: x + 1, "sapphirerapids", True),
        (F.gelu, "sapphirerapids", True),
        (lambda x: F.gelu(x[:, :64]), "sapphirerapids", False),
        (torch.sigmoid, "sapphirerapids", True),
        (lambda x: x + 1, "znver4", True),
        (F.gelu, "znver4", True),
    ],
)
def test_large_results_are_written_past_the_caches_where_that_is_quicker(function, cpu, streams):
    large = torch.empty(1 << 17, 128, device="meta")
    lowered = lower_graph(decompositions(graph_of(function, large)), num_threads=1)
    text = render_module(lowered.kernels, Target(X86, cpu, "", 512, True, ""), num_threads=1)
    assert ("!nontemporal" in text) is streams
