"""The ATen graph as text, written and read.

In:  an `AtenGraph`, or its text.   Out: its text (`render_graph`), or the graph (`parse_graph`).
Keeps: `parse_graph(render_graph(graph)) == graph`, locations included.

    graph<s0>(%0: f32[s0, 8] = [8, 1] grad):
      constant %1: i64[2] = [1] hex 01000000000000000200000000000000
      %2: f32[s0, 8] = [8, 1] = aten.mul.Tensor(%0, 2.0)   # model.py:3 in f
      %3: f32[s0, 8] = [8, 1], _ = mylib.foo.default(%2, [%1, none], mode="mean")
      write %0 = %2
      return (%3: f32[s0, 8] = [8, 1], %2: f32[8, s0] = [1, 8] at [4] of input 0)
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar, assert_never

from graphwright.ir.aten import (
    Arg,
    AtenGraph,
    AtenNode,
    ComplexArg,
    ConstantTensor,
    DeviceArg,
    DTypeArg,
    FloatArg,
    GraphOutput,
    InputMutation,
    KwArg,
    LayoutArg,
    ListArg,
    LiteralArg,
    MemoryFormatArg,
    Ref,
    SymArg,
    TensorMeta,
    ViewKind,
)
from graphwright.ir.dims import render_dim
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.symint import Dim
from graphwright.ir.symint_algebra import as_expr
from graphwright.ir.symint_parse import parse_dim

SHORT_NAMES: Final = {
    DType.FLOAT64: "f64",
    DType.FLOAT32: "f32",
    DType.FLOAT16: "f16",
    DType.BFLOAT16: "bf16",
    DType.COMPLEX32: "c32",
    DType.COMPLEX64: "c64",
    DType.COMPLEX128: "c128",
    DType.INT64: "i64",
    DType.INT32: "i32",
    DType.INT16: "i16",
    DType.INT8: "i8",
    DType.UINT64: "u64",
    DType.UINT32: "u32",
    DType.UINT16: "u16",
    DType.UINT8: "u8",
    DType.BOOL: "bool",
    DType.FLOAT8_E4M3FN: "f8e4m3fn",
    DType.FLOAT8_E5M2: "f8e5m2",
}
_BY_SHORT_NAME: Final = {name: dtype for dtype, name in SHORT_NAMES.items()}
_UNFIT_FLOATS: Final = frozenset(("nan", "-nan", "inf", "-inf"))


def render_graph(graph: AtenGraph) -> str:
    """Give a graph as text, one line a node."""
    symbols = f"<{', '.join(graph.symbols)}>" if graph.symbols else ""
    inputs = ", ".join(
        f"%{number}: {render_meta(meta)}" for number, meta in enumerate(graph.inputs)
    )
    lines = [f"graph{symbols}({inputs}):"]
    for number, constant in enumerate(graph.constants, len(graph.inputs)):
        lines.append(
            f"  constant %{number}: {render_meta(constant.meta)} {_render_values(constant)}"
        )
    lines += [f"  {render_node(node)}" for node in graph.nodes]
    lines += [f"  write %{item.input_index} = %{item.value_id}" for item in graph.mutations]
    lines += [f"  raise version %{index}" for index in graph.versioned_inputs]
    lines.append(f"  return ({', '.join(map(_render_output, graph.outputs))})")
    return "\n".join(lines) + "\n"


def _render_values(constant: ConstantTensor) -> str:
    return f"hex {constant.data.hex()}" if constant.folded is None else f"folded {constant.folded}"


def render_node(node: AtenNode) -> str:
    """Give a node as one line."""
    results = ", ".join(
        "_" if meta is None else f"%{value}: {render_meta(meta)}"
        # A malformed node must be shown too.
        for value, meta in itertools.zip_longest(node.results, node.metas)
    )
    args = [
        *map(render_arg, node.args),
        *(f"{kw.name}={render_arg(kw.value)}" for kw in node.kwargs),
    ]
    text = f"{results or '()'} = {node.op}({', '.join(args)})"
    return text if node.loc is None else f"{text}   # {node.loc.render()}"


def render_meta(meta: TensorMeta) -> str:
    """Give a tensor's metadata: dtype, shape, strides, and what is out of the ordinary."""
    text = f"{SHORT_NAMES[meta.dtype]}{_render_dims(meta.shape)} = {_render_dims(meta.strides)}"
    if meta.offset != 0:
        text += f" at [{render_dim(meta.offset)}]"
    if meta.device != "cpu":
        text += f" on {meta.device}"
    if meta.requires_grad:
        text += " grad"
    return text


