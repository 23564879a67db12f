"""A writer of LLVM IR text for one function, with operations that work on any number of lanes.

In: `Value`s.   Out: lines of text, and the intrinsics and functions that they call.
Keeps: an operation with a uniform and a vector operand first copies the uniform one to all lanes; the result has the
lanes of its widest operand. Instructions go to the current block; `entry` collects those that belong to the function's first block.
Does not: optimise. What folds here are index computations on literals only, to keep the text short.
"""

from __future__ import annotations

import math
import struct

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.c_functions import EXTERN_PREFIX
from graphwright.codegen.llvm.types import INT_OF_BITS, Kind, Value, mangled, type_text

Int = int | str
"""An i64 that is known now, or the name of one."""


def float_text(value: float, kind: Kind) -> str:
    """Give LLVM's spelling of a float literal, rounded to `kind`."""
    if kind is Kind.F16:
        return f"0xH{struct.unpack('<H', half_bytes(value))[0]:04X}"
    if kind is Kind.F32:
        value = round_to_float(value)
    bits = (
        0x7FF8000000000000
        if math.isnan(value)
        else struct.unpack("<Q", struct.pack("<d", value))[0]
    )
    return f"0x{bits:016X}"


def half_bytes(value: float) -> bytes:
    """Give the two bytes of the float16 nearest to `value`; too large becomes infinity."""
    try:
        return struct.pack("<e", value)
    except OverflowError:
        return struct.pack("<e", math.copysign(math.inf, value))


def round_to_float(value: float) -> float:
    """Give the float32 nearest to `value`; too large becomes infinity."""
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def bfloat16_bits(value: float) -> int:
    """Give the bits of the bfloat16 nearest to `value`, ties to even."""
    bits: int = struct.unpack("<I", struct.pack("<f", round_to_float(value)))[0]
    if math.isnan(value):
        return 0x7FC0
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


