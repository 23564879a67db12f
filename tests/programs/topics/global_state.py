"""Globals of the module, of other modules, torch's global state."""

import contextlib
import math
import sys
import types

import torch
from program_cases import Topic, after, again, call, fresh_call, own_globals, t, under

TOPIC = Topic("global_state")

SCALE = 2.0
COUNT = 0
TABLE = {"a": 1}
WEIGHT = torch.ones(3)


def _reads_scale(x):
    return x * SCALE


def _counts(x):
    global COUNT
    COUNT += 1
    return x + COUNT, COUNT


def _table(x):
    return x * TABLE["a"] + len(TABLE)


def _helper(x):
    return x + SCALE


def _calls_helper(x):
    return _helper(x)


@TOPIC.made(
    fresh_call(t(3)),
    again(t(3)),
    after(lambda f: f.__globals__.update(SCALE=7.0), fresh_call(t(3))),
    again(t(3)),
)
def reads_a_global():
    return own_globals(_reads_scale)


@TOPIC.made(call(t(3)), call(t(3)), call(t(3)))
def writes_a_global():
    return own_globals(_counts, COUNT=0)


@TOPIC.made(
    call(t(3)),
    after(lambda s: s.update(a=5), call(t(3))),
    after(lambda s: s.update(b=5), call(t(3))),
)
def reads_a_global_dict():
    made = own_globals(_table, TABLE={"a": 1})
    return made, made.__globals__["TABLE"]


def _replaced(x):
    return x * 100


@TOPIC.made(call(t(3)), after(lambda f: f.__globals__.update(_helper=_replaced), call(t(3))))
def calls_a_global_function_that_is_replaced():
    return own_globals(_calls_helper)


@TOPIC.made(call(t(3)), after(lambda f: f.__globals__.pop("SCALE"), call(t(3))))
def global_disappears():
    return own_globals(_reads_scale)


def _shadows(x):
    return x * max(1, 2)


@TOPIC.made(call(t(3)), after(lambda f: f.__globals__.update(max=min), call(t(3))))
def builtin_is_shadowed_by_a_global():
    return own_globals(_shadows)


@TOPIC.made(call(t(3)), after(lambda m: setattr(m, "FACTOR", 9), call(t(3))), call(t(3)))
def reads_an_attribute_of_a_module():
    module = types.ModuleType("settings_of_the_test")
    module.FACTOR = 3

    def program(x):
        return x * module.FACTOR

    return program, module


@TOPIC.program(call(t(3)))
def undefined_global(x):
    return x * not_defined_anywhere  # noqa: F821


@TOPIC.program(call(t(3)))
def reads_modules(x):
    return x * math.pi, sys.version_info >= (3, 11), torch.float32, torch.pi, torch.__name__


@TOPIC.program(
    call(t(3, grad=True)), under(torch.no_grad, call(t(3, grad=True))), call(t(3, grad=True))
)
def grad_mode_from_outside(x):
    y = x * 2
    return y, torch.is_grad_enabled()


@TOPIC.program(call(t(3)), call(t(3, grad=True)), call(t(3)))
def requires_grad_of_an_argument(x):
    return x * 2, x.requires_grad


@TOPIC.program(call(t(3)), under(torch.inference_mode, call(t(3))), call(t(3)))
def inference_mode_from_outside(x):
    return x + 1, torch.is_inference_mode_enabled()


@TOPIC.made(
    call(t(3)), after(lambda f: f.__code__ and setattr(f, "__defaults__", (9,)), call(t(3)))
)
def default_is_replaced():
    def program(x, k=2):
        return x * k

    return program


@TOPIC.made(call(t(3)), after(lambda s: setattr(s, "__defaults__", (9,)), call(t(3))))
def default_of_a_callee_is_replaced():
    def callee(x, k=2):
        return x * k

    def program(x):
        return callee(x)

    return program, callee


def _other(x):
    return x - 50


@TOPIC.made(call(t(3)), after(lambda s: setattr(s, "__code__", _other.__code__), call(t(3))))
def code_of_a_callee_is_replaced():
    def callee(x):
        return x * 2

    def program(x):
        return callee(x)

    return program, callee


@contextlib.contextmanager
def _deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@TOPIC.program(call(t(3)), under(_deterministic, call(t(3))))
def deterministic_algorithms(x):
    return x * 2, torch.are_deterministic_algorithms_enabled()


@TOPIC.made(call(t(3)), call(t(3)))
def global_tensor():
    return own_globals(_adds_weight, WEIGHT=torch.ones(3))


def _adds_weight(x):
    return x + WEIGHT


@torch.no_grad()
def without_gradients(x):
    return torch.masked_select(x, x > 0)


@TOPIC.program(call(t(6, grad=True)), call(t(5, grad=True)), call(t(6)), is_one_graph=False)
def sizes_that_depend_on_values_while_gradients_are_off(x):
    with torch.no_grad():
        chosen = x[x > 0]
        places = torch.nonzero(x > 0)
        total = x.sum().item()
    return chosen, places, total, without_gradients(x), x * 2


@TOPIC.program(call(t(6, grad=True)), is_one_graph=False)
def late_results_go_on_while_gradients_are_off(x):
    chosen = x[x > 0]
    with torch.no_grad():
        scaled = chosen * 2
    torch.set_grad_enabled(False)
    moved = chosen + 1
    torch.set_grad_enabled(True)
    return chosen, scaled, moved


@TOPIC.program(call(t(6)), is_one_graph=False)
def late_results_in_a_region_of_autocast(x):
    chosen = x[x > -9]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = chosen @ chosen
    with torch.inference_mode():
        inferred = chosen * 2
    return narrow, chosen @ chosen, inferred


@TOPIC.program(call(t(3, grad=True)), is_one_graph=False)
def counts_drawn_while_gradients_are_off(x):
    chances = torch.sigmoid(x)
    with torch.no_grad():
        counts = torch.binomial(torch.full((3,), 10.0), chances)
    return counts, chances
