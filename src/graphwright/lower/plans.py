"""Join everything into a plan: units in order, buffers and their places, steps.

In: units, roots and targets.   Out: `Lowered`: the `Plan`, and the kernels that it runs, each once.
Keeps: what `ir/plan.py` states.
"""

from __future__ import annotations

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Kernel
from graphwright.ir.plan import (
    ArenaPlace,
    Buffer,
    CallExtern,
    ConstantPlace,
    ExternPlace,
    InputPlace,
    KernelRef,
    OutputPlace,
    Place,
    Plan,
    Release,
    RunKernel,
    Step,
    TensorArg,
    TupleArg,
)
from graphwright.ir.refusals import with_first_checks_marked
from graphwright.lower.clusters import Call, Cluster, Unit
from graphwright.lower.externs import ExternMaker, is_written_copy, uses_planned_memory
from graphwright.lower.kernels import BuiltKernel
from graphwright.lower.memory import ALIGNMENT, Lifetime, lay_out
from graphwright.lower.outputs import NewTensor, Targets, plan_output
from graphwright.lower.reuse import choose_reuses
from graphwright.lower.roots import Roots
from graphwright.lower.sharing import KernelBuilder
from graphwright.lower.values import Layout, ValueKind, Values

LONG_COST = 1 << 17
"""Kernels of less cost (in multiplications) take less than about 20 µs."""


class Lowered(msgspec.Struct, frozen=True):
    """A plan, and the kernels that it names."""

    plan: Plan
    kernels: tuple[Kernel, ...]


