"""Fuse roots: those that run over one space, and read each other only where they are, become one kernel.

In: `Roots`.   Out: units in an order in which they can run: `Cluster`s (each to become a kernel) and calls.
Keeps: no unit depends on a later one; inside a cluster, a root reads another only at its own place, or as the reduction's
result that belongs to its place.

    m = amax(x, 1);  e = exp(x - m);  s = sum(e, 1);  y = e / s     →   one cluster over rows × columns (reduced)

Does not: decide what is kept in registers, scratch or memory (`nests.py`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.refusals import may_refuse
from graphwright.lower.links import Domain, RootAccess, find_access, read_operands
from graphwright.lower.reader import ref_of
from graphwright.lower.roots import Roots
from graphwright.lower.rules import REDUCTIONS, scan_axis
from graphwright.lower.spaces import Space, dense_strides, space_of
from graphwright.lower.values import ValueKind, Values

ROW_BYTES: Final = 1 << 20
"""The most that one row of a kernel with several passes over it may take: about the second-level cache."""
PARALLEL_NUMEL: Final = 1 << 15
"""Spaces of fewer cheap elements are not worth threads."""
MOST_ROOTS: Final = 24
MOST_BUFFERS: Final = 40
SIBLINGS_LOOKED_AT: Final = 3
MOST_SEALED: Final = 8
"""More units before a call are a good part of the program, and not what finds an index out of range."""


class Root(msgspec.Struct, frozen=True):
    """A value with a place of its own, and how it is reached."""

    node: AtenNode
    values: tuple[int, ...]
    """Its results (those that exist)."""
    domain: Domain
    access: RootAccess
    is_reduction: bool
    """It reduces axes of more than one element."""
    is_alone: bool
    """It shares its kernel with no other root: a scan, or a scatter."""
    is_sectioned: bool
    is_product: bool
    """It multiplies matrices."""
    has_row_order: bool
    """Its results lie in memory in the order of the domain's kept axes."""
    order: int
    """Its position in the program."""


class Cluster:
    """Roots that become one kernel. Grows while clusters are built, then is only read."""

    def __init__(self, root: Root, space: Space, reads: frozenset[int]) -> None:
        self.roots = [root]
        self.space = space
        self.reads = reads
        self.values = set(root.values)
        self.is_alone = root.is_alone
        self.is_sectioned = root.is_sectioned
        self.product = root if root.is_product else None
        """The product of matrices that it computes: one at most."""
        self.writes_inputs: set[int] = set()

    @property
    def numel(self) -> int:
        """The number of iterations."""
        return self.space.numel


class Call(msgspec.Struct, frozen=True):
    """An extern call."""

    node: AtenNode
    order: int


Unit = Cluster | Call


