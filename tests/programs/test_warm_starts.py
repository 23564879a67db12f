"""A warm start captures nothing: programs of an earlier compile serve, with their graph breaks, gradients and changing sizes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from processes import ask_process
from program_cases import check_case
from program_suite import all_cases

import graphwright as gw
from graphwright.base.counters import counters
from graphwright.cache import fresh

BOUND_TO_PROCESS = {
    **dict.fromkeys(
        (
            "builtins_and_library-id_and_hash",
            "library_in_full-copies_of_objects",
            "symbolic_ints-types",
        ),
        "ids of objects, which are addresses",
    ),
    "containers-set_of_classes": "classes that are known by identity, in an order of their addresses",
    "handed_over-break_while_kernels_are_chosen": "a member of an enum of C++, known by identity",
    "library_in_full-flags_in_full": "an enum member that no import leads to",
    "nn_modules-forward_hook_is_added": "a hook that is known by identity",
    "nn_modules-forward_pre_hook": "a hook that is known by identity",
    **dict.fromkeys(
        (
            "gradients-function_that_sends_nothing_back",
            "gradients-function_with_a_context_set_up_apart",
            "gradients-function_with_another_gradient",
        ),
        "a function of PyTorch's, below its decorators, that no import leads to",
    ),
    **dict.fromkeys(
        (
            "views_and_mutation-in_place_on_a_leaf_under_no_grad",
            "views_and_mutation-writes_that_autograd_does_not_count",
            "views_without_history-scaled_through_a_view",
            "views_without_history-written_by_data_and_detach",
            "views_without_history-detached_views",
            "views_without_history-rows_made_to_have_unit_length",
        ),
        "a write to a tensor with history runs the torch-level graph",
    ),
}
"""Programs of the suite that are captured in each process, and what they hold that is no data."""
OF_OPTIMIZERS = ("training-step", "training-clipped_gradients", "training-scaled_gradients")
"""What the names of programs that call optimizers begin with: PyTorch wraps the `step` of each class once in a process, so that it
depends on what ran before whether an import leads to it."""
if hasattr(dataclasses, "_ATOMIC_TYPES"):  # from some release on
    BOUND_TO_PROCESS |= dict.fromkeys(
        (
            "dataclasses-helpers_of_dataclasses",
            "library_in_full-replace_and_fields_of_dataclasses",
            "symbolic_ints-objects",
        ),
        "the classes that the library's `asdict` takes for atoms, in an order of their addresses",
    )


def count_captures() -> int:
    return counters["capture"]["frames"]


@pytest.mark.parametrize("name_and_case", all_cases(), ids=lambda pair: pair[0])
def test_program_of_the_suite_is_captured_once(name_and_case) -> None:
    name, case = name_and_case
    with fresh(), gw.config.patch(strict=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", gw.errors.GraphwrightWarning)
        check_case(case, lambda function, _: gw.compile(function))
        before = count_captures()

        check_case(case, lambda function, _: gw.compile(function))

        if not name.startswith(OF_OPTIMIZERS):
            assert (count_captures() > before) == (name in BOUND_TO_PROCESS)


PROGRAM = """
import contextlib, json, sys
import torch
import graphwright as gw

@contextlib.contextmanager
def noted(log):
    log.append("in")
    try:
        yield
    finally:
        log.append("out")

def tell(x):
    print("told", tuple(x.shape), file=sys.stderr)
    return x * 3

def in_a_loop(x):
    for i in range(4):
        x = x + i
        print(i, file=sys.stderr)
    return x

def in_a_callee(x):
    y = tell(x + 1) - 1
    return tell(y) if y.sum() > 0 else y

def in_a_block(x, log):
    with noted(log):
        y = x * 2
        gw.graph_break()
        try:
            y = y + 1
            gw.graph_break()
            raise KeyError("k")
        except KeyError as error:
            log.append(str(error))
        finally:
            log.append("finally")
    return y.relu()

def with_cells(x):
    total = x
    def add(y):
        nonlocal total
        total = total + y
        return total
    add(x)
    gw.graph_break()
    add(x * 2)
    return add, total

def with_backward(w, x):
    y = (w @ x).tanh()
    gw.graph_break()
    return (y * w).sum()

def with_sizes(x, n):
    y = x.reshape(-1) * n
    gw.graph_break()
    return y.sum() + x.shape[0] * n

def from_values(x):
    k = int(x.sum().item())
    return torch.zeros(k) + x.mean() * k

