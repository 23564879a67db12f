"""Which outputs are sent gradients back together."""

import pytest
import torch

from graphwright.record.histories import group_by_history


def apart(a, b):
    return a.exp(), b.exp()


def sharing_a_saved_value(a, b):
    hidden = a.exp()
    return hidden * b, b.exp(), hidden + 1


def sharing_what_saves_nothing(a, b):
    hidden = a + b
    return hidden.sum(), hidden * 2, hidden.exp()


def joined_by_a_third(a, b):
    first, second = a.exp(), b.exp()
    return first.sum(), second.sum(), first * second


def deep_below_what_saves_nothing(a, b):
    hidden = a.exp() + 1
    return hidden + 1, hidden + 2, b.sum()


@pytest.mark.parametrize(
    ("program", "groups"),
    [
        (apart, [[0], [1]]),
        (sharing_a_saved_value, [[0, 2], [1]]),
        (sharing_what_saves_nothing, [[0], [1], [2]]),
        (joined_by_a_third, [[0, 1, 2]]),
        (deep_below_what_saves_nothing, [[0, 1], [2]]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_outputs_are_grouped_by_saved_values(program, groups) -> None:
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)

    assert group_by_history(program(a, b)) == groups
