"""CPython 3.12."""

from __future__ import annotations

from typing import Final

from graphwright.capture.instructions import Op
from graphwright.capture.tables import rules
from graphwright.capture.tables.families import FROM_312, SHARED, UNTIL_312, UNTIL_313
from graphwright.capture.tables.rules import VersionTable

PY312: Final = VersionTable(
    rules={
        **SHARED,
        **UNTIL_312,
        **UNTIL_313,
        **FROM_312,
        "LOAD_ATTR": rules.attribute(*rules.NULL_BELOW),
        "LOAD_SUPER_ATTR": rules.super_attribute(*rules.NULL_BELOW),
        "RETURN_CONST": rules.return_constant,
        "COMPARE_OP": rules.comparison(4),
        "FOR_ITER": rules.forward_past(Op.FOR_ITER, 1),
    },
    internal=frozenset({"CACHE", "EXTENDED_ARG", "INTERPRETER_EXIT", "RESERVED"}),
    keyword_names="KW_NAMES",
    has_null_below=True,
)
"""`FOR_ITER` goes past the `END_FOR` at its target, as CPython does."""