class Declarations:
    """What the functions of a module call: declarations of what is outside, helper functions written once; by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, str] = {}
        self.helpers: dict[str, str] = {}

    def add(self, function: str, result: str, parameters: list[str]) -> None:
        """Note that a function is called."""
        if function not in self.by_name:
            text = f"declare {result} @{function}({', '.join(parameters)})"
            self.by_name[function] = text

    def render(self) -> str:
        """Give the text of all declarations and helper functions."""
        return "\n".join([*self.by_name.values(), *self.helpers.values()])


def _lane_loop(name: str, function: str, kind: Kind, lanes: int, num_args: int) -> str:
    """Give a function that applies a scalar C function to each lane of its vectors."""
    wide, element = type_text(kind, lanes), kind.value
    parameters = ", ".join(f"{wide} %a{number}" for number in range(num_args))
    extracts = [
        f"%x{number} = extractelement {wide} %a{number}, i64 %lane" for number in range(num_args)
    ]
    operands = ", ".join(f"{element} %x{number}" for number in range(num_args))
    return "\n".join(
        [
            f"define private {wide} @{name}({parameters}) noinline cold nounwind #0 {{",
            "entry:",
            "br label %loop",
            "loop:",
            "%lane = phi i64 [ 0, %entry ], [ %next, %loop ]",
            f"%sofar = phi {wide} [ poison, %entry ], [ %more, %loop ]",
            *extracts,
            f"%y = call {element} @{function}({operands})",
            f"%more = insertelement {wide} %sofar, {element} %y, i64 %lane",
            "%next = add i64 %lane, 1",
            f"%going = icmp ult i64 %next, {lanes}",
            "br i1 %going, label %loop, label %done",
            "done:",
            f"ret {wide} %more",
            "}",
        ]
    )


class Builder:
    """The body of one function while it is written."""

    def __init__(
        self, declarations: Declarations, *, has_avx512: bool, can_contract: bool = True
    ) -> None:
        self.has_avx512 = has_avx512
        self.contraction = " contract" if can_contract else ""
        """Flag of float sums and products that may become parts of one instruction that rounds once."""
        self.entry: list[str] = []
        self.lines: list[str] = []
        self.block = "start"
        self._block_start = 0
        self._declarations = declarations
        self._count = 0

    # names, blocks and raw lines

    def fresh(self) -> str:
        """Give a new local name."""
        self._count += 1
        return f"%t{self._count}"

    def label(self, stem: str) -> str:
        """Give a new block name."""
        self._count += 1
        return f"{stem}.{self._count}"

    def start_block(self, label: str) -> None:
        """End nothing, begin block `label`: what is written next goes there."""
        self.lines.append(f"{label}:")
        self.block = label
        self._block_start = len(self.lines)

    def lines_of_block(self) -> list[str]:
        """Give what was written in the present block so far."""
        return self.lines[self._block_start :]

    def branch(self, label: str) -> None:
        """Go to `label`."""
        self.lines.append(f"br label %{label}")

    def branch_if(
        self, condition: str, then: str, otherwise: str, *, is_unlikely: bool = False
    ) -> None:
        """Go to `then` or `otherwise`; `is_unlikely` says that `then` is hardly ever taken."""
        weights = ", !prof !0" if is_unlikely else ""
        self.lines.append(f"br i1 {condition}, label %{then}, label %{otherwise}{weights}")

    def emit(self, text: str, kind: Kind, lanes: int) -> Value:
        """Write `%new = text` and give the new value."""
        name = self.fresh()
        self.lines.append(f"{name} = {text}")
        return Value(name, kind, lanes)

    def phi(self, kind: Kind, lanes: int, incoming: list[tuple[str, str]]) -> Value:
        """Write a phi of (value, block) pairs; more may be joined to its line while the loop is open."""
        pairs = ", ".join(f"[ {value}, %{block} ]" for value, block in incoming)
        return self.emit(f"phi {type_text(kind, lanes)} {pairs}", kind, lanes)

    def call(
        self, function: str, kind: Kind, lanes: int, args: list[str], *, flags: str = ""
    ) -> Value:
        """Call `function`, declared when it is first met; `args` are typed operands (`float %x`)."""
        result = type_text(kind, lanes)
        self.declare(function, result, [arg.rsplit(" ", 1)[0] for arg in args])
        return self.emit(f"call {flags}{result} @{function}({', '.join(args)})", kind, lanes)

    def declare(self, function: str, result: str, parameters: list[str]) -> None:
        """Note that the module needs a declaration of `function`."""
        self._declarations.add(function, result, parameters)

    def call_extern(self, function: str, kind: Kind, args: tuple[Value, ...]) -> Value:
        """Call a C function of the process (libm), once a lane: through a loop over the lanes, written once a module."""
        lanes = max(arg.lanes for arg in args)
        function = EXTERN_PREFIX + function
        self.declare(function, kind.value, [kind.value] * len(args))
        if lanes == 1:
            return self.call(function, kind, 1, [repr(arg) for arg in args])
        name = f"{function}.{mangled(kind, lanes)}"
        if name not in self._declarations.helpers:
            self._declarations.helpers[name] = _lane_loop(name, function, kind, lanes, len(args))
        wide = type_text(kind, lanes)
        operands = ", ".join(repr(self.splat(arg, lanes)) for arg in args)
        return self.emit(f"call {wide} @{name}({operands})", kind, lanes)

    # literals and lanes

    def const(self, value: float, kind: Kind) -> Value:
        """Give a literal of `kind`."""
        if kind.is_float:
            return Value(float_text(value, kind), kind, is_literal=True)
        if kind is Kind.I1:
            return Value("true" if value else "false", kind, is_literal=True)
        bits = kind.bits
        wrapped = (int(value) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        return Value(str(wrapped), kind, is_literal=True)

    def splat(self, value: Value, lanes: int) -> Value:
        """Copy a uniform value to all of `lanes`; a vector of that many lanes is given back as it is."""
        if value.lanes == lanes:
            return value
        if value.lanes != 1:
            raise InternalError(f"a vector of {value.lanes} lanes met one of {lanes}")
        kind = value.kind
        if value.is_literal:
            return Value(f"splat ({kind.value} {value.text})", kind, lanes, is_literal=True)
        wide = type_text(kind, lanes)
        first = self.emit(
            f"insertelement {wide} poison, {kind.value} {value.text}, i64 0", kind, lanes
        )
        zeros = f"<{lanes} x i32> zeroinitializer"
        return self.emit(f"shufflevector {wide} {first.text}, {wide} poison, {zeros}", kind, lanes)

    def extract(self, vector: Value, lane: int) -> Value:
        """Give one lane."""
        wide = type_text(vector.kind, vector.lanes)
        return self.emit(f"extractelement {wide} {vector.text}, i64 {lane}", vector.kind, 1)

    def insert(self, vector: Value, element: Value, lane: int) -> Value:
        """Give `vector` with one lane replaced."""
        kind = vector.kind
        wide = type_text(kind, vector.lanes)
        text = f"insertelement {wide} {vector.text}, {kind.value} {element.text}, i64 {lane}"
        return self.emit(text, kind, vector.lanes)

    def shuffle(self, left: Value, right: Value | None, lanes: list[int]) -> Value:
        """Give the lanes named by number: `left`'s first, then `right`'s."""
        wide = type_text(left.kind, left.lanes)
        other = "poison" if right is None else right.text
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        text = f"shufflevector {wide} {left.text}, {wide} {other}, <{len(lanes)} x i32> <{mask}>"
        return self.emit(text, left.kind, len(lanes))

    def concatenate(self, parts: list[Value]) -> Value:
        """Join vectors of equal lanes (a power of two of them) end to end."""
        while len(parts) > 1:
            lanes = list(range(2 * parts[0].lanes))
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self.shuffle(left, right, lanes) for left, right in pairs]
        return parts[0]

    # arithmetic

    def binary(self, instruction: str, left: Value, right: Value) -> Value:
        """Write `instruction left, right`; both have one kind."""
        lanes = max(left.lanes, right.lanes)
        left, right = self.splat(left, lanes), self.splat(right, lanes)
        return self.emit(
            f"{instruction} {type_text(left.kind, lanes)} {left.text}, {right.text}",
            left.kind,
            lanes,
        )

    def unary(self, instruction: str, value: Value) -> Value:
        """Write `instruction value`, of the same kind."""
        return self.emit(
            f"{instruction} {type_text(value.kind, value.lanes)} {value.text}",
            value.kind,
            value.lanes,
        )

    def intrinsic(self, name: str, *args: Value, extra: str = "", flags: str = "") -> Value:
        """Call `llvm.name` overloaded on the kind that all `args` (and the result) have."""
        lanes = max(arg.lanes for arg in args)
        kind = args[0].kind
        wide = type_text(kind, lanes)
        typed = [f"{wide} {self.splat(arg, lanes).text}" for arg in args]
        if extra:
            typed.append(extra)
        function = f"llvm.{name}.{mangled(kind, lanes)}"
        self.declare(function, wide, [wide] * len(args) + ([extra.split(" ")[0]] if extra else []))
        return self.emit(f"call {flags}{wide} @{function}({', '.join(typed)})", kind, lanes)

    def compare(self, instruction: str, left: Value, right: Value) -> Value:
        """Write `fcmp`/`icmp` with its condition; the result is of kind I1."""
        result = self.binary(instruction, left, right)
        result.kind = Kind.I1
        return result

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Choose lane by lane."""
        lanes = max(condition.lanes, then.lanes, otherwise.lanes)
        then, otherwise = self.splat(then, lanes), self.splat(otherwise, lanes)
        if condition.lanes != 1:
            condition = self.splat(condition, lanes)
        wide = type_text(then.kind, lanes)
        test = f"{type_text(Kind.I1, condition.lanes)} {condition.text}"
        return self.emit(
            f"select {test}, {wide} {then.text}, {wide} {otherwise.text}", then.kind, lanes
        )

    def convert(self, instruction: str, value: Value, kind: Kind) -> Value:
        """Write a conversion instruction (`sitofp`, `trunc`, `bitcast`, …) to `kind`."""
        lanes = value.lanes
        text = (
            f"{instruction} {type_text(value.kind, lanes)} {value.text} to {type_text(kind, lanes)}"
        )
        return self.emit(text, kind, lanes)

    def to_bits(self, value: Value) -> Value:
        """Give the bits of a float as an integer."""
        return self.convert("bitcast", value, INT_OF_BITS[value.kind.bits])

    # i64 index arithmetic on uniform values, folded where literals allow

    def index_add(self, left: Int, right: Int) -> Int:
        """Add."""
        if isinstance(left, int) and isinstance(right, int):
            return left + right
        if left == 0:
            return right
        if right == 0:
            return left
        return self.emit(f"add nsw i64 {left}, {right}", Kind.I64, 1).text

    def index_multiply(self, left: Int, right: Int) -> Int:
        """Multiply."""
        if isinstance(left, int) and isinstance(right, int):
            return left * right
        if left == 0 or right == 0:
            return 0
        if left == 1:
            return right
        if right == 1:
            return left
        return self.emit(f"mul nsw i64 {left}, {right}", Kind.I64, 1).text

    def index_subtract(self, left: Int, right: Int) -> Int:
        """Subtract."""
        if isinstance(left, int) and isinstance(right, int):
            return left - right
        if right == 0:
            return left
        return self.emit(f"sub nsw i64 {left}, {right}", Kind.I64, 1).text

    def index_min(self, left: Int, right: Int) -> Int:
        """Give the smaller one."""
        if isinstance(left, int) and isinstance(right, int):
            return min(left, right)
        return self.intrinsic("smin", index_value(left), index_value(right)).text

    def index_max(self, left: Int, right: Int) -> Int:
        """Give the greater one."""
        if isinstance(left, int) and isinstance(right, int):
            return max(left, right)
        return self.intrinsic("smax", index_value(left), index_value(right)).text


def index_value(index: Int) -> Value:
    """Give an i64 index as an operand."""
    return Value(str(index), Kind.I64, is_literal=isinstance(index, int))
