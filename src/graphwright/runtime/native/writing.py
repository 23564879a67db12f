"""The idioms of the native functions: operands, slots, references, tensors.

In: a `Function` being written.   Out: the same, longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from graphwright.runtime.native.emitter import NULL, Function, Value, i32, i64
from graphwright.runtime.native.layout import Layout
from graphwright.runtime.native.records import INLINE_DIMS, WORD, Context, Frame, Outcome

TYPE_OFFSET: Final = 8
LENGTH_OFFSET: Final = 16
LIST_FLAG: Final = 1 << 25
TUPLE_FLAG: Final = 1 << 26
DICT_FLAG: Final = 1 << 29
STEP_PARAMS: Final = ("ptr", "ptr")


@final
class Writer:
    """Writes the body of a step function `int (frame, step)`.

    Args:
        function: the function being written.
        layout: where things are.
    """

    def __init__(self, function: Function, layout: Layout) -> None:
        self.fn: Final = function
        self.layout: Final = layout
        self.frame: Final = function.params[0]
        self.step: Final = function.params[1]

    # Outcomes.

    def go_on(self) -> None:
        """Return: the next step."""
        self.fn.ret(i32(Outcome.GO_ON))

    def fail(self) -> None:
        """Return: the guard does not hold."""
        self.fn.ret(i32(Outcome.GUARD_FAILED))

    def raise_(self) -> None:
        """Return: a Python exception is set."""
        self.fn.ret(i32(Outcome.ERROR))

    def fail_if(self, condition: Value) -> None:
        """Return that the guard does not hold, where `condition` holds."""
        with self.fn.if_(condition):
            self.fail()

    def fail_if_null(self, pointer: Value) -> None:
        """Return that the guard does not hold, where `pointer` is null; a pending exception is dropped."""
        with self.fn.if_(self.fn.is_null(pointer)):
            self.fn.call_external("PyErr_Clear", "void")
            self.fail()

    def raise_if_null(self, pointer: Value) -> None:
        """Return the pending exception, where `pointer` is null."""
        with self.fn.if_(self.fn.is_null(pointer)):
            self.raise_()

    # Operands and slots.

    def word(self, number: int, kind: str = "i64") -> Value:
        """Give operand `number` of the step (2 is the first)."""
        return self.fn.load(kind, self.step, number * WORD)

    def slot(self, number: int) -> Value:
        """Give the object in the slot whose offset is operand `number`."""
        slots = self.fn.load("ptr", self.frame, Frame.SLOTS)
        return self.fn.load("ptr", slots, self.word(number))

    def set_slot(self, number: int, value: Value) -> None:
        """Put an object into the slot whose offset is operand `number`."""
        slots = self.fn.load("ptr", self.frame, Frame.SLOTS)
        self.fn.store(value, slots, self.word(number))

    def symbol_place(self, offset: Value) -> Value:
        """Give the place of the size symbol at an offset."""
        return self.fn.at(self.fn.load("ptr", self.frame, Frame.SYMBOLS), offset)

    def context(self, field: Context) -> Value:
        """Give a pointer of the frame's context."""
        return self.fn.load("ptr", self.fn.load("ptr", self.frame, Frame.CONTEXT), field)

    # Objects.

    def type_of(self, value: Value) -> Value:
        """Give an object's type."""
        return self.fn.load("ptr", value, TYPE_OFFSET)

    def has_flag(self, value: Value, flag: int) -> Value:
        """Tell whether an object's type has a flag."""
        flags = self.fn.load("i64", self.type_of(value), self.layout.type_flags)
        return self.fn.compare("ne", self.fn.binary("and", flags, flag), 0)

    def fail_unless_flag(self, value: Value, flag: int) -> None:
        """Return that the guard does not hold, where the object's type lacks a flag."""
        with self.fn.if_not(self.has_flag(value, flag)):
            self.fail()

    def is_exactly(self, value: Value, type_name: str) -> Value:
        """Tell whether an object is of a type of CPython's, by the type's symbol."""
        return self.fn.compare("eq", self.type_of(value), self.fn.address_of_external(type_name))

    def length(self, value: Value) -> Value:
        """Give the length of a tuple or list."""
        return self.fn.load("i64", value, LENGTH_OFFSET)

    def own(self, value: Value) -> None:
        """Let the frame drop a reference at its end."""
        owned = self.fn.load("ptr", self.frame, Frame.OWNED)
        count = self.fn.load("i64", self.frame, Frame.NUM_OWNED)
        self.fn.store(value, owned, self.fn.scaled(count))
        self.fn.store(self.fn.add(count, 1), self.frame, Frame.NUM_OWNED)

    def drop(self, value: Value) -> None:
        """Drop a reference."""
        self.fn.call_external("Py_DecRef", "void", value)

    def hold(self, value: Value) -> None:
        """Take a reference."""
        self.fn.call_external("Py_IncRef", "void", value)

    def call_python(self, callable_: Value, args: Sequence[Value]) -> Value:
        """Call a Python callable; gives a new reference, or null with the exception set."""
        array = self.fn.array(i64(max(len(args), 1) * WORD))
        for number, arg in enumerate(args):
            self.fn.store(arg, array, number * WORD)
        return self.fn.call_external(
            "PyObject_Vectorcall", "ptr", callable_, array, i64(len(args)), NULL
        )

    def is_true_object(self, value: Value) -> Value:
        """Tell whether an object is `True`."""
        return self.fn.compare("eq", value, self.fn.address_of_external("_Py_TrueStruct"))

    def ask_python(self, callable_: Value, args: Sequence[Value]) -> None:
        """Return that the guard does not hold, unless a Python predicate gives `True`."""
        answer = self.call_python(callable_, args)
        self.raise_if_null(answer)
        self.drop(answer)
        with self.fn.if_not(self.is_true_object(answer)):
            self.fail()

    # Tensors.

    def impl(self, tensor: Value) -> Value:
        """Give the TensorImpl of a tensor object."""
        return self.fn.load("ptr", tensor, self.layout.tensor_impl)

    def data(self, impl: Value, item_bytes: Value) -> Value:
        """Give the address of a TensorImpl's first element."""
        storage = self.fn.load("ptr", impl, self.layout.storage)
        start = self.fn.load("ptr", storage, self.layout.data)
        offset = self.fn.load("i64", impl, self.layout.storage_offset)
        return self.fn.at(start, self.fn.mul(offset, item_bytes))

    def ndim(self, impl: Value) -> Value:
        """Give the number of dimensions."""
        return self.fn.load("i64", impl, self.layout.sizes)

    def sizes(self, impl: Value, ndim: Value) -> tuple[Value, Value]:
        """Give the addresses of the sizes and of the strides."""
        inline = self.fn.at(impl, self.layout.sizes + WORD)
        outside = self.fn.load("ptr", inline)
        is_inline = self.fn.compare("sle", ndim, INLINE_DIMS)
        sizes = self.fn.select(is_inline, inline, outside)
        distance = self.fn.select(is_inline, i64(INLINE_DIMS * WORD), self.fn.scaled(ndim))
        return sizes, self.fn.at(sizes, distance)
