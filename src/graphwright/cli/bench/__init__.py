"""The benchmark: named workloads on eager, torch.compile and graphwright, side by side in one run.

In: names of workloads and systems.   Out: a table with ratios, and the same figures as JSON.
Read first: `workloads.py` (what is run), then `worker.py` (how it is measured). This is the one place besides the tests where
`torch.compile` is called.
"""

__all__: list[str] = []
