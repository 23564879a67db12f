"""Objects that a program calls, of classes of PyTorch's: another one in the same place, wherever it is kept, is another program.

With caches and without: a kept program must not serve an object that only has the same name.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Normal, transforms
from torch.testing._internal.opinfo.core import OpInfo

import graphwright as gw


@torch.library.custom_op("callable_objects::one_more", mutates_args=())
def one_more(x: torch.Tensor) -> torch.Tensor:
    return x + 1


@torch.library.custom_op("callable_objects::two_more", mutates_args=())
def two_more(x: torch.Tensor) -> torch.Tensor:
    return x + 2


one_more.register_fake(torch.empty_like)
two_more.register_fake(torch.empty_like)


def _described(op):
    return OpInfo("any", op=op, dtypes=(torch.float32,), sample_inputs_func=None)


PAIRS = {
    "overloads": (torch.ops.aten.sin.default, torch.ops.aten.cos.default),
    "packets": (torch.ops.aten.sin, torch.ops.aten.cos),
    "custom ops": (one_more, two_more),
    "functions": (torch.sin, torch.cos),
    "partials": (functools.partial(torch.mul, other=2), functools.partial(torch.mul, other=3)),
    "transforms": (transforms.AffineTransform(0.0, 2.0), transforms.AffineTransform(1.0, 2.0)),
    "composed": tuple(
        transforms.ComposeTransform(
            [transforms.AffineTransform(at, 2.0), transforms.ExpTransform()]
        )
        for at in (0.0, 1.0)
    ),
    "inverses": (
        transforms.AffineTransform(0.0, 2.0).inv,
        transforms.AffineTransform(1.0, 2.0).inv,
    ),
    "methods": (Normal(0.0, 1.0).log_prob, Normal(3.0, 1.0).log_prob),
    "modules": (torch.nn.Softplus(1.0), torch.nn.Softplus(2.0)),
    "mapped": (torch.vmap(torch.sin), torch.vmap(torch.cos)),
    "descriptions": (_described(torch.sin), _described(torch.cos)),
}
X = torch.rand(4, generator=torch.Generator().manual_seed(0))
OBJECT = None


def _in_global():
    compiled = gw.compile(lambda x: OBJECT(x))

    def run(one):
        global OBJECT  # noqa: PLW0603  (where the program finds it)
        OBJECT = one
        return compiled(X)

    return run


def _in_attribute():
    holder = SimpleNamespace()
    compiled = gw.compile(lambda x: holder.one(x))

    def run(one):
        holder.one = one
        return compiled(X)

    return run


def _in_argument():
    compiled = gw.compile(lambda one, x: one(x))
    return lambda one: compiled(one, X)


def _in_closure():
    return lambda one: gw.compile(lambda x: one(x))(X)


PLACES = {
    "global": _in_global,
    "attribute": _in_attribute,
    "argument": _in_argument,
    "closure": _in_closure,
}


@pytest.mark.parametrize("is_kept", [False, True], ids=["forgotten", "kept"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PAIRS)
def test_each_is_called(name, place, is_kept, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", str(tmp_path))
    with gw.config.patch(disk_cache=is_kept):
        run = PLACES[place]()
        for one in (*PAIRS[name], *PAIRS[name]):
            torch.testing.assert_close(run(one), one(X))
