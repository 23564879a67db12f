"""Code for each set of sizes: made once, kept while it is used."""

from __future__ import annotations

import threading

import pytest
import torch

from graphwright.graph import execute
from graphwright.pipeline.sized_run import COMPILED_AT_ONCE, SizedRun
from graphwright.record import record_function


@pytest.fixture
def graph():
    def double(x):
        return x * 2

    dims = {0: {0: "s0", 1: "s1"}}
    return record_function(double, [torch.ones(3, 4)], dynamic_dims=dims).graph


class Maker:
    """Makes eager runs, and notes for which sizes."""

    def __init__(self):
        self.shapes = []

    def __call__(self, graph):
        self.shapes.append(graph.inputs[0].shape)
        return lambda inputs, symbols: execute(graph, inputs, {})


def call(run, rows, columns, *more):
    x = torch.randn(rows, columns)
    (found,) = run([x], (rows, columns, *more))
    assert torch.equal(found, x * 2)


def test_each_set_of_sizes_is_made_once(graph):
    make = Maker()
    run = SizedRun(graph, ("s0", "s1"), make, Maker(), limit=8)

    for rows, columns in [(2, 3), (5, 3), (2, 3), (5, 3), (2, 4)]:
        call(run, rows, columns)

    assert make.shapes == [(2, 3), (5, 3), (2, 4)]


def test_sizes_used_longest_ago_are_forgotten_first(graph):
    make = Maker()
    run = SizedRun(graph, ("s0", "s1"), make, Maker(), limit=2)

    for rows in (2, 3, 2, 4):
        call(run, rows, 5)

    assert run.sizes == ((2, 5), (4, 5))
    call(run, 3, 5)
    assert make.shapes == [(2, 5), (3, 5), (4, 5), (3, 5)]


def test_symbols_that_the_graph_does_not_have_make_no_new_code(graph):
    make = Maker()
    run = SizedRun(graph, ("s1", "n", "s0"), make, Maker(), limit=8)
    x = torch.randn(2, 3)

    for n in range(5):
        (found,) = run([x], (3, n, 2))
        assert torch.equal(found, x * 2)

    assert make.shapes == [(2, 3)]


def test_threads_share_the_code(graph):
    make = Maker()
    run = SizedRun(graph, ("s0", "s1"), make, Maker(), limit=3)
    faults = []

    def work(step):
        try:
            for i in range(40):
                call(run, 2 + i * step % 7, 3)
        except AssertionError as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(step,)) for step in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert len(run.sizes) == 3


def test_failed_compile_leaves_the_other_sizes(graph):
    make = Maker()

    def fail_on_three(static):
        if static.inputs[0].shape[0] == 3:
            message = "three"
            raise ValueError(message)
        return make(static)

    run = SizedRun(graph, ("s0", "s1"), fail_on_three, Maker(), limit=3)
    call(run, 2, 2)
    with pytest.raises(ValueError, match="three"):
        call(run, 3, 2)
    call(run, 2, 2)

    assert make.shapes == [(2, 2)]


def test_sizes_that_never_come_again_are_not_compiled(graph):
    make, make_interim = Maker(), Maker()
    run = SizedRun(graph, ("s0", "s1"), make, make_interim, limit=64)

    for rows in range(2, 50):
        call(run, rows, 3)
    assert len(make.shapes) == COMPILED_AT_ONCE
    assert len(make_interim.shapes) == 48 - COMPILED_AT_ONCE

    for _ in range(3):
        call(run, 40, 3)
    assert make.shapes[COMPILED_AT_ONCE:] == [(40, 3)]
