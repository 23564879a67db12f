"""The normalised instruction set: one form for the bytecode of CPython 3.11 to 3.14.

In: nothing.   Out: `Op`, `Instruction`, `Handler`, `Decoded`, made by `decode.decode` and read by the interpreter.

The machine that these instructions describe:

- A *value stack*. `NULL` stands for CPython's empty stack slots; only the places that say so below push or take it. The
  layout of the stack between raw instructions, NULLs included, is that of the running CPython, so that the depths of the exception
  table hold and a frame can be entered or left there (`entering.py`): a call's NULL is below the callable up to 3.12, above it later.
- *Slots*, by name: parameters, locals, cell variables and free variables in one namespace. A slot is unbound, or holds a value,
  or holds a *cell* (after `MAKE_CELL` and `COPY_FREE_VARS`). `LOAD_FAST`-like instructions see what the slot holds, the
  `DEREF` ones look inside the cell.
- Jump targets are indices into `Decoded.instructions`.
- When an instruction at index `i` raises, the handler is the entry with `start <= i < end` (`Decoded.handler_at`): the stack is
  cut to `depth`, then, if `pushes_position`, an int is pushed (any value will do: it stands for the position that `RERAISE`
  restores), then the exception, and control goes to `target`.

What has no meaning for an interpreter is gone: caches, `RESUME`, `NOP`, `PRECALL`, `EXTENDED_ARG`.

Stack effects are written `before → after`, top of the stack rightmost.
"""

from __future__ import annotations

import enum
from types import CodeType
from typing import Any, Final, NamedTuple

import msgspec