class Layer(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = torch.nn.Linear(size, size)

    def forward(self, x):
        x = self.linear(x)
        gw.graph_break()
        return x.relu()

def run(function, *calls):
    compiled = gw.compile(function)
    for args in calls:
        found = compiled(*args)
        results.append(repr([part.tolist() if isinstance(part, torch.Tensor) else part for part in found]
                            if isinstance(found, (list, tuple)) else found.tolist()))

results = []
torch.manual_seed(0)
run(in_a_loop, [torch.ones(3)], [torch.ones(5)])
run(in_a_callee, [torch.ones(3)], [-torch.ones(3)])
log = []
run(in_a_block, [torch.ones(3), log])
results.append(repr(log))
add, total = gw.compile(with_cells)(torch.ones(2))
results.append(repr((add(torch.ones(2)).tolist(), total.tolist())))
w = torch.randn(3, 3, requires_grad=True)
for rows in (3, 3):
    gw.compile(with_backward)(w, torch.ones(3, rows)).backward()
results.append(repr(w.grad.tolist()))
run(with_sizes, [torch.ones(2, 3), 5], [torch.ones(4, 3), 6], [torch.ones(7, 3), 9])
run(from_values, [torch.ones(3)], [torch.ones(5)], [torch.ones(6)])
model = torch.nn.Sequential(Layer(4), Layer(4))
compiled = gw.compile(model)
for rows in (2, 5):
    out = compiled(torch.ones(rows, 4))
    out.sum().backward()
    results.append(repr(out.tolist()))
results.append(repr([one.grad.tolist() for one in model.parameters()]))
print(json.dumps({
    "results": results,
    "captures": gw.counters["capture"]["frames"],
    "kernels": gw.counters["codegen"]["kernels"],
    "reasons": dict(gw.counters["graph_break"]),
    "refused": gw.counters["program_cache"]["corrupt"],
}))
"""


def start(folder: Path) -> dict:
    """Run the program in a process of its own, with the caches in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "GRAPHWRIGHT_CACHE_DIR": str(folder), "GRAPHWRIGHT_STRICT": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Path, dict]:
    """Give the caches that a first process leaves, and what it found."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, start(folder)


@pytest.fixture
def copied(kept, tmp_path: Path) -> tuple[Path, dict]:
    folder, first = kept
    return Path(shutil.copytree(folder, tmp_path / "copied")), first


def program_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("programs/**/*") if path.is_file())


@pytest.mark.slow
def test_second_process_captures_and_lowers_nothing(copied) -> None:
    folder, first = copied

    second = start(folder)

    assert second["results"] == first["results"]
    assert (second["captures"], second["kernels"]) == (0, 0)
    assert first["captures"] > 20
    assert first["kernels"] > 20
    assert second["reasons"].keys() == first["reasons"].keys()


@pytest.mark.slow
def test_damaged_programs_are_refused_and_captured_again(copied) -> None:
    folder, first = copied
    for path in program_files(folder):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

    second = start(folder)

    assert second["results"] == first["results"]
    assert second["captures"] == first["captures"]
    assert second["refused"] > 0


@pytest.mark.slow
def test_programs_of_other_keys_are_refused_and_captured_again(copied) -> None:
    folder, first = copied
    paths = program_files(folder)
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)

    second = start(folder)

    assert second["results"] == first["results"]
    assert second["refused"] > 0
    assert second["captures"] > 0


def test_kernels_are_kept_in_each_folder_that_a_program_is_kept_in() -> None:
    held, kept = [], []
    for scale in (2.0, 3.0, 3.0):  # the first one brings the runtime's own functions
        with fresh() as folder:
            held.append(gw.compile(lambda x, scale=scale: x * scale))
            held[-1](torch.ones(4))
            kept.append(sum(path.is_file() for path in (folder / "kernels").rglob("*")))
    assert kept[1] == kept[2] > 0


EDITED = """\
import json, sys
sys.path.insert(0, {folder!r})
sys.dont_write_bytecode = True
import torch, modes
import graphwright as gw
from graphwright.base.counters import counters
compiled = gw.compile(lambda x, mode: x * mode.value + mode.scale() + modes.Mode.B.value)
print(json.dumps([compiled(torch.ones(()), modes.Mode.A).item(), counters["capture"]["frames"]]))
"""
MODES = """\
import enum

class Mode(enum.Enum):
    A = {a}
    B = {b}

    def scale(self):
        return {scale}
"""


def test_enumerations_that_were_edited_are_captured_again(tmp_path) -> None:
    """Members are constants: what they hold, and do, is part of what a program was made for."""
    own = {"GRAPHWRIGHT_CACHE_DIR": str(tmp_path / "cache")}
    texts = {"a": 2, "b": 30, "scale": 400}

    def run(**changed: int) -> list[float]:
        (tmp_path / "modes.py").write_text(MODES.format(**{**texts, **changed}), encoding="utf-8")
        found: list[float] = ask_process(EDITED.format(folder=str(tmp_path)), None, **own)
        return found

    assert run() == [432, 1]
    assert run() == [432, 0]
    assert run(a=3) == [433, 1]
    assert run(b=40) == [442, 1]
    assert run(scale=500) == [532, 1]
    assert run() == [432, 0]
