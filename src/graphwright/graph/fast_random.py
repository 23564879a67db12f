"""Random numbers as arithmetic on a counter, which is computed where it is used.

In: a graph.   Out: the graph with its draws from uniform, normal and Bernoulli distributions replaced by pointwise nodes; one call
of torch's generator remains, which gives each of them a seed.
Keeps: a program's numbers follow from `torch.manual_seed`, and each call's are new. They are not eager's.

Element i of a draw is the i-th number of SplitMix64 from the draw's seed. No state goes from one element to the next, so a loop over
any part of them may compute its own. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014);
the finalizer is Stafford's variant 13.

    %1 = rand([4])    →    %1 = randint(-2**63, 2**63 - 1, [1]);  %2 = select(%1, 0, 0);  %3 = arange(4)
                           %4 = mul(%3, golden);  %5 = add(%4, %2);  …;  %n = mul(%m, 2**-24)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, final

from graphwright.graph.decomps.emitter import Emitter, as_list, static_shape
from graphwright.graph.decomps.rules import give, result_meta, tensor
from graphwright.ir.aten import (
    AtenGraph,
    AtenNode,
    DeviceArg,
    DTypeArg,
    KwArg,
    LiteralArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, is_given, is_number, number_of
from graphwright.ir.renumbering import iter_metas, with_nodes

_GOLDEN: Final = -7046029254386353131
"""2**64 divided by the golden ratio, odd: steps of it meet every number once."""
_MIXERS: Final = ((30, -4658895280553007687), (27, -7723592293110705685))
"""Shift and factor of each step of the finalizer."""
_LAST_SHIFT: Final = 31
_DIGITS: Final = MappingProxyType(
    {DType.FLOAT64: 53, DType.FLOAT32: 24, DType.FLOAT16: 11, DType.BFLOAT16: 8}
)
"""Binary digits of a uniform number: as many as the dtype holds below 1, so that it is never rounded to 1."""


@final
class _Draws:
    """Writes the draws of one graph.

    Args:
        metas: metadata of the graph's values by number; grows with the new ones.
        num_seeds: how many seeds the graph may need.
    """

    def __init__(self, metas: list[TensorMeta], num_seeds: int) -> None:
        self._metas = metas
        self._num_seeds = num_seeds
        self._seeds: Ref | None = None
        self._num_taken = 0

    def start(self, node: AtenNode) -> Emitter:
        """Begin to replace `node`: the first time, with the call that draws all seeds."""
        emit = Emitter(self._metas, node.loc)
        if self._seeds is None:
            bounds = (LiteralArg(-(2**63)), LiteralArg(2**63 - 1))
            meta = TensorMeta(DType.INT64, (self._num_seeds,), (1,))
            options = (KwArg("dtype", DTypeArg(DType.INT64)), KwArg("device", DeviceArg("cpu")))
            self._seeds = emit.node(
                "aten.randint.low", [*bounds, as_list([self._num_seeds])], meta, options
            )
        return emit

    def hashes(self, emit: Emitter, shape: tuple[int, ...]) -> Ref:
        """Give 64 random bits for each element, from a seed of their own."""
        assert self._seeds is not None, "the seeds were drawn"
        place = [LiteralArg(0), LiteralArg(self._num_taken)]
        scalar = TensorMeta(DType.INT64, (), (), offset=self._num_taken)
        self._num_taken += 1
        seed = emit.node("aten.select.int", [self._seeds, *place], scalar)
        numel = math.prod(shape)
        line = TensorMeta(DType.INT64, (numel,), (1,))
        dtype = (KwArg("dtype", DTypeArg(DType.INT64)),)
        counter = emit.node("aten.arange.default", [LiteralArg(numel)], line, dtype)
        counter = emit.view(counter, shape)
        bits = emit.pointwise("aten.mul.Scalar", counter, _GOLDEN)
        bits = emit.pointwise("aten.add.Tensor", bits, seed)
        for shift, factor in _MIXERS:
            bits = emit.pointwise("aten.mul.Scalar", _fold(emit, bits, shift), factor)
        return _fold(emit, bits, _LAST_SHIFT)

    def uniform(self, emit: Emitter, shape: tuple[int, ...], dtype: DType) -> Ref:
        """Give numbers from 0 (included) to 1 (not included)."""
        return _unit(emit, self.hashes(emit, shape), 64 - _DIGITS[dtype], _DIGITS[dtype], dtype)

    def normal(self, emit: Emitter, shape: tuple[int, ...], dtype: DType) -> Ref:
        """Give numbers of the standard normal distribution, by Box and Muller's method."""
        wide = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
        digits = 53 if wide is DType.FLOAT64 else 32
        first = self.hashes(emit, shape)
        second = self.hashes(emit, shape) if wide is DType.FLOAT64 else first
        # From 0 (not included) to 1: the other way round, the logarithm of 0 would be met.
        length = emit.pointwise(
            "aten.rsub.Scalar", _unit(emit, first, 64 - digits, digits, DType.FLOAT64), 1
        )
        logarithm = emit.pointwise("aten.log.default", emit.cast(length, wide))
        radius = emit.pointwise(
            "aten.sqrt.default", emit.pointwise("aten.mul.Scalar", logarithm, -2.0)
        )
        turns = _unit(emit, second, 0, digits, wide)
        angle = emit.pointwise("aten.mul.Scalar", turns, 2 * math.pi)
        return emit.pointwise("aten.mul.Tensor", radius, emit.pointwise("aten.cos.default", angle))


