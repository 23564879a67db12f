"""Capture: from one call of a Python function to the captured program.

In:  the object that was compiled, and the arguments of a call.
Out: `Captured`: a `Program` (guards, inputs, graph, result, effects, all data), the torch-level graph, the live pins.

    captured = capture_call(model, (input_ids,), {"attention_mask": mask})

The interpreter works on plain Python objects, with abstract tensors in place of real ones; objects that existed before the
call are reached through `World`, which guards what is read of them and keeps aside what is written to them.

Read first: `session.py` (the life of a capture), `world.py` (objects that existed before), then `interpreter.py`.
"""

from typing import TYPE_CHECKING

from graphwright.base.loading import load_when_asked
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
from graphwright.capture.foreseen import Foreseen, call_foreseeing, take_foreseen
from graphwright.capture.targets import (
    Callee,
    Continuation,
    ProgramRaised,
    code_of_target,
    is_compiled_alone,
)

if TYPE_CHECKING:
    from graphwright.capture.entering import (
        make_carrier_code,
        make_entry_code,
        make_generator_code,
        make_step_code,
    )
    from graphwright.capture.frames import CodeTable
    from graphwright.capture.options import CaptureOptions
    from graphwright.capture.places import Exits, Place, exits_of
    from graphwright.capture.redirecting import make_redirecting_code
    from graphwright.capture.session import Captured, capture_call, make_code_table
    from graphwright.capture.symbolic_ints import SYMBOLIC_INTS
    from graphwright.capture.torch_names import torch_name
else:
    __getattr__ = load_when_asked(
        __name__,
        {
            "graphwright.capture.entering": (
                "make_carrier_code",
                "make_entry_code",
                "make_generator_code",
                "make_step_code",
            ),
            "graphwright.capture.frames": ("CodeTable",),
            "graphwright.capture.options": ("CaptureOptions",),
            "graphwright.capture.places": ("Exits", "Place", "exits_of"),
            "graphwright.capture.redirecting": ("make_redirecting_code",),
            "graphwright.capture.session": ("Captured", "capture_call", "make_code_table"),
            "graphwright.capture.symbolic_ints": ("SYMBOLIC_INTS",),
            "graphwright.capture.torch_names": ("torch_name",),
        },
    )

__all__ = [
    "ALLOWED",
    "SYMBOLIC_INTS",
    "Callee",
    "CaptureOptions",
    "Captured",
    "CodeTable",
    "Continuation",
    "Exits",
    "Foreseen",
    "Place",
    "ProgramRaised",
    "call_foreseeing",
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
    "make_entry_code",
    "make_generator_code",
    "make_redirecting_code",
    "make_step_code",
    "mark_outside",
    "original_of_disabled",
    "take_foreseen",
    "torch_name",
]
