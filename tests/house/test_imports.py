"""What is imported, in fresh processes: little by `import graphwright`, and never PyTorch's own compile stack."""

import subprocess
import sys

import pytest

IMPORT_ONLY = "import graphwright"

COMPILE_A_MODEL = """
import torch
import graphwright as gw

block = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.LayerNorm(16), torch.nn.Linear(16, 8)).eval()
x = torch.randn(4, 8)
with torch.no_grad():
    compiled = gw.compile(block, fullgraph=True)
    assert torch.allclose(compiled(x), block(x), atol=1e-6)  # torch.testing imports the compile stack itself
assert gw.counters["capture"]["graphs"] == 1, gw.counters.snapshot()
"""

FORBIDDEN = (
    "torch._dynamo",
    "torch._inductor",
    "torch._functorch.aot_autograd",
    "torch._functorch._aot_autograd",
    "torch._lazy",
    "torch._export",
    "torch.fx.experimental.symbolic_shapes",
    "torch.fx.experimental.proxy_tensor",
    "sympy",
)

PRINT_IMPORTED = "\nimport sys\nsys.stdout.write('\\n' + ' '.join(sorted(sys.modules)))"


def imported_by(source, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", source + PRINT_IMPORTED],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_graphwright_imports_no_torch(tmp_path):
    assert "torch" not in imported_by(IMPORT_ONLY, tmp_path)


@pytest.mark.slow
def test_compiling_a_model_leaves_the_compile_stack_of_torch_out(tmp_path):
    by_torch_alone = imported_by("import torch", tmp_path)
    imported = imported_by(COMPILE_A_MODEL, tmp_path)

    assert (imported - by_torch_alone).isdisjoint(FORBIDDEN)
    assert imported.isdisjoint({"torch._dynamo", "torch._inductor", "sympy"})


RUN_A_PROGRAM = """
import torch
import graphwright as gw

def program(x):
    return torch.relu(x * 2) + 1

with torch.no_grad():
    assert torch.equal(gw.compile(program)(torch.ones(3)), torch.full((3,), 3.0))
"""

COMPILING_ROOMS = ("record", "graph", "lower", "codegen.llvm.functions", "capture.machine")


def test_warm_start_loads_nothing_that_captures_or_compiles(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", str(tmp_path / "caches"))
    source = tmp_path / "program.py"
    source.write_text(RUN_A_PROGRAM)
    run = f"exec(compile(open({str(source)!r}).read(), {str(source)!r}, 'exec'))"
    compiling = {f"graphwright.{room}" for room in COMPILING_ROOMS}

    assert compiling <= imported_by(run, tmp_path)
    assert compiling.isdisjoint(imported_by(run, tmp_path))