def render_arg(arg: Arg) -> str:
    """Give an argument."""
    match arg:
        case Ref(id=number):
            return f"%{number}"
        case ListArg(items=items):
            return f"[{', '.join(map(render_arg, items))}]"
        case SymArg(expr=expr):
            return f"{{{render_dim(expr)}}}"
        case LiteralArg() | FloatArg() | ComplexArg():
            return _render_number(arg)
        case DTypeArg() | DeviceArg() | LayoutArg() | MemoryFormatArg():
            return _render_torch_value(arg)
        case _:
            assert_never(arg)


def _render_number(arg: LiteralArg | FloatArg | ComplexArg) -> str:
    match arg:
        case LiteralArg(value=value):
            return "none" if value is None else json.dumps(value)
        case FloatArg(hex=text):
            return text if text in _UNFIT_FLOATS else repr(arg.value)
        case ComplexArg(real=real, imag=imag):
            return f"complex({real} {imag})"
        case _:
            assert_never(arg)


def _render_torch_value(arg: DTypeArg | DeviceArg | LayoutArg | MemoryFormatArg) -> str:
    match arg:
        case DTypeArg(dtype=dtype):
            return SHORT_NAMES[dtype]
        case DeviceArg(device=device):
            return f"device({device})"
        case LayoutArg(layout=layout):
            return f"layout({layout})"
        case MemoryFormatArg(memory_format=memory_format):
            return f"format({memory_format})"
        case _:
            assert_never(arg)


def _render_dims(dims: Iterable[Dim]) -> str:
    return f"[{', '.join(map(render_dim, dims))}]"


def _render_output(output: GraphOutput) -> str:
    text = f"%{output.value_id}: {render_meta(output.meta)}"
    if output.alias_of_input is not None:
        relation = "is" if output.is_input_itself else "of"
        text += f" {relation} input {output.alias_of_input}"
    if output.alias_of_output is not None:
        text += f" of output {output.alias_of_output}"
    if output.view_kind is not ViewKind.VIEW:
        text += f" as {output.view_kind.value}"
    if output.is_of_detached:
        text += " of its detach"
    if output.is_part:
        text += " in part"
    return text


def parse_graph(text: str) -> AtenGraph:
    """Give the graph that `render_graph` wrote.

    Raises:
        ValueError: `text` is no graph; the message has the line.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        msg = "an empty text is no graph"
        raise ValueError(msg)
    symbols, inputs = _parse_head(lines[0])
    nodes: list[AtenNode] = []
    constants: list[ConstantTensor] = []
    mutations: list[InputMutation] = []
    versioned: list[int] = []
    outputs: tuple[GraphOutput, ...] | None = None
    for line in lines[1:]:
        scanner = _Scanner(line)
        if scanner.accepts("constant "):
            constants.append(_parse_constant(scanner))
        elif scanner.accepts("write "):
            mutations.append(_parse_mutation(scanner))
        elif scanner.accepts("raise version "):
            versioned.append(scanner.number())
            scanner.demand_end()
        elif scanner.accepts("return ("):
            outputs = tuple(scanner.separated(")", _parse_output))
            scanner.demand_end()
        else:
            nodes.append(_parse_node(scanner))
    if outputs is None:
        msg = "a graph ends with `return (...)`"
        raise ValueError(msg)
    return AtenGraph(
        inputs,
        symbols,
        tuple(nodes),
        outputs,
        tuple(mutations),
        tuple(constants),
        tuple(versioned),
    )


class _Scanner:
    """Reads one line from left to right."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._place = 0

    def fail(self, wanted: str) -> ValueError:
        """Make the error for what stands at the current place."""
        return ValueError(f"expected {wanted} at column {self._place + 1} of: {self._line}")

    def accepts(self, text: str) -> bool:
        """Step over `text` if it comes next."""
        if self._line.startswith(text, self._place):
            self._place += len(text)
            return True
        return False

    def demand(self, text: str) -> None:
        """Step over `text`, which must come next."""
        if not self.accepts(text):
            raise self.fail(repr(text))

    def demand_end(self) -> None:
        """Check that nothing is left."""
        if self._place != len(self._line):
            raise self.fail("the end of the line")

    def match(self, pattern: re.Pattern[str], wanted: str) -> str:
        """Step over what the pattern matches and give it."""
        found = self.try_match(pattern)
        if found is None:
            raise self.fail(wanted)
        return found

    def try_match(self, pattern: re.Pattern[str]) -> str | None:
        """Step over what the pattern matches, if it does."""
        found = pattern.match(self._line, self._place)
        if found is None:
            return None
        self._place = found.end()
        return found.group()

    def until(self, closing: str) -> str:
        """Give the text up to the bracket that closes the one just opened, and step over it."""
        depth = 0
        for place in range(self._place, len(self._line)):
            character = self._line[place]
            if character == closing and depth == 0:
                found = self._line[self._place : place]
                self._place = place + 1
                return found
            depth += (character in "([{") - (character in ")]}")
        raise self.fail(repr(closing))

    def number(self) -> int:
        """Read a value number, `%12`."""
        self.demand("%")
        return int(self.match(_DIGITS, "a value number"))

    def separated(self, closing: str, read: Callable[[_Scanner], _Item]) -> list[_Item]:
        """Read a comma-separated list up to `closing`."""
        items: list[_Item] = []
        if self.accepts(closing):
            return items
        while True:
            items.append(read(self))
            if self.accepts(closing):
                return items
            self.demand(", ")

    def rest(self) -> str:
        """Give what is left."""
        found = self._line[self._place :]
        self._place = len(self._line)
        return found


