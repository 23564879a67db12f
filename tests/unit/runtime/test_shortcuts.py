"""A shortcut stands for the guards it leaves out only while they hold."""

import gc
import sys
import types
import weakref
from collections import OrderedDict

import pytest
import torch
from runtime_programs import ProgramMaker, meta_of, round_trip

from graphwright.ir.guards import (
    AttrAbsentGuard,
    CodeGuard,
    ConstantGuard,
    DictKeysGuard,
    IdentityGuard,
    LengthGuard,
    TypeAttrAbsentGuard,
    TypeGuard,
)
from graphwright.ir.recipes import FromConstant, FromSource
from graphwright.ir.sources import (
    ArgSource,
    ClosureSource,
    DefaultSource,
    DictKeySource,
    DictValueSource,
    GlobalsSource,
    ImportSource,
    InstanceDictSource,
    ItemSource,
    KwDefaultSource,
    ModuleDictSource,
    PlainConst,
    TargetSource,
    TypeAttrSource,
    TypeSource,
)
from graphwright.runtime import MISSING, make_backend_entry
from graphwright.runtime.native import learning
from graphwright.runtime.native.learning import CALLS_BEFORE
from graphwright.runtime.native.shortcuts import Shortcut

FACTOR = 5


class Layer(torch.nn.Module):
    """A module with a parameter, a buffer and attributes."""

    limit = 3

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.register_buffer("mean", torch.zeros(2))
        self.scale = 2.5
        self.sizes = (1, 2)
        self.order = OrderedDict(first=1, second=2)

    def forward(self, x):
        return x


class Other(Layer):
    """Another class that objects may be turned into."""


class Model(torch.nn.Module):
    """A module of modules, with a function that has defaults and a closure."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Layer() for _ in range(4)])
        amount = 7

        def helper(x, step=1, *, extra=2):
            return x + amount + step + extra + FACTOR

        self.helper = helper


def item(base, key):
    return ItemSource(base, PlainConst(key))


def guard_module(maker, source, module):
    """Guard what a module's call depends on."""
    add, own = maker.guards.append, InstanceDictSource(source)
    add(TypeGuard(source, maker.pin(type(module))))
    add(ConstantGuard(item(own, "training"), PlainConst(module.training)))
    add(LengthGuard(item(own, "_forward_hooks"), 0))
    add(AttrAbsentGuard(source, "forward"))
    add(TypeAttrAbsentGuard(TypeSource(source), "no_such_thing"))
    forward = TypeAttrSource(TypeSource(source), "forward")
    add(CodeGuard(forward, maker.pin(type(module).forward.__code__)))
    for table in ("_parameters", "_buffers"):
        values = getattr(module, table)
        add(DictKeysGuard(item(own, table), tuple(map(PlainConst, values))))
        for name, tensor in values.items():
            maker.tensor(item(item(own, table), name), tensor)
    if isinstance(module, Layer):
        limit = TypeAttrSource(TypeSource(source), "limit")
        add(ConstantGuard(limit, PlainConst(3)))
        add(ConstantGuard(item(item(own, "sizes"), 1), PlainConst(2)))
        keys = PlainConst("first"), PlainConst("second")
        add(DictKeysGuard(item(own, "order"), keys))
        add(ConstantGuard(DictKeySource(item(own, "order"), 1), keys[1]))
        add(ConstantGuard(DictValueSource(item(own, "order"), 0), PlainConst(1)))
    for name, child in module._modules.items():
        guard_module(maker, item(item(own, "_modules"), name), child)


def guard_helper(maker, source, helper):
    """Guard what a call of a function depends on."""
    add = maker.guards.append
    add(CodeGuard(source, maker.pin(helper.__code__)))
    add(ConstantGuard(ClosureSource(source, 0, "amount"), PlainConst(7)))
    add(ConstantGuard(DefaultSource(source, 0), PlainConst(1)))
    add(ConstantGuard(KwDefaultSource(source, "extra"), PlainConst(2)))
    add(ConstantGuard(item(GlobalsSource(source), "FACTOR"), PlainConst(5)))
    add(IdentityGuard(item(GlobalsSource(source), "Layer"), maker.pin(Layer)))


def make(model, is_argument=False, is_decoded=False, result=None):
    """An entry with guards on a whole model, reached as target or as argument."""
    maker = ProgramMaker()
    root = ArgSource(1, "model") if is_argument else TargetSource()
    maker.tensor(ArgSource(0, "x"), torch.zeros(2))
    helper = item(InstanceDictSource(root), "helper")
    maker.guards.append(TypeGuard(root, maker.pin(Model)))
    guard_helper(maker, helper, model.helper)
    own = InstanceDictSource(root)
    guard_module(maker, item(item(own, "_modules"), "layers"), model.layers)
    result = result or FromConstant(PlainConst("ok"))
    program = maker.program(2 if is_argument else 1, (), (), result=result)
    live = maker.live
    if is_decoded:
        program, live = round_trip(program)[0], None
    target = None if is_argument else model
    return make_backend_entry(program, lambda *_: (), target=target, live_pins=live)


