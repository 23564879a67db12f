"""Objects that existed before the call: sources, guards, and changes that stay aside."""

import collections

import pytest
import torch

from graphwright.base.errors import Unsupported
from graphwright.capture.guards import Guards
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.capture.world import World
from graphwright.ir.guards import (
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    DistinctTensorsGuard,
    LengthGuard,
    SameObjectGuard,
    TypeGuard,
)
from graphwright.ir.sources import ArgSource, ItemSource, PlainConst

X, Y = ArgSource(0, "x"), ArgSource(1, "y")


class StaticInputs:
    """Takes tensors, and leaves ints as they are."""

    def add(self, tensor, source):
        return tensor.clone()

    def int_symbol(self, value, source):
        return None


@pytest.fixture
def world():
    return World(Guards(lambda: None), StaticInputs())


def kinds(world):
    return [type(guard) for guard in world.guards.guards]


def test_constant_is_guarded_when_it_is_entered(world):
    assert world.enter(3, X) == 3
    assert world.guards.guards == [ConstantGuard(X, PlainConst(3))]


def test_container_is_guarded_by_type_until_its_contents_are_read(world):
    value = [1, [2]]

    assert world.enter(value, X) is value
    assert kinds(world) == [TypeGuard]
    assert world.contents(value) == [1, [2]]
    assert kinds(world) == [TypeGuard, LengthGuard, ConstantGuard, TypeGuard]
    assert world.source_of(value[1]) == ItemSource(X, PlainConst(1))


def test_second_way_to_an_object_is_guarded_to_lead_there(world):
    value = []
    world.enter(value, X)

    world.enter(value, Y)
    world.enter(value, Y)

    assert world.guards.guards[1:] == [SameObjectGuard(Y, X)]
    assert world.source_of(value) is X


def test_tensor_has_one_stand_in(world):
    tensor = torch.ones(2)

    stand_in = world.enter(tensor, X)

    assert stand_in is not tensor
    assert world.enter(tensor, Y) is stand_in
    assert world.original_of(stand_in) is tensor
    assert world.source_of(stand_in) is X


def test_tuple_is_rebuilt_with_stand_ins_and_keeps_its_source(world):
    tensor = torch.ones(2)
    value = (tensor, 1)

    stand_in = world.enter(value, X)

    assert stand_in[0] is world.standin_of(tensor)
    assert world.source_of(stand_in) is X


def test_changes_do_not_reach_the_container(world):
    value = {"a": 1, "b": 2}
    world.enter(value, X)

    world.set_key(value, "a", 5)
    world.set_key(value, "b", DELETED)
    world.set_key(value, "c", 6)

    assert value == {"a": 1, "b": 2}
    assert world.contents(value) == {"a": 5, "c": 6}
    assert world.read_key(value, "b") is ABSENT


def test_list_that_is_changed_is_changed_in_a_copy(world):
    value = [1]
    world.enter(value, X)

    world.change(value).append(2)

    assert value == [1]
    assert world.contents(value) == [1, 2]
    assert list(world.changed.values()) == [value]


def test_single_reads_of_a_dict_guard_no_more_than_was_read(world):
    value = {"a": 1, "b": [2]}
    world.enter(value, X)

    assert world.read_key(value, "a") == 1
    assert world.read_key(value, "z") is ABSENT
    assert world.has_key(value, "b")

    expected = [
        ConstantGuard(ItemSource(X, PlainConst("a")), PlainConst(1)),
        DictContainsGuard(X, PlainConst("z"), is_present=False),
        DictContainsGuard(X, PlainConst("b"), is_present=True),
    ]
    assert world.guards.guards[1:] == expected


def test_whole_dict_is_guarded_by_its_keys_in_order(world):
    value = collections.OrderedDict(b=1, a=2)
    value.move_to_end("b")
    world.enter(value, X)

    contents = world.contents(value)

    assert list(contents) == ["a", "b"]
    assert type(contents) is collections.OrderedDict
    assert DictKeysGuard(X, (PlainConst("a"), PlainConst("b"))) in world.guards.guards


def test_dict_with_keys_that_are_no_constants_is_read_by_position(world):
    key = object()
    value = {key: "v"}
    world.enter(value, X)

    assert world.contents(value) == {key: "v"}
    assert world.source_of(key) is not None


def test_set_of_objects_is_refused(world):
    value = {object()}
    world.enter(value, X)

    with pytest.raises(Unsupported, match="a set of objects"):
        world.contents(value)


def test_two_objects_are_guarded_apart_once(world):
    one, other = [], []
    world.enter(one, X)
    world.enter(other, Y)

    world.guard_distinct(one, other)
    world.guard_distinct(other, one)

    assert kinds(world).count(DistinctTensorsGuard) == 1


def test_key_deleted_that_never_was_there_is_no_change(world):
    value = {}
    world.enter(value, X)

    world.set_key(value, "a", 1)
    world.set_key(value, "a", DELETED)

    assert world.items[id(value)] == {}
