"""Plans give eager's results in both forms, from live data and from decoded data."""

import msgspec
import pytest
import torch
from plan_cases import all_plan_cases, linear_case, mutation_case, symbolic_case
from runtime_programs import round_trip

import graphwright as gw
from graphwright.base.config import Wrapper
from graphwright.ir.plan import ExternKind, NewOutput
from graphwright.ir.plan_text import render_plan, verify_plan
from graphwright.ir.program_text import render_program, verify_program
from graphwright.runtime import make_entry, make_plan_run

CASES = all_plan_cases()


def same(left, right):
    return all(
        type(a) is type(b)
        and a.dtype == b.dtype
        and a.stride() == b.stride()
        and torch.allclose(a, b)
        for a, b in zip(left, right, strict=True)
    )


def copies(case):
    return [tensor.clone() for tensor in case.inputs]


@pytest.mark.parametrize("wrapper", list(Wrapper))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan_gives_eager_results_call_after_call(case, wrapper):
    program, live = case.program()
    verify_plan(case.plan)
    verify_program(program)
    entry = make_entry(program, case.plan, case.code, target=None, live_pins=live, wrapper=wrapper)

    for _ in range(3):
        ours, eagers = copies(case), copies(case)
        result, expected = entry.try_call(ours, {}), case.eager(*eagers)
        assert same(result, expected)
        assert same(ours, eagers)
    assert wrapper is not Wrapper.NATIVE or entry.native.run_refusal == ""


@pytest.mark.parametrize("wrapper", list(Wrapper))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decoded_plan_gives_eager_results(case, wrapper):
    program, plan = round_trip(case.program()[0], case.plan)
    entry = make_entry(program, plan, case.code, target=None, wrapper=wrapper)

    result = entry.try_call(copies(case), {})

    assert same(result, case.eager(*copies(case)))


@pytest.mark.parametrize("wrapper", list(Wrapper))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan_runs_without_a_program(case, wrapper):
    run = make_plan_run(case.plan, case.code, wrapper=wrapper)
    symbols = tuple(case.inputs[0].shape[:1]) if case.plan.symbols else ()

    assert same(run(copies(case), symbols), case.eager(*copies(case)))
    assert "def call" in run.source


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_of_two_calls_share_no_memory(case):
    if not any(isinstance(output, NewOutput) for output in case.plan.outputs):
        pytest.skip("it returns its inputs")
    program, live = case.program()
    entry = make_entry(program, case.plan, case.code, target=None, live_pins=live)

    first = entry.try_call(copies(case), {})
    kept = [tensor.clone() for tensor in first]
    entry.try_call([torch.randn_like(tensor) for tensor in case.inputs], {})

    assert same(first, kept)


def test_plans_and_programs_have_text():
    for case in CASES:
        assert case.plan.kernels == () or case.plan.kernels[0].symbol in render_plan(case.plan)
        assert "program f" in render_program(case.program()[0])


@pytest.mark.parametrize("wrapper", list(Wrapper))
def test_symbolic_plan_serves_other_sizes(wrapper):
    case = symbolic_case()
    program, live = case.program()
    entry = make_entry(program, case.plan, case.code, target=None, live_pins=live, wrapper=wrapper)

    for size in (3, 200, 5, 5, 1, 3):
        x = torch.randn(size, 8)
        assert same(entry.try_call((x, case.inputs[1]), {}), case.eager(x, case.inputs[1]))


@pytest.mark.parametrize("wrapper", list(Wrapper))
def test_written_input_has_a_new_version_and_is_returned_itself(wrapper):
    case = mutation_case()
    program, live = case.program()
    entry = make_entry(program, case.plan, case.code, target=None, live_pins=live, wrapper=wrapper)
    x, y = copies(case)
    versions = x._version, y._version

    result = entry.try_call((x, y), {})

    assert result[0] is x
    assert result[1].data_ptr() == y.data_ptr()
    assert result[1]._base is y
    assert x._version > versions[0]
    assert y._version > versions[1]


@pytest.mark.parametrize("wrapper", list(Wrapper))
def test_inference_tensors_may_be_written_in_inference_mode(wrapper):
    case = mutation_case()
    program, live = case.program()
    entry = make_entry(program, case.plan, case.code, target=None, live_pins=live, wrapper=wrapper)
    with torch.inference_mode():
        x, y = copies(case)
        expected = case.eager(*copies(case))
        result = entry.try_call((x, y), {})
        assert same(result, expected)


@pytest.mark.parametrize("wrapper", list(Wrapper))
def test_extern_call_raises_what_eager_raises(wrapper):
    case = linear_case()
    steps = list(case.plan.steps)
    wrong = msgspec.structs.replace(
        steps[0],
        args=(steps[0].args[0], steps[0].args[1], msgspec.structs.replace(steps[0].args[1])),
    )
    plan = msgspec.structs.replace(case.plan, steps=(wrong, *steps[1:]))
    program, live = case.program()
    entry = make_entry(program, plan, case.code, target=None, live_pins=live, wrapper=wrapper)
    x = case.inputs[0]
    with pytest.raises(RuntimeError) as expected:
        torch.addmm(case.inputs[2], x, x)

    for _ in range(2):
        with pytest.raises(RuntimeError) as raised:
            entry.try_call(case.inputs, {})
        assert str(raised.value) == str(expected.value)


def test_plan_faults_are_listed():
    case = linear_case()
    broken = msgspec.structs.replace(case.plan, arena_bytes=0, mutated_inputs=(9,))

    with pytest.raises(Exception, match="arena") as raised:
        verify_plan(broken)

    assert "input 9" in str(raised.value)


def test_hot_ops_go_straight_to_the_shim():
    from graphwright.runtime.native.extern_calls import SHIMS, find_shim

    found = {
        step.op
        for case in CASES
        for step in case.plan.steps
        if getattr(step, "op", "") in SHIMS and step.kind is not ExternKind.INPLACE
        if find_shim(step) is not None
    }

    assert found == set(SHIMS)


@pytest.mark.parametrize("wrapper", list(Wrapper))
def test_result_of_other_strides_than_promised_is_copied(wrapper):
    case = next(case for case in CASES if case.name == "attention, mask False")
    step = case.plan.steps[0]
    turned = msgspec.structs.replace(step.outs[0], strides=(512, 16, 64, 1))
    buffers = list(case.plan.buffers)
    for number in (3, 4):
        buffers[number] = msgspec.structs.replace(buffers[number], strides=(512, 16, 64, 1))
    output = case.plan.outputs[0]
    meta = msgspec.structs.replace(output.meta, strides=(512, 16, 64, 1))
    plan = msgspec.structs.replace(
        case.plan,
        steps=(msgspec.structs.replace(step, outs=(turned, None)), *case.plan.steps[1:]),
        buffers=tuple(buffers),
        outputs=(msgspec.structs.replace(output, meta=meta),),
    )
    program, live = case.program()
    entry = make_entry(program, plan, case.code, target=None, live_pins=live, wrapper=wrapper)

    (result,) = entry.try_call(case.inputs, {})

    assert result.stride() == (512, 16, 64, 1)
    assert torch.allclose(result, case.eager(*case.inputs)[0])


@pytest.mark.parametrize("wrapper", list(Wrapper))
def test_intermediates_may_all_be_empty(wrapper):
    with gw.config.patch(wrapper=wrapper, strict=True):
        compiled = gw.compile(lambda x: torch.cumprod(x, 0).to(torch.float64))
        assert compiled(torch.ones(0, dtype=torch.bfloat16)).shape == (0,)
