"""Numbers among the arguments that no dtype holds, or that are none, do what they do in eager: give its values, or its errors."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch.nn import functional as F

import graphwright as gw

TARGETS = torch.tensor([0, 1, 2, 3])
PROGRAMS = {
    "add": lambda x, v: torch.add(x, x, alpha=v),
    "mul": lambda x, v: x * v,
    "div": lambda x, v: x / v,
    "divided": lambda x, v: v / x,
    "floor div": lambda x, v: x // v,
    "remainder": lambda x, v: x % v,
    "fmod": torch.fmod,
    "power": lambda x, v: x**v,
    "power of a number": lambda x, v: v**x,
    "less": lambda x, v: x < v,
    "clamp": lambda x, v: x.clamp(-1, v),
    "leaky relu": F.leaky_relu,
    "elu": F.elu,
    "celu": F.celu,
    "softplus": F.softplus,
    "threshold": lambda x, v: F.threshold(x, v, 2.0),
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "norm": torch.linalg.vector_norm,
    "norm of rows": lambda x, v: torch.norm(x, p=v, dim=1),
    "var": lambda x, v: torch.var(x, 1, correction=v),
    "std and mean": lambda x, v: torch.std_mean(x, correction=v)[0],
    "nan to num": lambda x, v: torch.nan_to_num(x / 0, nan=v, posinf=v),
    "addcmul": lambda x, v: torch.addcmul(x, x, x, value=v),
    "addcdiv": lambda x, v: torch.addcdiv(x, x, x, value=v),
    "huber": lambda x, v: F.huber_loss(x, x * 0.5, delta=v),
    "smooth l1": lambda x, v: F.smooth_l1_loss(x, x * 0.5, beta=v),
    "multi margin": lambda x, v: F.multi_margin_loss(x, TARGETS, margin=v),
    "cross entropy": lambda x, v: F.cross_entropy(x, TARGETS, label_smoothing=v),
    "logit": lambda x, v: torch.logit(x.sigmoid(), v),
    "layer norm": lambda x, v: F.layer_norm(x, (5,), eps=v),
    "group norm": lambda x, v: F.group_norm(x[None], 2, eps=v),
    "lerp": lambda x, v: torch.lerp(x, -x, v),
    "full": lambda x, v: x + torch.full((5,), v, dtype=x.dtype),
    "masked fill": lambda x, v: x.masked_fill(x > 0, v),
    "where": lambda x, v: torch.where(x > 0, x, v),
    "copysign": torch.copysign,
    "xlogy": lambda x, v: torch.xlogy(x.abs(), v),
    "pad": lambda x, v: F.pad(x, (1, 1), value=v),
    "addmm": lambda x, v: torch.addmm(x[:, :4], x, x.t(), beta=v),
    "normalize": lambda x, v: F.normalize(x, p=v),
    "distances": lambda x, v: torch.cdist(x, x + 1, p=v),
    "isclose": lambda x, v: torch.isclose(x, x + 1e-3, rtol=v),
    "cat of nothing": lambda x, v: torch.cat([torch.empty(0)] * 2, 1) * v,
}
NUMBERS = [1e40, math.nan, -math.inf, 1e-50, -0.0, -1.5]
X = torch.tensor(
    [
        [-2.5, -1.0, -0.3, 0.0, 0.2],
        [0.7, 1.0, 3.0, -0.0, 60.0],
        [1e-3, -5.0, 2.0, 0.5, -0.5],
        [9.0, -9.0, 1.5, 0.25, 4.0],
    ]
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
def test_numbers_do_what_they_do_in_eager(name, dtype):
    program = PROGRAMS[name]
    x = X.to(dtype)

    for number in NUMBERS:
        compiled = gw.compile(lambda x: program(x, number), fullgraph=True)  # noqa: B023  (called here)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, found = _outcome(lambda: program(x, number)), _outcome(lambda: compiled(x))  # noqa: B023
        if isinstance(expected, Exception) or isinstance(found, Exception):
            assert (type(found), str(found)) == (type(expected), str(expected)), number
        else:
            torch.testing.assert_close(found, expected, equal_nan=True, msg=str(number))


def _outcome(call):
    try:
        return call()
    except Exception as error:  # noqa: BLE001  (whatever eager raises is expected)
        return error
