"""What the captures of one process learnt of code objects.

In: nothing.   Out: `CODES`, which every capture is given.
"""

from __future__ import annotations

from typing import Final

from graphwright.capture import CodeTable, make_code_table

CODES: Final[CodeTable] = make_code_table()
"""The table of this process."""
