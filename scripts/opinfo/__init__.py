"""PyTorch's operator database through graphwright, against eager.

In: `torch.testing._internal.common_methods_invocations.op_db`.   Out: one `Result` for each (op, dtype, sample) triple,
as JSON lines, and the page `docs/operators.md` made from them.

Read first: `outcomes.py` (what is recorded), `trial.py` (what is done with one triple), `run.py` (the processes).
"""
