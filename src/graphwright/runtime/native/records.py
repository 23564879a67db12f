"""The records that the native code works on: where their fields are.

In: nothing.   Out: offsets in bytes of the fields of frames, entries, contexts and dispatchers; the numbers of outcomes.
Keeps: every field is a word of 8 bytes. A step is 8 words: the step's function, the guard it belongs to, six operands.
"""

from __future__ import annotations

import enum
from typing import Final

WORD: Final = 8
STEP_WORDS: Final = 8
STEP_BYTES: Final = STEP_WORDS * WORD
ANY_EXTENT: Final = -(2**63)
"""Stands in a tensor's expected sizes and strides for one that is compared elsewhere."""
INLINE_DIMS: Final = 5
"""Dimensions whose sizes PyTorch keeps within the tensor."""
HASH_FACTOR: Final = -7046029254386353131
"""An address times this has its bits well mixed in the upper half."""
SERVED_BY_NONE: Final = 1
"""The address that stands for "this entry does not serve the call"."""


LARGEST_ON_STACK: Final = 16 << 10
"""Bytes of slots and the like that a frame keeps on the stack; more are allocated."""
STALE: Final = -1
"""Stands for the guard number in the steps that tell that a shortcut does not hold any more."""


class Outcome(enum.IntEnum):
    """What a step gives."""

    GO_ON = 0
    GUARD_FAILED = 1
    ERROR = 2
    """A Python exception is set."""


class Frame(enum.IntEnum):
    """One call, on the stack."""

    SLOTS = 0 * WORD
    """Objects by slot, borrowed."""
    SYMBOLS = 1 * WORD
    """Values of the size symbols, the plan's first."""
    ARGS = 2 * WORD
    ENTRY = 3 * WORD
    CONTEXT = 4 * WORD
    FAILED_STEP = 5 * WORD
    OWNED = 6 * WORD
    """Objects whose references the frame holds."""
    NUM_OWNED = 7 * WORD
    THREAD = 8 * WORD
    """The saved thread state while the interpreter lock is released, else null."""
    OUTPUTS = 9 * WORD
    """Objects of the graph's outputs; the frame holds their references."""
    HEAP = 10 * WORD
    """Memory of a frame that is too large for the stack, or null."""
    SIZE = 11 * WORD


class EntryRecord(enum.IntEnum):
    """One compiled variant."""

    NUM_POSITIONAL = 0 * WORD
    NUM_KEYWORDS = 1 * WORD
    KEYWORDS = 2 * WORD
    """Interned names, in order."""
    GUARD_STEPS = 3 * WORD
    NUM_GUARD_STEPS = 4 * WORD
    RUN_STEPS = 5 * WORD
    NUM_RUN_STEPS = 6 * WORD
    FRAME_BYTES = 7 * WORD
    """Of slots, symbols, owned objects and outputs together."""
    SLOTS_BYTES = 8 * WORD
    SYMBOLS_BYTES = 9 * WORD
    OWNED_BYTES = 10 * WORD
    NUM_OUTPUTS = 11 * WORD
    FREE_CONTEXT = 12 * WORD
    """The first context that no call uses, or null."""
    MAKE_CONTEXT = 13 * WORD
    """A Python callable that gives the address of a new context."""
    FINISH = 14 * WORD
    """The function that makes the result (of the native code): `PyObject *(frame, entry)`."""
    RESULT = 15 * WORD
    """What `FINISH` works by: a Python callable, or the description of a tuple."""
    INPUT_SLOTS = 16 * WORD
    NUM_INPUTS = 17 * WORD
    RECIPE_SLOTS = 18 * WORD
    NUM_RECIPE_SLOTS = 19 * WORD
    NUM_SYMBOLS = 20 * WORD
    NUM_BUFFERS = 21 * WORD
    USES_CONTEXT = 22 * WORD
    BIND = 23 * WORD
    """A Python callable: `bind(pin, candidate)`."""
    LAST_FAILURE = 24 * WORD
    """Number of the guard that the latest call failed, for tests."""
    SERVE_BY_PYTHON = 25 * WORD
    """A Python callable that serves the call or gives `MISSING`; null for an entry with native guards."""
    ACTIVE = 26 * WORD
    """Number of calls that check this entry's guards, or run, now."""
    SHORT_STEPS = 27 * WORD
    """A shorter table of guard steps (see `shortcuts.py`)."""
    NUM_SHORT_STEPS = 28 * WORD
    """0: there is no shortcut."""
    IS_TRUSTED = 29 * WORD
    """1: all guards held between two runs of the shortcut, so that it may stand for them."""
    NUM_SHORT_CALLS = 30 * WORD
    """Calls that the shortcut served."""
    STALE_WORD = 31 * WORD
    """Number of the word that was not what it was."""
    LEARN = 32 * WORD
    """A Python callable that makes a shortcut from the objects in the slots; null: there will be none."""
    UNTIL_LEARNING = 33 * WORD
    """Calls that all guards serve before a shortcut is made."""
    NUM_SLOTS = 34 * WORD
    RUN_AGAIN = 35 * WORD
    """A Python callable that gets the exception that the graph raised, and the call's arguments; null where it must stand."""
    SIZE = 36 * WORD


