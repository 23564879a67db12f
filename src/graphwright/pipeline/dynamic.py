"""Which sizes and ints of a program are symbols, and which floats are open.

In: what the user asked for (`dynamic=`), and the variants that were compiled before.   Out: `SymbolChoice`, which a capture asks for
each tensor and each int that it meets.

- `dynamic=True`: the sizes of all tensors that an argument leads to, parameters and buffers apart, and ints among the arguments;
- `dynamic=None`: what differs from an earlier variant: the first compile is static, the second has a symbol for each size that
  changed, and so serves the sizes that come after; ints count wherever they are kept: a counter in a module, a closure or a
  dict changes at each call;
- `dynamic=False`: none.

What a user marked is as it was marked, whatever `dynamic` says.

Sizes that are alike in this call, and were alike in all earlier variants, are one symbol: they are likely to belong together, and a
program for which they do is simpler. Where they do not, the next variant has two symbols.

Floats are open by the same rules, ones that are infinite or NaN apart.

Sizes of 0 and 1 are never symbols: they decide about broadcasting and layout. Ints of 0 and 1 are not either, as in torch.compile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, final

import torch

from graphwright.base.errors import Unsupported
from graphwright.capture import SYMBOLIC_INTS, torch_name
from graphwright.ir.aten import TensorMeta
from graphwright.ir.guards import ConstantGuard, TensorGuard, TypeGuard
from graphwright.ir.program import Program
from graphwright.ir.program_text import iter_with_bases
from graphwright.ir.sources import (
    ArgSource,
    Constant,
    DictValueSource,
    FloatConst,
    ItemSource,
    KwargSource,
    PlainConst,
    Source,
    TupleConst,
)
from graphwright.ir.symint import Dim
from graphwright.pipeline.marks import MarkKind, marks_of
from graphwright.record import size_symbol

_LEAST: Final = 2
"""The least size or int that is a symbol (negative ints are, too)."""
_MODULE_TABLES: Final = (PlainConst("_parameters"), PlainConst("_buffers"))


@final
class SymbolChoice:
    """The choice for one capture.

    Args:
        dynamic: what the user asked for.
        earlier: the programs compiled for the same target before.
    """

    def __init__(self, dynamic: bool | None, earlier: Sequence[Program]) -> None:  # noqa: FBT001  (the user's own word)
        self._dynamic: Final = dynamic
        self._metas: Final[dict[Source, list[TensorMeta]]] = {}
        self._numbers: Final[dict[Source, set[float | None]]] = {}
        """The ints and floats that earlier variants were made for; None where one left it open."""
        self._has_floats = False
        self._names: Final[dict[tuple[Source, int | None], str]] = {}
        self._alike: Final[dict[tuple[Dim, ...], str]] = {}
        """Names by the sizes of a dimension: now, and in the earlier variants."""
        if dynamic is None:
            for program in earlier:
                self._learn(program)

        self.ranges: Final[dict[str, tuple[int, int | None]]] = {}
        """The least and greatest value of symbols for which the user gave them."""
        self._demanded: Final[list[tuple[Source, int]]] = []
        """Sizes that the user said must be symbols."""

    @property
    def is_empty(self) -> bool:
        """Nothing was made a symbol so far."""
        return not self._names and not self._has_floats

    def dims_of(self, tensor: torch.Tensor, source: Source) -> Mapping[int, str]:
        """Give the symbolic dimensions of a tensor, with the names of their symbols."""
        marks = marks_of(tensor)
        chosen = {dim for dim in self._chosen_dims(tensor, source) if dim not in marks}
        chosen |= {dim for dim, mark in marks.items() if mark.kind is not MarkKind.STATIC}
        names = {
            dim: self._name(source, dim) if dim in marks else self._size_name(source, dim, size)
            for dim, size in enumerate(tensor.shape)
            if dim in chosen and size >= _LEAST
        }
        for dim, mark in marks.items():
            if mark.kind is MarkKind.DYNAMIC:
                self._demanded.append((source, dim))
                if dim in names and (mark.minimum, mark.maximum) != (None, None):
                    self.ranges[names[dim]] = (max(mark.minimum or 0, _LEAST), mark.maximum)
        return names

    def check_demands(self, program: Program) -> None:
        """Check that a program leaves open the sizes that the user said change.

        Raises:
            Unsupported: it needs one to be what it is.
        """
        for source, dim in self._demanded:
            if source not in program.inputs:
                continue  # the program ends before it looks at the tensor
            size = program.graph.inputs[program.inputs.index(source)].shape[dim]
            if isinstance(size, int):
                raise Unsupported(
                    f"a dimension marked dynamic, {dim} of {torch_name(source)}, that the program needs to be {size}",
                    why="a size of 0 or 1, or one that a loop, a text or a fixed shape depends on, cannot be left open",
                    remedy="use gw.maybe_mark_dynamic, or keep the program from depending on the size",
                )

    def _chosen_dims(self, tensor: torch.Tensor, source: Source) -> Iterable[int]:
        """Give the dimensions that are symbolic where the user marked nothing."""
        if self._dynamic is False or isinstance(tensor, torch.nn.Parameter):
            return ()
        if self._dynamic is None:
            metas = [meta for meta in self._metas.get(source, ()) if len(meta.shape) == tensor.ndim]
            sizes = enumerate(tensor.shape)
            return [dim for dim, size in sizes if any(meta.shape[dim] != size for meta in metas)]
        is_open = _is_argument(source) and not _is_module_state(source)
        return range(tensor.ndim) if is_open else ()

    def int_symbol(self, value: int, source: Source) -> str | None:
        """Give the name of the symbol that an int becomes; None where it is a constant."""
        if self._dynamic is False or value in (0, 1) or value not in SYMBOLIC_INTS:
            return None
        earlier = self._numbers.get(source, ())
        if self._dynamic is None and all(known == value for known in earlier):
            return None
        if self._dynamic and not _is_among_arguments(source):
            return None
        return self._name(source, None)

    def is_open(self, value: float, source: Source) -> bool:
        """Tell whether a float is not fixed. Infinities and NaN are, as in torch.compile."""
        if self._dynamic is False or not math.isfinite(value):
            return False
        earlier = self._numbers.get(source, ())
        has_changed = any(known != value for known in earlier)
        is_chosen = _is_among_arguments(source) if self._dynamic else has_changed
        self._has_floats |= is_chosen
        return is_chosen

    def _size_name(self, source: Source, dim: int, size: int) -> str:
        earlier = [meta.shape for meta in self._metas.get(source, ()) if dim < len(meta.shape)]
        history = (size, *(shape[dim] for shape in earlier))
        name = self._alike.get(history)
        if name is None:
            name = self._alike[history] = self._name(source, dim)
        return name

    def _name(self, source: Source, dim: int | None) -> str:
        name = self._names.get((source, dim))
        if name is None:
            name = size_symbol(torch_name(source), dim, set(self._names.values()))
            self._names[source, dim] = name
        return name

    def _learn(self, program: Program) -> None:
        for guard in program.guards:
            match guard:
                case TensorGuard(source=source, meta=meta):
                    self._metas.setdefault(source, []).append(meta)
                case ConstantGuard(source=source, value=value):
                    for place, number in _iter_numbers(source, value):
                        self._numbers.setdefault(place, set()).add(number)
                case TypeGuard(source=source, pin=pin) if program.pins[pin].qualname == "float":
                    self._numbers.setdefault(source, set()).add(None)
                case _:
                    pass
        for binding in program.symbols:
            if binding.dim is None:
                self._numbers.setdefault(binding.source, set()).add(None)


def _iter_numbers(source: Source, value: Constant) -> Iterator[tuple[Source, float]]:
    """Give the ints and floats in a constant, those in tuples each with the source of its own."""
    match value:
        case PlainConst(value=bool()):
            return
        case PlainConst(value=int(number)):
            yield source, number
        case FloatConst(hex=text):
            yield source, float.fromhex(text)
        case TupleConst(items=items):
            for i, item in enumerate(items):
                yield from _iter_numbers(ItemSource(source, PlainConst(i)), item)
        case _:
            return


def _is_argument(source: Source) -> bool:
    """Tell whether an argument of the call leads to `source`."""
    return any(isinstance(base, ArgSource | KwargSource) for base in iter_with_bases(source))


def _is_among_arguments(source: Source) -> bool:
    """Tell whether `source` is an argument, or stands in lists, tuples and dicts that are."""
    allowed = ArgSource | KwargSource | ItemSource | DictValueSource
    return all(isinstance(base, allowed) for base in iter_with_bases(source))


def _is_module_state(source: Source) -> bool:
    """Tell whether `source` is in a module's table of parameters or buffers."""
    return any(
        isinstance(base, ItemSource) and base.key in _MODULE_TABLES
        for base in iter_with_bases(source)
    )
