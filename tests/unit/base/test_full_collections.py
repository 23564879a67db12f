"""Full garbage collections are put off while a program is compiled."""

import gc

import pytest
import torch

import graphwright as gw
from graphwright.base.full_collections import FullCollections


@pytest.fixture(autouse=True)
def known_thresholds():
    before = gc.get_threshold()
    gc.set_threshold(10, 3, 5)
    yield
    gc.set_threshold(*before)


def test_thresholds_are_the_users_again_when_the_last_compile_has_ended():
    collections = FullCollections()

    with collections.put_off():
        with collections.put_off():
            pass
        inside = gc.get_threshold()

    assert inside[:2] == (10, 3)
    assert inside[2] > 10**6
    assert gc.get_threshold() == (10, 3, 5)


def test_thresholds_are_the_users_again_after_an_error():
    collections = FullCollections()

    with pytest.raises(ValueError, match="inside"), collections.put_off():
        raise ValueError("inside")

    assert gc.get_threshold() == (10, 3, 5)


def test_thresholds_that_somebody_set_meanwhile_stay():
    collections = FullCollections()

    with collections.put_off():
        gc.set_threshold(20, 30, 40)

    assert gc.get_threshold() == (20, 30, 40)


def test_full_collections_are_put_off_while_a_program_is_compiled():
    seen = []

    def note_thresholds(graph, inputs):
        seen.append(gc.get_threshold())
        return graph

    gw.compile(torch.cos, backend=note_thresholds)(torch.ones(3))

    ((*young, full),) = seen
    assert young == [10, 3]
    assert full > 10**6
    assert gc.get_threshold() == (10, 3, 5)
