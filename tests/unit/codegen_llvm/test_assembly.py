"""The machine code of key kernels: hot loops are made of vector instructions and hold no calls."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from graphwright.codegen.llvm.machine_code import emit_assembly, make_target_machine
from graphwright.codegen.llvm.module import render_module
from graphwright.codegen.llvm.target import host_target

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import kernels as hand_written

WIDEST = {512: "zmm", 256: "ymm", 128: "v"}
PACKED_ARITHMETIC = re.compile(
    r"\s(v?(?:fn?m(?:add|sub)\w+|add|sub|mul|max|min)p[sd]|fml[as]|fadd)\s"
)
CASES = [
    "softmax_gelu",
    "layer_norm_residual",
    "column_sums",
    "transposed_add",
    "pointwise",
    "bfloat16_gelu",
]


def body_blocks(name: str) -> list[str]:
    """Give the blocks of the parallel body of a hand-written kernel, with their instructions."""
    kernel = hand_written.CASES[name]().kernel
    target = host_target()
    text = render_module([kernel], target, num_threads=2)
    assembly = emit_assembly(text, make_target_machine(target))
    body = assembly[assembly.index(".body1:") :]
    body = body[: body.index(".size") if ".size" in body else None]
    return re.split(r"^\.L\w+:", body, flags=re.MULTILINE)


def hot_blocks(name: str) -> list[str]:
    """Give the blocks that compute: those with vector arithmetic."""
    return [block for block in body_blocks(name) if len(PACKED_ARITHMETIC.findall(block)) >= 1]


@pytest.mark.parametrize("name", CASES)
def test_hot_loops_use_full_vectors(name):
    blocks = hot_blocks(name)

    assert blocks
    register = WIDEST[host_target().vector_bits]
    assert any(register in block for block in blocks)


@pytest.mark.parametrize("name", CASES)
def test_hot_loops_hold_no_gathers_and_no_calls(name):
    looping = [block for block in hot_blocks(name) if re.search(r"\sj[a-z]+\s|\sb\.", block)]

    assert looping
    for block in looping:
        assert "gather" not in block
        assert not re.search(r"\scall", block)


def test_transposition_is_made_of_shuffles():
    blocks = body_blocks("transposed_add")

    shuffles = max(len(re.findall(r"\sv(?:unpck|shuf|perm)\w+\s", block)) for block in blocks)
    assert shuffles >= (24 if host_target().vector_bits >= 256 else 8)
