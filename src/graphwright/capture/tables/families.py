"""Rows that several versions share.

In: nothing.   Out: `SHARED` (3.11 on), `FROM_312`, `FROM_313`, `UNTIL_313`: mappings that the version tables join.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Final

from graphwright.capture.instructions import Op
from graphwright.capture.tables import rules
from graphwright.capture.tables.rules import Rule

SHARED: Final[Mapping[str, Rule]] = {
    "NOP": rules.dropped,
    "RESUME": rules.dropped,
    # stack and constants
    "POP_TOP": rules.plain(Op.POP),
    "PUSH_NULL": rules.plain(Op.PUSH_NULL),
    "COPY": rules.count(Op.COPY),
    "SWAP": rules.count(Op.SWAP),
    "LOAD_CONST": rules.constant,
    # slots
    "STORE_FAST": rules.slot(Op.STORE_FAST),
    "DELETE_FAST": rules.slot(Op.DELETE_FAST),
    "MAKE_CELL": rules.slot(Op.MAKE_CELL),
    "COPY_FREE_VARS": rules.free_variables,
    "LOAD_DEREF": rules.slot(Op.LOAD_DEREF),
    "STORE_DEREF": rules.slot(Op.STORE_DEREF),
    "DELETE_DEREF": rules.slot(Op.DELETE_DEREF),
    # names
    "STORE_GLOBAL": rules.name(Op.STORE_GLOBAL),
    "DELETE_GLOBAL": rules.name(Op.DELETE_GLOBAL),
    "LOAD_NAME": rules.name(Op.LOAD_NAME),
    "STORE_NAME": rules.name(Op.STORE_NAME),
    "DELETE_NAME": rules.name(Op.DELETE_NAME),
    "STORE_ATTR": rules.name(Op.STORE_ATTR),
    "DELETE_ATTR": rules.name(Op.DELETE_ATTR),
    "IMPORT_NAME": rules.name(Op.IMPORT_NAME),
    "IMPORT_FROM": rules.name(Op.IMPORT_FROM),
    # operators
    "UNARY_NEGATIVE": rules.unary(operator.neg),
    "UNARY_INVERT": rules.unary(operator.invert),
    "UNARY_NOT": rules.unary(operator.not_),
    "BINARY_OP": rules.binary,
    "IS_OP": rules.flag(Op.IS_OP),
    "CONTAINS_OP": rules.flag(Op.CONTAINS_OP),
    "STORE_SUBSCR": rules.plain(Op.STORE_SUBSCR),
    "DELETE_SUBSCR": rules.plain(Op.DELETE_SUBSCR),
    # jumps and loops
    "JUMP_FORWARD": rules.forward(Op.JUMP),
    "JUMP_BACKWARD": rules.backward(Op.JUMP),
    "JUMP_BACKWARD_NO_INTERRUPT": rules.backward(Op.JUMP),
    "GET_ITER": rules.plain(Op.GET_ITER),
    "UNPACK_SEQUENCE": rules.count(Op.UNPACK_SEQUENCE),
    "UNPACK_EX": rules.unpack_ex,
    # containers and strings
    "BUILD_TUPLE": rules.count(Op.BUILD_TUPLE),
    "BUILD_LIST": rules.count(Op.BUILD_LIST),
    "BUILD_SET": rules.count(Op.BUILD_SET),
    "BUILD_MAP": rules.count(Op.BUILD_MAP),
    "BUILD_STRING": rules.count(Op.BUILD_STRING),
    "BUILD_SLICE": rules.count(Op.BUILD_SLICE),
    "LIST_APPEND": rules.count(Op.LIST_APPEND),
    "SET_ADD": rules.count(Op.SET_ADD),
    "MAP_ADD": rules.count(Op.MAP_ADD),
    "LIST_EXTEND": rules.count(Op.LIST_EXTEND),
    "SET_UPDATE": rules.count(Op.SET_UPDATE),
    "DICT_UPDATE": rules.count(Op.DICT_UPDATE),
    "DICT_MERGE": rules.count(Op.DICT_MERGE),
    # calls, functions, classes
    "CALL": rules.call,
    "RETURN_VALUE": rules.plain(Op.RETURN_VALUE),
    "LOAD_BUILD_CLASS": rules.plain(Op.LOAD_BUILD_CLASS),
    "SETUP_ANNOTATIONS": rules.plain(Op.SETUP_ANNOTATIONS),
    # exceptions
    "RAISE_VARARGS": rules.count(Op.RAISE),
    "RERAISE": rules.count(Op.RERAISE),
    "PUSH_EXC_INFO": rules.plain(Op.PUSH_EXC_INFO),
    "POP_EXCEPT": rules.plain(Op.POP_EXCEPT),
    "CHECK_EXC_MATCH": rules.plain(Op.CHECK_EXC_MATCH),
    "CHECK_EG_MATCH": rules.plain(Op.CHECK_EG_MATCH),
    # generators
    "RETURN_GENERATOR": rules.plain(Op.RETURN_GENERATOR),
    "YIELD_VALUE": rules.plain(Op.YIELD_VALUE),
    "GET_YIELD_FROM_ITER": rules.plain(Op.GET_YIELD_FROM_ITER),
    # match statements
    "GET_LEN": rules.plain(Op.GET_LEN),
    "MATCH_MAPPING": rules.plain(Op.MATCH_MAPPING),
    "MATCH_SEQUENCE": rules.plain(Op.MATCH_SEQUENCE),
    "MATCH_KEYS": rules.plain(Op.MATCH_KEYS),
    "MATCH_CLASS": rules.count(Op.MATCH_CLASS),
    # asynchronous code
    "GET_AWAITABLE": rules.count(Op.GET_AWAITABLE),
    "GET_AITER": rules.plain(Op.GET_AITER),
    "GET_ANEXT": rules.plain(Op.GET_ANEXT),
    "END_ASYNC_FOR": rules.plain(Op.END_ASYNC_FOR),
}
"""3.11 to 3.14."""

UNTIL_312: Final[Mapping[str, Rule]] = {
    "LOAD_FAST": rules.slot(Op.LOAD_FAST),
    "LOAD_CLOSURE": rules.slot(Op.LOAD_CLOSURE),
    "LOAD_GLOBAL": rules.global_null_first,
    "FORMAT_VALUE": rules.format_value,
    "MAKE_FUNCTION": rules.make_function,
}
"""3.11 and 3.12."""

UNTIL_313: Final[Mapping[str, Rule]] = {
    "LOAD_ASSERTION_ERROR": rules.fixed((Op.LOAD_CONST, AssertionError)),
    "BINARY_SUBSCR": rules.fixed((Op.BINARY_OP, operator.getitem)),
    "BUILD_CONST_KEY_MAP": rules.count(Op.BUILD_CONST_KEY_MAP),
    "CALL_FUNCTION_EX": lambda raw: ((Op.CALL_EX, bool(raw.arg & 1)),),
    "BEFORE_WITH": rules.enter_context("__enter__", "__exit__"),
    "BEFORE_ASYNC_WITH": rules.enter_context("__aenter__", "__aexit__"),
    "WITH_EXCEPT_START": rules.fixed((Op.WITH_EXCEPT_START, 1)),
}
"""3.11 to 3.13."""

FROM_312: Final[Mapping[str, Rule]] = {
    "LOAD_FAST_CHECK": rules.slot(Op.LOAD_FAST),
    "LOAD_FAST_AND_CLEAR": rules.slot(Op.LOAD_FAST_AND_CLEAR),
    "LOAD_LOCALS": rules.plain(Op.LOAD_LOCALS),
    "LOAD_FROM_DICT_OR_GLOBALS": rules.name(Op.LOAD_FROM_DICT_OR_GLOBALS),
    "LOAD_FROM_DICT_OR_DEREF": rules.slot(Op.LOAD_FROM_DICT_OR_DEREF),
    "BINARY_SLICE": rules.fixed((Op.BUILD_SLICE, 2), (Op.BINARY_OP, operator.getitem)),
    "STORE_SLICE": rules.fixed((Op.BUILD_SLICE, 2), (Op.STORE_SUBSCR, None)),
    "POP_JUMP_IF_TRUE": rules.forward(Op.POP_JUMP_IF_TRUE),
    "POP_JUMP_IF_FALSE": rules.forward(Op.POP_JUMP_IF_FALSE),
    "POP_JUMP_IF_NONE": rules.forward(Op.POP_JUMP_IF_NONE),
    "POP_JUMP_IF_NOT_NONE": rules.forward(Op.POP_JUMP_IF_NOT_NONE),
    "END_FOR": rules.dropped,
    "SEND": rules.forward_past(Op.SEND, 1),
    "END_SEND": rules.plain(Op.END_SEND),
    "CLEANUP_THROW": rules.plain(Op.CLEANUP_THROW),
    "CALL_INTRINSIC_1": rules.intrinsic_1,
    "CALL_INTRINSIC_2": rules.intrinsic_2,
}
"""3.12 to 3.14. `SEND` goes past the `END_SEND` at its target, whose work it does itself."""

FROM_313: Final[Mapping[str, Rule]] = {
    "LOAD_FAST": rules.load_slot,
    "LOAD_ATTR": rules.attribute(rules.NULL_PUSH),
    "LOAD_SUPER_ATTR": rules.super_attribute(rules.NULL_PUSH),
    "LOAD_FAST_LOAD_FAST": rules.slot_pair(Op.LOAD_FAST, Op.LOAD_FAST),
    "STORE_FAST_LOAD_FAST": rules.slot_pair(Op.STORE_FAST, Op.LOAD_FAST),
    "STORE_FAST_STORE_FAST": rules.slot_pair(Op.STORE_FAST, Op.STORE_FAST),
    "LOAD_GLOBAL": rules.global_null_last,
    "TO_BOOL": rules.to_bool,
    "COMPARE_OP": rules.comparison_to_bool,
    "CONVERT_VALUE": rules.convert_value,
    "FORMAT_SIMPLE": rules.plain(Op.FORMAT_SIMPLE),
    "FORMAT_WITH_SPEC": rules.plain(Op.FORMAT_WITH_SPEC),
    "MAKE_FUNCTION": rules.plain(Op.MAKE_FUNCTION),
    "SET_FUNCTION_ATTRIBUTE": rules.function_part,
}
"""3.13 and 3.14."""
