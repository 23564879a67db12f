"""Overlap of strided tensors, against the places that they show."""

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphwright.record.overlap import Overlap, overlap_of, repeats_places
from graphwright.record.specs import TensorSpec

dims = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 4]), st.sampled_from([0, 1, 2, 3, 4, 6, 8, 12])),
    max_size=3,
)
specs = st.builds(
    lambda pairs, offset: TensorSpec(
        tuple(extent for extent, _ in pairs),
        tuple(stride for _, stride in pairs),
        torch.float32,
        torch.device("cpu"),
        offset,
    ),
    dims,
    st.integers(0, 30),
)


def places(spec):
    indices = itertools.product(*map(range, spec.shape))
    return [
        spec.offset + sum(i * stride for i, stride in zip(index, spec.strides, strict=True))
        for index in indices
    ]


@settings(max_examples=400, deadline=None)
@given(specs, specs)
def test_tensors_overlap_where_they_show_a_place_in_common(own, other):
    found = overlap_of(own, other)
    assert (found is not Overlap.NONE) == bool(set(places(own)) & set(places(other)))
    if found is Overlap.SAME:
        assert places(own) == places(other)


@settings(max_examples=400, deadline=None)
@given(specs)
def test_tensors_repeat_places_where_two_elements_lie_in_one(spec):
    assert repeats_places(spec) == (len(set(places(spec))) < len(places(spec)))
