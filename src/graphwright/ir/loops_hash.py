"""What a kernel does, as a hash.

In:  a `Kernel`.   Out: a hash, equal for kernels that differ in names, origins, location and estimates only (`hash_kernel`);
and the kernel under canonical names (`canonical_kernel`), by which they are compared.
Keeps: params stand in their order, as the caller passes them; values, loop variables, scratch and symbols are numbered in the
order in which they are defined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

import msgspec

from graphwright.ir.encoding import structural_hash
from graphwright.ir.loops import (
    Ahead,
    Carry,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Kernel,
    Load,
    Loop,
    MatmulTile,
    Stmt,
    Store,
    Term,
    TransposeTile,
)
from graphwright.ir.symint import Dim
from graphwright.ir.symint_algebra import substitute, symbol

_CANONICAL_NAME: Final = "kernel"
_replace: Final = msgspec.structs.replace


def hash_kernel(kernel: Kernel) -> str:
    """Hash what a kernel does."""
    return structural_hash(canonical_kernel(kernel))


def canonical_kernel(kernel: Kernel) -> Kernel:
    """Give the kernel with all names by number, and without what does not belong to its identity."""
    names = {param.name: f"p{number}" for number, param in enumerate(kernel.params)}
    names |= {scratch.name: f"t{number}" for number, scratch in enumerate(kernel.scratch)}
    symbols = {name: f"s{number}" for number, name in enumerate(kernel.symbols)}
    renamer = _Renamer(names, symbols)
    return Kernel(
        name=_CANONICAL_NAME,
        params=tuple(
            _replace(
                param,
                name=names[param.name],
                aliases=None if param.aliases is None else names[param.aliases],
            )
            for param in kernel.params
        ),
        scratch=tuple(_replace(item, name=names[item.name]) for item in kernel.scratch),
        symbols=tuple(symbols.values()),
        body=renamer.body(kernel.body),
        can_contract=kernel.can_contract,
    )


class _Renamer:
    """Gives statements new names, by number."""

    def __init__(self, names: dict[str, str], symbols: Mapping[str, str]) -> None:
        self._names = names
        self._symbols: Mapping[str, Dim] = {old: symbol(new) for old, new in symbols.items()}
        self._count = 0

    def _new(self, name: str) -> str:
        self._names[name] = f"v{self._count}"
        self._count += 1
        return self._names[name]

    def _dim(self, dim: Dim) -> Dim:
        return dim if isinstance(dim, int) else substitute(dim, self._symbols)

    def _ahead(self, ahead: Ahead | None) -> Ahead | None:
        if ahead is None:
            return None
        return _replace(
            ahead,
            buffer=self._names[ahead.buffer],
            index=self._index(ahead.index),
            stride=self._dim(ahead.stride),
        )

    def _index(self, index: Index) -> Index:
        terms = (Term(self._names[term.name], self._dim(term.coeff)) for term in index.terms)
        return Index(tuple(terms), self._dim(index.const))

    def body(self, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        """Rename a list of statements."""
        return tuple(map(self._statement, body))

    def _statement(self, stmt: Stmt) -> Stmt:
        names = self._names
        match stmt:
            case Const():
                return _replace(stmt, name=self._new(stmt.name))
            case IndexValue():
                return IndexValue(index=self._index(stmt.index), name=self._new(stmt.name))
            case Load():
                index = self._index(stmt.index)
                return Load(self._new(stmt.name), names[stmt.buffer], index, stmt.ahead)
            case Compute():
                args = tuple(names[arg] for arg in stmt.args)
                return Compute(self._new(stmt.name), stmt.op, args, stmt.dtype)
            case Store():
                index = self._index(stmt.index)
                return Store(names[stmt.buffer], index, names[stmt.value], stmt.is_streaming)
            case Loop():
                return self._loop(stmt)
            case If():
                return If(names[stmt.condition], self.body(stmt.body))
            case TransposeTile():
                return _replace(
                    stmt,
                    target=names[stmt.target],
                    target_index=self._index(stmt.target_index),
                    target_stride=self._dim(stmt.target_stride),
                    source=names[stmt.source],
                    source_index=self._index(stmt.source_index),
                    source_stride=self._dim(stmt.source_stride),
                )
            case MatmulTile():
                return _replace(
                    stmt,
                    target=names[stmt.target],
                    target_index=self._index(stmt.target_index),
                    target_stride=self._dim(stmt.target_stride),
                    left=names[stmt.left],
                    left_index=self._index(stmt.left_index),
                    left_row_stride=self._dim(stmt.left_row_stride),
                    left_depth_stride=self._dim(stmt.left_depth_stride),
                    right=names[stmt.right],
                    right_index=self._index(stmt.right_index),
                    right_stride=self._dim(stmt.right_stride),
                    ahead=self._ahead(stmt.ahead),
                )
            case _:
                assert_never(stmt)

    def _loop(self, loop: Loop) -> Loop:
        start = self._index(loop.start)
        stops = tuple(map(self._index, loop.stops))
        var = self._new(loop.var)
        body = self.body(loop.body)
        carries = tuple(map(self._carry, loop.carries))
        return _replace(loop, var=var, start=start, stops=stops, body=body, carries=carries)

    def _carry(self, carry: Carry) -> Carry:
        update = self._names[carry.update]
        index = None if carry.index is None else self._names[carry.index]
        return _replace(carry, name=self._new(carry.name), update=update, index=index)
