"""CPython 3.13."""

from __future__ import annotations

from typing import Final

from graphwright.capture.instructions import Op
from graphwright.capture.tables import rules
from graphwright.capture.tables.families import FROM_312, FROM_313, SHARED, UNTIL_313
from graphwright.capture.tables.rules import VersionTable

PY313: Final = VersionTable(
    rules={
        **SHARED,
        **UNTIL_313,
        **FROM_312,
        **FROM_313,
        "RETURN_CONST": rules.return_constant,
        "FOR_ITER": rules.forward_past(Op.FOR_ITER, 2),
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
"""`FOR_ITER` goes past the `END_FOR` and `POP_TOP` at its target, as CPython does."""
