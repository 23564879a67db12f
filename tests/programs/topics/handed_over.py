"""State that is handed over at a graph break, which no piece may run eagerly for: generators that stand in the middle, exceptions,
modes of PyTorch's, and what is written in C.
"""

import contextlib
import itertools
import sys
import traceback

import torch
from program_cases import Topic, call, t

import graphwright as gw

TOPIC = Topic("handed_over")


def _count(x, n, log):
    try:
        for i in range(n):
            sent = yield x + i
            if sent is not None:
                log.append(sent)
    finally:
        log.append("closed")
    return n


def _relay(x, log):
    found = yield from _count(x, 2, log)
    log.append(found)
    yield from _count(x * 10, found, log)


@contextlib.contextmanager
def _noted(log, name):
    log.append(f"in {name}")
    try:
        yield name
    finally:
        log.append(f"out {name}")


@TOPIC.program(call(t(3)), call(t(5)), is_one_graph=False)
def break_inside_a_generator_manager(x):
    log = []
    with _noted(log, "a") as name:
        y = x * 2
        print(name)
        y = y + 1
    return y, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_inside_nested_generator_managers(x):
    log = []
    with _noted(log, "a"), _noted(log, "b"):
        y = x * 2
        gw.graph_break()
        with _noted(log, "c"):
            y = y.relu() + 1
            gw.graph_break()
    return y, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_in_a_loop_over_a_generator(x):
    log, total = [], 0
    for value in _count(x, 4, log):
        total = total + value
        gw.graph_break()
    return total, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_while_generators_delegate(x):
    log, total = [], 0
    generator = _relay(x, log)
    for value in generator:
        total = total + value
        gw.graph_break()
        if len(log) > 1:
            generator.close()
    return total, log, list(generator)


@TOPIC.program(call(t(3)), is_one_graph=False)
def generators_before_their_first_step(x):
    log = []
    generator = _count(x, 3, log)
    again = generator
    gw.graph_break()
    first = next(generator)
    gw.graph_break()
    return first, generator.send("sent"), next(again), generator.close(), log, again is generator


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_that_shares_a_cell(x):
    total = x

    def steps():
        nonlocal total
        for i in range(3):
            total = total + i
            yield total.sum()

    generator = steps()
    next(generator)
    gw.graph_break()
    total = total * 2
    return list(generator), total


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_expressions_and_what_wraps_them(x):
    squares = (i * i for i in range(4))
    pairs = zip(squares, itertools.count(3), strict=False)
    next(pairs)
    gw.graph_break()
    return [x * a + b for a, b in pairs]


@TOPIC.program(call(t(3)), is_one_graph=False)
def annotations_of_a_function(x):
    def inner(a: int) -> list:
        return a

    gw.graph_break()
    annotations = inner.__annotations__
    inner.__annotations__["b"] = x + 1
    gw.graph_break()
    return sorted(annotations), annotations is inner.__annotations__, annotations["b"]


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_with_attributes_of_its_own(x):
    log = []
    generator = _count(x, 2, log)
    next(generator)
    gw.graph_break()
    return (
        generator.__name__,
        generator.gi_frame.f_lineno,
        generator.gi_yieldfrom,
        generator.close(),
    )


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_that_throws(x):
    log = []

    def careful():
        while True:
            try:
                yield x
            except KeyError as error:
                log.append(str(error))

    generator = careful()
    next(generator)
    gw.graph_break()
    value = generator.throw(KeyError("k"))
    gw.graph_break()
    return value + 1, log


class _Refused(ValueError):
    def __init__(self, value, *, code):
        super().__init__(f"refused {value}")
        self.code = code


@TOPIC.program(call(t(3)), is_one_graph=False)
def exceptions_that_were_not_raised_yet(x):
    plain, own = KeyError("k", 1), _Refused(3, code=x * 2)
    own.__cause__ = plain
    errors = [plain, own]
    gw.graph_break()
    return x + 1, errors, own, own is errors[1]


