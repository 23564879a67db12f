"""CPython 3.14."""

from __future__ import annotations

from typing import Final

from graphwright.capture.instructions import Op
from graphwright.capture.tables import rules
from graphwright.capture.tables.families import FROM_312, FROM_313, SHARED
from graphwright.capture.tables.rules import VersionTable

PY314: Final = VersionTable(
    rules={
        **SHARED,
        **FROM_312,
        **FROM_313,
        "NOT_TAKEN": rules.dropped,
        "LOAD_SMALL_INT": rules.small_int,
        "LOAD_COMMON_CONSTANT": rules.common_constant,
        "LOAD_FAST_BORROW": rules.load_slot,
        "LOAD_FAST_BORROW_LOAD_FAST_BORROW": rules.slot_pair(Op.LOAD_FAST, Op.LOAD_FAST),
        "LOAD_SPECIAL": rules.special,
        "WITH_EXCEPT_START": rules.fixed((Op.WITH_EXCEPT_START, 2)),
        "CALL_FUNCTION_EX": rules.fixed((Op.CALL_EX, True)),
        "FOR_ITER": rules.forward_past(Op.FOR_ITER, 2),
        "POP_ITER": rules.plain(Op.POP),
        "BUILD_INTERPOLATION": rules.interpolation,
        "BUILD_TEMPLATE": rules.plain(Op.BUILD_TEMPLATE),
    },
    internal=frozenset(
        {
            "CACHE",
            "EXTENDED_ARG",
            "INTERPRETER_EXIT",
            "EXIT_INIT_CHECK",
            "ENTER_EXECUTOR",
            "RESERVED",
        }
    ),
    keyword_call="CALL_KW",
)
"""`FOR_ITER` goes past the `END_FOR` and `POP_ITER` at its target, whose work it does itself."""