def _fold(emit: Emitter, bits: Ref, shift: int) -> Ref:
    """Give `bits ^ (bits >>> shift)`; `>>` alone brings in copies of the sign."""
    moved = _shifted(emit, bits, shift, 64 - shift)
    return emit.pointwise("aten.bitwise_xor.Tensor", bits, moved)


def _shifted(emit: Emitter, bits: Ref, shift: int, digits: int) -> Ref:
    """Give `digits` bits from bit `shift` on, as a number."""
    if shift:
        bits = emit.pointwise("aten.bitwise_right_shift.Tensor_Scalar", bits, shift)
    return emit.pointwise("aten.bitwise_and.Scalar", bits, (1 << digits) - 1)


def _unit(emit: Emitter, bits: Ref, shift: int, digits: int, dtype: DType) -> Ref:
    """Give bits as a fraction of 1."""
    whole = emit.cast(_shifted(emit, bits, shift, digits), dtype)
    return emit.pointwise("aten.mul.Scalar", whole, 2.0**-digits)


_Write = Callable[[_Draws, Emitter, AtenNode], None]


def _rand(draws: _Draws, emit: Emitter, node: AtenNode) -> None:
    meta = result_meta(node)
    give(emit, node, draws.uniform(emit, static_shape(meta), meta.dtype))


def _randn(draws: _Draws, emit: Emitter, node: AtenNode) -> None:
    meta = result_meta(node)
    give(emit, node, draws.normal(emit, static_shape(meta), meta.dtype))


def _scaled(emit: Emitter, value: Ref, factor: float, shift: float) -> Ref:
    scaled = emit.pointwise("aten.mul.Scalar", value, factor)
    return emit.pointwise("aten.add.Scalar", scaled, shift)


def _uniform(draws: _Draws, emit: Emitter, node: AtenNode) -> None:
    meta = result_meta(node)
    low, high = _number(node, 1, "from", 0.0), _number(node, 2, "to", 1.0)
    drawn = draws.uniform(emit, static_shape(meta), meta.dtype)
    give(emit, node, _scaled(emit, drawn, high - low, low))


def _normal(draws: _Draws, emit: Emitter, node: AtenNode) -> None:
    meta = result_meta(node)
    mean, deviation = _number(node, 1, "mean", 0.0), _number(node, 2, "std", 1.0)
    drawn = draws.normal(emit, static_shape(meta), meta.dtype)
    give(emit, node, _scaled(emit, drawn, deviation, mean))


