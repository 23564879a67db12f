"""Elements of tensors that a program makes from literal data are known while it is recorded; all others are not."""

import pytest
import torch

from graphwright.base.errors import Unsupported
from graphwright.graph import execute
from graphwright.record import record_function


def test_literal_index_selects():
    x = torch.randn(4, 3)

    recorded = record_function(lambda x: x[torch.tensor(2)] * int(torch.tensor([3.7])), [x])

    (found,) = execute(recorded.graph, [x])
    torch.testing.assert_close(found, x[2] * 3)


@pytest.mark.parametrize(
    "program",
    [
        lambda x: x[torch.tensor(1).add_(1)],
        lambda x: x * torch.tensor([1, 2])[0].item(),
        lambda x: x * x.sum().item(),
        lambda x: x * torch.ones(1).item(),
    ],
    ids=["changed", "view", "computed", "factory"],
)
def test_other_elements_are_refused(program):
    with pytest.raises(Unsupported):
        record_function(program, [torch.randn(4)])
