"""Random programs of Python and tensors, as source text that Hypothesis can shrink.

In: Hypothesis' draws.   Out: the source of a function `program(x, y, n, flag)`: `x` and `y` of shape (2, 3), `n` a small
int, `flag` a bool.

A program keeps tensors of one shape, ints, lists of tensors and dicts, and returns all of them at its end, so that whatever it
did is compared. It may raise: eager then says what is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

HEADER: Final = """
import contextlib
import torch


class Box:
    def __init__(self, value, size=0):
        self.value = value
        self.size = size

    def grow(self, by):
        self.size += by
        return self

    @property
    def doubled(self):
        return self.value * 2

    def __add__(self, other):
        return Box(self.value + other.value, self.size + other.size)


@contextlib.contextmanager
def noted(log, name):
    log.append("in " + name)
    try:
        yield len(log)
    finally:
        log.append("out " + name)


def counting(limit):
    for value in range(limit):
        yield value
"""

UNARY: Final = ("relu", "sin", "tanh", "neg", "abs", "sigmoid", "square", "clone")
IN_PLACE: Final = ("add_(1)", "mul_(2)", "neg_()", "clamp_(-1, 1)", "sub_({})", "copy_({})")
BINARY: Final = ("+", "-", "*")
COMPARE: Final = ("<", "<=", "==", "!=", ">", ">=")
MAX_DEPTH: Final = 3


class Writer:
    """Writes one program, statement by statement."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.tensors = ["x", "y"]
        self.ints = ["n"]
        self.lists = ["items"]
        self.dicts = ["table"]
        self.boxes = ["box"]
        self.made = 0

    def pick(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def fresh(self, kind: str) -> str:
        self.made += 1
        return f"{kind}{self.made}"

    def emit(self, depth: int, text: str) -> None:
        self.lines.append("    " * (depth + 1) + text)

    # --- expressions

    def tensor(self, depth: int = 0) -> str:
        kind = self.number(0, 8 if depth < 2 else 1)
        match kind:
            case 0 | 1:
                return str(self.pick(self.tensors))
            case 2:
                return f"{self.tensor(depth + 1)}.{self.pick(UNARY)}()"
            case 3:
                return f"({self.tensor(depth + 1)} {self.pick(BINARY)} {self.tensor(depth + 1)})"
            case 4:
                return f"({self.tensor(depth + 1)} {self.pick(BINARY)} {self.int_(depth + 1)})"
            case 5:
                return f"torch.where({self.tensor(depth + 1)} > 0, {self.tensor(depth + 1)}, {self.tensor(depth + 1)})"
            case 6:
                return f"({self.tensor(depth + 1)} if {self.condition(depth + 1)} else {self.tensor(depth + 1)})"
            case 7:
                return f"{self.pick(self.boxes)}.{self.pick(('value', 'doubled'))}"
            case _:
                return f"sum({self.pick(self.lists)}, {self.tensor(depth + 1)})"

    def int_(self, depth: int = 0) -> str:
        kind = self.number(0, 6 if depth < 2 else 1)
        match kind:
            case 0:
                return str(self.pick(self.ints))
            case 1:
                return str(self.number(0, 4))
            case 2:
                return (
                    f"({self.int_(depth + 1)} {self.pick(('+', '-', '*'))} {self.int_(depth + 1)})"
                )
            case 3:
                return f"len({self.pick((*self.lists, *self.dicts))})"
            case 4:
                return f"{self.pick(self.tensors)}.shape[{self.number(0, 1)}]"
            case 5:
                return f"{self.pick(self.boxes)}.size"
            case _:
                return f"({self.int_(depth + 1)} % {self.number(1, 3)})"

    def condition(self, depth: int = 0) -> str:
        kind = self.number(0, 5 if depth < 2 else 1)
        match kind:
            case 0:
                return "flag"
            case 1:
                return f"{self.int_(depth + 1)} {self.pick(COMPARE)} {self.int_(depth + 1)}"
            case 2:
                return f"not {self.pick(self.lists)}"
            case 3:
                return f"({self.condition(depth + 1)} {self.pick(('and', 'or'))} {self.condition(depth + 1)})"
            case 4:
                return f"{self.int_(depth + 1)} in {self.pick(self.dicts)}"
            case _:
                return f"{self.pick(self.tensors)} is {self.pick(self.tensors)}"

    # --- statements

    def block(self, depth: int, count: int, *, in_loop: bool = False) -> None:
        kept = [list(names) for names in self._scopes()]
        for _ in range(count):
            self.statement(depth, in_loop=in_loop)
        for names, old in zip(self._scopes(), kept, strict=True):
            names[:] = old  # what a branch binds may be unbound after it

    def _scopes(self) -> tuple[list[str], ...]:
        return self.tensors, self.ints, self.lists, self.dicts, self.boxes

    def statement(self, depth: int, *, in_loop: bool) -> None:
        simple = (
            self._assign_tensor, self._assign_int, self._update, self._in_place, self._lists, self._dicts,
            self._boxes, self._swap, self._unpack, self._comprehension, self._rebind,
        )  # fmt: skip
        nested = (
            self._if,
            self._for,
            self._while,
            self._try,
            self._with,
            self._function,
            self._no_grad,
        )
        options = simple if depth >= MAX_DEPTH else (*simple, *nested)
        self.pick(options)(depth)
        if in_loop and self.number(0, 5) == 0:
            self.emit(depth, f"if {self.condition()}:")
            self.emit(depth + 1, self.pick(("break", "continue")))

    def _assign_tensor(self, depth: int) -> None:
        name = self.fresh("t")
        self.emit(depth, f"{name} = {self.tensor()}")
        self.tensors.append(name)

    def _assign_int(self, depth: int) -> None:
        name = self.fresh("i")
        self.emit(depth, f"{name} = {self.int_()}")
        self.ints.append(name)

    def _rebind(self, depth: int) -> None:
        self.emit(depth, f"{self.pick(self.tensors)} = {self.tensor()}")

    def _update(self, depth: int) -> None:
        if self.number(0, 1):
            self.emit(
                depth, f"{self.pick(self.ints)} {self.pick(('+=', '-=', '*='))} {self.int_()}"
            )
        else:
            self.emit(
                depth, f"{self.pick(self.tensors)} {self.pick(('+=', '-=', '*='))} {self.tensor()}"
            )

    def _in_place(self, depth: int) -> None:
        target = self.pick(self.tensors)
        place = self.pick(("", "[0]", "[:, 1]"))
        value = f"{self.pick(self.tensors)}{place}"
        self.emit(depth, f"{target}{place}.{self.pick(IN_PLACE).format(value)}")

    def _lists(self, depth: int) -> None:
        name = self.pick(self.lists)
        match self.number(0, 4):
            case 0 | 1:
                self.emit(depth, f"{name}.append({self.tensor()})")
            case 2:
                self.emit(
                    depth, f"{self.pick(self.tensors)} = {name}.pop({self.pick(('', '0', '-1'))})"
                )
            case 3:
                self.emit(depth, f"{name}[{self.number(-2, 1)}] = {self.tensor()}")
            case _:
                made = self.fresh("l")
                self.emit(
                    depth,
                    f"{made} = {name}[{self.pick((':', '1:', '::-1', ':-1'))}] + [{self.tensor()}]",
                )
                self.lists.append(made)

    def _dicts(self, depth: int) -> None:
        name = self.pick(self.dicts)
        match self.number(0, 3):
            case 0 | 1:
                self.emit(depth, f"{name}[{self.int_()}] = {self.tensor()}")
            case 2:
                self.emit(
                    depth, f"{self.pick(self.tensors)} = {name}.get({self.int_()}, {self.tensor()})"
                )
            case _:
                self.emit(depth, f"{name}.pop({self.int_()}{self.pick((', None', ''))})")

    def _boxes(self, depth: int) -> None:
        match self.number(0, 3):
            case 0:
                name = self.fresh("b")
                self.emit(depth, f"{name} = Box({self.tensor()}, size={self.int_()})")
                self.boxes.append(name)
            case 1:
                self.emit(
                    depth, f"{self.pick(self.boxes)}.grow({self.int_()}).value = {self.tensor()}"
                )
            case 2:
                self.emit(
                    depth,
                    f"{self.pick(self.boxes)} = {self.pick(self.boxes)} + {self.pick(self.boxes)}",
                )
            case _:
                self.emit(depth, f"{self.pick(self.tensors)} = {self.pick(self.boxes)}.missing")

    def _swap(self, depth: int) -> None:
        first, second = self.pick(self.tensors), self.pick(self.tensors)
        self.emit(depth, f"{first}, {second} = {second}, {self.tensor()}")

    def _unpack(self, depth: int) -> None:
        first, rest = self.fresh("t"), self.fresh("l")
        self.emit(depth, f"{first}, *{rest} = [{self.tensor()}, *{self.pick(self.lists)}]")
        self.tensors.append(first)
        self.lists.append(rest)

    def _comprehension(self, depth: int) -> None:
        name = self.fresh("l")
        body = f"{self.pick(self.tensors)} * k + {self.int_()}"
        self.emit(
            depth,
            f"{name} = [{body} for k in {self.pick(('range(3)', 'counting(2)'))} if k != {self.int_(2)}]",
        )
        self.lists.append(name)

    def _if(self, depth: int) -> None:
        self.emit(depth, f"if {self.condition()}:")
        self.block(depth + 1, self.number(1, 3))
        if self.number(0, 1):
            self.emit(depth, "else:")
            self.block(depth + 1, self.number(1, 2))

    def _for(self, depth: int) -> None:
        name = self.fresh("k")
        source = self.pick(
            ("range(3)", "range(n)", "counting(2)", f"list({self.pick(self.dicts)})")
        )
        self.emit(depth, f"for {name} in {source}:")
        self.ints.append(name)
        self.block(depth + 1, self.number(1, 3), in_loop=True)
        self.ints.remove(name)
        if self.number(0, 3) == 0:
            self.emit(depth, "else:")
            self.block(depth + 1, 1)

    def _while(self, depth: int) -> None:
        name = self.fresh("w")
        self.emit(depth, f"{name} = {self.number(1, 3)}")
        self.emit(depth, f"while {name} > 0:")
        self.emit(depth + 1, f"{name} -= 1")
        self.block(depth + 1, self.number(1, 2), in_loop=True)

    def _try(self, depth: int) -> None:
        self.emit(depth, "try:")
        self.block(depth + 1, self.number(1, 2))
        if self.number(0, 1):
            self.emit(depth + 1, f"if {self.condition()}:")
            self.emit(depth + 2, f"raise {self.pick(('ValueError', 'KeyError'))}({self.int_()})")
        self.emit(
            depth,
            f"except {self.pick(('ValueError', '(KeyError, IndexError)', 'Exception'))} as error:",
        )
        self.emit(depth + 1, "log.append(str(error))")
        self.block(depth + 1, 1)
        if self.number(0, 2) == 0:
            self.emit(depth, "finally:")
            self.block(depth + 1, 1)

    def _with(self, depth: int) -> None:
        name = self.fresh("i")
        self.emit(depth, f"with noted(log, {name!r}) as {name}:")
        self.ints.append(name)
        self.block(depth + 1, self.number(1, 2))
        self.ints.remove(name)

    def _no_grad(self, depth: int) -> None:
        self.emit(depth, "with torch.no_grad():")
        self.block(depth + 1, self.number(1, 2))

    def _function(self, depth: int) -> None:
        name, parameter, result = self.fresh("f"), self.fresh("p"), self.fresh("t")
        self.emit(depth, f"def {name}({parameter}, scale={self.int_()}):")
        self.emit(depth + 1, f"return {parameter} * scale + {self.pick(self.ints)}")
        self.emit(
            depth, f"{result} = {name}({self.tensor()}) + {name}({self.tensor()}, {self.int_()})"
        )
        self.tensors.append(result)


@st.composite
def programs(draw: Draw) -> str:
    """Give the source of a module that defines `program`."""
    writer = Writer(draw)
    for _ in range(writer.number(2, 8)):
        writer.statement(0, in_loop=False)
    results = [*writer.tensors, *writer.ints, *writer.lists, *writer.dicts, *writer.boxes]
    body = "\n".join(writer.lines)
    return (
        f"{HEADER}\n\ndef program(x, y, n, flag):\n"
        "    items, table, log, box = [x + 1], {0: y, 1: x}, [], Box(x, 1)\n"
        f"{body}\n    return {', '.join(results)}, log\n"
    )
