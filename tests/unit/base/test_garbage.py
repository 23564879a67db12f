"""Garbage collections are put off while a program is compiled."""

import gc
import weakref

import pytest
import torch

import graphwright as gw
from graphwright.base.garbage import GarbageCollections


@pytest.fixture(autouse=True)
def known_thresholds():
    before = gc.get_threshold()
    gc.set_threshold(10, 3, 5)
    yield
    gc.set_threshold(*before)


def test_thresholds_are_the_users_again_when_the_last_compile_has_ended():
    collections = GarbageCollections()

    with collections.put_off():
        with collections.put_off():
            pass
        inside = gc.get_threshold()

    assert inside[0] > 10**4
    assert inside[1] == 3
    assert inside[2] > 10**6
    assert gc.get_threshold() == (10, 3, 5)


def test_thresholds_are_the_users_again_after_an_error():
    collections = GarbageCollections()

    with pytest.raises(ValueError, match="inside"), collections.put_off():
        raise ValueError("inside")

    assert gc.get_threshold() == (10, 3, 5)


def test_thresholds_that_somebody_set_meanwhile_stay():
    collections = GarbageCollections()

    with collections.put_off():
        gc.set_threshold(20, 30, 40)

    assert gc.get_threshold() == (20, 30, 40)


def test_collections_that_the_user_turned_off_stay_off():
    gc.set_threshold(0)

    with GarbageCollections().put_off():
        assert gc.get_threshold()[0] == 0

    assert gc.get_threshold() == (0, 3, 5)


def test_no_full_collection_follows_a_compile():
    gc.set_threshold(700, 1, 1)
    gc.collect()
    full = []
    gc.callbacks.append(lambda phase, info: full.append(phase) if info["generation"] == 2 else None)
    try:
        with GarbageCollections().put_off():
            made = [[] for _ in range(2 * 10**6)]
        kept = [[] for _ in range(3_000)]
    finally:
        gc.callbacks.pop()

    assert not full
    assert len(made) > len(kept)


def test_garbage_that_a_compile_leaves_is_found_by_a_full_collection():
    class Node:
        pass

    with GarbageCollections().put_off():
        node = Node()
        node.itself = node
        left = weakref.ref(node)
        del node

    gc.collect()

    assert left() is None


def test_what_the_user_froze_stays_frozen():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()

        with GarbageCollections().put_off():
            pass

        # Some of them are freed, but none is let go.
        assert gc.get_freeze_count() > frozen // 2
    finally:
        gc.unfreeze()


def test_full_collections_are_put_off_while_a_program_is_compiled():
    seen = []

    def note_thresholds(graph, inputs):
        seen.append(gc.get_threshold())
        return graph

    gw.compile(torch.cos, backend=note_thresholds)(torch.ones(3))

    ((young, _, full),) = seen
    assert young > 10**4
    assert full > 10**6
    assert gc.get_threshold() == (10, 3, 5)
