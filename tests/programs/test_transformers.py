"""Model families of `transformers`, small and random, give eager's results: as one graph, but for the few that are none."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")

import transformers
from program_cases import compare
from transformer_families import FAMILIES, REFUSED

import graphwright as gw

MAIN_FAMILIES = ("bert", "gpt2", "llama", "t5", "vit")


@pytest.fixture(autouse=True)
def quiet_transformers():
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(level)


def compiles_so_far():
    """Count programs that were captured, or found in the cache that tests of one run share."""
    return gw.counters["capture"]["frames"] + gw.counters["program_cache"]["hit"]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_family_compiles_as_one_graph_and_gives_eagers_results(name: str) -> None:
    model, inputs = FAMILIES[name]()
    compiled = gw.compile(model, fullgraph=True)

    with torch.no_grad():
        torch.manual_seed(1)
        expected = model(**inputs)
        frames = compiles_so_far()
        for _ in range(2):
            torch.manual_seed(1)
            found = compiled(**inputs)

            compare(expected, found, name)

    assert compiles_so_far() == frames + 1


@pytest.mark.parametrize("name", MAIN_FAMILIES)
def test_family_follows_changed_weights_and_inputs(name: str) -> None:
    model, inputs = FAMILIES[name]()
    compiled = gw.compile(model, fullgraph=True)

    with torch.no_grad():
        compiled(**inputs)
        for parameter in model.parameters():
            parameter.mul_(0.5).add_(0.01)
        changed = {key: value[:1] for key, value in inputs.items()}

        compare(model(**inputs), compiled(**inputs), f"{name}, changed weights")
        compare(model(**changed), compiled(**changed), f"{name}, smaller batch")


@pytest.mark.filterwarnings("ignore:graphwright.* it runs eagerly. cannot capture")
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_family_says_why_and_is_broken_into_graphs_where_it_may_be(name: str) -> None:
    model, inputs = REFUSED[name]()

    with torch.no_grad():
        with pytest.raises(gw.errors.Unsupported, match=r"why: .*\n.*what to do: "):
            gw.compile(model, fullgraph=True)(**inputs)
        compiled = gw.compile(model)
        breaks = gw.counters["capture"]["graph_breaks"]
        torch.manual_seed(1)
        expected = model(**inputs)
        for _ in range(2):
            torch.manual_seed(1)

            compare(expected, compiled(**inputs), name)

    assert gw.counters["capture"]["graph_breaks"] > breaks