class Op(enum.IntEnum):
    """What an instruction does. Values count from 0, so that a list can be the dispatch table."""

    # the stack
    POP = 0
    """`x →`"""
    PUSH_NULL = enum.auto()
    """`→ NULL`"""
    COPY = enum.auto()
    """arg n ≥ 1: pushes a copy of the n-th item from the top (1 is the top). The item may be NULL."""
    SWAP = enum.auto()
    """arg n ≥ 2: exchanges the top with the n-th item from the top. Items may be NULL."""
    LOAD_CONST = enum.auto()
    """`→ arg`. The arg is any object: a constant of the code, a code object, or `AssertionError`, `NotImplementedError`,
    `tuple`, `all`, `any` themselves where the compiler names them directly."""

    # slots
    LOAD_FAST = enum.auto()
    """`→ slot`, arg: name. Unbound: UnboundLocalError."""
    LOAD_FAST_AND_CLEAR = enum.auto()
    """`→ slot`, arg: name; the slot becomes unbound. Pushes NULL when it was unbound; a cell is pushed as the cell."""
    STORE_FAST = enum.auto()
    """`x →`, arg: name. A NULL makes the slot unbound; a cell (from `LOAD_FAST_AND_CLEAR`) is put back as the cell."""
    DELETE_FAST = enum.auto()
    """arg: name. Unbound: UnboundLocalError."""
    MAKE_CELL = enum.auto()
    """arg: name. The slot gets a new cell with what the slot held (an empty cell when unbound)."""
    COPY_FREE_VARS = enum.auto()
    """arg: tuple of names. The slots get the cells of the function's closure, in that order."""
    LOAD_CLOSURE = enum.auto()
    """`→ cell`, arg: name. The cell itself."""
    LOAD_DEREF = enum.auto()
    """`→ content`, arg: name. Empty cell: UnboundLocalError for a cell variable, NameError for a free variable."""
    STORE_DEREF = enum.auto()
    """`x →`, arg: name."""
    DELETE_DEREF = enum.auto()
    """arg: name. Errors as `LOAD_DEREF`."""

    # names
    LOAD_GLOBAL = enum.auto()
    """`→ x`, arg: name. Globals, then builtins, else NameError."""
    STORE_GLOBAL = enum.auto()
    """`x →`, arg: name."""
    DELETE_GLOBAL = enum.auto()
    """arg: name."""
    LOAD_NAME = enum.auto()
    """`→ x`, arg: name. Class or module bodies: the namespace, then globals, then builtins."""
    STORE_NAME = enum.auto()
    """`x →`, arg: name."""
    DELETE_NAME = enum.auto()
    """arg: name."""
    LOAD_LOCALS = enum.auto()
    """`→ namespace` of a class or module body."""
    LOAD_FROM_DICT_OR_GLOBALS = enum.auto()
    """`mapping → x`, arg: name. The mapping, then globals, then builtins."""
    LOAD_FROM_DICT_OR_DEREF = enum.auto()
    """`mapping → x`, arg: name. The mapping, then the cell."""

    # attributes
    LOAD_ATTR = enum.auto()
    """`x → x.arg`"""
    STORE_ATTR = enum.auto()
    """`value x →`: `x.arg = value`."""
    DELETE_ATTR = enum.auto()
    """`x →`: `del x.arg`."""
    LOAD_SUPER_ATTR = enum.auto()
    """`super class self → attribute`, arg: `SuperAttr`: `super(class, self).name` for the builtin `super`; when
    `super` is another object: `super(class, self).name` or `super().name`, by `has_arguments`."""
    LOAD_SPECIAL = enum.auto()
    """`x → method`, arg: name (`__enter__`, `__exit__`, …). Looked up on the type, bound to `x`. Missing: TypeError
    `'T' object does not support the context manager protocol` (3.14 names T's module too), with ` (missed __exit__ method)`
    added when only `__exit__` is missing. A `with` statement starts with a load of `__exit__`, then of
    `__enter__`, then calls the latter."""

    # operators
    UNARY_OP = enum.auto()
    """`x → arg(x)`, arg: `operator.neg`, `.pos`, `.invert` or `.not_`."""
    BINARY_OP = enum.auto()
    """`x y → arg(x, y)`, arg: a function of `operator`, in-place ones (`operator.iadd`) and `operator.getitem` included."""
    COMPARE_OP = enum.auto()
    """`x y → arg(x, y)`, arg: `operator.lt`, `.le`, `.eq`, `.ne`, `.gt` or `.ge`."""
    IS_OP = enum.auto()
    """`x y → x is y`, arg: True for `is not`."""
    CONTAINS_OP = enum.auto()
    """`x y → x in y`, arg: True for `not in`."""
    TO_BOOL = enum.auto()
    """`x → bool(x)`. Rare: where a jump or `not` follows, it is left out, as these test the truth themselves."""
    STORE_SUBSCR = enum.auto()
    """`value x key →`: `x[key] = value`."""
    DELETE_SUBSCR = enum.auto()
    """`x key →`: `del x[key]`."""

    # jumps
    JUMP = enum.auto()
    """arg: target."""
    POP_JUMP_IF_TRUE = enum.auto()
    """`x →`, arg: target. Tests the truth of any object."""
    POP_JUMP_IF_FALSE = enum.auto()
    """`x →`, arg: target. Tests the truth of any object."""
    POP_JUMP_IF_NONE = enum.auto()
    """`x →`, arg: target."""
    POP_JUMP_IF_NOT_NONE = enum.auto()
    """`x →`, arg: target."""

    # iteration
    GET_ITER = enum.auto()
    """`x → iter(x)`"""
    FOR_ITER = enum.auto()
    """`iterator → iterator item`; exhausted: `iterator →` and jump to arg (past the loop)."""
    UNPACK_SEQUENCE = enum.auto()
    """`x → last … first`, arg: count. The first item ends on top."""
    UNPACK_EX = enum.auto()
    """`x → last … rest … first`, arg: `UnpackShape`. `before` items, a list of the rest, `after` items."""

    # containers and strings
    BUILD_TUPLE = enum.auto()
    """arg n: `x1 … xn → tuple`"""
    BUILD_LIST = enum.auto()
    """arg n: `x1 … xn → list`"""
    BUILD_SET = enum.auto()
    """arg n: `x1 … xn → set`"""
    BUILD_MAP = enum.auto()
    """arg n: `k1 v1 … kn vn → dict`"""
    BUILD_CONST_KEY_MAP = enum.auto()
    """arg n: `v1 … vn keys → dict`, keys a tuple of constants."""
    BUILD_STRING = enum.auto()
    """arg n: `s1 … sn → str`, the strings joined."""
    BUILD_SLICE = enum.auto()
    """arg 2: `start stop → slice`; arg 3: `start stop step → slice`."""
    LIST_TO_TUPLE = enum.auto()
    """`list → tuple`"""
    LIST_APPEND = enum.auto()
    """`x →`: appended to the list that is the arg-th from the top after the pop (1 is the top)."""
    SET_ADD = enum.auto()
    """`x →`: as `LIST_APPEND`, a set."""
    MAP_ADD = enum.auto()
    """`key value →`: as `LIST_APPEND`, a dict."""
    LIST_EXTEND = enum.auto()
    """`iterable →`: as `LIST_APPEND`. Not iterable: TypeError `Value after * must be an iterable, not T`."""
    SET_UPDATE = enum.auto()
    """`iterable →`: as `LIST_APPEND`, a set."""
    DICT_UPDATE = enum.auto()
    """`mapping →`: as `LIST_APPEND`, a dict. Not a mapping: TypeError `'T' object is not a mapping`."""
    DICT_MERGE = enum.auto()
    """`mapping →`: as `DICT_UPDATE`, for `**` in calls: a key that is there twice is a TypeError that names the callable, which
    is one of `a b` (as in `CALL`), the items arg + 3 and arg + 2 from the top after the pop."""
    CONVERT_VALUE = enum.auto()
    """`x → arg(x)`, arg: `str`, `repr` or `ascii`."""
    FORMAT_SIMPLE = enum.auto()
    """`x → format(x, "")`"""
    FORMAT_WITH_SPEC = enum.auto()
    """`x spec → format(x, spec)`"""
    BUILD_INTERPOLATION = enum.auto()
    """`value text → Interpolation`, or with a spec `value text spec → …`, arg: `InterpolationShape` (3.14's t-strings)."""
    BUILD_TEMPLATE = enum.auto()
    """`strings interpolations → Template` (3.14's t-strings)."""

    # calls and functions
    CALL = enum.auto()
    """`a b x1 … xn → result`, arg: `CallShape`, n is `num_args`, keyword values last. Of `a` and `b`, when one
    is NULL the other is the callable; when neither is, `a` is the callable and `b` its first argument."""
    CALL_EX = enum.auto()
    """`a b args → result`, or when arg is True `a b args kwargs → result`; `a` and `b` as in `CALL`. `args` is any iterable;
    `kwargs` is a mapping, or NULL for none."""
    MAKE_FUNCTION = enum.auto()
    """`code → function`"""
    SET_FUNCTION_PART = enum.auto()
    """`value function → function`, arg: `FunctionPart`."""
    RETURN_VALUE = enum.auto()
    """`x →`, and leaves."""
    LOAD_BUILD_CLASS = enum.auto()
    """`→ builtins.__build_class__`"""
    SETUP_ANNOTATIONS = enum.auto()
    """Gives the class or module namespace an `__annotations__` dict if it has none."""

    # modules
    IMPORT_NAME = enum.auto()
    """`level names → module`, arg: name."""
    IMPORT_FROM = enum.auto()
    """`module → module attribute`, arg: name."""

    # exceptions
    RAISE = enum.auto()
    """Raises: with arg 0 the current exception again; 1: `exception →`; 2: `exception cause →`."""
    RERAISE = enum.auto()
    """`exception →`, raised as it is. arg n > 0: the position to restore is the n-th item from the top after the
    pop (and stays)."""
    PUSH_EXC_INFO = enum.auto()
    """`exception → previous exception`: the exception becomes the current one; previous: what was current before, or None."""
    POP_EXCEPT = enum.auto()
    """`previous →`: previous becomes the current exception again."""
    CHECK_EXC_MATCH = enum.auto()
    """`exception type → exception bool`, type a class or a tuple of classes."""
    CHECK_EG_MATCH = enum.auto()
    """`exception type → rest match` (`except*`)."""
    WITH_EXCEPT_START = enum.auto()
    """`exit position previous exception → exit position previous exception result`: `exit(type, exception, traceback)`.
    arg: how many slots `exit` takes: 1, or 2 for `a b` as in `CALL`."""

    # generators
    RETURN_GENERATOR = enum.auto()
    """`→ sent`: makes the generator (or coroutine) of this frame and leaves with it; goes on here at the first
    resume, with what was sent (None)."""
    YIELD_VALUE = enum.auto()
    """`value → sent`"""
    GET_YIELD_FROM_ITER = enum.auto()
    """`x → iterator`: as `iter(x)`; generators (and coroutines in coroutines) stay as they are."""
    SEND = enum.auto()
    """`receiver value → receiver result`: `receiver.send(value)` (`next` for None). When it returns (StopIteration):
    `receiver value → returned` and jump to arg."""
    END_SEND = enum.auto()
    """`receiver value → value`"""
    CLEANUP_THROW = enum.auto()
    """`receiver sent exception → None value` when the exception is a StopIteration with that value; else raises it."""

    # match statements
    GET_LEN = enum.auto()
    """`x → x len(x)`"""
    MATCH_MAPPING = enum.auto()
    """`x → x bool`"""
    MATCH_SEQUENCE = enum.auto()
    """`x → x bool`"""
    MATCH_KEYS = enum.auto()
    """`x keys → x keys values`, values a tuple, or None when a key is missing."""
    MATCH_CLASS = enum.auto()
    """`x class names → attributes`, a tuple, or None for no match; arg: how many positional patterns."""

    # asynchronous code
    GET_AWAITABLE = enum.auto()
    """`x → iterator`; arg 1 after `__aenter__`, 2 after `__aexit__`, else 0."""
    GET_AITER = enum.auto()
    """`x → aiter(x)`"""
    GET_ANEXT = enum.auto()
    """`aiter → aiter awaitable`"""
    END_ASYNC_FOR = enum.auto()
    """`aiter exception →` when it is StopAsyncIteration; else raises it."""

    # rare helpers of the compiler
    INTRINSIC_1 = enum.auto()
    """`x → result`, arg: `Intrinsic`."""
    INTRINSIC_2 = enum.auto()
    """`x y → result`, arg: `Intrinsic`."""


