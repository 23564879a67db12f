"""Exceptions inside compiled functions: which handler runs, in which order, and what the exception then carries."""

import contextlib
import sys

import torch
from language_checks import same

X = torch.arange(3.0)


def chain_of(error):
    """Give what can be seen of an exception and of those that it carries."""
    if error is None:
        return None
    return (
        type(error).__name__,
        str(error),
        chain_of(error.__cause__),
        chain_of(error.__context__),
        error.__suppress_context__,
    )


def test_order_of_every_clause():
    def program(x):
        log = []

        def run(kind):
            try:
                log.append("try")
                if kind is not None:
                    raise kind("k")
            except (KeyError, IndexError) as error:
                log.append(f"lookup {error!r}")
            except ArithmeticError:
                log.append("arithmetic")
                raise
            else:
                log.append("else")
                return "from else"
            finally:
                log.append("finally")
            return "after"

        for kind in (None, KeyError, IndexError, ZeroDivisionError, OverflowError, ValueError):
            try:
                log.append(run(kind))
            except Exception as error:
                log.append(f"out {error!r}")
        return x, log

    same(program, X)


def test_exception_name_is_unbound_and_shadowing_works():
    def program(x):
        error = "before"
        try:
            raise ValueError("v")
        except ValueError as error:
            inside = str(error)
        try:
            return error
        except UnboundLocalError:
            return x, inside

    same(program, X)


def test_context_is_set_through_nested_handlers():
    def program(x):
        try:
            try:
                try:
                    raise KeyError("one")
                except KeyError:
                    raise ValueError("two")
            except ValueError as two:
                try:
                    raise TypeError("three") from two
                finally:
                    try:
                        raise IndexError("lost")
                    except IndexError:
                        pass
        except TypeError as error:
            return x, chain_of(error)

    same(program, X)


def test_context_of_exceptions_raised_by_cpython():
    def program(x):
        log, pair = [], (1, 2)
        for action in (
            lambda: {}["k"],
            lambda: [][1],
            lambda: 1 // 0,
            lambda: int("x"),
            lambda: None.attribute,
            lambda: undefined_name,
            lambda: "a" + 1,
            lambda: len(1),
            lambda: next(iter(())),
            lambda: [].remove(1),
            lambda: {}.popitem(),
            lambda: "abc".index("z"),
            lambda: pair["a"],
            lambda: iter(1),
            lambda: object()(),
        ):
            try:
                try:
                    raise RuntimeError("outer")
                except RuntimeError:
                    action()
            except Exception as error:
                log.append(chain_of(error))
        return x, log

    same(program, X)


def test_reraise_keeps_the_object_and_its_context():
    def program(x):
        saved = []

        def again():
            try:
                raise ValueError("v")
            except ValueError as error:
                saved.append(error)
                try:
                    raise KeyError("k")
                except KeyError:
                    pass
                raise

        try:
            again()
        except ValueError as error:
            first = error is saved[0], chain_of(error)
        try:
            raise saved[0]
        except ValueError as error:
            return x, first, error is saved[0], chain_of(error)

    same(program, X)


def test_bare_raise_with_nothing_to_raise():
    def program(x):
        def helper():
            raise

        log = []
        try:
            raise
        except RuntimeError as error:
            log.append(str(error))
        try:
            raise KeyError("handled by the caller")
        except KeyError:
            try:
                helper()
            except KeyError as error:
                log.append(repr(error))
        return x, log

    same(program, X)


def test_finally_changes_the_outcome():
    def program(x):
        def returns_twice():
            try:
                return "first"
            finally:
                return "second"

        def keeps_value():
            value = [1]
            try:
                return value
            finally:
                value.append(2)
                value = "other"

        def break_loses_the_error():
            while True:
                try:
                    raise ValueError
                finally:
                    break
            return "lost"

        def continue_loses_the_error():
            for k in range(3):
                try:
                    if k < 2:
                        raise ValueError
                finally:
                    continue
            return k

        def nested():
            log = []
            try:
                try:
                    raise ValueError("inner")
                finally:
                    log.append("one")
                    try:
                        return log
                    finally:
                        log.append("two")
            finally:
                log.append("three")

        return (
            x,
            returns_twice(),
            keeps_value(),
            break_loses_the_error(),
            continue_loses_the_error(),
            nested(),
        )

    same(program, X)


def test_handler_expression_is_evaluated_late():
    def program(x):
        log = []

        def kinds():
            log.append("kinds")
            return (KeyError, ValueError)

        try:
            log.append("body")
        except kinds():
            log.append("never")
        try:
            raise ValueError
        except kinds():
            log.append("caught")
        kind = KeyError
        try:
            kind = IndexError
            raise IndexError
        except kind:
            log.append("late")
        return x, log

    same(program, X)


