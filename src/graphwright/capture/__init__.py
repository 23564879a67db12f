"""Capture: from one call of a Python function to the captured program.

In:  the object that was compiled, and the arguments of a call.
Out: `Captured`: a `Program` (guards, inputs, graph, result, effects, all data), the torch-level graph, the live pins.

    captured = capture_call(model, (input_ids,), {"attention_mask": mask})

The interpreter works on plain Python objects, with abstract tensors in place of real ones; objects that existed before the
call are reached through `World`, which guards what is read of them and keeps aside what is written to them.

Read first: `session.py` (the life of a capture), `world.py` (objects that existed before), then `interpreter.py`.
"""

from graphwright.capture.breaks import Callee, Continuation, code_of_target, is_compiled_alone
from graphwright.capture.controls import (
    ALLOWED,
    disabled_alone,
    graph_break,
    is_compiling,
    is_eager_region,
    make_disabled,
    mark_outside,
    original_of_disabled,
)
from graphwright.capture.entering import make_carrier_code, make_generator_code, make_step_code
from graphwright.capture.frames import CodeTable
from graphwright.capture.options import CaptureOptions
from graphwright.capture.places import Exits, Place, exits_of
from graphwright.capture.redirecting import make_redirecting_code
from graphwright.capture.session import (
    Captured,
    ProgramRaised,
    capture_call,
    make_code_table,
)
from graphwright.capture.symbolic_ints import SYMBOLIC_INTS
from graphwright.capture.torch_names import torch_name

__all__ = [
    "ALLOWED",
    "SYMBOLIC_INTS",
    "Callee",
    "CaptureOptions",
    "Captured",
    "CodeTable",
    "Continuation",
    "Exits",
    "Place",
    "ProgramRaised",
    "capture_call",
    "code_of_target",
    "disabled_alone",
    "exits_of",
    "graph_break",
    "is_compiled_alone",
    "is_compiling",
    "is_eager_region",
    "make_carrier_code",
    "make_code_table",
    "make_disabled",
    "make_generator_code",
    "make_redirecting_code",
    "make_step_code",
    "mark_outside",
    "original_of_disabled",
    "torch_name",
]
