"""The measurements of the demo: eager against compiled, batch by batch.

In: the encoder, the sentences' tokens.   Out: a row of figures for each batch size.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from graphwright.cli.demo.encoder import Encode, Tokens
from graphwright.cli.timing import time_in_turns, time_once

BATCH_SIZES: Final = (1, 8, 32)
_NUM_ROUNDS: Final = 9


class BatchRow(msgspec.Struct, frozen=True):
    """What was measured for one batch size; times in seconds."""

    batch_size: int
    eager_first: float
    compiled_first: float
    eager: float
    """Median per call."""
    compiled: float
    """Median per call."""
    speedup: float
    """How many times faster than eager, the median of rounds taken in turns."""
    difference: float
    """The largest absolute difference of an embedding's component."""


def measure_batch(eager: Encode, compiled: Encode, tokens: Tokens, batch_size: int) -> BatchRow:
    """Measure one batch size; the first call of `compiled` at this size must not have been made yet."""
    token_ids, mask = tokens.batch(batch_size)
    run_eager = partial(eager, token_ids, mask)
    run_compiled = partial(compiled, token_ids, mask)
    eager_first = time_once(run_eager)
    compiled_first = time_once(run_compiled)
    difference = (run_eager() - run_compiled()).abs().max().item()
    times = time_in_turns({"eager": run_eager, "compiled": run_compiled}, num_rounds=_NUM_ROUNDS)
    return BatchRow(
        batch_size=batch_size,
        eager_first=eager_first,
        compiled_first=compiled_first,
        eager=times["eager"].median,
        compiled=times["compiled"].median,
        speedup=times["eager"].ratio_to(times["compiled"]),
        difference=difference,
    )