def test_exception_classes_with_state():
    def program(x):
        class Base(Exception):
            code = 0

            def __init__(self, *args, code=1, **details):
                super().__init__(*args)
                self.code = code
                self.details = details

            def __str__(self):
                return f"{self.code}:{super().__str__()}"

            def __eq__(self, other):
                return isinstance(other, Base) and self.code == other.code

            __hash__ = Exception.__hash__

        class Sub(Base, KeyError):
            def __init__(self, item):
                super().__init__(item, "extra", code=7, item=item)

        try:
            raise Sub(x)
        except LookupError as error:
            log = [len(error.args), error.code, error.details["item"] is x, error == Base(code=7)]
        try:
            raise Base("a", code=3)
        except Base as error:
            log += [str(error), error.args, error.with_traceback(None) is error]
        return x, log

    same(program, X)


def test_notes_and_arguments():
    def program(x):
        error = ValueError("a", 2, [3])
        error.add_note("first")
        error.add_note("second")
        error.extra = x
        try:
            raise error
        except ValueError as caught:
            caught.args = ("changed",)
            return caught.__notes__, caught.args, str(caught), repr(caught), caught.extra

    same(program, X)


def test_managers_see_and_change_exceptions():
    def program(x):
        log = []

        class Manager:
            def __init__(self, name, answer=False, error=None):
                self.name, self.answer, self.error = name, answer, error

            def __enter__(self):
                log.append(f"enter {self.name}")
                return self.name

            def __exit__(self, kind, error, trace):
                log.append((self.name, kind and kind.__name__, str(error), trace is None))
                if self.error is not None:
                    raise self.error
                return self.answer

        with Manager("a", True):
            raise ValueError("swallowed")
        try:
            with Manager("b", error=KeyError("replaced")):
                raise ValueError("original")
        except KeyError as error:
            log.append(chain_of(error))
        try:
            with Manager("c") as c, Manager("d", error=IndexError("from exit")) as d:
                log.append(c + d)
        except IndexError as error:
            log.append(chain_of(error))
        for k in range(2):
            with Manager(f"loop {k}"):
                if k == 0:
                    continue
        with contextlib.ExitStack() as stack:
            for name in "ef":
                stack.enter_context(Manager(name, name == "e"))
            raise RuntimeError("through the stack")
        return x, log

    same(program, X)


def test_enter_fails():
    def program(x):
        log = []

        class Failing:
            def __enter__(self):
                raise ValueError("in enter")

            def __exit__(self, *details):
                log.append("never")

        class Fine:
            def __enter__(self):
                return self

            def __exit__(self, *details):
                log.append(details[0].__name__)

        try:
            with Fine(), Failing():
                log.append("never")
        except ValueError as error:
            log.append(str(error))
        return x, log

    same(program, X)


def test_system_state_follows_handlers():
    def program(x):
        log = []

        def current():
            return repr(sys.exc_info()[1])

        log.append(current())
        try:
            raise KeyError(1)
        except KeyError:
            log.append(current())
            try:
                raise ValueError(2)
            except ValueError:
                log.append(current())
            log.append(current())
            with contextlib.suppress(IndexError):
                raise IndexError(3)
            log.append(current())
        finally:
            log.append(current())
        log.append(current())
        return x, log

    same(program, X)


def test_assertions():
    def program(x, n):
        log = []
        for value in range(3):
            try:
                assert value != n, f"value {value}"
                assert value < 2
                log.append(value)
            except AssertionError as error:
                log.append(error.args)
        return x, log

    same(program, X, 1)


def test_errors_of_tensors_can_be_handled():
    def program(x):
        log = []
        for action in (
            lambda: x + torch.ones(2),
            lambda: x @ torch.ones(2, 2),
            lambda: x.reshape(2, 2),
            lambda: x[5],
            lambda: x.sum(dim=3),
            lambda: torch.cat([x, torch.ones(2, 2)]),
            lambda: x.nothing,
            lambda: torch.nothing,
            lambda: x.view(-1, 0),
            lambda: x.to(torch.nothing),
        ):
            try:
                log.append(action())
            except (RuntimeError, IndexError, AttributeError) as error:
                log.append(
                    type(error).__name__
                )  # the text of shape errors is not that of the kernels
        return log

    same(program, X)


def test_exception_leaves_and_mutations_before_it_stay():
    def program(x, items, table):
        items.append(1)
        table["seen"] = True
        with contextlib.suppress(KeyError):
            items.append(table["missing"])
        items.append(2)
        raise LookupError(len(items))

    same(program, X, [], {})


def test_groups_may_be_caught_whole():
    def program(x):
        try:
            raise ExceptionGroup("several", [ValueError(1), KeyError(2)])
        except ExceptionGroup as group:
            return x, group.message, [repr(e) for e in group.exceptions]

    same(program, X)