_Item = TypeVar("_Item")
_DIGITS: Final = re.compile(r"\d+")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_OP: Final = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
_INT: Final = re.compile(r"-?\d+(?![\d.eEn])")
_FLOAT: Final = re.compile(r"-?(\d+\.\d*([eE][-+]?\d+)?|\d+[eE][-+]?\d+|inf|nan)")
_STRING: Final = re.compile(r'"([^"\\]|\\.)*"')
_DEVICE: Final = re.compile(r"\w+(:\d+)?")
_LOCATION: Final = re.compile(r"   # (?P<file>.*):(?P<line>\d+) in (?P<function>.*)$")


def _parse_head(line: str) -> tuple[tuple[str, ...], tuple[TensorMeta, ...]]:
    scanner = _Scanner(line)
    scanner.demand("graph")
    symbols: list[str] = []
    if scanner.accepts("<"):
        symbols = scanner.separated(">", lambda own: own.match(_NAME, "a symbol"))
    scanner.demand("(")
    inputs = scanner.separated(")", _parse_numbered)
    scanner.demand(":")
    scanner.demand_end()
    return tuple(symbols), tuple(meta for _, meta in inputs)


def _parse_numbered(scanner: _Scanner) -> tuple[int, TensorMeta]:
    number = scanner.number()
    scanner.demand(": ")
    return number, _parse_meta(scanner)


def _parse_meta(scanner: _Scanner) -> TensorMeta:
    dtype = _parse_dtype(scanner)
    scanner.demand("[")
    shape = _parse_dims(scanner.until("]"))
    scanner.demand(" = [")
    strides = _parse_dims(scanner.until("]"))
    offset: Dim = 0
    if scanner.accepts(" at ["):
        offset = parse_dim(scanner.until("]"))
    device = scanner.match(_DEVICE, "a device") if scanner.accepts(" on ") else "cpu"
    return TensorMeta(dtype, shape, strides, device, offset, scanner.accepts(" grad"))


def _parse_dtype(scanner: _Scanner) -> DType:
    name = scanner.match(_NAME, "an element type")
    if name not in _BY_SHORT_NAME:
        raise scanner.fail("an element type")
    return _BY_SHORT_NAME[name]


def _parse_dims(text: str) -> tuple[Dim, ...]:
    return tuple(parse_dim(part) for part in _split(text))


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts: list[str] = []
    depth = 0
    for piece in text.split(","):
        if depth:
            parts[-1] += "," + piece
        elif piece.strip():
            parts.append(piece)
        depth += sum(map(piece.count, "([{")) - sum(map(piece.count, ")]}"))
    return parts


def _parse_constant(scanner: _Scanner) -> ConstantTensor:
    _, meta = _parse_numbered(scanner)
    if scanner.accepts(" folded "):
        return ConstantTensor(meta, b"", int(scanner.rest()))
    scanner.demand(" hex")
    return ConstantTensor(meta, bytes.fromhex(scanner.rest()))