@TOPIC.program(call(t(3)))
def exceptions_in_the_result(x):
    error = _Refused(4, code=x + 1)
    error.__context__ = KeyError("context")
    return str(error), error, error.__context__, x


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_before_a_function_is_made(x):
    def make(scale):
        gw.graph_break()
        return lambda y: y * scale

    return make(2)(x), [make(i)(x) for i in range(2)]


@TOPIC.program(call(t(3)), call(t(5)), is_one_graph=False)
def break_in_a_handler(x):
    y = x + 1
    try:
        raise ValueError("no")
    except ValueError as error:
        y = y * 2
        gw.graph_break()
        y = y + len(error.args)
    gw.graph_break()
    return y.sum(), sys.exception()


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_in_finally(x):
    log = []
    for fails in (False, True):
        try:
            try:
                y = x * 2
                if fails:
                    raise KeyError("a")
            finally:
                log.append(repr(sys.exception()))
                gw.graph_break()
                y = y + 1
        except KeyError as error:
            gw.graph_break()
            log.append((str(error), error.__traceback__ is not None))
    return y, log


def _must_be_short(x):
    if x.shape[0] > 2:
        raise ValueError("long")
    return x


@TOPIC.program(call(t(3)), call(t(2)), is_one_graph=False)
def break_in_nested_handlers(x):
    log = []
    try:
        x = _must_be_short(x)
    except ValueError:
        try:
            {}["a"]
        except KeyError as inner:
            gw.graph_break()
            x = x * 2
            log.append((type(inner.__context__), repr(sys.exc_info()[1])))
        gw.graph_break()
        log.append(repr(sys.exception()))
    gw.graph_break()
    return x, log, sys.exception()


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_then_raised_again(x):
    log = []
    try:
        try:
            x = _must_be_short(x)
        except ValueError:
            x = x + 1
            gw.graph_break()
            x = x * 2
            raise
    except ValueError as error:
        log.append(str(error))
        x = x.relu()
    return x, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_then_raised_from(x):
    try:
        try:
            x = _must_be_short(x)
        except ValueError as error:
            gw.graph_break()
            raise RuntimeError("of something long") from error
    except RuntimeError as error:
        gw.graph_break()
        return x * 2, str(error.__cause__), error.__context__ is error.__cause__
    return x


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_then_leaves_by_the_exception(x):
    try:
        x = _must_be_short(x * 2)
    finally:
        x = x + 1
        gw.graph_break()
        x = x.relu()
    return x


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def what_breaks_the_graph_raises(x):
    y, found = x + 1, []
    for text in ("1", "one", "2"):
        try:
            print("reading", text)
            y = y * int(text)
        except ValueError as error:
            found.append(str(error))
            y = y.relu()
        else:
            y = y - 1
        finally:
            found.append(text)
    return y, found


class _Swallows:
    def __init__(self, log):
        self.log = log

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        gw.graph_break()
        self.log.append((kind, str(error), repr(sys.exception())))
        return kind is ValueError


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_in_the_exit_of_a_manager(x):
    log = []
    with _Swallows(log), _Swallows(log):
        x = _must_be_short(x + 1)
    with _Swallows(log):
        x = x * 2
    return x, log


@TOPIC.program(call(t(3)), is_one_graph=False)
def exception_that_is_kept(x):
    kept = None
    try:
        x = _must_be_short(x + 1)
    except ValueError as error:
        kept = error
    gw.graph_break()
    names = [entry.name for entry in traceback.extract_tb(kept.__traceback__)]
    return x * 2, kept, names[-2:]


@TOPIC.program(call(t(3)), is_one_graph=False)
def generator_that_handles_an_exception(x):
    log = []

    def careful(error):
        try:
            raise error
        except ValueError:
            log.append(repr(sys.exception()))
            yield x
            log.append(repr(sys.exception()))
            yield x + 1
        yield sys.exception()

    gw.graph_break()
    generator = careful(ValueError("v"))
    gw.graph_break()
    first = next(generator)
    gw.graph_break()
    return first, list(generator), log


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def break_under_inference_mode(x):
    y = x + 1
    with torch.inference_mode():
        z = y * 2
        gw.graph_break()
        w = z + 1
        states = w.is_inference(), torch.is_inference_mode_enabled()
    v = y * 3
    return z, w, v, states, v.is_inference(), torch.is_inference_mode_enabled()


