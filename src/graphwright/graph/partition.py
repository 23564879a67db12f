"""Cut a joint graph into a forward graph and backward graphs.

In: forward and backward in one graph (`record.JointGraph`, taken apart by the caller).   Out: `Partition`.
Keeps: a node that depends on a tangent runs in the backward graph; every other node that the backward graph needs has its result
saved by the forward graph, but for views, which cost nothing and are taken again.

    joint(x, w, t):                         forward(x, w):            backward(x, a, t):
      a = mm(x, w)                            a = mm(x, w)              g = mul(t, sign(a))
      y = abs(a)                       →      y = abs(a)                xt = transpose(x)
      g = mul(t, sign(a))                     return y, a               return mm(xt, g)
      return y, mm(transpose(x), g)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple, final

import msgspec

from graphwright.ir.aten import AtenGraph, AtenNode, GraphOutput, InputMutation, TensorMeta
from graphwright.ir.joint import JointPart
from graphwright.ir.overloads import find_overload, gives_view
from graphwright.ir.renumbering import has_effect, iter_metas, iter_reads, renumbered


class BackwardHalf(msgspec.Struct, frozen=True):
    """The backward graph of one part."""

    graph: AtenGraph
    """Its inputs are the saved inputs, the saved values, the part's tangents; its outputs the part's gradients."""
    saved_inputs: tuple[int, ...]
    """Forward inputs that it reads."""
    saved_values: tuple[int, ...]
    """Which of the saved values it reads."""
    tangents_of_gradients: tuple[tuple[int, ...], ...]
    """For each gradient, the numbers, in the part, of the tangents that it depends on; none for zeros that are made without one."""


class Partition(msgspec.Struct, frozen=True):
    """A forward graph, backward graphs, and what goes from the one to the others."""

    forward: AtenGraph
    """Its inputs are the joint graph's without the tangents; its outputs the program's, then the saved values."""
    halves: tuple[BackwardHalf, ...]
    """For each part."""


def partition(joint: AtenGraph, parts: Sequence[JointPart], *, num_outputs: int) -> Partition:
    """Cut `joint` in two, and its backward half in parts.

    Args:
        joint: its last inputs are the tangents of the parts, its first `num_outputs` outputs the program's.
        parts: how many tangents and gradients each has.
        num_outputs: number of the program's outputs; the rest are gradients.
    """
    return _Cut(joint, parts, num_outputs).run()


class _Needs(NamedTuple):
    """What the backward graph of a part is made of."""

    gradients: Sequence[GraphOutput]
    tangents: range
    nodes: list[AtenNode]
    """In order."""
    reads: list[int]
    """The forward values that they read, in order of number."""


@final
class _Cut:
    def __init__(self, joint: AtenGraph, parts: Sequence[JointPart], num_outputs: int) -> None:
        self.joint: Final = joint
        self.parts: Final = parts
        num_tangents = sum(part.num_tangents for part in parts)
        self.num_inputs: Final = len(joint.inputs)
        self.num_primals: Final = self.num_inputs - num_tangents
        self.num_outputs: Final = num_outputs
        self.metas: Final = list(iter_metas(joint))
        self.makers: Final = {value: node for node in joint.nodes for value in node.tensors}
        self.late_nodes: Final[set[int]] = set()
        """Identities of the nodes that read what depends on a tangent."""
        self.tangents_of: Final = self._find_late()

    def run(self) -> Partition:
        outputs = self.joint.outputs[: self.num_outputs]
        gradients, tangent = iter(self.joint.outputs[self.num_outputs :]), self.num_primals
        needs: list[_Needs] = []
        for part in self.parts:
            of_part = list(itertools.islice(gradients, part.num_gradients))
            tangents = range(tangent, tangent + part.num_tangents)
            needs.append(self._needed_late(of_part, tangents))
            tangent = tangents.stop
        first_saved = self.num_inputs + len(self.joint.constants)
        saved = sorted({value for need in needs for value in need.reads if value >= first_saved})
        forward = self._graph(
            range(self.num_primals),
            self._needed_early([*(o.value_id for o in outputs), *saved]),
            (*outputs, *map(self._plain_output, saved)),
            self.joint.mutations,
            self.joint.versioned_inputs,
        )
        return Partition(forward, tuple(self._half(need, saved) for need in needs))

    def _half(self, need: _Needs, saved: Sequence[int]) -> BackwardHalf:
        inputs = tuple(value for value in need.reads if value < self.num_primals)
        values = [value for value in need.reads if value in saved]
        graph = self._graph(
            (*inputs, *values, *need.tangents),
            need.nodes,
            tuple(self._plain_output(output.value_id, output.meta) for output in need.gradients),
            (),
        )
        return BackwardHalf(
            graph,
            inputs,
            tuple(map(saved.index, values)),
            tuple(
                tuple(
                    number
                    for number, tangent in enumerate(need.tangents)
                    if self.tangents_of[output.value_id] >> tangent & 1
                )
                for output in need.gradients
            ),
        )

    def _find_late(self) -> list[int]:
        """Give, for each value, the set of tangents that it depends on, as bits by number of the input."""
        tangents_of = [0] * len(self.metas)
        for tangent in range(self.num_primals, self.num_inputs):
            tangents_of[tangent] = 1 << tangent
        for node in self.joint.nodes:
            found = 0
            for value in iter_reads(node):
                found |= tangents_of[value]
            if found:
                self.late_nodes.add(id(node))
                for value in node.results:
                    if value >= 0:
                        tangents_of[value] = found
        return tangents_of

    def _needed_late(self, gradients: Sequence[GraphOutput], tangents: range) -> _Needs:
        """Give what the backward graph of a part needs."""
        chosen: set[int] = set()
        reads: set[int] = set()
        effects = [
            node
            for node in self.joint.nodes
            if id(node) in self.late_nodes and has_effect(node.op) and self._is_of(node, tangents)
        ]
        chosen.update(map(id, effects))
        pending = [output.value_id for output in gradients]
        pending += [value for node in effects for value in iter_reads(node)]
        seen: set[int] = set()
        while pending:
            value = pending.pop()
            if value in seen:
                continue
            seen.add(value)
            maker = self.makers.get(value)
            if maker is not None and (self.tangents_of[value] or _is_view(maker)):
                chosen.add(id(maker))
                pending.extend(iter_reads(maker))
            elif maker is not None or value < self.num_primals:
                reads.add(value)
        nodes = [node for node in self.joint.nodes if id(node) in chosen]
        return _Needs(gradients, tangents, nodes, sorted(reads))

    def _is_of(self, node: AtenNode, tangents: range) -> bool:
        """Tell whether a node depends on one of these tangents."""
        found = 0
        for value in iter_reads(node):
            found |= self.tangents_of[value]
        return any(found >> tangent & 1 for tangent in tangents)

    def _needed_early(self, wanted: Sequence[int]) -> list[AtenNode]:
        """Give the nodes of the forward graph: all that its outputs need, and all that have effects."""
        needed = {*wanted, *(mutation.value_id for mutation in self.joint.mutations)}
        chosen: list[AtenNode] = []
        for node in reversed(self.joint.nodes):
            results = node.tensors
            if id(node) in self.late_nodes:
                continue
            if not needed.isdisjoint(results) or has_effect(node.op):
                chosen.append(node)
                needed.update(iter_reads(node))
        return chosen[::-1]

    def _plain_output(self, value: int, meta: TensorMeta | None = None) -> GraphOutput:
        known = meta or self.metas[value]
        return GraphOutput(value, msgspec.structs.replace(known, offset=0, requires_grad=False))

    def _graph(
        self,
        inputs: Sequence[int],
        nodes: Sequence[AtenNode],
        outputs: Sequence[GraphOutput],
        mutations: Sequence[InputMutation],
        versioned_inputs: tuple[int, ...] = (),
    ) -> AtenGraph:
        numbers = {value: number for number, value in enumerate(inputs)}
        for offset in range(len(self.joint.constants)):
            numbers[self.num_inputs + offset] = len(numbers)
        return AtenGraph(
            inputs=tuple(self.metas[value] for value in inputs),
            symbols=self.joint.symbols,
            nodes=renumbered(nodes, numbers),
            outputs=tuple(
                msgspec.structs.replace(output, value_id=numbers[output.value_id])
                for output in outputs
            ),
            mutations=tuple(
                InputMutation(mutation.input_index, numbers[mutation.value_id])
                for mutation in mutations
            ),
            constants=self.joint.constants,
            versioned_inputs=versioned_inputs,
        )


def _is_view(node: AtenNode) -> bool:
    return gives_view(find_overload(node.op))