class Planner:
    """Builds the plan.

    Args:
        roots: what is computed in a place of its own.
        targets: where results go.
        units: clusters and calls, in order.
        num_threads: how many threads a kernel may use.
    """

    def __init__(self, roots: Roots, targets: Targets, units: list[Unit], num_threads: int) -> None:
        self._roots = roots
        self._values: Values = roots.values
        self._targets = targets
        self._units = units
        self._kernel_builder = KernelBuilder(roots, num_threads)
        self._buffers: list[_PlannedBuffer] = []
        self._buffer_of: dict[int, int] = {}
        self._steps: list[Step] = []
        self._kernels: dict[str, int] = {}
        self._built: list[BuiltKernel] = []
        self._outputs = {out.value for out in targets.outputs if isinstance(out, NewTensor)}
        self._is_long = False

    def run(self) -> Lowered:
        """Give the plan."""
        graph = self._values.graph
        for number in range(len(graph.inputs)):
            self._add_buffer(number, InputPlace(number))
        needed = self._needed_elsewhere()
        externs = ExternMaker(self._values, self._buffer)
        for unit in self._units:
            if isinstance(unit, Call):
                self._add_call(unit.node, externs)
            else:
                self._add_kernel(unit, needed)
        outputs = tuple(plan_output(out, self._output_buffers()) for out in self._targets.outputs)
        mutated = tuple(sorted(set(self._targets.written.values())))
        steps = with_first_checks_marked(self._with_releases(), mutated)
        arena_bytes = self._place_in_arena(steps, self._share_buffers(steps))
        self._note_alignment(steps)
        plan = Plan(
            inputs=graph.inputs,
            symbols=(),
            buffers=tuple(buffer.finished() for buffer in self._buffers),
            kernels=tuple(KernelRef(one.kernel.name, one.key) for one in self._built),
            steps=tuple(steps),
            outputs=outputs,
            mutated_inputs=mutated,
            arena_bytes=arena_bytes,
            constants=graph.constants,
            versioned_inputs=graph.versioned_inputs,
            is_long=self._is_long,
        )
        return Lowered(plan, tuple(one.kernel for one in self._built))

    # Buffers

    def _needed_elsewhere(self) -> set[int]:
        """Give the values that are read outside of the unit that computes them, or that the caller or a call needs."""
        needed = set(self._roots.stored)
        for unit in self._units:
            if isinstance(unit, Cluster):
                needed |= unit.reads - unit.values
        return needed

    def _output_buffers(self) -> dict[int, int]:
        return {value: self._buffer(value) for value in self._outputs}

    def _buffer(self, value: int) -> int:
        """Give the buffer of a value that is no view, made when it is first met."""
        known = self._buffer_of.get(value)
        if known is not None:
            return known
        if value < self._values.num_sources:
            constant = value - len(self._values.graph.inputs)
            return self._add_buffer(value, ConstantPlace(constant))
        target = self._targets.written.get(value)
        if target is not None:
            self._buffer_of[value] = target
            return target
        return self._add_buffer(value, self._new_place(value))

    def _new_place(self, value: int) -> Place:
        node = self._values.nodes[value]
        is_extern = self._values.kinds[value] is ValueKind.EXTERN
        if is_extern and node is not None:
            is_planned = uses_planned_memory(self._values, node) or is_written_copy(node, value)
            if not is_planned:
                return ExternPlace()
        return OutputPlace() if value in self._outputs else ArenaPlace(0)

    def _add_buffer(self, value: int, place: Place) -> int:
        layout = self._values.layouts[value]
        meta = self._values.metas[value]
        self._buffers.append(_PlannedBuffer(meta.dtype, layout, place, meta.device))
        self._buffer_of[value] = len(self._buffers) - 1
        return len(self._buffers) - 1

    # Steps

    def _add_call(self, node: AtenNode, externs: ExternMaker) -> None:
        value = node.first_tensor
        target = None if value is None else self._targets.written.get(value)
        calls = (
            externs.calls(node, self._is_needed)
            if target is None
            else [externs.copy_into(node, target)]
        )
        self._steps += calls
        self._is_long = self._is_long or any(call.is_long for call in calls)

    def _is_needed(self, value: int) -> bool:
        return value in self._roots.stored or self._roots.has_readers(value)

    def _add_kernel(self, cluster: Cluster, needed: set[int]) -> None:
        stored = cluster.values & needed
        built = self._kernel_builder.build(cluster, stored)
        for value in stored:
            self._buffer(value)
        if built is None:
            return
        number = self._kernels.get(built.key)
        if number is None:
            number = self._kernels[built.key] = len(self._built)
            self._built.append(built)
        temporaries = {
            target.value: self._add_temporary(target.dtype, numel)
            for target, numel in built.temporaries
        }
        buffers = tuple(
            temporaries[target.value] if target.value < 0 else self._buffer(target.value)
            for target in built.targets
        )
        self._steps.append(RunKernel(number, buffers, loc=cluster.roots[-1].node.loc))
        self._is_long = self._is_long or built.cost > LONG_COST

    def _add_temporary(self, dtype: DType, numel: int) -> int:
        self._buffers.append(_PlannedBuffer(dtype, Layout((numel,), (1,)), ArenaPlace(0), "cpu"))
        return len(self._buffers) - 1

    # Lifetimes

    def _with_releases(self) -> list[Step]:
        """Add the release of each extern result after its last use."""
        last = self._last_uses(self._steps)
        held = {self._buffer_of[value] for value in self._outputs}
        ending: dict[int, list[int]] = {}
        for number, buffer in enumerate(self._buffers):
            if isinstance(buffer.place, ExternPlace) and number in last and number not in held:
                ending.setdefault(last[number], []).append(number)
        steps: list[Step] = []
        for place, step in enumerate(self._steps):
            steps.append(step)
            steps += [Release(number) for number in ending.get(place, ())]
        return steps

    def _share_buffers(self, steps: list[Step]) -> dict[int, int]:
        """Let kernels write into what they read for the last time; give the buffer that each such buffer takes over."""
        first, last = self._first_uses(steps), self._last_uses(steps)
        runs: dict[int, list[tuple[int, RunKernel]]] = {}
        for place, step in enumerate(steps):
            if isinstance(step, RunKernel):
                runs.setdefault(step.kernel, []).append((place, step))
        taken_over: dict[int, int] = {}
        for kernel, found in runs.items():
            built = self._built[kernel]
            if not built.reuses:
                continue
            can_share = [self._sharable(step, place, first, last) for place, step in found]
            pairs = choose_reuses(built.reuses, built.targets, can_share)
            if pairs:
                self._built[kernel] = built.sharing(pairs)
            for _, step in found:
                for stored, loaded in pairs:
                    taken_over[step.buffers[stored]] = step.buffers[loaded]
        return taken_over

    def _note_alignment(self, steps: list[Step]) -> None:
        """Tell kernels that write past the caches which of that memory is aligned: an input's may begin anywhere."""
        aligned: dict[int, set[int]] = {}
        for step in steps:
            if isinstance(step, RunKernel) and self._built[step.kernel].streamed:
                params = aligned.setdefault(step.kernel, set(self._built[step.kernel].streamed))
                params &= {
                    param
                    for param, number in enumerate(step.buffers)
                    if isinstance(self._buffers[number].place, ArenaPlace | OutputPlace)
                }
        for kernel, params in aligned.items():
            self._built[kernel] = self._built[kernel].aligned(params, ALIGNMENT)

    def _sharable(
        self, step: RunKernel, place: int, first: dict[int, int], last: dict[int, int]
    ) -> set[tuple[int, int]]:
        """Give the pairs of params of which one's life begins where the other's ends."""
        sharable: set[tuple[int, int]] = set()
        for stored, new in enumerate(step.buffers):
            for loaded, old in enumerate(step.buffers):
                is_turn = first.get(new) == place and last.get(old) == place
                if is_turn and new != old and self._could_share(new, old):
                    is_once = step.buffers.count(old) == 1 and step.buffers.count(new) == 1
                    sharable |= {(stored, loaded)} if is_once else set()
        return sharable

    def _could_share(self, new: int, old: int) -> bool:
        one, two = self._buffers[new], self._buffers[old]
        are_planned = isinstance(one.place, ArenaPlace) and isinstance(two.place, ArenaPlace)
        return are_planned and one.size_bytes == two.size_bytes > 0

    def _place_in_arena(self, steps: list[Step], taken_over: dict[int, int]) -> int:
        """Give each planned buffer its place; those that take over another's share it."""
        first, last = self._first_uses(steps), self._last_uses(steps)
        numbers = [
            number
            for number, buffer in enumerate(self._buffers)
            if isinstance(buffer.place, ArenaPlace) and number in first
        ]
        owners = {number: _owner(number, taken_over) for number in numbers}
        ends: dict[int, int] = {}
        for number, owner in owners.items():
            ends[owner] = max(ends.get(owner, 0), last[number])
        placed = list(ends)
        layout = lay_out(
            [
                Lifetime(self._buffers[owner].size_bytes, first[owner], ends[owner])
                for owner in placed
            ]
        )
        offsets = dict(zip(placed, layout.offsets_bytes, strict=True))
        for number, owner in owners.items():
            self._buffers[number].place = ArenaPlace(offsets[owner])
        return layout.size_bytes

    def _first_uses(self, steps: list[Step]) -> dict[int, int]:
        first: dict[int, int] = {}
        for place, step in enumerate(steps):
            for number in buffers_of(step):
                first.setdefault(number, place)
        return first

    def _last_uses(self, steps: list[Step]) -> dict[int, int]:
        last: dict[int, int] = {}
        for place, step in enumerate(steps):
            for number in buffers_of(step):
                last[number] = place
        return last


