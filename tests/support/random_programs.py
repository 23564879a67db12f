"""Random programs of Python and tensors, as source text that Hypothesis can shrink.

In: Hypothesis' draws.   Out: the source of a function `program(x, y, n, flag)`: `x` and `y` of shape (2, 3), `n` a small
int, `flag` a bool.

A program keeps tensors of one shape, ints, lists of tensors, dicts, sets of ints and texts, and returns all of them at its end, so
that whatever it did is compared. It reads and changes `STATE`, an object that lives from call to call and that the caller changes in
between, and the global `COUNT`. It may raise: eager then says what is expected.
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


def echoing(value):
    try:
        for _ in range(3):
            got = yield value
            value = value if got is None else value + got
    finally:
        STATE.log.append("closed")


class Ranked:
    def __init__(self, rank):
        self.rank = rank

    def __eq__(self, other):
        return isinstance(other, Ranked) and self.rank == other.rank

    def __lt__(self, other):
        if not isinstance(other, Ranked):
            return NotImplemented
        return self.rank < other.rank

    def __getattr__(self, name):
        if name.startswith("with_"):
            return self.rank
        raise AttributeError(name)

    def __repr__(self):
        return f"Ranked({self.rank})"


def spread(first, *rest, scale=1, **more):
    return (first + len(rest)) * scale + len(more)


class Holder:
    def __init__(self):
        self.items = []
        self.table = {"a": 1}
        self.log = []
        self.count = 0
        self.box = Box(torch.ones(2, 3), 1)


STATE = Holder()
COUNT = 0
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
        self.lists = ["items", "STATE.items"]
        self.dicts = ["table"]
        self.boxes = ["box", "STATE.box"]
        self.sets = ["members"]
        self.texts = ["text"]
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
        kind = self.number(0, 11 if depth < 2 else 1)
        match kind:
            case 7:
                return self.pick(("STATE.count", "COUNT", "len(STATE.log)"))
            case 8:
                return f"len({self.pick((*self.sets, *self.texts))})"
            case 9:
                return f"STATE.table.get({self.pick('abc')!r}, {self.int_(depth + 1)})"
            case 10:
                return f"spread({self.int_(depth + 1)}, *range({self.number(0, 2)}), scale={self.int_(depth + 1)}, **{{'k': 1}})"
            case 11:
                return (
                    f"sum(k for k in counting({self.number(0, 3)}) if k != {self.int_(depth + 1)})"
                )
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
        kind = self.number(0, 8 if depth < 2 else 1)
        match kind:
            case 6:
                return f"{self.int_(depth + 1)} in {self.pick(self.sets)}"
            case 7:
                return f"Ranked({self.int_(depth + 1)}) {self.pick(COMPARE)} Ranked({self.int_(depth + 1)})"
            case 8:
                return f"{self.pick('abc')!r} in {self.pick((*self.texts, 'STATE.table'))}"
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
        return self.tensors, self.ints, self.lists, self.dicts, self.boxes, self.sets, self.texts

    def statement(self, depth: int, *, in_loop: bool) -> None:
        simple = (
            self._assign_tensor, self._assign_int, self._update, self._in_place, self._lists, self._dicts,
            self._boxes, self._swap, self._unpack, self._comprehension, self._rebind, self._state, self._global, self._sets, self._texts,
            self._ranked, self._generator, self._dict_views, self._alias,
        )  # fmt: skip
        nested = (
            self._if,
            self._for,
            self._while,
            self._try,
            self._with,
            self._function,
            self._no_grad,
            self._closure,
            self._match,
            self._walk,
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

    def _state(self, depth: int) -> None:
        match self.number(0, 6):
            case 0:
                self.emit(depth, f"STATE.count {self.pick(('=', '+=', '-='))} {self.int_()}")
            case 1:
                self.emit(depth, f"STATE.table[{self.pick('abc')!r}] = {self.int_()}")
            case 2:
                self.emit(depth, f"del STATE.table[{self.pick('abc')!r}]")
            case 3:
                self.emit(depth, f"STATE.log.append({self.int_()})")
            case 4:
                self.emit(depth, f"STATE.box = {self.pick(self.boxes)}")
            case 5:
                self.emit(depth, f"STATE.items {self.pick(('=', '+='))} [{self.tensor()}]")
            case _:
                self.emit(depth, f"STATE.{self.pick(('extra', 'count'))} = {self.int_()}")
                self.emit(depth, f"log.append(getattr(STATE, 'extra', {self.int_()}))")

    def _global(self, depth: int) -> None:
        self.emit(depth, f"COUNT {self.pick(('=', '+='))} {self.int_()}")

    def _sets(self, depth: int) -> None:
        name = self.pick(self.sets)
        match self.number(0, 3):
            case 0:
                self.emit(depth, f"{name}.{self.pick(('add', 'discard', 'remove'))}({self.int_()})")
            case 1:
                operator = self.pick(("|", "&", "-", "^"))
                self.emit(depth, f"{name} {operator}= {{{self.int_()}, {self.int_()}}}")
            case 2:
                made = self.fresh("s")
                self.emit(depth, f"{made} = {{k % 3 for k in {name}}}")
                self.sets.append(made)
            case _:
                self.emit(depth, f"log.append(sorted({name}))")

    def _texts(self, depth: int) -> None:
        name = self.fresh("c")
        value = self.pick(
            (
                f"f'{{{self.pick(self.ints)}:>3}}|{{{self.pick(self.texts)}!r}}'",
                f"{self.pick(self.texts)}.replace({self.pick('abc')!r}, 'xy')",
                f"'%d-%s' % ({self.int_()}, {self.pick(self.texts)})",
                f"','.join(sorted({self.pick(self.texts)}))",
                f"{self.pick(self.texts)}[{self.int_()}]",
                f"{self.pick(self.texts)}.split('b')[-1] * ({self.int_()} % 3)",
            )
        )
        self.emit(depth, f"{name} = ({value})[:30]")
        self.texts.append(name)

    def _ranked(self, depth: int) -> None:
        name = self.fresh("r")
        ranks = ", ".join(f"Ranked({self.int_()})" for _ in range(self.number(1, 3)))
        self.emit(depth, f"{name} = [{ranks}]")
        use = self.pick(
            (
                f"{name}.sort()",
                f"{name}.sort(key=lambda r: -r.rank)",
                f"{name}.remove(Ranked({self.int_()}))",
                f"log.append({name}.index(Ranked({self.int_()})))",
                f"log.append({name}.count(Ranked({self.int_()})))",
                f"log.append(max({name}).rank)",
                f"log.append({name} == list({name}))",
                f"log.append({name}[0].with_{self.pick('abc')} + {name}[-1].{self.pick(('rank', 'missing'))})",
            )
        )
        self.emit(depth, use)
        self.emit(depth, f"log.append([r.rank for r in {name}])")

    def _generator(self, depth: int) -> None:
        name, result = self.fresh("g"), self.fresh("t")
        self.emit(depth, f"{name} = echoing({self.tensor()})")
        self.emit(depth, f"{result} = next({name}) + {name}.send({self.tensor()})")
        self.tensors.append(result)
        end = self.pick(
            (
                f"{name}.close()",
                f"{result} = next({name}); {name}.close()",
                f"log.append(len(list({name})))",
                f"{name}.throw(KeyError(1))",
            )
        )
        self.emit(depth, end)

    def _dict_views(self, depth: int) -> None:
        name = self.pick(self.dicts)
        self.emit(
            depth, f"log.append([*{name}, len({name}.values()), {self.int_()} in {name}.keys()])"
        )

    def _alias(self, depth: int) -> None:
        name = self.fresh("l")
        self.emit(depth, f"{name} = {self.pick(self.lists)}")
        self.emit(depth, f"{name}.append({self.tensor()})")
        self.lists.append(name)

    def _closure(self, depth: int) -> None:
        name, variable, result = self.fresh("f"), self.fresh("v"), self.fresh("i")
        self.emit(depth, f"{variable} = {self.int_()}")
        self.emit(depth, f"def {name}(by=1):")
        self.emit(depth + 1, f"{self.pick(('nonlocal', 'nonlocal'))} {variable}")
        self.emit(depth + 1, f"{variable} += by")
        self.emit(depth + 1, f"if {variable} > {self.number(2, 6)}:")
        self.emit(depth + 2, f"raise {self.pick(('ValueError', 'KeyError'))}({variable})")
        self.emit(depth + 1, f"return lambda: ({variable}, by)")
        self.emit(
            depth,
            f"{result} = {name}({self.int_()})()[0] + {name}()()[{self.number(0, 1)}] + {variable}",
        )
        self.ints.append(result)

    def _match(self, depth: int) -> None:
        first, second = self.fresh("i"), self.fresh("i")
        subject = self.pick(
            (
                f"({self.int_()}, {self.int_()})",
                f"[{self.int_()}, {self.int_()}, {self.int_()}]",
                f"{{'a': {self.int_()}, 'b': {self.int_()}}}",
                self.int_(),
                "STATE.table",
                self.pick(self.boxes),
            )
        )
        self.emit(depth, f"match {subject}:")
        for pattern in (
            f"({first}, 1 | 2 as {second})",
            f"[{first}, *_, {second}] if {first} > {second}",
            f"{{'a': {first}, 'b': {second}}}",
            f"Box(size={first} as {second})",
            "0 | 1",
        ):
            if self.number(0, 1):
                self.emit(depth + 1, f"case {pattern}:")
                names = [n for n in (first, second) if n in pattern]
                self.emit(
                    depth + 2,
                    f"log.append(({', '.join(names)},))" if names else "log.append('small')",
                )
                self.block(depth + 2, 1)
        self.emit(depth + 1, "case _:")
        self.emit(depth + 2, "log.append('other')")

    def _walk(self, depth: int) -> None:
        """Iterate over what may change meanwhile."""
        name = self.fresh("w")
        source = self.pick(
            (
                f"{self.pick(self.lists)}[:4]",
                "STATE.table",
                f"sorted({self.pick(self.sets)})",
                f"list({self.pick(self.texts)})[:3]",
            )
        )
        self.emit(depth, f"for {name} in {source}:")
        self.block(depth + 1, self.number(1, 2), in_loop=True)


@st.composite
def programs(draw: Draw) -> str:
    """Give the source of a module that defines `program`."""
    writer = Writer(draw)
    for _ in range(writer.number(2, 8)):
        writer.statement(0, in_loop=False)
    results = [*writer.tensors, *writer.ints, *writer.lists, *writer.dicts, *writer.boxes]
    results += [*writer.texts, *(f"sorted({name})" for name in writer.sets)]
    body = "\n".join(writer.lines)
    return (
        f"{HEADER}\n\ndef program(x, y, n, flag):\n"
        "    global COUNT\n"
        "    items, table, log, box = [x + 1], {0: y, 1: x}, [], Box(x, 1)\n"
        "    members, text = {n, 1}, 'abc'\n"
        f"{body}\n    return {', '.join(results)}, log\n"
    )
