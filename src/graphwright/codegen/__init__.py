"""Code generators: scheduled loop IR → code, for the CPU (`llvm/`) and for CUDA (`triton/`).

In: `Kernel`s of `ir/loops.py`.   Out: object code, or Triton source and device images; see the two rooms.
The two do not know each other; what both need is in `ir/` or decided by `lower/`.
"""

__all__: list[str] = []
