"""A small writer of LLVM IR text.

In: calls that read like the C one would write (`load`, `store`, `if_`, `loop`).   Out: the text of functions.
Keeps: the text names no address: functions of the process are called through a table of pointers that is filled after loading,
so that the object code is valid in every process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, final


class Value(NamedTuple):
    """An IR value."""

    type: str
    text: str


def i64(number: int) -> Value:
    """Give a 64-bit constant."""
    return Value("i64", str(number))


def i32(number: int) -> Value:
    """Give a 32-bit constant."""
    return Value("i32", str(number))


NULL: Final = Value("ptr", "null")


@final
class Module:
    """Functions and the table of external addresses that they use.

    Args:
        name: tells modules that are linked together apart.

    Attributes:
        table: the name of the global that holds the addresses.
    """

    def __init__(self, name: str) -> None:
        self.table: Final = f"gw_table_{name}"
        self._functions: list[str] = []
        self._globals: list[str] = []
        self.externals: list[str] = []
        """Names of the process's functions, in the order of the table."""
        self.exports: list[str] = []
        """Names of the functions and words that are reached from outside."""

    def external(self, name: str) -> int:
        """Give the index of a function of the process in the table."""
        if name not in self.externals:
            self.externals.append(name)
        return self.externals.index(name)

    def zeros(self, name: str, count: int) -> Value:
        """Give the address of `count` words that are 0 at first."""
        self._globals.append(f"@{name} = global [{count} x i64] zeroinitializer, align 8")
        self.exports.append(name)
        return Value("ptr", f"@{name}")

    def declare(self, name: str, result: str, params: Sequence[str]) -> None:
        """Let a function of another module be called."""
        self._functions.append(f"declare {result} @{name}({', '.join(params)})")

    @contextlib.contextmanager
    def function(
        self, name: str, result: str, params: Sequence[str], *, is_inlined: bool = False
    ) -> Iterator[Function]:
        """Write a function; its params are `function.params`."""
        function = Function(self, name, result, params)
        yield function
        self._functions.append(function.render(is_inlined=is_inlined))
        if not is_inlined:
            self.exports.append(name)

    def render(self) -> str:
        """Give the module's text."""
        size = max(len(self.externals), 1)
        table = f"@{self.table} = global [{size} x ptr] zeroinitializer, align 8"
        return "\n\n".join([table, *self._globals, *self._functions]) + "\n"


