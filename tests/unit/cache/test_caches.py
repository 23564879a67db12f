from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from graphwright.base.counters import Counters
from graphwright.cache import (
    Caches,
    GraphEntry,
    KernelEntry,
    Kind,
    ProgramEntry,
    fresh,
    make_part,
)
from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.plan import Plan
from graphwright.ir.program import CallPattern, Program
from graphwright.ir.recipes import BuildTuple, FromOutput
from graphwright.ir.sources import ArgSource

META = TensorMeta(DType.FLOAT32, (2, 3), (3, 1))
PLAN = Plan((META,), (), (), (), (), (), (), 0)
PROGRAM = Program(
    name="f",
    pattern=CallPattern(1),
    pins=(),
    guards=(),
    symbols=(),
    inputs=(ArgSource(0, "x"),),
    graph=AtenGraph((META,), (), (), ()),
    built=(),
    result=BuildTuple((FromOutput(0),)),
)
KERNEL = KernelEntry(b"\x7fELF", ("k0",))


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def caches(tmp_path: Path, counters: Counters) -> Caches:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text("a = 1")
    return Caches(tmp_path / "cache", counters=counters, source=source)


def test_programs_of_one_function_are_found_together_as_they_were(caches) -> None:
    key = caches.make_key(Kind.PROGRAM, make_part("function", "f"))
    first = ProgramEntry(PROGRAM, PLAN)
    second = ProgramEntry(msgspec.structs.replace(PROGRAM, pattern=CallPattern(2)), PLAN)

    caches.programs.add(key, first)
    caches.programs.add(key, second)

    found = caches.programs.get_all(key)
    assert set(found) == {first, second}


def test_graph_and_kernel_are_found_as_they_were(caches) -> None:
    graph_key = caches.make_key(Kind.GRAPH, make_part("graph", b"g"))
    kernel_key = caches.make_key(Kind.KERNEL, make_part("kernels", b"k"))
    caches.graphs.put(graph_key, GraphEntry(PLAN))
    caches.kernels.put(kernel_key, KERNEL)

    assert caches.graphs.get(graph_key) == GraphEntry(PLAN)
    assert caches.kernels.get(kernel_key) == KERNEL


def test_value_of_another_form_is_a_counted_miss(caches, counters) -> None:
    key = caches.make_key(Kind.KERNEL, make_part("kernels", b"k"))
    caches.kernels.store.put(key, b"\x93not this")

    assert caches.kernels.get(key) is None
    assert counters.snapshot()["kernel_cache"] == {"save": 1, "corrupt": 1, "miss": 1}


def test_fresh_gives_an_empty_folder_and_then_the_old_one(caches) -> None:
    key = caches.make_key(Kind.KERNEL, make_part("kernels", b"k"))
    caches.kernels.put(key, KERNEL)

    with fresh() as folder:
        assert caches.kernels.get(key) is None
        caches.kernels.put(key, KernelEntry(b"other", ()))
        assert any(folder.rglob("*"))
        with fresh() as inner:
            assert inner != folder
            assert caches.kernels.get(key) is None
        assert caches.kernels.get(key) == KernelEntry(b"other", ())

    assert not folder.exists()
    assert caches.kernels.get(key) == KERNEL


def test_key_holds_the_parts_given_and_those_of_the_environment(caches) -> None:
    names = [part.name for part in caches.make_key(Kind.KERNEL, make_part("kernels", b"")).parts]

    assert names[0] == "kernels"
    assert "torch" in names
