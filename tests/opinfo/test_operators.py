"""A fixed slice of PyTorch's operator database: every op, a few triples of each, against eager.

`make opinfo` runs all triples. A failure names the triple; run it alone with
`PYTHONPATH=scripts python -m opinfo run results.jsonl --ops NAME --slice`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from opinfo.known_failures import IN_SLICE, reason_of
from opinfo.outcomes import FAILURES, Outcome, read_results

SCRIPTS = Path(__file__).parents[2] / "scripts"
NUM_PARTS = 4


def run_slice(part, folder):
    """Run a part of the slice in processes of its own, which crashes cannot take this one down from."""
    file = folder / "results.jsonl"
    command = [sys.executable, "-m", "opinfo", "run", str(file), "--slice"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SCRIPTS), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*command, "--part", f"{part}/{NUM_PARTS}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert file.exists(), done.stderr[-3000:]
    return list(read_results(file))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_operators_give_what_eager_gives(part, tmp_path):
    results = run_slice(part, tmp_path)

    failed = [result for result in results if result.outcome in FAILURES]
    passed = {
        (result.case.op, result.case.variant.value)
        for result in results
        if result.outcome is Outcome.PASSED
    }
    assert len(passed) > 200
    assert [result for result in failed if reason_of(result.case) is None] == []
    still = {(result.case.op, result.case.variant.value) for result in failed}
    assert sorted(key for key in IN_SLICE if key in passed and key not in still) == []
