"""What eager refuses, or does to each element in memory, is refused or done alike."""

from __future__ import annotations

import copy

import pytest
import torch

import graphwright as gw

X = torch.ones(2, 3)
FORMATS = {
    "empty": lambda x, f: torch.empty((3, 3, 3), memory_format=f),
    "to": lambda x, f: x.to(memory_format=f),
    "contiguous": lambda x, f: x.contiguous(memory_format=f),
    "clone": lambda x, f: x.clone(memory_format=f),
    "zeros_like": lambda x, f: torch.zeros_like(x, memory_format=f),
    "empty_like": lambda x, f: torch.empty_like(x, memory_format=f),
    "full_like": lambda x, f: torch.full_like(x, 2.0, memory_format=f),
    "rand_like": lambda x, f: torch.rand_like(x, memory_format=f),
    "double": lambda x, f: x.to(torch.float64, memory_format=f),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.channels_last_3d])
def test_channels_last_of_another_rank(name, memory_format) -> None:
    program = FORMATS[name]
    with pytest.raises(RuntimeError) as expected:
        program(X, memory_format)
    with gw.config.patch(strict=True), pytest.raises(RuntimeError) as found:
        gw.compile(lambda x: program(x, memory_format))(X)
    assert str(found.value) == str(expected.value)


def test_new_tensor_has_no_format_to_preserve() -> None:
    with gw.config.patch(strict=True), pytest.raises(RuntimeError, match="Preserve"):
        gw.compile(lambda x: torch.empty((3, 3), memory_format=torch.preserve_format) + x)(X)


def double_each(x):
    made = x + 1
    made.apply_(lambda value: value * 2)
    return made


def add_pairs(x):
    return (x + 1).map_(x, lambda one, other: one + other)


def add_triples(x):
    return (x + 1).map2_(x, x, lambda one, other, third: one + other + third)


@pytest.mark.parametrize("program", [double_each, add_pairs, add_triples])
def test_functions_are_called_for_each_element(program) -> None:
    with gw.config.patch(strict=True):
        assert gw.compile(program)(X).equal(program(X))


def test_copy_of_a_parameter_is_one() -> None:
    weight = torch.nn.Parameter(torch.ones(2), requires_grad=False)

    def program(x):
        copied = copy.deepcopy(weight)
        return copied, type(copied) is torch.nn.Parameter, x + copied

    with gw.config.patch(strict=True):
        copied, is_parameter, total = gw.compile(program)(torch.ones(2))
    assert is_parameter
    assert type(copied) is torch.nn.Parameter
    assert total.tolist() == [2.0, 2.0]


def attributes_of_a_new_module(x):
    module = torch.nn.Module()
    module.register_buffer("kept", x + 1, persistent=False)
    told = []
    for value in (None, x * 2, torch.nn.Parameter(x * 3)):
        module.kept = value
        told.append((len(list(module.buffers())), len(module.state_dict()), type(module.kept)))
    module.weight = torch.nn.Parameter(x)
    module.weight = None
    module.inner = torch.nn.ReLU()
    for name in ("weight", "inner"):
        try:
            setattr(module, name, 5)
        except TypeError as error:
            told.append(str(error))
    return told, [name for name, _ in module.named_modules()], (module.kept * 2).detach()


class Existing(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 2)
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("none", None)


def attributes_of_an_existing_module(x, module):
    told = []
    for name, value in (("inner", 5), ("scale", x), ("kept", 3), ("kept", x + 1), ("none", x)):
        try:
            setattr(module, name, value)
        except TypeError as error:
            told.append(str(error))
    return told, module.kept, module.none


def test_buffer_takes_what_is_not_known_in_time() -> None:
    def program(x, module):
        module.kept = x[x > 0]
        return x * 2

    x, module = torch.tensor([1.0, -1, 2]), Existing()
    with gw.config.patch(strict=True):
        gw.compile(program)(x, module)
    assert module.kept.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("program", "make"),
    [
        (attributes_of_a_new_module, tuple),
        (attributes_of_an_existing_module, lambda: (Existing(),)),
    ],
)
def test_modules_take_what_they_take_in_eager(program, make) -> None:
    x = torch.ones(2)
    expected = program(x, *make())
    with gw.config.patch(strict=True):
        compiled = gw.compile(program)
        for _ in range(2):
            assert repr(compiled(x, *make())) == repr(expected)
