"""Compile ids: unique for each program, and short."""

from graphwright.base.ids import CompileId, ProgramIds


def test_programs_get_different_ids():
    ids = ProgramIds()

    assert [str(ids.next_program()) for _ in range(3)] == ["0/0", "1/0", "2/0"]


def test_ids_are_ordered_by_program_and_then_variant():
    assert CompileId(0, 5) < CompileId(1, 0) < CompileId(1, 1)
