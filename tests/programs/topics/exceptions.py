"""try, except, else, finally, raise from, exceptions of torch and of the program."""

import contextlib
import io
import traceback

import torch
from program_cases import Fresh, Topic, call, t

TOPIC = Topic("exceptions")


class Rejected(ValueError):
    def __init__(self, code, detail=""):
        super().__init__(f"rejected: {code}")
        self.code = code
        self.detail = detail


@TOPIC.program(call(t(3), 1), call(t(3), -1))
def raises_a_builtin(x, n):
    if n < 0:
        raise ValueError(f"bad {n}")
    return x * n


@TOPIC.program(call(t(3)))
def raises_a_class_without_arguments(x):
    raise RuntimeError


@TOPIC.program(call(t(3), 1), call(t(3), 2), call(t(3), 3))
def chooses_the_handler(x, n):
    try:
        if n == 1:
            raise ValueError("one")
        if n == 2:
            raise KeyError("two")
        y = x + 1
    except ValueError as error:
        y = x * len(str(error))
    except (KeyError, IndexError):
        y = x * 20
    else:
        y = x * 30
    finally:
        x = x + 1
    return y, x


@TOPIC.program(call(t(3)))
def finally_runs_on_return(x):
    log = []

    def work():
        try:
            return x + 1
        finally:
            log.append("finally")

    return work(), log


@TOPIC.program(call(t(3)))
def finally_overrides_return(x):
    def work():
        try:
            return x
        finally:
            return x * 2

    return work()


@TOPIC.program(call(t(3)))
def nested_try(x):
    try:
        try:
            raise KeyError("a")
        except ValueError:
            x = x * 100
        finally:
            x = x + 1
    except KeyError as error:
        return x, error.args
    return x


@TOPIC.program(call(t(3)))
def reraise(x):
    try:
        try:
            raise ValueError("inner")
        except ValueError:
            raise
    except ValueError as error:
        return x, str(error)


@TOPIC.program(call(t(3)))
def raise_from(x):
    try:
        try:
            raise KeyError("cause")
        except KeyError as cause:
            raise Rejected(5, "d") from cause
    except Rejected as error:
        return x * error.code, repr(error.__cause__), error.detail, error.args


@TOPIC.program(call(t(3)))
def context_is_kept(x):
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")
    except ValueError as error:
        return x, type(error.__context__).__name__, error.__cause__


@TOPIC.program(call(t(3)))
def custom_error_leaves(x):
    raise Rejected(7)


@TOPIC.program(call(t(3)))
def name_is_deleted_after_the_handler(x):
    error = "outer"
    try:
        raise ValueError("v")
    except ValueError as error:
        pass
    return x, error


@TOPIC.program(call(t(3)))
def error_from_a_called_function(x):
    def deep(n):
        if n == 0:
            raise LookupError("deep")
        return deep(n - 1)

    try:
        deep(3)
    except LookupError:
        return x + 1


@TOPIC.program(call(t(3)))
def builtin_errors(x):
    caught = []
    for attempt in (
        lambda: [][1],
        lambda: {}["k"],
        lambda: int("z"),
        lambda: 1 / 0,
        lambda: None.attr,
        lambda: "a" + 1,
        lambda one=1: one(),
        lambda: next(iter(())),
        lambda: undefined_name,  # noqa: F821
        lambda: [1, 2].index(9),
        lambda: (lambda a: a)(),
        lambda: max([]),
        lambda: {}.popitem(),
    ):
        try:
            attempt()
        except Exception as error:
            caught.append((type(error).__name__, str(error)))
    return caught, x


@TOPIC.program(call(t(3), t(4)))
def shapes_that_do_not_fit(x, y):
    return x + y


@TOPIC.program(call(t(3, 2), t(3, 2)))
def matrices_that_do_not_fit(x, y):
    return x @ y


@TOPIC.program(call(t(3), t(4)), call(t(3), t(3)))
def catches_an_error_of_torch(x, y):
    try:
        return x + y
    except RuntimeError:
        return x * 2


@TOPIC.program(call(t(3)))
def bad_reshape_and_bad_dimension(x):
    caught = []
    for attempt in (lambda: x.reshape(2), lambda: x.sum(4), lambda: torch.cat([]), lambda: x[5]):
        try:
            attempt()
        except (RuntimeError, IndexError, ValueError) as error:
            caught.append(type(error).__name__)
    return caught


@TOPIC.program(call(t(3)))
def suppress(x):
    with contextlib.suppress(KeyError):
        x = x + 1
        raise KeyError
    return x


@TOPIC.program(call(t(3), Fresh(list)))
def mutations_before_an_error_stay(x, log):
    log.append("before")
    x.add_(1)
    raise RuntimeError("after the mutations")


@TOPIC.program(call(t(3)))
def loop_with_try_and_continue(x):
    total = 0
    for i in range(5):
        try:
            if i == 1:
                continue
            if i == 3:
                break
            total = total + x * i
        finally:
            total = total + 1
    return total


@TOPIC.program(call(t(3)))
def assertion_error(x):
    assert x.dim() == 2, ("message", 3)


@TOPIC.program(call(t(3)), is_one_graph=False)
def except_star_is_left_to_eager_or_works(x):
    try:
        raise ExceptionGroup("g", [ValueError("v"), KeyError("k")])
    except* ValueError as group:
        n = len(group.exceptions)
    except* KeyError:
        n = 10
    return x * n


@TOPIC.program(call(t(3)))
def raise_needs_an_exception(x):
    raise 5


@TOPIC.program(call(t(3)))
def add_note_and_args(x):
    try:
        error = ValueError("v", 2)
        error.add_note("n")
        raise error
    except ValueError as caught:
        return x, caught.args, caught.__notes__, caught is error


def fails(x):
    raise ValueError(f"of {x.shape[0]}")


@TOPIC.program(call(t(3)), call(t(4)), is_one_graph=False)
def text_of_what_is_handled(x):
    try:
        fails(x)
    except ValueError:
        text = traceback.format_exc(limit=1)
    return x * 2, text.splitlines()[-1], len(text.splitlines())


@TOPIC.program(call(t(3)), is_one_graph=False)
def printed_exceptions(x):
    log = io.StringIO()
    try:
        fails(x)
    except ValueError as error:
        traceback.print_exc(file=log)
        traceback.print_exception(error, file=log)
        traceback.print_tb(error.__traceback__, file=log)
    return x + 1, [line for line in log.getvalue().splitlines() if "^" not in line]


@TOPIC.program(call(t(3)), is_one_graph=False)
def frames_of_a_traceback(x):
    try:
        raise KeyError("k")
    except KeyError as error:
        names, tail = [], error.__traceback__
        while tail is not None:
            names.append(tail.tb_frame.f_code.co_name)
            tail = tail.tb_next
    return x, names


@TOPIC.program(call(t(3)), is_one_graph=False)
def stack_of_calls(x):
    return x, traceback.format_stack()[-1].splitlines()[-1].strip()