def _parse_mutation(scanner: _Scanner) -> InputMutation:
    target = scanner.number()
    scanner.demand(" = ")
    value = scanner.number()
    scanner.demand_end()
    return InputMutation(target, value)


def _parse_output(scanner: _Scanner) -> GraphOutput:
    value, meta = _parse_numbered(scanner)
    is_input_itself = scanner.accepts(" is input ")
    source: int | None = None
    if is_input_itself or scanner.accepts(" of input "):
        source = int(scanner.match(_DIGITS, "an input number"))
    earlier: int | None = None
    if scanner.accepts(" of output "):
        earlier = int(scanner.match(_DIGITS, "an output number"))
    kind = ViewKind.VIEW
    if scanner.accepts(" as "):
        kind = ViewKind(scanner.match(_NAME, "a kind of view"))
    is_of_detached = scanner.accepts(" of its detach")
    is_part = scanner.accepts(" in part")
    return GraphOutput(value, meta, source, is_input_itself, earlier, kind, is_of_detached, is_part)


def _parse_node(scanner: _Scanner) -> AtenNode:
    results: list[int] = []
    metas: list[TensorMeta | None] = []
    scanner.accepts("()")
    while not scanner.accepts(" = "):
        if results:
            scanner.demand(", ")
        if scanner.accepts("_"):
            results.append(-1)
            metas.append(None)
        else:
            number, meta = _parse_numbered(scanner)
            results.append(number)
            metas.append(meta)
    op = scanner.match(_OP, "an op")
    scanner.demand("(")
    args: list[Arg] = []
    kwargs: list[KwArg] = []
    for parsed in scanner.separated(")", _parse_argument):
        if isinstance(parsed, KwArg):
            kwargs.append(parsed)
        elif kwargs:
            raise scanner.fail("keyword arguments after positional ones")
        else:
            args.append(parsed)
    loc = _parse_location(scanner)
    return AtenNode(op, tuple(args), tuple(kwargs), tuple(results), tuple(metas), loc)


def _parse_location(scanner: _Scanner) -> Loc | None:
    text = scanner.rest()
    if not text:
        return None
    found = _LOCATION.match(text)
    if found is None:
        msg = f"expected a location, found {text!r}"
        raise ValueError(msg)
    return Loc(found["file"], int(found["line"]), found["function"])


def _parse_argument(scanner: _Scanner) -> Arg | KwArg:
    name = scanner.try_match(_KEYWORD)
    value = _parse_arg(scanner)
    return value if name is None else KwArg(name[:-1], value)


_KEYWORD: Final = re.compile(r"[A-Za-z_]\w*=")
_WORDS: Final = {"none": LiteralArg(None), "true": LiteralArg(True), "false": LiteralArg(False)}  # noqa: FBT003


def _parse_arg(scanner: _Scanner) -> Arg:
    if scanner.accepts("["):
        return ListArg(tuple(scanner.separated("]", _parse_arg)))
    if scanner.accepts("%"):
        return Ref(int(scanner.match(_DIGITS, "a value number")))
    if scanner.accepts("{"):
        return SymArg(as_expr(parse_dim(scanner.until("}"))))
    integer = scanner.try_match(_INT)
    if integer is not None:
        return LiteralArg(int(integer))
    number = scanner.try_match(_FLOAT)
    if number is not None:
        return FloatArg(number if number in _UNFIT_FLOATS else float(number).hex())
    string = scanner.try_match(_STRING)
    if string is not None:
        return LiteralArg(json.loads(string))
    return _parse_word(scanner)


def _parse_word(scanner: _Scanner) -> Arg:
    word = scanner.match(_NAME, "an argument")
    if word in _WORDS:
        return _WORDS[word]
    if word in _BY_SHORT_NAME:
        return DTypeArg(_BY_SHORT_NAME[word])
    scanner.demand("(")
    inside = scanner.until(")")
    match word:
        case "device":
            return DeviceArg(inside)
        case "layout":
            return LayoutArg(inside)
        case "format":
            return MemoryFormatArg(inside)
        case "complex":
            real, _, imag = inside.partition(" ")
            return ComplexArg(real, imag)
        case _:
            raise scanner.fail("an argument")
