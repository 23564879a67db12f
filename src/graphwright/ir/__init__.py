"""The types that cross a room's door: what one stage gives and the next one takes, as frozen data.

In: nothing; every type is built by the room that gives it.   Out: `program`, `aten`, `loops`, `plan`, the symbolic integers of
`symint`, the op facts of `ops`; each with its text form, its verifier and its hash in the modules named after it.
Imported by module (`from graphwright.ir.aten import AtenGraph`). Read first: `aten.py`, `loops.py`.
"""

__all__: list[str] = []
