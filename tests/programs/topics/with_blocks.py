"""with: the user's context managers, contextlib's, torch's modes."""

import contextlib

import torch
from program_cases import Topic, call, t, under

import graphwright as gw

TOPIC = Topic("with_blocks")


class Logged:
    def __init__(self, log, name="m", swallow=()):
        self.log, self.name, self.swallow = log, name, swallow

    def __enter__(self):
        self.log.append(f"enter {self.name}")
        return self

    def __exit__(self, kind, error, traceback):
        self.log.append(f"exit {self.name} {kind.__name__ if kind else None}")
        return kind is not None and issubclass(kind, tuple(self.swallow)) if self.swallow else False


@TOPIC.program(call(t(3)))
def user_manager(x):
    log = []
    with Logged(log) as m:
        x = x + len(m.name)
    return x, log


@TOPIC.program(call(t(3)))
def several_managers(x):
    log = []
    with Logged(log, "a") as a, Logged(log, "b"):
        x = x * 2
        log.append(a.name)
    return x, log


@TOPIC.program(call(t(3)))
def manager_swallows(x):
    log = []
    with Logged(log, swallow=(KeyError,)):
        raise KeyError("gone")
    return x + 1, log


@TOPIC.program(call(t(3)))
def manager_lets_through(x):
    log = []
    try:
        with Logged(log, swallow=(KeyError,)):
            raise ValueError("stays")
    except ValueError:
        log.append("caught")
    return x, log


@TOPIC.program(call(t(3)))
def return_inside_with(x):
    log = []

    def work():
        with Logged(log):
            return x * 2

    return work(), log


@TOPIC.program(call(t(3)))
def break_inside_with(x):
    log = []
    for i in range(3):
        with Logged(log, str(i)):
            if i == 1:
                break
            x = x + 1
    return x, log


@contextlib.contextmanager
def managed(log, value):
    log.append("in")
    try:
        yield value
    except ValueError:
        log.append("handled")
    finally:
        log.append("out")


@TOPIC.program(call(t(3)))
def contextlib_manager(x):
    log = []
    with managed(log, x + 1) as y:
        x = x * y
    with managed(log, 1):
        raise ValueError
    return x, log


@TOPIC.program(call(t(3)))
def null_context_and_exit_stack(x):
    log = []
    with contextlib.nullcontext(5) as n:
        x = x * n
    with contextlib.ExitStack() as stack:
        stack.enter_context(Logged(log, "s"))
        stack.callback(log.append, "callback")
        x = x + 1
    return x, log


@TOPIC.program(call(t(3, grad=True)), under(torch.no_grad, call(t(3, grad=True))), call(t(3)))
def no_grad_block(x):
    with torch.no_grad():
        y = x * 2
    z = x * 3
    return y, z, torch.is_grad_enabled()


@TOPIC.program(call(t(3, grad=True)), under(torch.no_grad, call(t(3, grad=True))))
def enable_grad_block(x):
    with torch.enable_grad():
        y = x * 2
        inside = torch.is_grad_enabled()
    return y, inside


@TOPIC.program(call(t(3, grad=True), True), call(t(3, grad=True), False))
def set_grad_enabled_block(x, flag):
    with torch.set_grad_enabled(flag):
        return x * 2, torch.is_grad_enabled()


@TOPIC.program(call(t(3, grad=True)), call(t(3, grad=True)))
def no_grad_decorator(x):
    @torch.no_grad()
    def work(v):
        return v * 2

    return work(x), x + 1


@TOPIC.program(under(torch.inference_mode, call(t(3))), call(t(3)))
def called_under_inference_mode(x):
    return x * 2 + 1


@TOPIC.program(
    call(t(3, 4), t(4, 3)),
    under(lambda: torch.autocast("cpu", dtype=torch.bfloat16), call(t(3, 4), t(4, 3))),
)
def called_under_autocast(x, y):
    return x @ y + 1


