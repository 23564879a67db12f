"""Run a graph with size symbols: one piece of code for each set of sizes.

In: a symbolic graph, and what makes a run of a static one.   Out: `SizedRun`, a run that takes the values of the symbols.
Keeps: a set of sizes is compiled once, by one thread, while others wait; at most `limit` are kept, those used last.

A number that is another at each call (a position, a step) must not cost a compile each: after the first few sets of sizes, a new one is
run by eager kernels, and compiled when it comes again.

The capture, which takes most of a compile, is made once for all sizes. The code is made for each, so that extents, strides and
loop bounds are numbers in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, final

import torch

from graphwright.base.counters import counters
from graphwright.base.garbage import GARBAGE_COLLECTIONS
from graphwright.graph import specialise
from graphwright.ir.aten import AtenGraph
from graphwright.runtime import Run

COMPILED_AT_ONCE: Final = 8
"""Sets of sizes that are compiled when they are first met: as many as static variants are, before a call runs eagerly."""

Sizes = tuple[int, ...]
"""Values of the graph's symbols, in their order."""


def _run_nothing(
    inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]
) -> Sequence[torch.Tensor]:
    del symbols  # it stands where no sizes were met yet
    return inputs


@final
class SizedRun:
    """Runs a graph for any sizes.

    Args:
        graph: a graph with symbols.
        names: the symbols whose values a call gives, in order; the graph's are among them.
        make_run: makes the run of a static graph.
        make_interim_run: makes one that takes little time to make.
        limit: sets of sizes that are kept.
    """

    def __init__(
        self,
        graph: AtenGraph,
        names: Sequence[str],
        make_run: Callable[[AtenGraph], Run],
        make_interim_run: Callable[[AtenGraph], Run],
        *,
        limit: int,
    ) -> None:
        self._graph: Final = graph
        self._places: Final = [names.index(name) for name in graph.symbols]
        self._takes_all: Final = tuple(names) == graph.symbols
        self._make_run: Final = make_run
        self._make_interim_run: Final = make_interim_run
        self._limit: Final = limit
        self._lock = threading.Lock()
        self._runs: dict[Sizes, Run] = {}
        """In the order of last use."""
        self._num_compiled = 0
        self._met_once: dict[Sizes, None] = {}
        """Sets of sizes that were run by eager kernels, latest last."""
        self._latest: tuple[Sizes | None, Run] = None, _run_nothing

    @property
    def sizes(self) -> tuple[Sizes, ...]:
        """The sets of sizes that are kept."""
        return tuple(self._runs)

    def __call__(
        self, inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]
    ) -> Sequence[torch.Tensor]:
        """Run the graph, compiled for these sizes."""
        sizes = symbols if self._takes_all else tuple([symbols[place] for place in self._places])
        latest, run = self._latest
        if sizes == latest:
            return run(inputs, ())
        known = self._runs.get(sizes)
        run = self._meet(sizes) if known is None else known
        # Which sizes are used is not worth waiting for while another thread compiles.
        if known is not None and self._lock.acquire(blocking=False):
            try:
                self._note_use(sizes, run)
            finally:
                self._lock.release()
        return run(inputs, ())

    def prepare(self, sizes: Sizes) -> Run:
        """Give the run for one set of sizes, compiling it if need be."""
        with self._lock:
            run = self._runs.get(sizes)
            if run is None:
                with GARBAGE_COLLECTIONS.put_off(leaves_garbage=True):
                    run = self._make_run(self._specialised(sizes))
                self._num_compiled += 1
                counters.add("codegen", "specialised_sizes")
            self._note_use(sizes, run)
        return run

    def _meet(self, sizes: Sizes) -> Run:
        """Give the run for sizes that no code is kept for."""
        with self._lock:
            is_interim = self._num_compiled >= COMPILED_AT_ONCE and sizes not in self._met_once
            if is_interim:
                self._met_once[sizes] = None
                if len(self._met_once) > self._limit:
                    del self._met_once[next(iter(self._met_once))]
        if not is_interim:
            return self.prepare(sizes)
        counters.add("codegen", "interim_sizes")
        return self._make_interim_run(self._specialised(sizes))

    def _specialised(self, sizes: Sizes) -> AtenGraph:
        return specialise(self._graph, dict(zip(self._graph.symbols, sizes, strict=True)))

    def _note_use(self, sizes: Sizes, run: Run) -> None:
        self._runs.pop(sizes, None)
        self._runs[sizes] = run
        self._latest = sizes, run
        while len(self._runs) > self._limit:
            del self._runs[next(iter(self._runs))]