class Intrinsic(enum.Enum):
    """What an `INTRINSIC_1` or `INTRINSIC_2` computes; values are CPython's names."""

    PRINT = "INTRINSIC_PRINT"
    """One argument: shows it as the interactive prompt does; gives None."""
    IMPORT_STAR = "INTRINSIC_IMPORT_STAR"
    """One: copies a module's names into the namespace; gives None."""
    STOPITERATION_ERROR = "INTRINSIC_STOPITERATION_ERROR"
    """One: an exception that leaves a generator; a StopIteration becomes a RuntimeError caused by it."""
    ASYNC_GEN_WRAP = "INTRINSIC_ASYNC_GEN_WRAP"
    """One: wraps a value that an asynchronous generator yields."""
    TYPEVAR = "INTRINSIC_TYPEVAR"
    PARAMSPEC = "INTRINSIC_PARAMSPEC"
    TYPEVARTUPLE = "INTRINSIC_TYPEVARTUPLE"
    SUBSCRIPT_GENERIC = "INTRINSIC_SUBSCRIPT_GENERIC"
    TYPEALIAS = "INTRINSIC_TYPEALIAS"
    PREP_RERAISE_STAR = "INTRINSIC_PREP_RERAISE_STAR"
    """Two: the original group and a list of what was raised; gives what is to be raised, or None."""
    TYPEVAR_WITH_BOUND = "INTRINSIC_TYPEVAR_WITH_BOUND"
    TYPEVAR_WITH_CONSTRAINTS = "INTRINSIC_TYPEVAR_WITH_CONSTRAINTS"
    SET_FUNCTION_TYPE_PARAMS = "INTRINSIC_SET_FUNCTION_TYPE_PARAMS"
    SET_TYPEPARAM_DEFAULT = "INTRINSIC_SET_TYPEPARAM_DEFAULT"