class Partition:
    """Builds the clusters.

    Args:
        roots: what must be computed.
        written: copies that are written into an input's memory → that input.
        num_threads: how many threads a kernel may use.
    """

    def __init__(self, roots: Roots, written: dict[int, int], num_threads: int) -> None:
        self._roots = roots
        self._values: Values = roots.values
        self._written = written
        self._num_threads = num_threads
        self._units: list[Unit | None] = []
        self._reach: list[int] = []
        """For each unit, all units that it depends on, as a bit set; merged units keep all their bits."""
        self._bits: list[int] = []
        self._direct: list[int] = []
        self._unit_of: dict[int, int] = {}
        """The unit that computes a value."""
        self._readers_of: dict[int, list[int]] = {}
        """Units (as first numbered) that read a value in memory."""
        self._merged_into: list[int] = []
        self._last_effect: int | None = None
        self._refusing: list[int] = []
        """Calls that may refuse values: what writes to inputs waits for them where it can (`ir/refusals.py`)."""
        self._num_sealed = 0
        """Units that such calls, put first for that, wait for: with what comes later they would wait for more."""

    def run(self) -> list[Unit]:
        """Give the units in order."""
        for order, node in enumerate(self._roots.nodes):
            value = node.first_tensor
            if value is None or self._values.kinds[value] is ValueKind.EXTERN:
                self._add_call(node, order, value)
            else:
                self._add_root(node, order)
        return self._in_order()

    # Units and their dependencies

    def _find(self, unit: int) -> int:
        while self._merged_into[unit] != unit:
            unit = self._merged_into[unit]
        return unit

    def _add_unit(self, unit: Unit, depends: Iterable[int]) -> int:
        number = len(self._units)
        self._units.append(unit)
        self._merged_into.append(number)
        self._bits.append(1 << number)
        direct = reach = 0
        for other in {self._find(other) for other in depends}:
            direct |= self._bits[other]
            reach |= self._bits[other] | self._reach[other]
        self._direct.append(direct)
        self._reach.append(reach)
        return number

    def _units_of_values(self, read: Iterable[int]) -> set[int]:
        return {self._unit_of[value] for value in read if value in self._unit_of}

    def _add_call(self, node: AtenNode, order: int, value: int | None) -> None:
        operands = {self._values.bases[ref] for ref in read_operands(node)}
        depends = self._units_of_values(operands)
        target = None if value is None else self._written.get(value)
        if target is not None:
            depends |= self._before_writing(target, depends)
        if self._roots.has_effect(node):
            if self._last_effect is not None:
                depends.add(self._last_effect)
            self._last_effect = len(self._units)
        number = self._add_unit(Call(node, order), depends)
        if may_refuse(node.op):
            self._refusing.append(number)
            self._seal(number)
        for result in node.results:
            if result >= 0:
                self._unit_of[result] = number
        for operand in operands:
            self._readers_of.setdefault(operand, []).append(number)

    def _seal(self, call: int) -> None:
        """Keep what a call that may refuse waits for apart from what comes later, where it was put first for that."""
        since = (1 << call) - (1 << self._num_sealed)
        is_first = self._reach[call] & since == since
        if self._written and is_first and call - self._num_sealed <= MOST_SEALED:
            self._num_sealed = call + 1

    def _before_writing(self, target: int, makers: Iterable[int]) -> set[int]:
        """Give the units that come before one that writes what `makers` compute to an input.

        A call that reads what `makers` compute is not waited for: the value would be kept in memory of its own until then.
        """
        own = 0
        for maker in makers:
            own |= self._bits[self._find(maker)]
        calls = [call for call in self._refusing if not self._reach[call] & own]
        return {*self._readers_of.get(target, ()), *calls}

    def _add_root(self, node: AtenNode, order: int) -> None:
        root = make_root(self._roots, node, order)
        reads = frozenset(read.base for read in root.access.reads)
        cluster = Cluster(root, space_of(root.domain), reads)
        depends = self._units_of_values(reads)
        target = self._written.get(root.values[0])
        if target is not None:
            cluster.writes_inputs.add(target)
            depends |= self._before_writing(target, depends)
        number = self._add_unit(cluster, depends)
        for value in root.values:
            self._unit_of[value] = number
        for candidate in self._candidates(number, reads):
            own, other = self._find(number), self._find(candidate)
            if own != other and min(own, other) >= self._num_sealed:
                self._try_merge(own, other)
        for value in reads:
            self._readers_of.setdefault(value, []).append(number)

    def _candidates(self, number: int, reads: frozenset[int]) -> list[int]:
        """Give the units to merge with: those that compute what is read, then siblings that read the same."""
        producers = sorted(self._units_of_values(reads), reverse=True)
        siblings: list[int] = []
        for value in reads:
            siblings += self._readers_of.get(value, ())[-SIBLINGS_LOOKED_AT:]
        return [*producers, *sorted(set(siblings) - {number}, reverse=True)]

    def _try_merge(self, first: int, second: int) -> None:
        one, two = self._units[first], self._units[second]
        if not isinstance(one, Cluster) or not isinstance(two, Cluster):
            return
        if self._has_path_between(first, second):
            return
        space = self._joint_space(one, two)
        if space is not None and self._can_share(one, two, space):
            self._merge(first, second, space)

    def _has_path_between(self, first: int, second: int) -> bool:
        """Tell whether one depends on the other by way of a third."""
        both = self._bits[first] | self._bits[second]
        between = (self._direct[first] | self._direct[second]) & ~both
        number = 0
        while between:
            skip = (between & -between).bit_length() - 1
            number = self._find(skip)
            if self._reach[number] & both:
                return True
            between &= ~self._bits[number]
            between &= ~(1 << skip)
        return False

    def _merge(self, first: int, second: int, space: Space) -> None:
        keep, gone = min(first, second), max(first, second)
        target, source = self._units[keep], self._units[gone]
        assert isinstance(target, Cluster), "checked by _try_merge"
        assert isinstance(source, Cluster), "checked by _try_merge"
        target.roots = sorted(target.roots + source.roots, key=lambda root: root.order)
        target.space = space
        target.reads |= source.reads
        target.values |= source.values
        target.is_sectioned = target.is_sectioned or source.is_sectioned
        target.product = target.product or source.product
        target.writes_inputs |= source.writes_inputs
        self._units[gone] = None
        self._merged_into[gone] = keep
        bits = self._bits[keep] | self._bits[gone]
        reach = (self._reach[keep] | self._reach[gone]) & ~bits
        self._bits[keep] = bits
        self._direct[keep] = (self._direct[keep] | self._direct[gone]) & ~bits
        self._reach[keep] = reach
        for number, unit in enumerate(self._units):
            if unit is not None and self._reach[number] & bits:
                self._reach[number] |= bits | reach

    # What may share a kernel

    def _joint_space(self, one: Cluster, two: Cluster) -> Space | None:
        """Give the space that serves both, if any."""
        if one.is_alone or two.is_alone:
            return None
        first, second = one.space, two.space
        if first == second:
            return first
        if first.has_reduction and second.has_reduction:
            return None
        if not first.has_reduction and not second.has_reduction:
            return first if first.numel == second.numel else None
        reduced, plain = (first, second) if first.has_reduction else (second, first)
        is_full = plain.numel == reduced.numel
        is_row = plain.numel == reduced.num_kept
        return reduced if is_full or is_row else None

    def _can_share(self, one: Cluster, two: Cluster, space: Space) -> bool:
        roots = [*one.roots, *two.roots]
        if len(roots) > MOST_ROOTS or len(one.reads | two.reads) > MOST_BUFFERS:
            return False
        if space.has_reduction and (one.is_sectioned or two.is_sectioned):
            return False
        if not self._can_follow_product(one, two, space):
            return False
        is_same = one.space == two.space and one.is_sectioned == two.is_sectioned
        if not is_same and not self._is_related(one, two):
            return False
        if not (self._reads_in_place(one, two, space) and self._reads_in_place(two, one, space)):
            return False
        if not self._writes_are_safe(one, two) or not self._writes_are_safe(two, one):
            return False
        return self._fits(roots, one.values | two.values, space)

    def _can_follow_product(self, one: Cluster, two: Cluster, space: Space) -> bool:
        """What shares a kernel with a product of matrices goes over its tiles, and reads the product."""
        if one.product is None and two.product is None:
            return True
        if one.product is not None and two.product is not None:
            return False
        if space.has_reduction or one.is_sectioned or two.is_sectioned:
            return False
        return self._is_related(one, two)

    def _is_related(self, one: Cluster, two: Cluster) -> bool:
        return bool(one.reads & two.values or two.reads & one.values)

    def _reads_in_place(self, reader: Cluster, producer: Cluster, space: Space) -> bool:
        """Tell whether each read of the producer's roots is at the reader's own place."""
        if not reader.reads & producer.values:
            return True
        by_value = {value: root for root in producer.roots for value in root.values}
        for root in reader.roots:
            for read in root.access.reads:
                target = by_value.get(read.base)
                if target is None:
                    continue
                if read.offset is None or not self._is_in_place(root, read.offset, target, space):
                    return False
        return True

    def _is_in_place(self, root: Root, offset: object, target: Root, space: Space) -> bool:
        access = root.access
        reader_is_full = _numel(root.domain) == space.numel
        if not target.has_row_order:
            return False
        target_is_full = not target.is_reduction and _numel(target.domain) == space.numel
        if target_is_full:
            return reader_is_full and offset == access.own
        if reader_is_full and space.has_reduction:
            return offset == space.row_of(access.own, access.extents)
        return offset == access.own

    def _writes_are_safe(self, writer: Cluster, reader: Cluster) -> bool:
        """An input that one cluster writes must be read by the other only at its own place."""
        for target in writer.writes_inputs:
            own = self._values.layouts[target]
            for root in reader.roots:
                for read in root.access.reads:
                    is_own = root in writer.roots
                    place = root.access.place if is_own else root.access.own
                    is_safe = read.offset == place and (is_own or own.is_dense)
                    if read.base == target and not is_safe:
                        return False
        return True

    def _fits(self, roots: list[Root], values: set[int], space: Space) -> bool:
        """Kernels that go over a row several times need rows that stay in cache, and enough of them."""
        if not space.has_reduction:
            return True
        numel = space.numel
        row_values = {
            value
            for root in roots
            if root.is_reduction or _numel(root.domain) != numel
            for value in root.values
        }
        passes_again = any(
            read.base in row_values and _numel(root.domain) == numel
            for root in roots
            for read in root.access.reads
        )
        if not passes_again:
            return True
        widest = max(self._values.dtype(value).size_bytes for value in values)
        lanes = 16 if space.has_lanes else 1
        if space.num_reduced * lanes * widest > ROW_BYTES:
            return False
        return space.num_kept >= lanes * self._num_threads or self._is_small(space)

    def _is_small(self, space: Space) -> bool:
        return space.numel <= PARALLEL_NUMEL

    def _in_order(self) -> list[Unit]:
        """Order units by their dependencies, and else as the program has them."""
        living = [number for number, unit in enumerate(self._units) if unit is not None]
        waiting: dict[int, int] = {}
        followers: dict[int, list[int]] = {number: [] for number in living}
        for number in living:
            before = {self._find(bit) for bit in _bits_of(self._direct[number])} - {number}
            waiting[number] = len(before)
            for other in before:
                followers[other].append(number)
        ready = [(self._order(number), number) for number in living if not waiting[number]]
        heapq.heapify(ready)
        ordered: list[Unit] = []
        while ready:
            _, number = heapq.heappop(ready)
            unit = self._units[number]
            assert unit is not None, "living units only"
            ordered.append(unit)
            for follower in followers[number]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    heapq.heappush(ready, (self._order(follower), follower))
        assert len(ordered) == len(living), "units depend on each other in a circle"
        return ordered

    def _order(self, number: int) -> int:
        unit = self._units[number]
        return unit.order if isinstance(unit, Call) else unit.roots[-1].order if unit else 0


