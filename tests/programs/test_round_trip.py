"""Programs are data: every program of the suite is encoded, decoded, and run from the decoded bytes alone.

The decoded twin knows no live object of the capture. It must give eager's results, and must refuse the calls that the
program as captured refuses, for the same reason, in both forms of the runtime.
"""

from __future__ import annotations

import pytest
from program_cases import check_case
from program_suite import all_cases

from graphwright.base.config import Wrapper, config
from graphwright.base.errors import Unsupported
from graphwright.capture import ProgramRaised
from graphwright.ir.encoding import decode_plan, decode_program, encode_plan, encode_program
from graphwright.ir.sources import PinKind
from graphwright.observe import Observer
from graphwright.pipeline import CompileOptions, Job, build_entry
from graphwright.runtime import MISSING, make_backend_entry, make_entry

SETTINGS = config.snapshot({"disk_cache": False, "strict": True})


def twin_of(entry, target, wrapper):
    """Build the entry again from bytes."""
    program = decode_program(encode_program(entry.program))
    if entry.plan is None:
        return make_backend_entry(program, entry.call, target=target, wrapper=wrapper)
    plan = decode_plan(encode_plan(entry.plan))
    return make_entry(program, plan, entry.code, target=target, wrapper=wrapper)


def failure_of(entry, args, kwargs):
    failure = entry.explain_failure(args, kwargs)
    return (
        None if failure is None else (failure.index, failure.text, failure.expected, failure.actual)
    )


def is_bound_to_process(program):
    """Tell whether the program knows an object by its identity alone, which no other process can find."""
    return any(pin.kind is PinKind.OBJECT and not pin.is_importable for pin in program.pins)


class DecodedPrograms:
    """Serves every call from decoded programs."""

    def __init__(self, target, wrapper):
        self.target = target
        self.wrapper = wrapper
        self.pairs = []

    def try_build(self, args, kwargs):
        options = CompileOptions(fullgraph=True)
        try:
            return build_entry(Job(self.target, args, kwargs, options, SETTINGS, Observer()))
        except (Unsupported, ProgramRaised):
            return None

    def __call__(self, *args, **kwargs):
        for entry, twin in self.pairs:
            assert failure_of(twin, args, kwargs) == failure_of(entry, args, kwargs)
            result = twin.try_call(args, kwargs)
            if result is not MISSING:
                return result
        entry = self.try_build(args, kwargs)
        if entry is None:
            return self.target(*args, **kwargs)
        if is_bound_to_process(entry.program):
            return entry.try_call(args, kwargs)
        twin = twin_of(entry, self.target, self.wrapper)
        self.pairs.append((entry, twin))
        result = twin.try_call(args, kwargs)
        assert result is not MISSING, twin.explain_failure(args, kwargs)
        return result


@pytest.mark.parametrize("wrapper", list(Wrapper), ids=str)
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=name) for name, case in all_cases() if case.is_one_graph]
)
def test_decoded_programs_do_what_captured_ones_do(case, wrapper):
    check_case(case, lambda function, _: DecodedPrograms(function, wrapper))