def _bernoulli(draws: _Draws, emit: Emitter, node: AtenNode) -> None:
    meta = result_meta(node)
    drawn = draws.uniform(emit, static_shape(meta), DType.FLOAT32)
    probability = number_of(argument(node, 1, "p"))
    is_hit = emit.pointwise("aten.lt.Scalar", drawn, float(probability), dtype=DType.BOOL)
    give(emit, node, is_hit)


def _bernoulli_of_tensor(draws: _Draws, emit: Emitter, node: AtenNode) -> None:
    probabilities = emit.widened(tensor(node, 0))
    drawn = draws.uniform(emit, emit.shape(probabilities), emit.dtype(probabilities))
    give(emit, node, emit.pointwise("aten.lt.Tensor", drawn, probabilities, dtype=DType.BOOL))


def _dropout(draws: _Draws, emit: Emitter, node: AtenNode) -> None:
    x, rate = tensor(node, 0), float(number_of(argument(node, 1, "p")))
    drawn = draws.uniform(emit, emit.shape(x), DType.FLOAT32)
    is_kept = emit.pointwise("aten.ge.Scalar", drawn, rate, dtype=DType.BOOL)
    give(emit, node, is_kept, 1)
    kept = emit.pointwise("aten.mul.Tensor", x, is_kept)
    give(emit, node, emit.pointwise("aten.mul.Scalar", kept, 1 / (1 - rate)))


def _number(node: AtenNode, position: int, name: str, default: float) -> float:
    given = argument(node, position, name)
    return default if given is None else float(number_of(given))


def _is_rate(node: AtenNode) -> bool:
    """Tell whether the second argument is a probability; what is none, eager's own call refuses."""
    given = argument(node, 1, "p")
    return is_number(given) and 0 <= number_of(given) <= 1


def _is_training(node: AtenNode) -> bool:
    is_on = argument(node, 2, "train") in (LiteralArg(value=True), LiteralArg(None))
    return is_on and _is_rate(node) and number_of(argument(node, 1, "p")) < 1


def _is_range(node: AtenNode) -> bool:
    return _number(node, 1, "from", 0.0) <= _number(node, 2, "to", 1.0)


def _is_spread(node: AtenNode) -> bool:
    return _number(node, 2, "std", 1.0) >= 0


def _always(_node: AtenNode) -> bool:
    return True


_DRAWS: Final[Mapping[str, tuple[Callable[[AtenNode], bool], _Write]]] = MappingProxyType(
    {
        "aten.rand.default": (_always, _rand),
        "aten.rand_like.default": (_always, _rand),
        "aten.randn.default": (_always, _randn),
        "aten.randn_like.default": (_always, _randn),
        "aten.uniform.default": (_is_range, _uniform),
        "aten.normal_functional.default": (_is_spread, _normal),
        "aten.bernoulli.p": (_is_rate, _bernoulli),
        "aten.bernoulli.default": (_always, _bernoulli_of_tensor),
        "aten.native_dropout.default": (_is_training, _dropout),
    }
)
"""By overload: whether a node's arguments can be served, and what writes it."""
_SEEDS_A_NODE: Final = 2


def fast_random(graph: AtenGraph) -> AtenGraph:
    """Replace the draws that are served."""
    served = {index for index, node in enumerate(graph.nodes) if _is_served(node)}
    if not served:
        return graph
    metas = list(iter_metas(graph))
    draws = _Draws(metas, _SEEDS_A_NODE * len(served))
    nodes: list[AtenNode] = []
    for index, node in enumerate(graph.nodes):
        if index not in served:
            nodes.append(node)
            continue
        emit = draws.start(node)
        _, write = _DRAWS[node.op]
        write(draws, emit, node)
        nodes += emit.nodes
    return with_nodes(graph, nodes, {})


def _is_served(node: AtenNode) -> bool:
    row = _DRAWS.get(node.op)
    if row is None or is_given(node, len(node.args), "generator"):
        return False
    can_write, _ = row
    metas = [meta for meta in node.metas if meta is not None]
    return (
        all(meta.device == "cpu" for meta in metas)
        and all(isinstance(dim, int) and dim > 0 for meta in metas for dim in meta.shape)
        and (metas[0].dtype in _DIGITS or node.op == "aten.bernoulli.p")
        and can_write(node)
    )
