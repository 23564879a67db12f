"""One ATen op at a time: arguments in, nodes and abstract tensors out.

In:  an overload and its arguments.   Out: abstract tensors, or what the op answers from metadata.

Each overload gets a handler when it is first met: functional, view, in-place or `out=`, or a special one. Results'
specs come from the op's shape rule; an op without one is decomposed where torch composes it of others, and else run on
`meta` tensors, which is slow the first time (torch loads much Python for it) and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from torch._C import DispatchKey, _dispatch_has_kernel_for_dispatch_key

from graphwright.base.errors import Unsupported
from graphwright.record.abstract import data_access
from graphwright.record.mutation import mutate
from graphwright.record.op_recording import Handler, KnownOp, OpRecording
from graphwright.record.operators import OpFacts, OpKind, facts_of
from graphwright.record.shapes import find_rule
from graphwright.record.special import SPECIAL, SpecialHandler

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Dispatcher:
    """Knows how each overload is recorded.

    Args:
        recording: what does it.
        inside: makes ops that a composition calls come back to this dispatcher.
    """

    def __init__(self, recording: OpRecording, inside: AbstractContextManager[Any]) -> None:
        self._recording = recording
        self._inside = inside
        self._known: dict[Any, KnownOp] = {}

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record one op and give its results."""
        known = self._known.get(func)
        if known is None:
            known = self.learn(func)
        return known.handler(known, args, kwargs)

    def learn(self, func: Any) -> KnownOp:
        """Give what is known of an overload, looking it up if it is new."""
        known = self._known.get(func)
        if known is None:
            facts = facts_of(func)
            known = KnownOp(facts, find_rule(facts.name), self._choose_handler(facts))
            self._known[func] = known
        return known

    def _choose_handler(self, facts: OpFacts) -> Handler:
        special = SPECIAL.get(facts.name)
        if special is not None:
            return self._specially(special)
        if facts.name in _DATA_DEPENDENT:
            return _refuse
        if facts.name.partition("_.")[0] in _STORAGE_OPS:
            return _refuse_storage
        is_known = find_rule(facts.name) is not None or facts.functional is not None
        if not is_known and _is_composite(facts.overload):
            return self._decompose
        match facts.kind:
            case OpKind.VIEW:
                return self._recording.record_view
            case OpKind.FUNCTIONAL:
                return self._recording.record_functional
            case OpKind.MUTATING:
                return self._mutate

    def _specially(self, special: SpecialHandler) -> Handler:
        recording, learn = self._recording, self.learn
        return lambda known, args, kwargs: special(recording, learn, known, args, kwargs)

    def _mutate(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        functional = known.facts.functional
        twin = None if functional is None else self.learn(functional)
        return mutate(self._recording, known, twin, args, kwargs)

    def _decompose(self, known: KnownOp, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        run = known.facts.overload._op_dk  # noqa: SLF001  (one kernel of the op, the composite one)
        with self._inside:
            return run(DispatchKey.CompositeImplicitAutograd, *args, **kwargs)


def _refuse(known: KnownOp, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Any:
    raise data_access(f"`{known.facts.name}`")


def _refuse_storage(known: KnownOp, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Any:
    raise Unsupported(
        f"`{known.facts.name}`",
        why="it exchanges the memory of a tensor",
        remedy="make a new tensor instead, or move the call out of the compiled function",
    )


def _is_composite(func: Any) -> bool:
    return bool(_dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


_STORAGE_OPS: Final = frozenset(("aten.set", "aten.set_data"))


_DATA_DEPENDENT: Final = frozenset(
    f"aten.{name}"
    for name in (
        "_local_scalar_dense.default",
        "item.default",
        "is_nonzero.default",
        "equal.default",
        "nonzero.default",
        "nonzero_numpy.default",
        "argwhere.default",
        "masked_select.default",
        "unique_dim.default",
        "_unique2.default",
        "unique_consecutive.default",
        "repeat_interleave.Tensor",
        "bincount.default",
    )
)
"""Ops whose answer, or the size of whose result, depends on values."""
