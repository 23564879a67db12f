"""Products of tiles: against the same sums in float64, for every way of cutting them."""

from __future__ import annotations

import re

import msgspec
import pytest
import torch
from tests.support.loop_interpreter import interpret
from tests.support.loop_kernels import kernel, reads, run

from graphwright.codegen.llvm.machine_code import emit_assembly, make_target_machine
from graphwright.codegen.llvm.module import render_module
from graphwright.codegen.llvm.target import host_target
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.ir.loops import Access, Ahead, Index, Kernel, MatmulTile, Param
from graphwright.ir.loops_hash import hash_kernel
from graphwright.ir.loops_parse import parse_kernel
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.loops_verify import verify_kernel

SHAPES = [
    (1, 1, 1),
    (1, 32, 7),
    (2, 64, 5),
    (3, 48, 1),
    (5, 33, 9),
    (11, 32, 30),
    (14, 31, 4),
    (15, 32, 16),
    (29, 96, 64),
    (64, 17, 3),
]


def matmul_kernel(
    rows: int, cols: int, depth: int, dtype: torch.dtype, *, accumulates: bool, transposed: bool
) -> Kernel:
    """Multiply `left` (rows × depth, or depth × rows when transposed) by `right`, into lines of cols + 3."""
    name = FROM_TORCH[dtype]
    access = Access.READ_WRITE if accumulates else Access.WRITE
    return kernel(
        "product",
        [reads("left", name), reads("right", name), Param("out", name, access)],
        MatmulTile(
            target="out",
            target_index=Index((), 2),
            target_stride=cols + 3,
            left="left",
            left_index=Index(),
            left_row_stride=1 if transposed else depth,
            left_depth_stride=rows if transposed else 1,
            right="right",
            right_index=Index((), 1),
            right_stride=cols + 1,
            rows=rows,
            cols=cols,
            depth=depth,
            accumulates=accumulates,
        ),
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("accumulates", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_tile_is_multiplied(
    shape: tuple[int, int, int], dtype: torch.dtype, *, accumulates: bool, transposed: bool
) -> None:
    rows, cols, depth = shape
    generator = torch.Generator().manual_seed(rows * 100 + cols)
    left = torch.randn(rows, depth, dtype=dtype, generator=generator)
    right = torch.randn(depth, cols, dtype=dtype, generator=generator)
    wide = torch.full((depth, cols + 1), 7.0, dtype=dtype)
    wide[:, 1:] = right
    out = torch.randn(rows + 1, cols + 3, dtype=dtype, generator=generator)
    expected = out.clone()
    product = left.double() @ right.double()
    inside = expected[:rows, 2 : cols + 2]
    inside.copy_(inside + product if accumulates else product)
    made = matmul_kernel(rows, cols, depth, dtype, accumulates=accumulates, transposed=transposed)
    verify_kernel(made)
    run(made, [left.t().contiguous() if transposed else left, wide, out])
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("stride", [32, 33], ids=["no gaps", "gaps"])
@pytest.mark.parametrize("rows", [3, 40])
def test_what_lies_ahead_is_asked_for(rows: int, stride: int, *, is_transposed: bool) -> None:
    made = matmul_kernel(rows, 32, 24, torch.float32, accumulates=False, transposed=False)
    (tile,) = made.body
    assert isinstance(tile, MatmulTile)
    # Far behind the end of the buffer: nothing may be read there.
    ahead = Ahead("right", Index((), 1 << 40), stride, is_transposed)
    made = msgspec.structs.replace(made, body=(msgspec.structs.replace(tile, ahead=ahead),))
    verify_kernel(made)
    assert parse_kernel(render_kernel(made)) == made
    left, right, out = torch.randn(rows, 24), torch.randn(24 * 33 + 1), torch.zeros(rows, 35)

    run(made, [left, right, out])

    product = left @ right[1:].view(24, 33)[:, :32]
    torch.testing.assert_close(out.view(-1)[2:].as_strided((rows, 32), (35, 1)), product)
    target = host_target()
    module = render_module([made], target, num_threads=1)
    text = emit_assembly(module, make_target_machine(target))
    assert re.search(r"\b(prefetch|prfm)", text)
    assert hash_kernel(made) != hash_kernel(msgspec.structs.replace(made, body=(tile,)))


def test_interpreter_agrees() -> None:
    made = matmul_kernel(4, 6, 5, torch.float64, accumulates=True, transposed=False)
    left, right = torch.randn(4, 5).double(), torch.randn(5, 7).double()
    one = torch.randn(5, 9).double()
    two = one.clone()
    run(made, [left, right, one])
    interpret(made, [left, right, two])
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    ("cpu", "vector_bits", "registers", "fma"),
    [
        ("skylake-avx512", 512, "zmm", "vfmadd"),
        ("haswell", 256, "ymm", "vfmadd"),
    ],
)
def test_sums_stay_in_vector_registers(
    cpu: str, vector_bits: int, registers: str, fma: str
) -> None:
    """The loop over the depth has one fma a vector of the block, and touches the stack nowhere."""
    features = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+fma" if vector_bits == 512 else "+avx2,+fma"
    target = msgspec.structs.replace(
        host_target(),
        triple="x86_64-unknown-linux-gnu",
        cpu=cpu,
        features=features,
        vector_bits=vector_bits,
        has_masks=vector_bits == 512,
    )
    made = matmul_kernel(28, 32, 64, torch.float32, accumulates=False, transposed=False)
    text = emit_assembly(render_module([made], target, num_threads=1), make_target_machine(target))
    lines = [line.strip() for line in text.splitlines()]
    sums = [line for line in lines if line.startswith(fma) and registers in line]
    assert len(sums) == (2 * 14 if vector_bits == 512 else 2 * (6 + 5))
    first, last = lines.index(sums[0]), len(lines) - 1 - lines[::-1].index(sums[-1])
    assert not any("rsp" in line and registers in line for line in lines[first:last])
