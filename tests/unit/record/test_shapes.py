"""Every shape rule gives the shape, strides, dtype and offset of eager's results."""

import aten_samples
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from graphwright.record.shapes import RULES, find_rule
from graphwright.record.specs import TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore")


def to_spec(value):
    if not isinstance(value, torch.Tensor):
        return value
    shape, strides = tuple(value.shape), tuple(value.stride())
    return TensorSpec(shape, strides, value.dtype, value.device, value.storage_offset())


class RuleCheck(TorchDispatchMode):
    """Runs every op and compares the results with what its rule says."""

    def __init__(self):
        super().__init__()
        self.compared = set()
        self.wrong = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = str(func)
        rule = find_rule(name)
        if rule is None or func._schema.is_mutable:
            return func(*args, **kwargs)
        given, given_kwargs = tree_map(to_spec, args), tree_map(to_spec, kwargs)
        result = func(*args, **kwargs)
        expected = tree_map(to_spec, result)
        expected = tuple(expected) if isinstance(expected, list) else expected
        found = rule(*given, **given_kwargs)
        self.compared |= {name, name.rpartition(".")[0]}
        if found != expected:
            self.wrong.append((name, given, given_kwargs, expected, found))
        return result


def run_simple(check, name, tensor):
    """Call the overloads of `name` that take tensors and numbers only, where eager accepts the tensor."""
    for overload in aten_samples.overloads(name):
        arguments = aten_samples.simple_arguments(overload, tensor)
        if arguments is None or overload._schema.is_mutable:
            continue
        try:
            overload(*arguments)
        except (RuntimeError, IndexError, NotImplementedError, TypeError):
            continue
        with check:
            overload(*arguments)


@pytest.mark.parametrize("samples", aten_samples.MANUAL, ids=lambda samples: samples.__name__)
def test_rules_agree_with_eager_on_listed_calls(samples):
    check = RuleCheck()

    with check:
        samples()

    assert check.compared
    assert check.wrong == []


@pytest.mark.parametrize("layout", aten_samples.LAYOUTS)
def test_rules_agree_with_eager_on_every_layout(layout):
    check = RuleCheck()

    for name in RULES:
        run_simple(check, name, aten_samples.LAYOUTS[layout]())

    assert len(check.compared) > 100
    assert check.wrong == []


@pytest.mark.parametrize("dtype", aten_samples.DTYPES, ids=str)
def test_rules_agree_with_eager_on_every_dtype(dtype):
    check = RuleCheck()

    for name in RULES:
        run_simple(check, name, torch.ones(3, 4).to(dtype))

    assert len(check.compared) > 50
    assert check.wrong == []


def test_every_rule_has_a_sample():
    check = RuleCheck()

    for samples in aten_samples.MANUAL:
        with check:
            samples()
    for dtype in (torch.float32, torch.int64):
        for name in RULES:
            run_simple(check, name, torch.ones(3, 4, dtype=dtype))

    assert sorted(set(RULES) - check.compared) == []


def test_rule_that_depends_on_values_says_so():
    spec = to_spec(torch.rand(3))
    mask = to_spec(torch.ones(3, dtype=torch.bool))

    with pytest.raises(LookupError, match="values of a mask"):
        find_rule("aten.index.Tensor")(spec, [mask])