class FunctionPart(enum.Enum):
    """What a `SET_FUNCTION_PART` sets; values are CPython's flags."""

    DEFAULTS = 1
    """A tuple."""
    KW_DEFAULTS = 2
    """A dict."""
    ANNOTATIONS = 4
    """A tuple `name, annotation, …` or a dict."""
    CLOSURE = 8
    """A tuple of cells."""
    ANNOTATE = 16
    """3.14's function that computes the annotations."""


class CallShape(NamedTuple):
    """How a `CALL` finds its arguments."""

    num_args: int
    """Positional and keyword arguments together."""
    keywords: tuple[str, ...]
    """The names of the last ones."""


class UnpackShape(NamedTuple):
    """How many names stand before and after the starred one."""

    before: int
    after: int


class SuperAttr(NamedTuple):
    """The attribute of a `LOAD_SUPER_ATTR`."""

    name: str
    has_arguments: bool
    """`super(class, self)` was written with its arguments."""


class InterpolationShape(NamedTuple):
    """What a `BUILD_INTERPOLATION` takes."""

    conversion: str | None
    """`"s"`, `"r"`, `"a"` or None."""
    has_spec: bool


class Instruction(msgspec.Struct, frozen=True, eq=False):
    """One normalised instruction."""

    op: Op
    arg: Any
    """As `Op` says; None where it says nothing. Jump targets are indices of instructions."""
    line: int
    """Line in the user's file; 0 when the compiler made it up."""
    offset: int
    """Byte offset, in `code.co_code`, of the raw instruction that it came from (several can share one)."""


