"""Scheduled loop IR: what `lower/` gives and the code generators take.

A `Kernel` is one compiled unit: a straight list of statements over named buffers. Loops are explicit, their order and
tiling already chosen; the code generator decides nothing but instructions. All values are scalars; the innermost loops are
written so that they can be vectorised.

Keeps:
- names (loop variables, values, buffers, scratch) are unique in a kernel and defined before use; a value is visible to the
  end of the statement list that defines it, and in the lists nested there;
- a `PARALLEL` loop stands at the top level of a kernel only; its iterations are independent; a later top-level
  statement sees all its stores. It may have scratch of its own (`Kernel.scratch`), private to an iteration;
- the indices of `Load` and `Store` are in elements of the buffer's dtype, from the buffer's base pointer;
- distinct params never overlap, unless one is listed as `aliases` of another: then each iteration reads what it
  overwrites before it writes it, at the same index.

Text form (`render`), which `parse` reads back:

    kernel relu_sin(in0: f32 read, out0: f32 write):
      parallel i0 in 0..4096:
        vector i1 in 0..1024:
          v0 = load in0[i0*1024 + i1]
          v1 = sin(v0): f32
          store out0[i0*1024 + i1] = v1
"""

from __future__ import annotations

import enum

from graphwright.ir.data import Data
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.ir.symint import Dim


class Term(Data, frozen=True):
    """`name * coeff`, where `name` is a loop variable or an int64 value."""

    name: str
    coeff: Dim


class Index(Data, frozen=True):
    """An integer: `const + Σ name * coeff`."""

    terms: tuple[Term, ...] = ()
    const: Dim = 0


class Access(enum.Enum):
    """How a kernel uses a buffer."""

    READ = "read"
    WRITE = "write"
    READ_WRITE = "read_write"


class Param(Data, frozen=True):
    """A buffer that is passed in by pointer."""

    name: str
    dtype: DType
    access: Access
    aliases: str | None = None
    """Name of an earlier param that has the same memory, elementwise."""
    align_bytes: int = 0
    """A power of two that every address passed in is a multiple of (64 for fresh outputs and arena buffers); 0: unknown."""


class Scratch(Data, frozen=True):
    """Memory private to one iteration of the parallel loop it is used in (or to the kernel); `size` in elements, static."""

    name: str
    dtype: DType
    size: int


class Const(Data, frozen=True, tag="const"):
    """`name = value`. Floats are written as `float.hex`, integers in decimal, bools as `true`/`false`."""

    name: str
    value: str
    dtype: DType


class IndexValue(Data, frozen=True, tag="index_value"):
    """`name = index`, as an int64 value."""

    name: str
    index: Index


class Load(Data, frozen=True, tag="load"):
    """`name = buffer[index]`, of the buffer's dtype. `buffer` is a param or scratch."""

    name: str
    buffer: str
    index: Index
    ahead: int = 0
    """How many elements behind this one the processor is asked for at the same time: they are far away and loaded soon. 0: none."""


class Compute(Data, frozen=True, tag="compute"):
    """`name = op(args)`, of `dtype`; operand dtypes are those of the args (see `ir/ops.py` for what an op takes)."""

    name: str
    op: ScalarOp
    args: tuple[str, ...]
    dtype: DType


class Store(Data, frozen=True, tag="store"):
    """`buffer[index] = value`; the value has the buffer's dtype. `is_streaming`: it will not be read again soon."""

    buffer: str
    index: Index
    value: str
    is_streaming: bool = False


class LoopKind(enum.Enum):
    """How the iterations of a loop run."""

    PARALLEL = "parallel"
    """Split over threads; top level only; no carries."""
    SERIAL = "serial"
    VECTOR = "vector"
    """Innermost, iterations independent but for `carries`: to be vectorised."""
    UNROLLED = "unrolled"
    """A small constant trip count, to be unrolled."""


