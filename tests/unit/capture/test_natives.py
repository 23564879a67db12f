"""Native calls: what may run, what it may see, and what is refused."""

import collections
import dataclasses
import functools
import operator
import random
import time
import types

import pytest
import torch
from captured_calls import capture

import graphwright as gw
from graphwright.base.errors import Unsupported
from graphwright.capture import capture_call
from graphwright.ir.guards import GlobalStateKind
from graphwright.runtime import read_global_state


def states():
    return {kind: read_global_state(kind) for kind in GlobalStateKind}


IMPURE = {
    "a print": lambda x: print(x.shape),
    "the time": lambda x: time.time(),
    "a random number of Python's": lambda x: random.random(),
    "a seed": lambda x: torch.manual_seed(0),
    "a default dtype": lambda x: torch.set_default_dtype(torch.float64),
    "a default device": lambda x: torch.set_default_device("cpu"),
    "deterministic algorithms": lambda x: torch.use_deterministic_algorithms(mode=True),
    "matmul precision": lambda x: torch.set_float32_matmul_precision("high"),
    "a thread count": lambda x: torch.get_num_threads(),
    "a switch of a back end": lambda x: setattr(torch.backends.cudnn, "benchmark", True),
    "anomaly detection": lambda x: torch.autograd.set_detect_anomaly(mode=True),
    "a file": lambda x: open(__file__),  # noqa: SIM115
    "an import by hand": lambda x: __import__("time"),
    "a value": lambda x: range(x.sum().item()),
    "a branch on a value": lambda x: 1 if x.sum() > 0 else 2,
    "another compiler": lambda x: torch.compile(lambda y: y)(x),
}


@pytest.mark.parametrize("name", IMPURE)
def test_what_depends_on_more_than_its_arguments_is_refused(name):
    before, random_state = states(), torch.get_rng_state()
    is_anomaly = torch.is_anomaly_enabled()

    with pytest.raises(Unsupported) as caught:
        capture_call(IMPURE[name], (torch.ones(2),), {})

    assert caught.value.location.startswith(__file__)
    assert states() == before
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_anomaly_enabled() == is_anomaly


def test_user_code_is_not_run_behind_the_interpreter():
    class Size:
        def __init__(self, value):
            self.value = value

        def __index__(self):
            return self.value

    size = Size(2)

    with pytest.raises(Unsupported, match="as the argument of native code"):
        capture_call(lambda x: x.reshape(size, 2), (torch.ones(4),), {})
    with pytest.raises(Unsupported, match="as the argument of native code"):
        capture_call(lambda x: x.reshape(Size(2), 2), (torch.ones(4),), {})


def test_key_with_a_hash_of_its_own_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Key:
        number: int

    with pytest.raises(Unsupported, match="as the key of a dict"):
        capture_call(lambda x: {Key(1): x}[Key(1)], (torch.ones(2),), {})


def test_methods_of_abstract_containers_are_interpreted():
    class View(collections.abc.Sequence):
        def __init__(self, config):
            self.config = config

        def __len__(self):
            return self.config["length"]

        def __getitem__(self, index):
            if index >= self.config["length"]:
                raise IndexError
            return index

    config = {"length": 2}
    program = capture(lambda x: x + sum(View(config)), (torch.ones(2),))

    assert torch.equal(program(torch.ones(2)), torch.full((2,), 2.0))
    config["length"] = 3
    assert not program.serves(torch.ones(2))


def test_functions_given_to_native_code_are_interpreted():
    scale = [2]

    def program(x):
        doubled = torch.func.vmap(lambda row: row * scale[0])(x)
        ordered = sorted([3, 1, 2], key=lambda v: -v * scale[0])
        total = functools.reduce(lambda a, b: a + b * scale[0], [1, 2, 3])
        return doubled, ordered, total, list(map(operator.add, (1, 2), scale * 2))

    x = torch.randn(2, 3)
    made = capture(program, (x,))

    for found, expected in zip(made(x), program(x), strict=True):
        assert operator.eq(found, expected) if isinstance(found, list | int) else True
    torch.testing.assert_close(made(x)[0], program(x)[0])
    scale[0] = 3
    assert not made.serves(x)


def test_containers_are_shown_to_native_code_as_copies_with_guards():
    parts = [torch.ones(2), torch.zeros(2)]
    program = capture(lambda x: torch.cat([x, *parts]) + torch.stack(parts).sum(), (torch.ones(2),))

    assert len(program.captured.inputs) == 3
    parts.append(torch.ones(2))
    assert not program.serves(torch.ones(2))


def test_identity_of_a_tensor_compares_but_is_no_number_to_keep():
    program = capture(
        lambda x, y: (id(x) == id(y), {id(x): 1}[id(x)]), (torch.ones(2), torch.ones(2))
    )

    assert program(torch.ones(2), torch.ones(2)) == (False, 1)
    with pytest.raises(Unsupported, match="IdentityNumber"):
        capture_call(id, (torch.ones(2),), {})


def _seeded_noise(x):
    torch.manual_seed(42)
    return x + torch.rand(2)


def test_functions_of_pytorch_that_seed_do_so_at_each_call():
    space = {"__name__": "torch.nn.seeding", "torch": torch}
    noise = types.FunctionType(_seeded_noise.__code__, space)

    def program(x):
        return noise(x), torch.rand(2)

    compiled = gw.compile(program)
    for seed in range(3):
        torch.manual_seed(seed)
        expected = (*program(torch.ones(2)), torch.rand(2))
        torch.manual_seed(seed)
        assert gw.testing.same((*compiled(torch.ones(2)), torch.rand(2)), expected)