def args_for(model, is_argument):
    return (torch.zeros(2), model) if is_argument else (torch.zeros(2),)


def warm_up(entry, args):
    for _ in range(CALLS_BEFORE + 3):
        assert entry.try_call(args, {}) == "ok"
    assert entry.native.num_skipped_guards > len(entry.program.guards) // 2
    assert entry.native.num_shortcut_calls > 0


def swap_cell(model):
    model.helper.__closure__[0].cell_contents = 8


def swap_own_dict(model):
    layer = model.layers[1]
    layer.__dict__ = {**layer.__dict__, "scale": 1}
    del layer.__dict__["sizes"]


def swap_global(model):
    model.helper.__globals__["FACTOR"] = 6


def in_layer(change):
    return lambda model: change(model.layers[2])


CHANGES = {
    "a flag": in_layer(lambda layer: layer.eval()),
    "a parameter": in_layer(
        lambda layer: setattr(layer, "weight", torch.nn.Parameter(torch.ones(4)))
    ),
    "a tensor's data": in_layer(lambda layer: setattr(layer.weight, "data", torch.ones(4))),
    "a tensor's grad flag": in_layer(lambda layer: layer.weight.requires_grad_(False)),
    "a buffer's shape": in_layer(lambda layer: layer.mean.resize_(5)),
    "another buffer": in_layer(lambda layer: layer.register_buffer("new", torch.zeros(1))),
    "a hook": in_layer(lambda layer: layer.register_forward_hook(lambda *_: None)),
    "a class": in_layer(lambda layer: setattr(layer, "__class__", Other)),
    "a shadowing attribute": in_layer(lambda layer: setattr(layer, "forward", len)),
    "a tuple": in_layer(lambda layer: setattr(layer, "sizes", (1, 3))),
    "an order": in_layer(lambda layer: layer.order.move_to_end("first")),
    "a class attribute": lambda _: setattr(Layer, "limit", 4),
    "a base class attribute": lambda _: setattr(torch.nn.Module, "no_such_thing", 1),
    "a method": lambda _: setattr(Layer, "forward", lambda self, x: x + 1),
    "a child": lambda model: model.layers.__setitem__(0, torch.nn.Linear(2, 2)),
    "a dictionary": swap_own_dict,
    "a closure": swap_cell,
    "a default": lambda model: setattr(model.helper, "__defaults__", (9,)),
    "a keyword default": lambda model: model.helper.__kwdefaults__.__setitem__("extra", 9),
    "all keyword defaults": lambda model: setattr(model.helper, "__kwdefaults__", {"extra": 9}),
    "code": lambda model: setattr(
        model.helper, "__code__", (lambda amount: lambda x: amount)(1).__code__
    ),
    "a global": swap_global,
}


@pytest.fixture
def restored():
    """Put back what the changes do to classes and globals."""
    forward, before = Layer.forward, FACTOR
    yield
    Layer.limit, Layer.forward = 3, forward
    globals()["FACTOR"] = before
    if hasattr(torch.nn.Module, "no_such_thing"):
        del torch.nn.Module.no_such_thing


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("is_argument", [False, True], ids=["target", "argument"])
@pytest.mark.parametrize("name", CHANGES)
def test_change_is_seen(name, is_argument):
    model = Model()
    entry = make(model, is_argument)
    args = args_for(model, is_argument)
    warm_up(entry, args)

    CHANGES[name](model)

    found = entry.native.failed_guard(args, {})
    assert found is not None
    assert entry.try_call(args, {}) is MISSING
    assert entry.guards(args, {}) == found


@pytest.mark.parametrize("is_argument", [False, True], ids=["target", "argument"])
def test_irrelevant_change_makes_a_new_shortcut(is_argument):
    model = Model()
    entry = make(model, is_argument, is_decoded=True)
    args = args_for(model, is_argument)
    warm_up(entry, args)
    for _ in range(200):
        entry.try_call(args, {})

    model.layers[1].note = "nobody looks at it"

    for _ in range(4):
        assert entry.try_call(args, {}) == "ok"
    assert 0 < entry.native.num_shortcut_calls < 10


