"""Decoding: structure and stack depths of much real bytecode, and the forms of chosen statements."""

from __future__ import annotations

import dis
import importlib
import operator
import sys
from collections.abc import Iterator
from types import CodeType
from typing import cast

import pytest
from opcode_names import OPCODES
from stack_effects import stack_depths

from graphwright.base.errors import InternalError, Unsupported
from graphwright.capture import decode as decode_module
from graphwright.capture.decode import Decoder, running_decoder, unmapped_opcodes
from graphwright.capture.instructions import (
    JUMPS,
    CallShape,
    CodeFlag,
    Decoded,
    FunctionPart,
    Instruction,
    Op,
    UnpackShape,
)
from graphwright.capture.stack_layout import EFFECTS
from graphwright.capture.tables import TABLES, VersionTable

LIBRARY_TEXT = """
argparse ast asyncio.base_events asyncio.tasks bisect calendar cmd codecs collections configparser
contextlib copy csv dataclasses datetime decimal difflib dis email.message enum fractions functools
gettext glob heapq html.parser http.client inspect ipaddress json.decoder json.encoder logging
mailbox optparse os pathlib pdb pickletools platform plistlib pprint random re shlex shutil
socketserver statistics string subprocess tarfile tempfile textwrap threading tokenize traceback
types typing unittest.case urllib.parse urllib.request uuid warnings weakref xml.dom.minidom zipfile
"""

LIBRARY = LIBRARY_TEXT.split()