def find_detours(roots: Roots, written: dict[int, int]) -> set[int]:
    """Give the written inputs whose new value reads a written input elsewhere than where it is written.

    Such a value must be complete before any input is written.
    """
    targets = set(written.values())
    detours: set[int] = set()
    for node in roots.nodes:
        value = node.first_tensor
        target = None if value is None else written.get(value)
        if value is None or target is None:
            continue
        if roots.values.kinds[value] is ValueKind.EXTERN:
            is_safe = not targets & {roots.values.bases[ref] for ref in read_operands(node)}
        else:
            access = make_root(roots, node, 0).access
            is_safe = all(
                read.base not in targets or (read.base == target and read.offset == access.place)
                for read in access.reads
            )
        if not is_safe:
            detours.add(target)
    return detours


def make_root(roots: Roots, node: AtenNode, order: int) -> Root:
    """Give the root that `node` computes."""
    values = roots.values
    results = node.tensors
    first = results[0]
    has_axes = values.kinds[first] is ValueKind.REDUCTION
    is_scan = values.kinds[first] is ValueKind.SCAN
    domain = _reduction_domain(values, node) if has_axes else _pointwise_domain(values, first)
    if is_scan:
        axis = scan_axis(values, node)
        reduced = tuple(other == axis for other in range(len(domain.shape)))
        domain = msgspec.structs.replace(domain, reduced=reduced)
    return Root(
        node=node,
        values=results,
        domain=domain,
        access=find_access(values, node, domain, roots.is_inlined),
        is_reduction=has_axes
        and any(
            is_reduced and extent != 1
            for extent, is_reduced in zip(domain.shape, domain.reduced, strict=True)
        ),
        is_alone=is_scan or values.kinds[first] is ValueKind.SCATTER,
        is_sectioned=roots.weights[first].is_sectioned,
        is_product=values.kinds[first] is ValueKind.PRODUCT,
        has_row_order=not has_axes or _has_row_order(values, domain, first),
        order=order,
    )


