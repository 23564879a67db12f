"""Pipeline: the only room that knows the order of the stages.

In: a user's callable and how it is to be compiled.   Out: `CompiledTarget`, which serves its calls.
Read first: `stages.py` (the way of a program, top to bottom), `targets.py` (what happens to a call).
"""

from typing import TYPE_CHECKING

from graphwright.base.loading import load_when_asked
from graphwright.pipeline.backends import backend_by_name, compile_fx
from graphwright.pipeline.explain import Explanation, explain_call
from graphwright.pipeline.jobs import Job
from graphwright.pipeline.marks import mark_dynamic, mark_static, maybe_mark_dynamic
from graphwright.pipeline.options import (
    BackendFunction,
    BackendKind,
    CompileOptions,
    Mode,
    make_options,
)
from graphwright.pipeline.session import collect_observers, forget_all
from graphwright.pipeline.stances import set_stance
from graphwright.pipeline.targets import CompiledTarget, compile_function, make_install, uncompiled

if TYPE_CHECKING:
    from graphwright.pipeline.stages import build_entry
else:
    __getattr__ = load_when_asked(__name__, {"graphwright.pipeline.stages": ("build_entry",)})

__all__ = [
    "BackendFunction",
    "BackendKind",
    "CompileOptions",
    "CompiledTarget",
    "Explanation",
    "Job",
    "Mode",
    "backend_by_name",
    "build_entry",
    "collect_observers",
    "compile_function",
    "compile_fx",
    "explain_call",
    "forget_all",
    "make_install",
    "make_options",
    "mark_dynamic",
    "mark_static",
    "maybe_mark_dynamic",
    "set_stance",
    "uncompiled",
]
