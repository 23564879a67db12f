"""Size symbols carry PyTorch's names."""

from graphwright.record import size_symbol


def test_name_is_pytorchs():
    assert size_symbol("L['x']", 0, ()) == "s77"


def test_name_depends_on_source_and_dimension():
    names = {size_symbol(source, dim, ()) for source in ("L['x']", "L['y']") for dim in (0, 1)}

    assert len(names) == 4


def test_taken_name_gives_the_next_free_one():
    assert size_symbol("L['x']", 0, {"s77", "s78"}) == "s79"


def test_int_has_a_name_of_its_own():
    assert size_symbol("L['n']", None, ()).startswith("s")
