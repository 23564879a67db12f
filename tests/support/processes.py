"""Programs that a process of its own runs."""

import json
import os
import subprocess
import sys
from typing import Any


def ask_process(program: str, given: Any, **own: str) -> Any:
    """Run a program that reads JSON and writes JSON, with errors of the compiler raised; `own` joins the environment."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(given),
        env={**os.environ, "GRAPHWRIGHT_STRICT": "1", **own},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