@TOPIC.program(call(t(3, 4), t(4, 3)))
def autocast_block(x, y):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = x @ y
        with torch.autocast("cpu", enabled=False):
            out = x @ y
    return inside, out, x @ y


@TOPIC.program(call(t(3)))
def grad_mode_is_restored_after_an_error(x):
    try:
        with torch.no_grad():
            raise KeyError
    except KeyError:
        pass
    return x, torch.is_grad_enabled()


@TOPIC.program(call(t(3)))
def not_a_manager(x):
    with x:
        return x


@TOPIC.program(call(t(3)))
def device_entered_twice(x):
    device, equal = torch.device("cpu"), torch.device("cpu")
    with device:
        with device, equal:
            y = torch.ones(3)
        z = torch.zeros(3)
    return x + y + z


class _Halves:
    def __call__(self, tensor):
        return tensor / 2


@TOPIC.program(call(t(3, grad=True)), call(t(3)), is_one_graph=False)
def hooks_that_are_objects(x):
    with torch.autograd.graph.saved_tensors_hooks(_Halves(), _Halves()):
        y = x * 2
        print("inside")
        y = y + 1
    return y * x


@TOPIC.program(call(t(3, grad=True)))
def named_part_of_a_profile(x):
    with torch.profiler.record_function("part") as part:
        x = x * 2
    return x, part is None


@TOPIC.program(call(t(3)))
def device_block(x):
    with torch.device("cpu"):
        return x + torch.ones(3)


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def break_inside_a_device_block(x):
    with torch.device("cpu"):
        y = torch.ones(3)
        print("inside")
        return x + y + torch.ones(3)


@TOPIC.program(call(t(3)), under(lambda: default_dtype(torch.float64), call(t(3))), call(t(3)))
def default_dtype_counts(x):
    return torch.ones(3), x * 2, torch.tensor(1.5), torch.get_default_dtype()


@contextlib.contextmanager
def default_dtype(dtype):
    old = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(old)


@TOPIC.program(call(t(3)))
def error_while_entering(x):
    class Refuses:
        def __enter__(self):
            raise KeyError("enter")

        def __exit__(self, *exc):
            raise AssertionError("never left")

    try:
        with Refuses():
            x = x * 100
    except KeyError as error:
        return x, str(error)


@TOPIC.program(call(t(3, grad=True)), is_one_graph=False)
def break_under_forward_gradients(x):
    forward_ad = torch.autograd.forward_ad
    with forward_ad.dual_level():
        y = x * 2
        gw.graph_break()
        level = forward_ad._current_level
        y = y + 1
    return y, level, forward_ad._current_level


KEPT = torch.autocast("cpu", dtype=torch.bfloat16)


@torch.autocast("cpu", dtype=torch.bfloat16)
def narrow_product(x):
    return x @ x


@torch.amp.autocast("cuda", enabled=False)
def product_as_it_is(x):
    return x @ x


@torch.autocast("cpu", dtype=torch.bfloat16)
def narrow_with_a_break(x):
    y = x @ x
    gw.graph_break()
    return y @ x


@TOPIC.program(call(t(3, 3)), call(t(4, 4)), call(t(3, 3)))
def regions_of_autocast_from_before(x):
    y = narrow_product(x)
    with KEPT:
        z = x @ x
        with torch.autocast("cpu", enabled=False):
            w = x @ x
        v = narrow_product(w) @ x
    return y, z, w, v, product_as_it_is(x), x @ x


@TOPIC.program(call(t(3, 3)))
def error_in_a_region_of_autocast_from_before(x):
    try:
        with KEPT:
            y = x @ x
            raise KeyError
    except KeyError:
        return y, x @ x


@TOPIC.program(call(t(3, 3)), is_one_graph=False)
def break_in_a_region_of_autocast_from_before(x):
    y = narrow_with_a_break(x)
    with KEPT:
        z = x @ x
        gw.graph_break()
        z = z @ x
    return y, z, x @ x