def _owner(number: int, taken_over: dict[int, int]) -> int:
    """Follow a buffer to the one whose memory it takes over in the end."""
    while number in taken_over:
        number = taken_over[number]
    return number


class _PlannedBuffer:
    """A buffer whose place may still change."""

    def __init__(self, dtype: DType, layout: Layout, place: Place, device: str) -> None:
        self.dtype = dtype
        self.layout = layout
        self.place = place
        self.device = device

    @property
    def size_bytes(self) -> int:
        """Bytes from the first element to the last."""
        if not self.layout.numel:
            return 0
        reach = sum(
            (extent - 1) * stride
            for extent, stride in zip(self.layout.shape, self.layout.strides, strict=True)
        )
        return (reach + 1) * self.dtype.size_bytes

    def finished(self) -> Buffer:
        """Give the plan's buffer."""
        layout = self.layout
        return Buffer(
            self.dtype, layout.shape, layout.strides, self.size_bytes, self.place, self.device
        )


def buffers_of(step: Step) -> list[int]:
    """Give the buffers that a step uses."""
    match step:
        case RunKernel():
            return list(step.buffers)
        case Release():
            return [step.buffer]
        case CallExtern():
            args = [*step.args, *[kwarg.value for kwarg in step.kwargs], *step.outs]
            return [number for arg in args for number in _buffers_in(arg)]


def _buffers_in(arg: object) -> list[int]:
    match arg:
        case TensorArg():
            return [arg.buffer]
        case TupleArg():
            return [number for item in arg.items for number in _buffers_in(item)]
        case _:
            return []