def _pointwise_domain(values: Values, value: int) -> Domain:
    layout = values.layouts[value]
    order = _stride_order(layout.strides)
    strides = dense_strides(layout.shape, order)
    return Domain(layout.shape, strides, (False,) * len(layout.shape), layout.strides)


def _reduction_domain(values: Values, node: AtenNode) -> Domain:
    operand = values.layouts[ref_of(node.args[0])]
    axes = REDUCTIONS[node.op].axes(values, node)
    strides = dense_strides(operand.shape, _stride_order(operand.strides))
    reduced = tuple(axis in axes for axis in range(len(operand.shape)))
    return Domain(operand.shape, strides, reduced, strides)


def _stride_order(strides: tuple[int, ...]) -> list[int]:
    """Give the axes, outermost first; broadcast axes (stride 0) keep their place before what follows them."""
    keys = list(strides)
    for axis in range(len(keys) - 2, -1, -1):
        if keys[axis] == 0:
            keys[axis] = keys[axis + 1]
    return sorted(range(len(strides)), key=lambda axis: -keys[axis])


def _has_row_order(values: Values, domain: Domain, result: int) -> bool:
    """Tell whether the result's memory follows the kept axes in the domain's order."""
    layout = values.layouts[result]
    kept = [axis for axis, is_reduced in enumerate(domain.reduced) if not is_reduced]
    keeps_axes = len(layout.shape) == len(domain.shape)
    order = sorted(kept, key=lambda axis: -domain.strides[axis])
    expected = 1
    for axis in reversed(order):
        if domain.shape[axis] != 1:
            place = axis if keeps_axes else kept.index(axis)
            if layout.strides[place] != expected:
                return False
            expected *= domain.shape[axis]
    return True


def _numel(domain: Domain) -> int:
    numel = 1
    for extent in domain.shape:
        numel *= extent
    return numel


def _bits_of(bits: int) -> Iterable[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