def iter_code(code: CodeType) -> Iterator[CodeType]:
    """Give `code` and all code in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from iter_code(constant)


def library_code(name: str) -> list[CodeType]:
    """Give all code of a module of the standard library."""
    module = importlib.import_module(name)
    with open(str(module.__file__), encoding="utf-8") as file:
        source = file.read()
    return list(iter_code(compile(source, name, "exec")))


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return running_decoder()


def decode_source(decoder: Decoder, source: str) -> Decoded:
    """Decode the first function defined in `source`."""
    code = compile(source, "<test>", "exec")
    return decoder.decode(next(c for c in code.co_consts if isinstance(c, CodeType)))


def steps(decoded: Decoded) -> list[tuple[Op, object]]:
    return [(instruction.op, instruction.arg) for instruction in decoded.instructions]


def find(decoded: Decoded, op: Op) -> Instruction:
    return next(instruction for instruction in decoded.instructions if instruction.op is op)


@pytest.mark.parametrize("name", LIBRARY)
def test_decoded_library_has_consistent_stack_depths(decoder: Decoder, name: str) -> None:
    for code in library_code(name):
        depths = stack_depths(decoder.decode(code))

        assert max(depths.values()) <= code.co_stacksize + 3, code.co_qualname


@pytest.mark.parametrize("name", LIBRARY)
def test_decoded_library_has_targets_and_lines_in_range(decoder: Decoder, name: str) -> None:
    for code in library_code(name):
        decoded = decoder.decode(code)
        count = len(decoded.instructions)

        assert all(i.arg in range(count) for i in decoded.instructions if i.op in JUMPS)
        assert all(h.start < h.end <= count and h.target < count for h in decoded.handlers)
        assert all(
            a.end <= b.start for a, b in zip(decoded.handlers, decoded.handlers[1:], strict=False)
        )
        lines = {line for _, _, line in code.co_lines() if line} | {0}
        assert {i.line for i in decoded.instructions} <= lines


@pytest.mark.parametrize("name", LIBRARY)
def test_jumps_lead_to_where_dis_says(decoder: Decoder, name: str) -> None:
    conditional = {Op.POP_JUMP_IF_TRUE, Op.POP_JUMP_IF_FALSE, Op.JUMP}
    for code in library_code(name):
        decoded = decoder.decode(code)
        raw = {i.offset: i for i in dis.get_instructions(code)}
        for instruction in decoded.instructions:
            if instruction.op not in conditional:
                continue
            offset = instruction.offset
            while raw[offset].opname == "EXTENDED_ARG":
                offset += 2
            target = raw[offset].argval

            reached = decoded.instructions[instruction.arg].offset

            assert reached >= target
            assert all(i.offset >= reached for i in decoded.instructions if i.offset >= target)


def test_every_op_has_a_stack_effect() -> None:
    assert set(EFFECTS) == set(Op)


def test_every_opcode_of_this_interpreter_has_a_row() -> None:
    table = TABLES[sys.version_info[:2]]

    assert unmapped_opcodes(table, dis.opmap) == []


def test_names_of_slots_are_those_of_cpython(decoder: Decoder) -> None:
    source = "def f(a, b):\n c = 1\n def g():\n  nonlocal c\n  c = a\n  return b, c\n  d = e = lambda: d\n return g"
    for code in iter_code(compile(source, "<test>", "exec")):
        name_of = operator.attrgetter("_varname_from_oparg")(code)
        expected = [name_of(index) for index in range(_slot_count(code))]

        own_cells = tuple(name for name in code.co_cellvars if name not in code.co_varnames)

        assert list(code.co_varnames + own_cells + code.co_freevars) == expected


def _slot_count(code: CodeType) -> int:
    return len({*code.co_varnames, *code.co_cellvars, *code.co_freevars})


def test_keyword_names_are_part_of_the_call(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(g, x):\n return g(x, 1, a=2, b=x)")

    assert find(decoded, Op.CALL).arg == CallShape(4, ("a", "b"))


def test_method_call_is_an_attribute_and_a_null(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(x):\n return x.foo(1)")
    is_below = TABLES[sys.version_info[:2]].has_null_below

    assert steps(decoded) == [
        (Op.LOAD_FAST, "x"),
        (Op.LOAD_ATTR, "foo"),
        (Op.PUSH_NULL, None),
        *([(Op.SWAP, 2)] if is_below else []),
        (Op.LOAD_CONST, 1),
        (Op.CALL, CallShape(1, ())),
        (Op.RETURN_VALUE, None),
    ]


def test_star_call_says_whether_keywords_come_too(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(g, a, k):\n return g(*a, **k)")

    assert find(decoded, Op.CALL_EX).arg is True


@pytest.mark.parametrize("condition", ["x", "x > y", "not x", "x and y", "x or y", "x > y > 2"])
def test_branches_test_the_truth_themselves(decoder: Decoder, condition: str) -> None:
    decoded = decode_source(decoder, f"def f(x, y):\n if {condition}:\n  return 1\n return 2")

    assert Op.TO_BOOL not in {op for op, _ in steps(decoded)}


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("<", operator.lt),
        ("<=", operator.le),
        ("==", operator.eq),
        ("!=", operator.ne),
        (">", operator.gt),
        (">=", operator.ge),
    ],
)
def test_comparison_carries_its_function(decoder: Decoder, text: str, function: object) -> None:
    decoded = decode_source(decoder, f"def f(x, y):\n return x {text} y")

    assert find(decoded, Op.COMPARE_OP).arg is function


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("+", "add"), ("&", "and_"), ("//", "floordiv"), ("<<", "lshift"), ("@", "matmul"), ("*", "mul"), ("%", "mod"),
        ("|", "or_"), ("**", "pow"), (">>", "rshift"), ("-", "sub"), ("/", "truediv"), ("^", "xor"),
    ],
)  # fmt: skip
def test_binary_operator_carries_its_function(decoder: Decoder, text: str, name: str) -> None:
    plain = decode_source(decoder, f"def f(x, y):\n return x {text} y")
    in_place = decode_source(decoder, f"def f(x, y):\n x {text}= y\n return x")

    assert find(plain, Op.BINARY_OP).arg is getattr(operator, name)
    assert find(in_place, Op.BINARY_OP).arg is getattr(operator, "i" + name.rstrip("_"))


@pytest.mark.parametrize(
    ("text", "function"),
    [("-x", operator.neg), ("+x", operator.pos), ("~x", operator.invert), ("not x", operator.not_)],
)
def test_unary_operator_carries_its_function(decoder: Decoder, text: str, function: object) -> None:
    decoded = decode_source(decoder, f"def f(x):\n return {text}")

    assert find(decoded, Op.UNARY_OP).arg is function


def test_subscript_and_slice_are_getitem(decoder: Decoder) -> None:
    subscript = decode_source(decoder, "def f(x, k):\n return x[k]")
    slices = decode_source(decoder, "def f(x, k):\n return x[k:]")
    store = decode_source(decoder, "def f(x, k, v):\n x[k:] = v")

    assert find(subscript, Op.BINARY_OP).arg is operator.getitem
    assert steps(slices)[-3:-1] == [(Op.BUILD_SLICE, 2), (Op.BINARY_OP, operator.getitem)]
    assert [op for op, _ in steps(store)][-4:-2] == [Op.BUILD_SLICE, Op.STORE_SUBSCR]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("{x}", [Op.FORMAT_SIMPLE]),
        ("{x!r}", [Op.CONVERT_VALUE, Op.FORMAT_SIMPLE]),
        ("{x:>3}", [Op.LOAD_CONST, Op.FORMAT_WITH_SPEC]),
    ],
)
def test_format_fields(decoder: Decoder, field: str, expected: list[Op]) -> None:
    decoded = decode_source(decoder, f"def f(x):\n return f'{field}'")

    assert [op for op, _ in steps(decoded)] == [Op.LOAD_FAST, *expected, Op.RETURN_VALUE]


def test_conversion_carries_its_function(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(x):\n return f'{x!a:>9}'")

    assert find(decoded, Op.CONVERT_VALUE).arg is ascii


def test_function_parts_come_one_at_a_time(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(x):\n return lambda a=1, *, b=x: x")

    made = [arg for op, arg in steps(decoded) if op is Op.SET_FUNCTION_PART]

    assert set(made) == {FunctionPart.DEFAULTS, FunctionPart.KW_DEFAULTS, FunctionPart.CLOSURE}
    assert all(c.arg == "x" for c in decoded.instructions if c.op is Op.LOAD_CLOSURE)
    assert Op.LOAD_CLOSURE in {op for op, _ in steps(decoded)}


def test_with_statement_loads_both_methods_and_calls_one(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(m):\n with m as x:\n  return x")

    specials = [arg for op, arg in steps(decoded) if op is Op.LOAD_SPECIAL]

    assert specials == ["__exit__", "__enter__"]


def test_loop_is_left_past_its_cleanup(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(x):\n for i in x:\n  i\n return x")

    after = decoded.instructions[find(decoded, Op.FOR_ITER).arg]

    assert (after.op, after.arg, after.line) == (Op.LOAD_FAST, "x", 4)


def test_yield_from_returns_past_the_end_of_send(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(x):\n y = yield from x\n return y")

    after = decoded.instructions[find(decoded, Op.SEND).arg]

    assert (after.op, after.arg) == (Op.STORE_FAST, "y")


def test_starred_unpacking_has_its_shape(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(x):\n a, b, *c, d = x\n return c")

    assert find(decoded, Op.UNPACK_EX).arg == UnpackShape(2, 1)


def test_failed_assert_raises_assertion_error_itself(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(x):\n assert x, 'no'")

    assert (Op.LOAD_CONST, AssertionError) in steps(decoded)


def test_long_jumps_use_extended_arguments(decoder: Decoder) -> None:
    body = "\n".join("  x = x + 1" for _ in range(2000))
    decoded = decode_source(decoder, f"def f(x):\n while x:\n{body}\n return x")

    stack_depths(decoded)

    assert max(i.arg for i in decoded.instructions if i.op in JUMPS) > 4000


def test_flags_tell_generators(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(*a):\n yield a")

    assert decoded.has_flag(CodeFlag.GENERATOR)
    assert decoded.has_flag(CodeFlag.VARARGS)
    assert not decoded.has_flag(CodeFlag.VARKEYWORDS)


def test_handler_covers_the_body_of_try(decoder: Decoder) -> None:
    decoded = decode_source(decoder, "def f(g):\n g\n try:\n  g()\n except ValueError:\n  return 1")
    call = next(i for i, ins in enumerate(decoded.instructions) if ins.op is Op.CALL)

    handler = decoded.handler_at(call)

    assert handler is not None
    assert decoded.instructions[handler.target].op is Op.PUSH_EXC_INFO
    assert decoded.handler_at(0) is None


def test_unknown_opcode_in_an_interpreter_is_named() -> None:
    opmap = {**dis.opmap, "LOAD_MOON": 254}

    with pytest.raises(InternalError, match="LOAD_MOON"):
        Decoder(TABLES[sys.version_info[:2]], opmap)


def test_unknown_version_fails_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "TABLES", {(3, 11): TABLES[3, 11]})
    monkeypatch.setattr(sys, "version_info", type("V", (), {"major": 3, "minor": 99})())

    with pytest.raises(Unsupported, match=r"cpython 3\.99"):
        running_decoder.__wrapped__()


@pytest.mark.parametrize("version", sorted(TABLES))
def test_table_has_no_row_twice(version: tuple[int, int]) -> None:
    table: VersionTable = TABLES[version]

    assert not set(table.rules) & table.internal


@pytest.mark.parametrize("version", sorted(TABLES))
def test_table_covers_the_opcodes_of_its_version(version: tuple[int, int]) -> None:
    table = TABLES[version]
    opmap = {name: number for number, name in enumerate(OPCODES[version])}

    spoken_of = set(table.rules) | table.internal | {table.keyword_names, table.keyword_call} - {""}

    assert unmapped_opcodes(table, opmap) == []
    assert spoken_of == set(opmap)


def test_opcode_names_are_those_of_this_interpreter() -> None:
    running = {
        name
        for name, opcode in dis.opmap.items()
        if opcode < 256 and not name.startswith("INSTRUMENTED_")
    }

    assert set(OPCODES[sys.version_info[:2]]) == running


class HandMade:
    """A code object of a version that is not running: what `Decoder.decode` reads of one."""

    def __init__(
        self, version: tuple[int, int], units: list[tuple[str, int]], *, names: tuple[str, ...] = ()
    ) -> None:
        self.opmap = {
            name: number
            for number, name in enumerate(sorted(OPCODES[version] - {"CACHE"}), start=1)
        }
        self.opmap["CACHE"] = 0
        self.co_code = b"".join(bytes((self.opmap[name], arg)) for name, arg in units)
        self.co_consts = (None, 7, ("k",))
        self.co_names = names
        self.co_varnames = ("x", "y")
        self.co_cellvars = ("y",)
        self.co_freevars = ("z",)
        self.co_exceptiontable = b""
        self.co_qualname = "hand_made"

    def co_lines(self) -> Iterator[tuple[int, int, int]]:
        return iter([(0, len(self.co_code), 1)])


def decode_hand_made(
    version: tuple[int, int], units: list[tuple[str, int]]
) -> list[tuple[Op, object]]:
    code = HandMade(version, units, names=("n0", "n1", "n2"))
    return steps(Decoder(TABLES[version], code.opmap).decode(cast("CodeType", code)))


def test_314_superinstructions_are_split() -> None:
    decoded = decode_hand_made(
        (3, 14), [("LOAD_FAST_BORROW_LOAD_FAST_BORROW", 0x01), ("STORE_FAST_STORE_FAST", 0x20)]
    )

    assert decoded == [
        (Op.LOAD_FAST, "x"),
        (Op.LOAD_CLOSURE, "y"),
        (Op.STORE_FAST, "z"),
        (Op.STORE_FAST, "x"),
    ]


def test_314_constants_come_from_opargs() -> None:
    decoded = decode_hand_made(
        (3, 14), [("LOAD_SMALL_INT", 200), ("LOAD_COMMON_CONSTANT", 3), ("LOAD_CONST", 1)]
    )

    assert decoded == [(Op.LOAD_CONST, 200), (Op.LOAD_CONST, all), (Op.LOAD_CONST, 7)]


def test_314_loop_is_left_past_end_for_and_pop_iter() -> None:
    units = [
        ("GET_ITER", 0),
        ("FOR_ITER", 3),
        ("CACHE", 0),
        ("STORE_FAST", 0),
        ("JUMP_BACKWARD", 5),
        ("CACHE", 0),
    ]

    decoded = decode_hand_made(
        (3, 14), [*units, ("END_FOR", 0), ("POP_ITER", 0), ("LOAD_CONST", 0), ("RETURN_VALUE", 0)]
    )

    assert decoded[1] == (Op.FOR_ITER, 5)
    assert decoded[3] == (Op.JUMP, 1)
    assert decoded[5] == (Op.LOAD_CONST, None)


def test_314_with_uses_the_loads_of_special_methods() -> None:
    units = [
        ("COPY", 1),
        ("LOAD_SPECIAL", 1),
        ("SWAP", 2),
        ("SWAP", 3),
        ("LOAD_SPECIAL", 0),
        ("CALL", 0),
    ]

    decoded = decode_hand_made((3, 14), [*units, ("WITH_EXCEPT_START", 0)])

    assert [arg for op, arg in decoded if op is Op.LOAD_SPECIAL] == ["__exit__", "__enter__"]
    assert decoded[-1] == (Op.WITH_EXCEPT_START, 2)


@pytest.mark.parametrize("version", [(3, 13), (3, 14)])
def test_keyword_call_takes_in_its_names(version: tuple[int, int]) -> None:
    decoded = decode_hand_made(version, [("LOAD_CONST", 1), ("LOAD_CONST", 2), ("CALL_KW", 1)])

    assert decoded == [(Op.LOAD_CONST, 7), (Op.CALL, CallShape(1, ("k",)))]


def test_314_truth_test_before_a_jump_is_left_out() -> None:
    decoded = decode_hand_made(
        (3, 14),
        [("TO_BOOL", 0), ("POP_JUMP_IF_TRUE", 0), ("NOT_TAKEN", 0), ("TO_BOOL", 0), ("NOP", 0)],
    )

    assert decoded == [(Op.POP_JUMP_IF_TRUE, 1), (Op.TO_BOOL, None)]


@pytest.mark.parametrize(("version", "arg"), [((3, 11), 1), ((3, 12), 3)])
def test_null_of_a_method_is_below_it(version: tuple[int, int], arg: int) -> None:
    name = "LOAD_METHOD" if version == (3, 11) else "LOAD_ATTR"

    assert decode_hand_made(version, [(name, arg)]) == [
        (Op.LOAD_ATTR, "n1"),
        (Op.PUSH_NULL, None),
        (Op.SWAP, 2),
    ]


@pytest.mark.parametrize("version", [(3, 13), (3, 14)])
def test_null_of_a_method_is_above_it(version: tuple[int, int]) -> None:
    assert decode_hand_made(version, [("LOAD_ATTR", 3)]) == [
        (Op.LOAD_ATTR, "n1"),
        (Op.PUSH_NULL, None),
    ]


def test_314_global_with_null_and_subscript() -> None:
    decoded = decode_hand_made((3, 14), [("LOAD_GLOBAL", 3), ("BINARY_OP", 26)])

    assert decoded == [
        (Op.LOAD_GLOBAL, "n1"),
        (Op.PUSH_NULL, None),
        (Op.BINARY_OP, operator.getitem),
    ]


def test_opcode_that_is_internal_is_refused_in_code() -> None:
    with pytest.raises(InternalError, match="INTERPRETER_EXIT"):
        decode_hand_made((3, 14), [("INTERPRETER_EXIT", 0)])
