"""From data to the callable: guards, the call, the results.

In:  a `Program`, its `Plan` and machine code (or a function that runs the graph).
Out: `Entry` (one compiled variant) and `Dispatcher` (all variants of one target, called in its place).

Read first: `entry.py`, then `guard_steps.py`.
"""

from graphwright.runtime.again import call_and_watch, can_run_again
from graphwright.runtime.autograd import BackwardRun, GradientRuns, SharedOutput, make_gradient_run
from graphwright.runtime.building import (
    builtin_base,
    fill_instance,
    iterate_items,
    iterate_keys,
    iterate_values,
    make_exception,
    make_instance,
    resume_generator,
    view_without_history,
)
from graphwright.runtime.calculating import make_float_tensor
from graphwright.runtime.checks import may_overlap, share_storage
from graphwright.runtime.construction import make_backend_entry, make_entry
from graphwright.runtime.dispatcher import Dispatcher
from graphwright.runtime.entry import Entry, Run, has_autocast
from graphwright.runtime.failures import GuardFailure
from graphwright.runtime.global_state import WRITABLE as WRITABLE_STATE
from graphwright.runtime.global_state import (
    autocast_nesting,
    global_state_kept,
    nest_autocast,
    read_global_state,
    write_global_state,
)
from graphwright.runtime.native import NativeRefusal, OnMiss, load_native_module
from graphwright.runtime.pins import names_of_builtin
from graphwright.runtime.plan_code import Code
from graphwright.runtime.plan_run import PlanRun, make_plan_run, telling
from graphwright.runtime.prospects import could_serve
from graphwright.runtime.reading import MISSING, keys_of, view_array

__all__ = [
    "MISSING",
    "WRITABLE_STATE",
    "BackwardRun",
    "Code",
    "Dispatcher",
    "Entry",
    "GradientRuns",
    "GuardFailure",
    "NativeRefusal",
    "OnMiss",
    "PlanRun",
    "Run",
    "SharedOutput",
    "autocast_nesting",
    "builtin_base",
    "call_and_watch",
    "can_run_again",
    "could_serve",
    "fill_instance",
    "global_state_kept",
    "has_autocast",
    "iterate_items",
    "iterate_keys",
    "iterate_values",
    "keys_of",
    "load_native_module",
    "make_backend_entry",
    "make_entry",
    "make_exception",
    "make_float_tensor",
    "make_gradient_run",
    "make_instance",
    "make_plan_run",
    "may_overlap",
    "names_of_builtin",
    "nest_autocast",
    "read_global_state",
    "resume_generator",
    "share_storage",
    "telling",
    "view_array",
    "view_without_history",
    "write_global_state",
]
