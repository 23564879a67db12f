"""The benchmark: its workloads, its measuring process, and its table."""

import importlib

import msgspec
import pytest
import torch
from rich.console import Console
from torch.utils import _pytree as pytree

import graphwright as gw
from graphwright.base.counters import counters
from graphwright.cli.bench.figures import (
    BenchFigures,
    ImportFigures,
    StartFigures,
    StartJob,
    SteadyFigures,
    SteadyJob,
    SystemFigures,
    WorkloadFigures,
)
from graphwright.cli.bench.report import render_figures
from graphwright.cli.bench.worker import do_job
from graphwright.cli.bench.workloads import WORKLOAD_NAMES, find_workload, make_program
from graphwright.cli.systems import System, compile_with

LIGHT = (
    "pointwise",
    "softmax-gelu",
    "block",
    "norm-residual",
    "column-sums",
    "llama-decode",
    "unet",
    "lstm",
)


def tensors(value):
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def test_workloads_are_those_that_the_readme_promises():
    assert len(WORKLOAD_NAMES) == len(set(WORKLOAD_NAMES)) == 17


@pytest.mark.parametrize("name", LIGHT)
def test_program_is_the_same_each_time_it_is_made(name):
    outputs = []
    for _ in range(2):
        program = make_program(find_workload(name))
        with torch.no_grad():
            outputs.append(tensors(program.function(*program.arguments)))

    assert outputs[0]
    for one, other in zip(*outputs, strict=True):
        assert torch.equal(one, other)


def test_decoder_step_grows_the_past_by_the_new_token():
    program = make_program(find_workload("llama-decode"))
    token_ids, position, past = program.arguments

    with torch.no_grad():
        logits, grown = program.function(token_ids, position, past)

    assert logits.shape == (1, 1, 8192)
    for (keys, values), (old_keys, old_values) in zip(grown, past, strict=True):
        assert torch.equal(keys[:, :, :-1], old_keys)
        assert torch.equal(values[:, :, :-1], old_values)


