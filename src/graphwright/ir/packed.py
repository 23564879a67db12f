"""The op that multiplies a matrix by one whose columns were laid out in panels beforehand.

In: `left` [rows, depth], `panels` [⌈cols / PANEL_COLS⌉, depth, PANEL_COLS], `cols`.   Out: `left @ matrix` [rows, cols].
Keeps: element (k, n) of the matrix is `panels[n // PANEL_COLS, k, n % PANEL_COLS]`; what fills the last panel up is zero.

`graph/packing.py` writes it where a kernel computes the product; what torch runs for it here says what it means.
"""

from __future__ import annotations

from typing import Final

import torch

PANEL_COLS: Final = 32
"""Columns of a panel: two vectors of AVX-512 in float32."""
PACKED_MM: Final = "graphwright.packed_mm.default"

_LIBRARY: Final = torch.library.Library("graphwright", "FRAGMENT")  # registered while it lives
_LIBRARY.define("packed_mm(Tensor left, Tensor panels, SymInt cols) -> Tensor")


def packed_mm(left: torch.Tensor, panels: torch.Tensor, cols: int) -> torch.Tensor:
    """Give `left` times the matrix that lies in `panels`."""
    matrix = panels.permute(1, 0, 2).reshape(panels.shape[1], -1)[:, :cols]
    return left @ matrix


_LIBRARY.impl("packed_mm", packed_mm, "CompositeExplicitAutograd")
