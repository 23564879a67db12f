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

    with collections.put_off(leaves_garbage=True):
        with collections.put_off(leaves_garbage=True):
            pass
        inside = gc.get_threshold()

    assert inside[0] > 10**4
    assert inside[1] == 3
    assert inside[2] > 10**6
    assert gc.get_threshold() == (10, 3, 5)


def test_thresholds_are_the_users_again_after_an_error():
    collections = GarbageCollections()

    with pytest.raises(ValueError, match="inside"), collections.put_off(leaves_garbage=True):
        raise ValueError("inside")

    assert gc.get_threshold() == (10, 3, 5)


def test_thresholds_that_somebody_set_meanwhile_stay():
    collections = GarbageCollections()

    with collections.put_off(leaves_garbage=True):
        gc.set_threshold(20, 30, 40)

    assert gc.get_threshold() == (20, 30, 40)


def test_collections_that_the_user_turned_off_stay_off():
    gc.set_threshold(0)

    with GarbageCollections().put_off(leaves_garbage=True):
        assert gc.get_threshold()[0] == 0

    assert gc.get_threshold() == (0, 3, 5)


@pytest.mark.parametrize(("leaves_garbage", "threshold"), [(True, 10), (False, 1)])
def test_no_full_collection_follows(leaves_garbage: bool, threshold: int):
    gc.set_threshold(700, threshold, threshold)
    gc.collect()
    full = []
    gc.callbacks.append(lambda phase, info: full.append(phase) if info["generation"] == 2 else None)
    try:
        with GarbageCollections().put_off(leaves_garbage=leaves_garbage):
            made = [[] for _ in range(2 * 10**6)]
        kept = [[] for _ in range(3_000)]
    finally:
        gc.callbacks.pop()

    assert not full
    assert len(made) > len(kept)


class Node:
    """Part of a cycle."""


def leave_a_cycle() -> "weakref.ref[Node]":
    node = Node()
    node.itself = node  # type: ignore[attr-defined]
    return weakref.ref(node)


def test_what_a_compile_leaves_is_let_go_of_at_its_end():
    with GarbageCollections().put_off(leaves_garbage=True):
        left = leave_a_cycle()
        assert left() is not None

    assert left() is None


def test_what_an_import_leaves_is_found_by_a_full_collection():
    with GarbageCollections().put_off(leaves_garbage=False):
        left = leave_a_cycle()

    assert left() is not None
    gc.collect()

    assert left() is None


def test_nothing_is_let_go_of_where_the_user_turned_collections_off():
    gc.disable()
    try:
        with GarbageCollections().put_off(leaves_garbage=True):
            left = leave_a_cycle()

        assert left() is not None
    finally:
        gc.enable()


def test_what_many_compiles_leave_is_collected_without_being_asked_to():
    gc.set_threshold(700, 10, 10)
    collections = GarbageCollections()
    left = []
    for _ in range(30):
        with collections.put_off(leaves_garbage=True):
            node = Node()
            node.itself = node  # type: ignore[attr-defined]
            node.parts = [[] for _ in range(20_000)]  # type: ignore[attr-defined]
            left.append(weakref.ref(node))
        del node

    assert sum(node() is not None for node in left) < len(left)


def test_what_the_user_froze_stays_frozen():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()

        with GarbageCollections().put_off(leaves_garbage=True):
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