@TOPIC.program(call(t(3)), is_one_graph=False)
def exception_out_of_inference_mode(x):
    try:
        with torch.inference_mode():
            x = x + 1
            gw.graph_break()
            x = _must_be_short(x * 2)
    except ValueError:
        gw.graph_break()
    return x * 2, torch.is_inference_mode_enabled()


@TOPIC.program(call(t(3, grad=True)), call(t(3)), is_one_graph=False)
def mode_made_before_a_break(x):
    quietly, without = torch.inference_mode(), torch.no_grad()
    gw.graph_break()
    with quietly:
        y = x * 2
        states = y.is_inference(), torch.is_inference_mode_enabled()
    with without:
        z = x * 3
        gw.graph_break()
        z = z + 1
    return y.clone(), z, states, z.requires_grad, torch.is_inference_mode_enabled()


@TOPIC.program(call(t(3)), is_one_graph=False)
def guard_of_the_dispatcher(x):
    with torch._C._InferenceMode(True):
        y = x * 2
        states = y.is_inference(), torch.is_inference_mode_enabled()
    return y.clone(), states, torch.is_inference_mode_enabled()


@TOPIC.program(call(t(3, grad=True)), is_one_graph=False)
def break_while_anomalies_are_looked_for(x):
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        y = x * 2
        gw.graph_break()
        states = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    return y + 1, states, torch.is_anomaly_enabled()


@TOPIC.program(call(t(1, 2, 4, 8), t(1, 2, 4, 8)), is_one_graph=False)
def break_while_kernels_are_chosen(q, k):
    attention = torch.nn.attention
    with attention.sdpa_kernel(attention.SDPBackend.MATH):
        scores = torch.nn.functional.scaled_dot_product_attention(q, k, q)
        gw.graph_break()
        states = [torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()]
        scores = scores + 1
    return scores, states


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_in_a_named_part_of_a_profile(x):
    with torch.profiler.record_function("first"):
        x = x * 2
    with torch.profiler.record_function("second"):
        gw.graph_break()
        x = x + 1
    return x


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_under_a_default_device(x):
    with torch.device("cpu"):
        y = x + torch.ones(3)
        gw.graph_break()
        z = y * torch.ones(3)
    return z, torch.get_default_device()


@TOPIC.program(call(t(3)), is_one_graph=False)
def break_in_a_loop_over_a_set(x):
    order = []
    for number in {3, 17, 4}:
        x = x + number
        gw.graph_break()
        order.append(number)
    return x, order


@TOPIC.program(call(t(3)), is_one_graph=False)
def views_and_iterators_written_in_c(x):
    table = {"a": x, "b": x * 2}
    keys, values = table.keys(), table.values()
    first, second = itertools.tee(iter([1, 2, 3]))
    next(first)
    gw.graph_break()
    table["c"] = x + 1
    return list(keys), len(values), next(first), next(second)


@TOPIC.program(call(t(3)), call(t(3)), is_one_graph=False)
def class_made_inside(x):
    class Scale:
        def __init__(self, by):
            self.by = by

        def apply(self, y):
            return y * self.by

    y = Scale(2).apply(x)
    gw.graph_break()
    return Scale(3).apply(y)


class _Loud(list):
    def __len__(self):
        return 100 + super().__len__()

    def plain_length(self):
        return super().__len__


@TOPIC.program(call(t(3)), call(t(5)), is_one_graph=False)
def break_with_slots_of_classes_and_objects(x):
    add, length, set_up = torch.Tensor.__add__, [1, 2].__len__, list.__init__
    plain, loud = _Loud([1]).plain_length(), _Loud([1]).__len__
    gw.graph_break()
    made = []
    set_up(made, (x, 2))
    return add(x, length()), made, plain(), loud(), list.__len__, torch.Tensor.__getitem__


@TOPIC.program(call(t(4)), call(t(6)))
def slots_that_pick_by_a_mask(x):
    return x.__getitem__(x > 0), torch.Tensor.__getitem__(x, x > 1), x.__getitem__([0, 1])
