"""Tools: what reads a compile afterwards, and may start one: explaining, reporting, minimising.

In: programs, traces, artifacts.   Out: texts for people. The room is below `api` and above `pipeline`, and has no module yet: what is
there to be seen is shown by the logs, the trace and `graphwright.testing.run_and_get_code`.
"""

__all__: list[str] = []