class Context(enum.IntEnum):
    """What one call at a time uses of an entry: memory, tensors over it, parameters of kernels."""

    NEXT = 0 * WORD
    BUFFERS = 1 * WORD
    """Base pointer of each buffer."""
    CELLS = 2 * WORD
    """For each buffer: address and number of its cells; a cell: an address to be written, and what is added."""
    TENSORS = 3 * WORD
    """`at::Tensor *` of each tensor argument of an extern call."""
    OBJECTS = 4 * WORD
    """The Python objects of the same."""
    OWNERS = 5 * WORD
    """Who owns each buffer's memory, where the call made it: an `at::Tensor *`, or a Python object's address plus 1."""
    PARAMS = 6 * WORD
    """Parameters of all kernels, one after the other."""
    SYMBOLS = 7 * WORD
    """Values of the size symbols that the tensors were made for."""
    SYMBOLS_OBJECT = 8 * WORD
    """A Python tuple of the same."""
    REBUILD = 9 * WORD
    """A Python callable that makes the tensors for new values of the symbols."""
    SIZE = 10 * WORD


class DispatcherRecord(enum.IntEnum):
    """All variants of one target."""

    ENTRIES = 0 * WORD
    NUM_ENTRIES = 1 * WORD
    LATEST = 2 * WORD
    """Number of the entry that served the latest call."""
    ON_MISS = 3 * WORD
    SIZE = 4 * WORD


class OutputKind(enum.IntEnum):
    """How a graph output is made: word 0 of its description of 4 words."""

    NEW = 0
    """Word 1: the offset of the owner's word."""
    RELAID = 1
    """Word 1: as above; word 2: a layout (ndim, sizes, strides, offset)."""
    INPUT = 2
    """Word 1: the offset of the input's slot."""
    VIEW_OF_INPUT = 3
    """Word 1: as above; word 2: a Python callable of the input (and the tuple of symbols)."""
    VIEW_OF_OUTPUT = 4
    """Word 1: the offset of the earlier output; word 2: as above."""


class ItemKind(enum.IntEnum):
    """Where an item of a result tuple comes from: word 0 of its description of 2 words."""

    OUTPUT = 0
    """Word 1: the offset of the output."""
    OBJECT = 1
    """Word 1: the object itself."""
    SLOT = 2
    """Word 1: the offset of a slot."""


class ExpressionOp(enum.IntEnum):
    """Operations of the little stack machine for expressions over size symbols."""

    END = 0
    CONST = 1
    """Followed by the value."""
    SYMBOL = 2
    """Followed by the symbol's offset."""
    ADD = 3
    MUL = 4
    FLOOR_DIV = 5
    MOD = 6
    MIN = 7
    MAX = 8
    EQ = 9
    NE = 10
    LE = 11
    LT = 12
