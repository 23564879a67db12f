"""The backend as torch.compile finds and calls it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import graphwright

ROOT = Path(graphwright.__file__).parents[2]

PROGRAM = """
import torch
from graphwright.base.counters import counters

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.LayerNorm(16))
compiled = torch.compile(model, backend="graphwright")
assert "graphwright" in torch.compiler.list_backends()
with torch.no_grad():
    for rows in (4, 4, 7):
        x = torch.randn(rows, 8)
        torch.testing.assert_close(compiled(x), model(x))


@torch.compile(backend="graphwright")
def branch(x):
    y = x.sin() + 1
    if y.sum() > 0:
        return (y * 2, y.argmax())
    return (y - 2, y.argmin())


for sign in (1.0, -100.0):
    x = torch.full((5,), sign)
    y = x.sin() + 1
    expected = (y * 2, y.argmax()) if y.sum() > 0 else (y - 2, y.argmin())
    torch.testing.assert_close(branch(x), expected)
print(counters["codegen"]["kernels"] > 0)
"""


@pytest.mark.slow
def test_torch_compile_finds_the_backend_by_name_and_gets_eager_results(tmp_path: Path) -> None:
    """The entry points are those of `pyproject.toml`, as an installed package would have them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = tmp_path / "graphwright-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: graphwright\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in points.items())
            for group, points in project["entry-points"].items()
        )
    )
    paths = [str(tmp_path), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "GRAPHWRIGHT_CACHE_DIR": str(tmp_path / "cache"),
    }

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "True"
