"""Writes to memory that another argument shows.

In: an op that writes, what it writes to, its arguments.   Out: nothing, or eager's refusal, or ours where eager would read some of what
it has just written: a graph reads everything before it writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch

from graphwright.base.errors import Unsupported
from graphwright.record.abstract import AbstractTensor
from graphwright.record.op_recording import OpRecording
from graphwright.record.operators import OpFacts
from graphwright.record.overlap import Overlap, overlap_of


def check_overlaps(
    recording: OpRecording, facts: OpFacts, targets: Sequence[Any], args: Sequence[Any]
) -> None:
    """Refuse what eager refuses, and what does not do the same in a graph.

    Args:
        recording: knows the tensors.
        facts: the op.
        targets: what it writes to: tensors, or lists of them for an op on lists.
        args: its positional arguments.

    Raises:
        RuntimeError: in eager's words.
        Unsupported: eager reads what it has just written.
    """
    places = [mutated.position for mutated in facts.mutated]
    read = [arg for place, arg in enumerate(args) if place not in places]
    is_of_lists = any(isinstance(target, list | tuple) for target in targets)
    written: dict[int, list[tuple[int, Any]]] = {}
    for number, target in _iter_tensors(targets):
        state = recording.state_of(target)
        others = written.setdefault(id(state.storage), [])
        if is_of_lists and any(
            overlap_of(state.spec, other.spec) is not Overlap.NONE for _, other in others
        ):
            raise _reads_what_it_wrote(facts.name)
        others.append((number, state))
    # `torch.addmm(total, a, b, out=total)` does what `total.addmm_(a, b)` does
    added = read[0] if read and facts.name in _ADD_TO_THE_FIRST else None
    for place, value in _iter_tensors(read):
        if facts.name in _TAKE_NUMBERS and value.ndim == 0:
            continue
        state = recording.state_of(value)
        for number, target in written.get(id(state.storage), ()):
            found = overlap_of(target.spec, state.spec)
            if state is target and _name_of(facts) in _READ_ELSEWHERE:
                found = Overlap.SAME  # even without elements
            if found is Overlap.SAME and (number == place if is_of_lists else value is added):
                continue
            _check(facts, found, is_of_lists=is_of_lists)


def _name_of(facts: OpFacts) -> str:
    return facts.name.split(".")[1]


def _iter_tensors(values: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Give the tensors among arguments; those in lists with their numbers there."""
    for value in values:
        listed = value if isinstance(value, list | tuple) else (value,)
        for number, item in enumerate(listed):
            if isinstance(item, torch.Tensor):
                yield number, item


def _check(facts: OpFacts, found: Overlap, *, is_of_lists: bool) -> None:
    if found is Overlap.NONE:
        return
    if not is_of_lists and found is not Overlap.UNTOLD:
        name = _name_of(facts)
        is_elementwise = torch.Tag.pointwise in facts.overload.tags or name == "copy_"
        if is_elementwise and found is Overlap.SAME:
            return
        if is_elementwise or name in _READ_ELSEWHERE:
            msg = "unsupported operation: some elements of the input tensor and the written-to tensor refer to "
            raise RuntimeError(
                msg
                + "a single memory location. Please clone() the tensor before performing the operation."
            )
    raise _reads_what_it_wrote(facts.name)


def check_apart(name: str, out: torch.Tensor, args: Sequence[Any]) -> None:
    """Refuse an `out=` that shows memory of an argument.

    Raises:
        Unsupported: it does.
    """
    for other in args:
        if not (isinstance(out, AbstractTensor) and isinstance(other, AbstractTensor)):
            continue
        one, two = out.state, other.state
        if one.storage is two.storage and overlap_of(one.spec, two.spec) is not Overlap.NONE:
            raise _reads_what_it_wrote(name)


def _reads_what_it_wrote(name: str) -> Unsupported:
    return Unsupported(
        f"a call of {name} that writes to memory which another of its arguments shows",
        why="PyTorch reads some of what it has just written, and a graph reads everything first",
        remedy="clone() the tensor that is read",
    )


_TAKE_NUMBERS: Final = frozenset(
    ("aten.fill_.Tensor", "aten.masked_fill_.Tensor", "aten.index_fill_.int_Tensor")
)
"""Ops that take the number out of a tensor without dimensions before they write."""

_ADD_TO_THE_FIRST: Final = frozenset(
    f"aten.{name}.out" for name in ("addmm", "addmv", "addr", "baddbmm", "addbmm")
)
"""Products with an `out=` that add to their first argument, which may be the `out=`."""

_READ_ELSEWHERE: Final = frozenset(
    (
        *("gather", "take", "cat", "index_select", "kthvalue", "scatter", "masked_select"),
        *("index_put_", "index_add_", "index_copy_", "put_"),
        *("scatter_", "scatter_add_", "scatter_reduce_"),
    )
)
"""Ops that read other elements than the one they write: eager refuses them even the same places in the same order."""
