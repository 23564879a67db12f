"""The text of whatever holds a tensor is made of its values, as in eager, and so breaks the graph."""

from __future__ import annotations

import collections
import functools
import types

import pytest
import torch

import graphwright as gw

TEXTS = {
    "structseq": lambda x: str(x.max(0)),
    "namespace": lambda x: repr(types.SimpleNamespace(a=x + 1)),
    "deque": lambda x: repr(collections.deque([x + 1])),
    "ordered_dict": lambda x: repr(collections.OrderedDict(a=x + 1)),
    "default_dict": lambda x: repr(collections.defaultdict(int, a=x + 1)),
    "partial": lambda x: repr(functools.partial(int, x + 1)),
    "list": lambda x: f"{[x + 1]}",
    "error": lambda x: str(ValueError(x + 1)),
    "repr_of_an_error": lambda x: repr(ValueError("a", x + 1)),
    "in_a_template": lambda x: "%s %r" % (types.SimpleNamespace(a=x + 1), [x]),  # noqa: UP031  (the operator is what is tested)
    "in_a_format": lambda x: "{0} {1!r}".format(types.SimpleNamespace(a=x), (x + 1,)),  # noqa: UP030, UP032
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_that_of_eager(name) -> None:
    program = TEXTS[name]
    with gw.config.patch(strict=True):
        for x in torch.ones(2, 2), torch.eye(2):
            assert gw.compile(program)(x) == program(x)