class Handler(msgspec.Struct, frozen=True):
    """An entry of the exception table, in indices of instructions."""

    start: int
    end: int
    """First index not covered."""
    target: int
    depth: int
    """What the stack is cut to."""
    pushes_position: bool
    """An int (CPython's lasti) is pushed before the exception."""


class Decoded(msgspec.Struct, frozen=True, eq=False):
    """A code object in normalised form."""

    code: CodeType
    instructions: tuple[Instruction, ...]
    handlers: tuple[Handler, ...]
    """In order of `start`; they do not overlap."""

    def handler_at(self, index: int) -> Handler | None:
        """Give the handler for an exception raised by instruction `index`, or None when it leaves the frame."""
        for handler in self.handlers:
            if handler.start <= index < handler.end:
                return handler
        return None

    def has_flag(self, flag: CodeFlag) -> bool:
        """Tell whether the code object has `flag`."""
        return bool(self.code.co_flags & flag)


class CodeFlag(enum.IntFlag):
    """Bits of `co_flags`."""

    NEWLOCALS = 0x2
    VARARGS = 0x4
    VARKEYWORDS = 0x8
    NESTED = 0x10
    GENERATOR = 0x20
    COROUTINE = 0x80
    ITERABLE_COROUTINE = 0x100
    ASYNC_GENERATOR = 0x200


JUMPS: Final = frozenset(
    {
        Op.JUMP,
        Op.POP_JUMP_IF_TRUE,
        Op.POP_JUMP_IF_FALSE,
        Op.POP_JUMP_IF_NONE,
        Op.POP_JUMP_IF_NOT_NONE,
        Op.FOR_ITER,
        Op.SEND,
    }
)
"""Instructions whose arg is the index of an instruction."""

LEAVES: Final = frozenset({Op.JUMP, Op.RETURN_VALUE, Op.RAISE, Op.RERAISE})
"""Instructions after which control never goes on to the next one."""