def test_decoder_attends_to_positions_only_by_their_distance():
    program = make_program(find_workload("llama-decode"))
    model, (token_ids, position, past) = program.function, program.arguments

    def two_steps(start):
        empty = [(keys[:, :, :0], values[:, :, :0]) for keys, values in past]
        _, grown = model(torch.tensor([[5]]), torch.tensor([start]), empty)
        return model(token_ids, torch.tensor([start + 1]), grown)[0]

    with torch.no_grad():
        torch.testing.assert_close(two_steps(0.0), two_steps(7.0), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(two_steps(0.0), model(token_ids, position, past)[0], atol=1e-2)


@pytest.mark.parametrize("name", ["unet", "lstm"])
def test_model_is_compiled_as_a_whole(name):
    program = make_program(find_workload(name))

    with torch.no_grad():
        output = gw.compile(program.function, fullgraph=True)(*program.arguments)
        expected = program.function(*program.arguments)

    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_unet_gives_an_image_of_the_size_it_gets():
    program = make_program(find_workload("unet"))
    image, step = program.arguments

    with torch.no_grad():
        noise = program.function(image[:, :, :32, :48], step)

    assert noise.shape == (1, 3, 32, 48)


def test_unet_depends_on_the_step():
    program = make_program(find_workload("unet"))
    image, step = program.arguments

    with torch.no_grad():
        assert not torch.allclose(program.function(image, step), program.function(image, step + 50))


def test_tagger_gives_probabilities_that_sum_to_one():
    program = make_program(find_workload("lstm"))

    with torch.no_grad():
        logarithms = program.function(*program.arguments)

    torch.testing.assert_close(logarithms.exp().sum(-1), torch.ones(8, 64))


def test_start_is_measured_in_the_process_itself():
    figures = do_job(StartJob("pointwise", System.EAGER))

    assert figures.first_call > 0
    assert figures.peak_bytes > 2**20


def test_frozen_system_takes_weights_as_fixed():
    before = counters["freezing"]["fold"]

    result = do_job(SteadyJob("block", (System.EAGER, System.GRAPHWRIGHT_FROZEN), num_rounds=1))

    assert counters["freezing"]["fold"] == before + 1
    assert result.systems[System.GRAPHWRIGHT_FROZEN].difference_to_eager < 1e-5


def test_torch_captures_with_its_freezing_on(monkeypatch):
    config = importlib.import_module("torch._inductor.config")
    monkeypatch.setattr(torch, "compile", lambda function, options: function)
    call = compile_with(System.TORCH_COMPILE_FROZEN, lambda: config.freezing)

    assert [call(), call()] == [True, False]


def test_steady_figures_compare_every_system_with_every_other():
    result = do_job(SteadyJob("block", (System.EAGER,), num_rounds=1))

    figures = result.systems[System.EAGER]
    assert figures.ratio_to == {System.EAGER: 1.0}
    assert figures.difference_to_eager == 0
    assert 0 < figures.difference_to_float64 < 1e-5


@pytest.mark.parametrize(("name", "is_compared"), [("column-sums", True), ("block", False)])
def test_what_waits_for_memory_is_compared_with_a_copy(name, is_compared):
    result = do_job(SteadyJob(name, (System.EAGER,), num_rounds=1))

    found = result.systems[System.EAGER]
    for share in (found.share_of_copy, found.share_of_memory):
        assert share > 0 if is_compared else share is None


def test_table_shows_the_bandwidth_as_shares_of_copies():
    found = steady(1e-3, {System.EAGER: 0.5})
    measured = SystemFigures(
        cold=StartFigures(first_call=1.0, peak_bytes=2**20),
        steady=msgspec.structs.replace(found, share_of_copy=0.873, share_of_memory=2.31),
    )

    text = render(WorkloadFigures("column-sums", "", {System.GRAPHWRIGHT: measured}))

    assert "87%, 231%" in text


def steady(per_call, ratio_to):
    return SteadyFigures(
        per_call=per_call, ratio_to=ratio_to, difference_to_eager=6e-8, difference_to_float64=6e-8
    )


def render(workload):
    figures = BenchFigures(
        date="2026-01-01T00:00:00",
        versions={"torch": "2.13.0"},
        num_threads=2,
        imports=ImportFigures(torch=1.0, graphwright=0.02),
        workloads=(workload,),
    )
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_figures(figures))
    return capture.get()


def test_table_shows_how_many_times_faster_a_system_is():
    theirs = SystemFigures(
        cold=StartFigures(first_call=6.0, peak_bytes=400 * 2**20),
        warm=StartFigures(first_call=3.0, peak_bytes=400 * 2**20),
        steady=steady(2e-5, {System.EAGER: 2.0, System.TORCH_COMPILE: 1.0}),
    )
    ours = SystemFigures(
        cold=StartFigures(first_call=0.05, peak_bytes=200 * 2**20),
        warm=StartFigures(first_call=0.02, peak_bytes=200 * 2**20),
        steady=steady(2e-6, {System.EAGER: 0.25, System.TORCH_COMPILE: 0.1}),
    )

    text = render(
        WorkloadFigures("pointwise", "", {System.TORCH_COMPILE: theirs, System.GRAPHWRIGHT: ours})
    )

    (line,) = [line for line in text.splitlines() if "graphwright " in line and "│" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")][2:]
    assert cells == [
        "50.0 ms",
        "120.00×",
        "20.0 ms",
        "2.0 µs",
        "4.00×",
        "10.00×",
        "–",
        "200 MiB",
        "6.0e-08",
    ]


def test_table_says_why_figures_are_missing():
    failed = SystemFigures(failure="Traceback\nUnsupported: cannot capture a print")

    text = render(WorkloadFigures("pointwise", "", {System.GRAPHWRIGHT: failed}))

    assert "cannot capture a print" in " ".join(text.split())
