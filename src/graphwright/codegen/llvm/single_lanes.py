"""Masked stores of which one lane counts, as stores of that lane.

In:  the text of an optimised module.   Out: the text with such stores written out, or None where it has none.

LLVM (22.1, for processors with AVX-512) makes one store of a narrowing and the masked store behind it, and where the mask is a
constant with one lane, stores the element as wide as it was before: eight bytes in the place of two, over what lies behind it. The
last element of a row whose length is one more than a multiple of the lanes is such a store.
"""

from __future__ import annotations

import itertools
import re
from typing import Final

from graphwright.base.errors import InternalError

_NARROW: Final = re.compile(r"@llvm\.masked\.store\.v\d+i(?:8|16|32)\.")
_OF_ONE: Final = re.compile(
    rf"^.*{_NARROW.pattern}.*<i1 (?:false, i1 )*true(?:, i1 false)*>\).*$", re.MULTILINE
)
_PARTS: Final = re.compile(
    r"^ *(?:tail )?call void @llvm\.masked\.store\.v\d+(?P<kind>i\d+)\.p0"
    r"\((?P<value><\d+ x i\d+> .+), ptr (?:[a-z]+ )*(?:align (?P<align>\d+) )?(?P<pointer>%[\w.\"-]+)"
    r"(?:, i32 (?P<align_operand>\d+))?, <\d+ x i1> <(?P<mask>i1 [^<>]+)>\)"
)


def may_store_single_lanes(text: str) -> bool:
    """Tell whether a module's text, before it is optimised, has stores that LLVM could widen."""
    return _NARROW.search(text) is not None


def write_out_single_lanes(text: str) -> str | None:
    """Give the text with each masked store of one lane written as a plain one; None where there is none.

    Raises:
        InternalError: LLVM writes such a store in a form that is not known.
    """
    numbers = itertools.count()

    def write_out(found: re.Match[str]) -> str:
        line = found[0]
        parts = _PARTS.match(line)
        if parts is None:
            msg = f"a masked store in an unknown form: {line.strip()}"
            raise InternalError(msg)
        kind, lane = parts["kind"], parts["mask"].split(", ").index("i1 true")
        align = parts["align"] or parts["align_operand"] or "1"
        name = f"%single.lane.{next(numbers)}"
        return "\n".join(
            (
                f"  {name} = extractelement {parts['value']}, i64 {lane}",
                f"  {name}.place = getelementptr {kind}, ptr {parts['pointer']}, i64 {lane}",
                f"  store {kind} {name}, ptr {name}.place, align {align}",
            )
        )

    written, count = _OF_ONE.subn(write_out, text)
    return written if count else None
