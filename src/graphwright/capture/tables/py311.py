"""CPython 3.11."""

from __future__ import annotations

import operator
from typing import Final

from graphwright.capture.instructions import Intrinsic, Op
from graphwright.capture.tables import rules
from graphwright.capture.tables.families import SHARED, UNTIL_312, UNTIL_313
from graphwright.capture.tables.rules import VersionTable

PY311: Final = VersionTable(
    rules={
        **SHARED,
        **UNTIL_312,
        **UNTIL_313,
        "PRECALL": rules.dropped,
        "LOAD_ATTR": rules.name(Op.LOAD_ATTR),
        "LOAD_METHOD": rules.method,
        "LOAD_CLASSDEREF": lambda raw: (
            (Op.LOAD_LOCALS, None),
            (Op.LOAD_FROM_DICT_OR_DEREF, raw.slots[raw.arg]),
        ),
        "UNARY_POSITIVE": rules.unary(operator.pos),
        "COMPARE_OP": rules.comparison(0),
        "LIST_TO_TUPLE": rules.plain(Op.LIST_TO_TUPLE),
        "POP_JUMP_FORWARD_IF_TRUE": rules.forward(Op.POP_JUMP_IF_TRUE),
        "POP_JUMP_FORWARD_IF_FALSE": rules.forward(Op.POP_JUMP_IF_FALSE),
        "POP_JUMP_FORWARD_IF_NONE": rules.forward(Op.POP_JUMP_IF_NONE),
        "POP_JUMP_FORWARD_IF_NOT_NONE": rules.forward(Op.POP_JUMP_IF_NOT_NONE),
        "POP_JUMP_BACKWARD_IF_TRUE": rules.backward(Op.POP_JUMP_IF_TRUE),
        "POP_JUMP_BACKWARD_IF_FALSE": rules.backward(Op.POP_JUMP_IF_FALSE),
        "POP_JUMP_BACKWARD_IF_NONE": rules.backward(Op.POP_JUMP_IF_NONE),
        "POP_JUMP_BACKWARD_IF_NOT_NONE": rules.backward(Op.POP_JUMP_IF_NOT_NONE),
        "JUMP_IF_TRUE_OR_POP": rules.jump_or_pop(Op.POP_JUMP_IF_TRUE),
        "JUMP_IF_FALSE_OR_POP": rules.jump_or_pop(Op.POP_JUMP_IF_FALSE),
        "FOR_ITER": rules.forward(Op.FOR_ITER),
        "SEND": rules.forward(Op.SEND),
        "PRINT_EXPR": rules.fixed((Op.INTRINSIC_1, Intrinsic.PRINT), (Op.POP, None)),
        "IMPORT_STAR": rules.fixed((Op.INTRINSIC_1, Intrinsic.IMPORT_STAR), (Op.POP, None)),
        "ASYNC_GEN_WRAP": rules.fixed((Op.INTRINSIC_1, Intrinsic.ASYNC_GEN_WRAP)),
        "PREP_RERAISE_STAR": rules.fixed((Op.INTRINSIC_2, Intrinsic.PREP_RERAISE_STAR)),
    },
    internal=frozenset({"CACHE", "EXTENDED_ARG"}),
    keyword_names="KW_NAMES",
    has_null_below=True,
)
