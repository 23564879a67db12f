"""How the cold first call grows with the number of layers.

In:  nothing.   Out: a table on the terminal: for GPT-2 at several depths, 256 features wide, the first call in a fresh process with empty
caches (the import of graphwright, compiling, and the call), and how many times that of the shallowest it is.

Layers of one width need the same kernels, so what grows is capturing, lowering and guarding. The machine may be shared: the depths are
timed in turns, and each figure is the least of several rounds.

Run: python benchmarks/depth.py [rounds]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Final

DEPTHS: Final = (12, 48)
DEFAULT_ROUNDS: Final = 3
FIRST_CALL: Final = """
import sys, time
import torch, transformers
config = transformers.GPT2Config(n_layer=int(sys.argv[1]), n_embd=256, n_head=4, vocab_size=8192, use_cache=False)
model = transformers.GPT2LMHeadModel(config).eval()
token_ids = torch.randint(0, 8192, (1, 64))
with torch.no_grad():
    model(token_ids)
    start = time.perf_counter()
    import graphwright
    graphwright.compile(model, fullgraph=True)(token_ids)
    print(time.perf_counter() - start)
"""


def time_first_call(depth: int) -> float:
    """Give the seconds of a cold first call."""
    with tempfile.TemporaryDirectory(prefix="graphwright-depth-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", FIRST_CALL, str(depth)],
            env={**os.environ, "GRAPHWRIGHT_CACHE_DIR": folder},
            capture_output=True,
            text=True,
            check=True,
        )
    return float(done.stdout)


def main(num_rounds: int) -> None:
    """Time every depth in turns and print the table."""
    rounds = [[time_first_call(depth) for depth in DEPTHS] for _ in range(num_rounds)]
    least = [min(times) for times in zip(*rounds, strict=True)]
    print(f"{'layers':>8}{'cold':>10}{'ratio':>8}")
    for depth, seconds in zip(DEPTHS, least, strict=True):
        print(f"{depth:8}{seconds:8.2f} s{seconds / least[0]:7.2f}×")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_ROUNDS)
