"""Parallel loops: shares, thread counts, nesting."""

from __future__ import annotations

import threading

import pytest
import torch
from loop_kernels import call, load, run

from graphwright.codegen.llvm.module import render_module
from graphwright.codegen.llvm.target import host_target
from graphwright.ir.loops_parse import parse_kernel

DOUBLE = """\
kernel double(in0: f32 read, out0: f32 write):
  parallel i in 0..{numel} grain {grain}:
    v0 = load in0[i]
    v1 = add(v0, v0): f32
    store out0[i] = v1
"""
BLOCKS = """\
kernel blocks(in0: f32 read, out0: f32 write):
  parallel b in 5..{stop} step 7 grain {grain}:
    vector i in b..min(b + 7, {stop}):
      v0 = load in0[i]
      v1 = add(v0, v0): f32
      store out0[i] = v1
"""


@pytest.fixture
def restored_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("numel", [1, 7, 64, 65, 1000])
@pytest.mark.parametrize("grain", [1, 10])
def test_every_iteration_runs_once_for_any_number_of_threads(
    restored_threads, threads, numel, grain
):
    torch.set_num_threads(threads)
    x = torch.randn(numel)
    output = torch.full_like(x, float("nan"))

    run(parse_kernel(DOUBLE.format(numel=numel, grain=grain)), [x, output])

    assert torch.equal(output, x + x)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("stop", [6, 12, 13, 100, 1000])
def test_blocks_with_a_start_and_a_step_are_shared_out(restored_threads, threads, stop):
    torch.set_num_threads(threads)
    x = torch.randn(stop)
    output = torch.full_like(x, float("nan"))

    run(parse_kernel(BLOCKS.format(stop=stop, grain=1)), [x, output])

    assert torch.equal(output[5:], x[5:] + x[5:])
    assert bool(output[:5].isnan().all())


def test_code_for_one_thread_holds_no_dispatch():
    kernel = parse_kernel(DOUBLE.format(numel=100000, grain=1))

    alone = render_module([kernel], host_target(), num_threads=1)
    several = render_module([kernel], host_target(), num_threads=2)

    assert "gw_parallel_for" not in alone
    assert "gw_parallel_for" in several


def test_too_little_work_holds_no_dispatch():
    kernel = parse_kernel(DOUBLE.format(numel=1000, grain=501))

    assert "gw_parallel_for" not in render_module([kernel], host_target(), num_threads=2)


def test_kernels_run_from_several_threads_at_once():
    code = load(parse_kernel(DOUBLE.format(numel=20000, grain=100)))
    x = torch.randn(20000)
    outputs = [torch.empty_like(x) for _ in range(4)]

    def work(output):
        for _ in range(20):
            call(code, "double", [x, output])

    workers = [threading.Thread(target=work, args=(output,)) for output in outputs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert all(torch.equal(output, x + x) for output in outputs)