def test_attribute_that_changes_from_call_to_call_is_left_out():
    model = Model()
    entry = make(model)
    args = args_for(model, is_argument=False)

    for number in range(60):
        model.layers[1].count = number
        model.layers[2].count = number
        assert entry.try_call(args, {}) == "ok"

    assert entry.native.num_shortcut_calls > 20
    assert entry.native.num_skipped_guards > 20
    model.layers[1].eval()
    assert entry.try_call(args, {}) is MISSING


def test_change_while_a_shortcut_is_made_is_seen(monkeypatch):
    model, other = Model(), torch.nn.Parameter(torch.ones(3))
    layers = item(item(InstanceDictSource(TargetSource()), "_modules"), "layers")
    layer = item(item(InstanceDictSource(layers), "_modules"), "1")
    entry = make(
        model, result=FromSource(item(item(InstanceDictSource(layer), "_parameters"), "weight"))
    )

    def make_shortcut(*args):
        model.layers[1].weight = other  # as another thread may
        return Shortcut(*args)

    monkeypatch.setattr(learning, "Shortcut", make_shortcut)
    found = [entry.try_call((torch.zeros(2),), {}) for _ in range(CALLS_BEFORE + 3)]

    assert entry.native.num_shortcut_calls > 0
    assert found[-1] is other


def test_shortcuts_are_given_up_when_everything_changes():
    model = Model()
    entry = make(model, is_argument=True)
    models = [Model() for _ in range(30)]

    for other in models:
        other.helper = model.helper
        assert entry.try_call(args_for(other, is_argument=True), {}) == "ok"

    assert entry.try_call(args_for(model, is_argument=True), {}) == "ok"
    assert entry.native.num_skipped_guards == 0


def test_shortcut_keeps_no_argument_alive():
    model = Model()
    entry = make(model, is_argument=True)
    warm_up(entry, args_for(model, is_argument=True))
    gone, helper = weakref.ref(model), model.helper

    del model
    gc.collect()
    assert gone() is None
    assert entry.native.num_skipped_guards == 0

    other = Model()
    other.helper = helper
    assert entry.try_call(args_for(other, is_argument=True), {}) == "ok"


def test_failing_call_does_not_end_the_shortcut():
    model = Model()
    entry = make(model)
    warm_up(entry, args_for(model, is_argument=False))
    before = entry.native.num_shortcut_calls

    assert entry.try_call((torch.zeros(3),), {}) is MISSING
    assert entry.try_call((torch.zeros(2),), {}) == "ok"

    assert entry.native.num_shortcut_calls == before + 1


def test_memory_of_old_shortcuts_is_freed():
    model = Model()
    entry = make(model)
    args = args_for(model, is_argument=False)
    for number in range(5):
        for _ in range(150):
            assert entry.try_call(args, {}) == "ok"
        model.layers[0].note = number

    assert len(entry.native._learner._held) <= 2


def test_small_programs_take_no_shortcut():
    maker = ProgramMaker()
    x = torch.zeros(2)
    maker.tensor(ArgSource(0, "x"), x, meta_of(x))
    program = maker.program(1, (), (), result=FromConstant(PlainConst("ok")))
    entry = make_backend_entry(program, lambda *_: (), target=None, live_pins=maker.live)

    for _ in range(10):
        entry.try_call((x,), {})

    assert entry.native.num_skipped_guards == 0


@pytest.mark.usefixtures("restored")
def test_module_dictionary_is_followed_through_imports():
    name = "gw_shortcut_module"
    module = sys.modules[name] = types.ModuleType(name)
    module.value = 5
    model = Model()
    maker = ProgramMaker()
    guard_module(
        maker, item(item(InstanceDictSource(TargetSource()), "_modules"), "layers"), model.layers
    )
    value = item(ModuleDictSource(name), "value")
    maker.guards += [
        ConstantGuard(value, PlainConst(5)),
        IdentityGuard(ImportSource(name), maker.pin(module)),
    ]
    program = maker.program(0, (), (), result=FromConstant(PlainConst("ok")))
    entry = make_backend_entry(program, lambda *_: (), target=model, live_pins=maker.live)
    last = len(program.guards) - 1
    try:
        warm_up(entry, ())
        for number in range(4):
            sys.modules[f"{name}{number}"] = module
            for _ in range(3):
                assert entry.try_call((), {}) == "ok"
        module.value = 6
        assert entry.failed_guard((), {}) == last - 1
        module.value = 5
        warm_up(entry, ())
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].value = 5
        assert entry.failed_guard((), {}) == last
        sys.modules[name].value = 6
        assert entry.failed_guard((), {}) == last - 1
        del sys.modules[name]
        assert entry.failed_guard((), {}) == last - 1
    finally:
        for key in [key for key in sys.modules if key.startswith(name)]:
            del sys.modules[key]