@final
class Function:
    """One function being written."""

    def __init__(self, module: Module, name: str, result: str, params: Sequence[str]) -> None:
        self.module: Final = module
        self.name: Final = name
        self.result: Final = result
        self.params: Final = [Value(kind, f"%p{number}") for number, kind in enumerate(params)]
        self._allocas: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._is_closed = False

    def render(self, *, is_inlined: bool) -> str:
        """Give the function's text."""
        params = ", ".join(f"{kind} {text}" for kind, text in self.params)
        kind = "internal" if is_inlined else ""
        attributes = "alwaysinline nounwind" if is_inlined else "nounwind"
        head = f"define {kind} {self.result} @{self.name}({params}) {attributes} {{\nentry:"
        ending = [] if self._is_closed else ["  unreachable"]
        return "\n".join(
            [head, *self._allocas, "  br label %start\nstart:", *self._lines, *ending, "}"]
        )

    def _new(self) -> str:
        self._count += 1
        return f"%t{self._count}"

    def _emit(self, kind: str, text: str) -> Value:
        name = self._new()
        self._line(f"{name} = {text}")
        return Value(kind, name)

    def _line(self, text: str) -> None:
        if not self._is_closed:
            self._lines.append(f"  {text}")

    def _label(self, name: str) -> None:
        self._lines.append(f"{name}:")
        self._is_closed = False

    def _close(self, text: str) -> None:
        self._line(text)
        self._is_closed = True

    # Memory and arithmetic.

    def at(self, pointer: Value, offset: int | Value) -> Value:
        """Give the pointer `offset` bytes behind `pointer`."""
        moved = i64(offset) if isinstance(offset, int) else offset
        return self._emit("ptr", f"getelementptr i8, ptr {pointer.text}, i64 {moved.text}")

    def load(self, kind: str, pointer: Value, offset: int | Value = 0) -> Value:
        """Read a value."""
        address = pointer if offset == 0 else self.at(pointer, offset)
        return self._emit(kind, f"load {kind}, ptr {address.text}, align {_ALIGNMENT[kind]}")

    def store(self, value: Value, pointer: Value, offset: int | Value = 0) -> None:
        """Write a value."""
        address = pointer if offset == 0 else self.at(pointer, offset)
        alignment = _ALIGNMENT[value.type]
        self._line(f"store {value.type} {value.text}, ptr {address.text}, align {alignment}")

    def binary(self, op: str, left: Value, right: Value | int) -> Value:
        """Compute `left op right`."""
        other = str(right) if isinstance(right, int) else right.text
        return self._emit(left.type, f"{op} {left.type} {left.text}, {other}")

    def add(self, left: Value, right: Value | int) -> Value:
        """Compute a sum."""
        return self.binary("add", left, right)

    def mul(self, left: Value, right: Value | int) -> Value:
        """Compute a product."""
        return self.binary("mul", left, right)

    def scaled(self, index: Value) -> Value:
        """Give the byte offset of word number `index`."""
        return self.binary("shl", index, 3)

    def compare(self, predicate: str, left: Value, right: Value | int) -> Value:
        """Compare integers or pointers; gives an i1."""
        other = str(right) if isinstance(right, int) else right.text
        return self._emit("i1", f"icmp {predicate} {left.type} {left.text}, {other}")

    def is_null(self, pointer: Value) -> Value:
        """Tell whether a pointer is null."""
        return self.compare("eq", pointer, NULL)

    def select(self, condition: Value, left: Value, right: Value) -> Value:
        """Give `left` where `condition` holds, else `right`."""
        return self._emit(
            left.type,
            f"select i1 {condition.text}, {left.type} {left.text}, {right.type} {right.text}",
        )

    def convert(self, op: str, value: Value, kind: str) -> Value:
        """Convert a value (`zext`, `trunc`, `ptrtoint`, `inttoptr`, `bitcast`)."""
        return self._emit(kind, f"{op} {value.type} {value.text} to {kind}")

    def array(self, size_bytes: Value) -> Value:
        """Reserve memory on the stack, until the function returns."""
        if size_bytes.text.isdecimal():
            name = self._new()
            self._allocas.append(f"  {name} = alloca i8, i64 {size_bytes.text}, align 16")
            return Value("ptr", name)
        return self._emit("ptr", f"alloca i8, i64 {size_bytes.text}, align 16")

    def variable(self, initial: Value) -> Value:
        """Give the place of a variable that holds `initial`."""
        name = self._new()
        self._allocas.append(f"  {name} = alloca {initial.type}, align 8")
        place = Value("ptr", name)
        self.store(initial, place)
        return place

    # Calls.

    def call(self, name: str, result: str, *args: Value) -> Value:
        """Call a function of this module."""
        return self._call(f"@{name}", result, args)

    def call_external(self, name: str, result: str, *args: Value) -> Value:
        """Call a function of the process."""
        index = self.module.external(name)
        table = Value("ptr", f"@{self.module.table}")
        return self._call(self.load("ptr", table, index * 8).text, result, args)

    def call_pointer(self, function: Value, result: str, *args: Value) -> Value:
        """Call the function at an address."""
        return self._call(function.text, result, args)

    def _call(self, callee: str, result: str, args: Sequence[Value]) -> Value:
        listed = ", ".join(f"{arg.type} {arg.text}" for arg in args)
        if result == "void":
            self._line(f"call void {callee}({listed})")
            return Value("void", "")
        return self._emit(result, f"call {result} {callee}({listed})")

    def address_of_external(self, name: str) -> Value:
        """Give what the table holds for a name: a function's or an object's address."""
        index = self.module.external(name)
        return self.load("ptr", Value("ptr", f"@{self.module.table}"), index * 8)

    # Control.

    def ret(self, value: Value | None = None) -> None:
        """Return."""
        self._close("ret void" if value is None else f"ret {value.type} {value.text}")

    @contextlib.contextmanager
    def if_(self, condition: Value) -> Iterator[None]:
        """Write what is done where `condition` (an i1) holds."""
        self._count += 1
        inside, after = f"then{self._count}", f"after{self._count}"
        self._close(f"br i1 {condition.text}, label %{inside}, label %{after}")
        self._label(inside)
        yield
        if not self._is_closed:
            self._close(f"br label %{after}")
        self._label(after)

    @contextlib.contextmanager
    def if_not(self, condition: Value) -> Iterator[None]:
        """Write what is done where `condition` does not hold."""
        with self.if_(self.binary("xor", condition, Value("i1", "true"))):
            yield

    @contextlib.contextmanager
    def loop(self, count: Value) -> Iterator[Value]:
        """Write what is done for each number below `count`."""
        place = self.variable(i64(0))
        with self.while_() as loop:
            index = self.load("i64", place)
            with self.if_(self.compare("sge", index, count)):
                loop.leave()
            yield index
            self.store(self.add(self.load("i64", place), 1), place)

    @contextlib.contextmanager
    def while_(self) -> Iterator[Loop]:
        """Write what is done again and again until `leave`."""
        self._count += 1
        loop = Loop(self, f"loop{self._count}", f"done{self._count}")
        self._close(f"br label %{loop.head}")
        self._label(loop.head)
        yield loop
        if not self._is_closed:
            self._close(f"br label %{loop.head}")
        self._label(loop.exit)

    def jump(self, label: str) -> None:
        """Go on at a label."""
        self._close(f"br label %{label}")


@final
class Loop:
    """A loop being written."""

    def __init__(self, function: Function, head: str, exit_label: str) -> None:
        self._function = function
        self.head: Final = head
        self.exit: Final = exit_label

    def leave(self) -> None:
        """Go on behind the loop."""
        self._function.jump(self.exit)

    def again(self) -> None:
        """Start the next round."""
        self._function.jump(self.head)


_ALIGNMENT: Final = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "ptr": 8, "double": 8}