class Carry(Data, frozen=True):
    """A reduction over the loop: `name = op over iterations of update`, starting from the op's identity.

    After the loop, `name` is a value of the list that holds the loop. The order of combination is free, but for
    `ARGMAX`/`ARGMIN`, which give the first index (int64, the value of `index`) of the extreme value, NaN counting as extreme.
    """

    name: str
    op: ReduceOp
    update: str
    """A value defined in the body, of `dtype`."""
    dtype: DType
    index: str | None = None
    """For `ARGMAX`/`ARGMIN`: an int64 value of the body, the index that belongs to `update`."""


class Loop(Data, frozen=True, tag="loop"):
    """`for var in range(start, min(stops), step): body`."""

    var: str
    start: Index
    stops: tuple[Index, ...]
    kind: LoopKind
    body: tuple[Stmt, ...]
    step: int = 1
    carries: tuple[Carry, ...] = ()
    grain: int = 1
    """For `PARALLEL`: the fewest iterations that are worth a thread."""


class If(Data, frozen=True, tag="if"):
    """`if condition: body`; `condition` is a BOOL value."""

    condition: str
    body: tuple[Stmt, ...]


class TransposeTile(Data, frozen=True, tag="transpose_tile"):
    """`target[r, c] = source[c, r]` for a static tile: `rows` × `cols` elements of one dtype.

    `source[source_index + c * source_stride + r]` is read for `r` below `rows` and `c` below `cols`, and goes to
    `target[target_index + r * target_stride + c]`. Written as one statement so that a back end can use shuffles.
    """

    target: str
    target_index: Index
    target_stride: Dim
    source: str
    source_index: Index
    source_stride: Dim
    rows: int
    cols: int


class Ahead(Data, frozen=True):
    """Memory that is read soon: as many elements as the right side of a tile has.

    Element (k, c) is `buffer[index + k * stride + c]`; transposed, it is `buffer[index + c * stride + k]`. No value depends on
    it, and places outside of the buffer do no harm.
    """

    buffer: str
    index: Index
    stride: Dim
    is_transposed: bool = False


class MatmulTile(Data, frozen=True, tag="matmul_tile"):
    """`target[r, c] = Σ_k left[r, k] * right[k, c]` for a static tile: `rows` × `cols` elements, sums of `depth` products.

    Element (r, c) of the target is `target[target_index + r * target_stride + c]`, (r, k) of the left side
    `left[left_index + r * left_row_stride + k * left_depth_stride]`, (k, c) of the right side
    `right[right_index + k * right_stride + c]`; all three of one dtype, float32 or float64. The products of an element are
    added in the order of k. With `accumulates`, they are added to what the target holds. Written as one statement so that a
    back end can keep a block of the target in registers, and ask for what lies `ahead` in the meantime.
    """

    target: str
    target_index: Index
    target_stride: Dim
    left: str
    left_index: Index
    left_row_stride: Dim
    left_depth_stride: Dim
    right: str
    right_index: Index
    right_stride: Dim
    rows: int
    cols: int
    depth: int
    accumulates: bool = False
    ahead: Ahead | None = None


Stmt = Const | IndexValue | Load | Compute | Store | Loop | If | TransposeTile | MatmulTile


class Kernel(Data, frozen=True):
    """One compiled unit. Its machine code has the signature `void(void **params, const int64_t *symbols)`."""

    name: str
    params: tuple[Param, ...]
    scratch: tuple[Scratch, ...]
    symbols: tuple[str, ...]
    """Size symbols that occur in `Dim`s, in the order of the call's `symbols` array."""
    body: tuple[Stmt, ...]
    origins: tuple[str, ...] = ()
    """The ATen ops it came from, for people; not part of its identity."""
    loc: Loc | None = None
    bytes_moved: int = 0
    """Estimate of memory traffic of one call, in bytes; 0 when unknown."""
    flops: int = 0
    """Estimate of scalar operations of one call; 0 when unknown."""
    can_contract: bool = True
    """`a*b + c` may be rounded once."""
