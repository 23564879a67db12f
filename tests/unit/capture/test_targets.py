"""What may be captured, and with what arguments: each runs from its data and gives eager's result."""

import collections
import functools

import pytest
import torch
from captured_calls import capture
from program_cases import compare

from graphwright.base.errors import Unsupported
from graphwright.capture import capture_call


class Holder:
    factor = 2

    def __call__(self, x, *, shift=1):
        return x * self.factor + shift

    def method(self, x):
        return x + self.factor

    @classmethod
    def of_class(cls, x):
        return x - cls.factor

    @staticmethod
    def of_none(x):
        return x / 2


X = torch.ones(2)
HOLDER = Holder()
TARGETS = {
    "an object that can be called": (HOLDER, {"shift": 3}),
    "a method": (HOLDER.method, {}),
    "a class method": (Holder.of_class, {}),
    "a static method": (Holder.of_none, {}),
    "a partial": (functools.partial(HOLDER, shift=5), {}),
    "a builtin of torch": (torch.relu, {}),
    "a function of torch": (torch.nn.functional.gelu, {}),
    "a bound builtin": (X.add, {}),
    "a module": (torch.nn.Linear(2, 2).requires_grad_(requires_grad=False), {}),
    "keyword arguments of any name": (lambda x, **rest: (x, rest), {"q": 1, "r": X}),
}
ARGUMENTS = {
    "containers": (lambda a, b: a[0] + b["k"][1], ([X], {"k": (1, X)})),
    "one tensor twice": (lambda a, b: (a + b, a is b), (X, X)),
    "a parameter": (lambda p: p * 2, (torch.nn.Parameter(X.clone(), requires_grad=False),)),
    "a set": (lambda s: (len(s), 3 in s, sorted(s)), ({1, 3},)),
    "a frozen set": (lambda s: len(s), (frozenset({1}),)),
    "bytes": (lambda b: b[0], (b"a",)),
    "a range": (lambda r: sum(r), (range(4),)),
    "a slice": (lambda x, s: x[s], (X, slice(0, 1))),
    "an ellipsis": (lambda x, e: x[e], (X, ...)),
    "a size": (lambda x, s: x.reshape(s), (X, torch.Size([2, 1]))),
    "a dtype": (lambda x, d: x.to(d), (X, torch.float64)),
    "a complex number": (lambda x, c: x * c, (X, 1j)),
    "a large integer": (lambda n: n + 1, (2**80,)),
    "a function": (lambda x, f: f(x), (X, lambda y: y * 3)),
    "a builtin": (lambda x, f: f(x), (X, torch.sin)),
    "a class": (lambda x, c: c().method(x), (X, Holder)),
    "a deque": (lambda x, d: x + d[0] + len(d), (X, collections.deque([1, 2]))),
    "an ordered dict": (lambda d: [*d], (collections.OrderedDict(b=1, a=2),)),
    "a cached function": (lambda x, f: x * f(2), (X, functools.lru_cache(lambda n: n + 1))),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target_gives_eagers_result(name):
    target, kwargs = TARGETS[name]

    compare(target(X, **kwargs), capture(target, (X,), kwargs)(X, **kwargs), name)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_argument_gives_eagers_result(name):
    target, args = ARGUMENTS[name]

    compare(target(*args), capture(target, args)(*args), name)


def test_iterator_from_outside_is_refused():
    with pytest.raises(Unsupported, match="a step of an iterator that existed before"):
        capture_call(lambda x, items: x + sum(items), (X, iter([1, 2])), {})
