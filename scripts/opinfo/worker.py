"""A child process: the trials of one op, one after the other.

In: the op's position in the database, which trials were done before, a pipe.   Out: on the pipe, a line when a trial
begins and a line when it ends, so that the parent knows which one took the process down.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec
import torch

import graphwright as gw
from opinfo.cases import Budget, iter_trials
from opinfo.outcomes import Outcome, Result, Variant
from opinfo.trial import run_trial


def load_database() -> Sequence[Any]:
    """Give PyTorch's operator database, its ops drawing from the generator's state as it is.

    Some entries wrap their op in one that sets the seed; the trials do that themselves.
    """
    # Importing it parses this process's command line and takes seconds: only here.
    from torch.testing._internal import common_methods_invocations  # noqa: PLC0415

    def call(op: Any, *args: Any, **kwargs: Any) -> Any:
        return op(*args, **kwargs)

    vars(common_methods_invocations)["wrapper_set_seed"] = call
    database: Sequence[Any] = common_methods_invocations.op_db
    return database


def warm_up() -> None:
    """Load what every child would load: the native functions, and torch's Python for ops on `meta` tensors."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")

    def program(x: torch.Tensor) -> torch.Tensor:
        bessel: torch.Tensor = torch.special.modified_bessel_i0(x)
        return bessel + 1

    gw.compile(program, fullgraph=True)(torch.ones(3))


def work(info: Any, position: int, budget: Budget, num_done: int, pipe: int) -> None:
    """Run the trials of the op at a position of the database, leaving out the first `num_done`."""
    encoder = msgspec.json.Encoder()

    def tell(item: msgspec.Struct) -> None:
        os.write(pipe, encoder.encode(item) + b"\n")

    with gw.config.patch(strict=True, disk_cache=False):
        for trial in islice(iter_trials(info, position, budget), num_done, None):
            tell(trial.case)
            try:
                tell(run_trial(trial, tells_plan=trial.case.variant is Variant.FUNCTION))
            except Exception as error:  # noqa: BLE001  (a sample that cannot be copied, compared, …)
                tell(Result(trial.case, Outcome.RAISED, f"in the trial itself: {error!r}"[:600]))
