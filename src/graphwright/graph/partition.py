"""Cut a joint graph into a forward graph and a backward graph.

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

from collections.abc import Sequence
from typing import Final, final

import msgspec

from graphwright.ir.aten import AtenGraph, AtenNode, GraphOutput, InputMutation, TensorMeta
from graphwright.ir.overloads import find_overload, gives_view
from graphwright.ir.renumbering import has_effect, iter_metas, iter_reads, renumbered


class Partition(msgspec.Struct, frozen=True):
    """A forward graph, a backward graph, and what goes from the one to the other."""

    forward: AtenGraph
    """Its inputs are the joint graph's without the tangents; its outputs the program's, then the saved values."""
    backward: AtenGraph
    """Its inputs are the saved inputs, the saved values, the tangents; its outputs the gradients."""
    saved_inputs: tuple[int, ...]
    """Forward inputs that the backward graph reads."""
    num_outputs: int
    """How many of the forward graph's outputs are the program's."""


def partition(joint: AtenGraph, *, num_tangents: int, num_outputs: int) -> Partition:
    """Cut `joint` in two.

    Args:
        joint: its last `num_tangents` inputs are the tangents, its first `num_outputs` outputs the program's.
        num_tangents: number of tangents.
        num_outputs: number of the program's outputs; the rest are gradients.
    """
    return _Cut(joint, num_tangents, num_outputs).run()


@final
class _Cut:
    def __init__(self, joint: AtenGraph, num_tangents: int, num_outputs: int) -> None:
        self.joint: Final = joint
        self.num_inputs: Final = len(joint.inputs)
        self.num_primals: Final = self.num_inputs - num_tangents
        self.num_outputs: Final = num_outputs
        self.metas: Final = list(iter_metas(joint))
        self.makers: Final = {
            value: node for node in joint.nodes for value in node.results if value >= 0
        }
        self.late_nodes: Final[set[int]] = set()
        """Identities of the nodes that read what depends on a tangent."""
        self.is_late: Final = self._find_late()

    def run(self) -> Partition:
        outputs = self.joint.outputs[: self.num_outputs]
        gradients = self.joint.outputs[self.num_outputs :]
        late_nodes, reads = self._needed_late([output.value_id for output in gradients])
        first_constant = self.num_inputs
        last_constant = first_constant + len(self.joint.constants)
        saved_inputs = tuple(value for value in reads if value < self.num_primals)
        saved_values = [value for value in reads if value >= last_constant]
        forward = self._graph(
            range(self.num_primals),
            self._needed_early([*(o.value_id for o in outputs), *saved_values]),
            (*outputs, *map(self._plain_output, saved_values)),
            self.joint.mutations,
        )
        backward = self._graph(
            (*saved_inputs, *saved_values, *range(self.num_primals, self.num_inputs)),
            late_nodes,
            tuple(self._plain_output(output.value_id, output.meta) for output in gradients),
            (),
        )
        return Partition(forward, backward, saved_inputs, self.num_outputs)

    def _find_late(self) -> list[bool]:
        """Tell of each value whether it depends on a tangent."""
        is_late = [False] * len(self.metas)
        for tangent in range(self.num_primals, self.num_inputs):
            is_late[tangent] = True
        for node in self.joint.nodes:
            if any(is_late[value] for value in iter_reads(node)):
                self.late_nodes.add(id(node))
                for value in node.results:
                    if value >= 0:
                        is_late[value] = True
        return is_late

    def _needed_late(self, wanted: Sequence[int]) -> tuple[list[AtenNode], list[int]]:
        """Give the nodes of the backward graph, in order, and the forward values that they read, in order of number."""
        chosen: set[int] = set()
        reads: set[int] = set()
        effects = [
            node for node in self.joint.nodes if id(node) in self.late_nodes and has_effect(node.op)
        ]
        chosen.update(map(id, effects))
        pending = [*wanted, *(value for node in effects for value in iter_reads(node))]
        seen: set[int] = set()
        while pending:
            value = pending.pop()
            if value in seen:
                continue
            seen.add(value)
            maker = self.makers.get(value)
            if maker is not None and (self.is_late[value] or _is_view(maker)):
                chosen.add(id(maker))
                pending.extend(iter_reads(maker))
            elif maker is not None or value < self.num_primals:
                reads.add(value)
        return [node for node in self.joint.nodes if id(node) in chosen], sorted(reads)

    def _needed_early(self, wanted: Sequence[int]) -> list[AtenNode]:
        """Give the nodes of the forward graph: all that its outputs need, and all that have effects."""
        needed = {*wanted, *(mutation.value_id for mutation in self.joint.mutations)}
        chosen: list[AtenNode] = []
        for node in reversed(self.joint.nodes):
            results = [value for value in node.results if value >= 0]
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
        )


def _is_view(node: AtenNode) -> bool:
    return gives_view(find_overload(node.op))
