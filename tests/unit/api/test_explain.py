"""`gw.explain` tells what became of a call: as data, and in words."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import graphwright as gw


def talk(x):
    print("hello")
    return x * 2


def program(x):
    y = x.relu()
    return talk(y) + 1


def test_breaks_are_told_with_their_lines(capsys):
    report = gw.explain(program)(torch.ones(3))

    assert [one.num_operations for one in report.captures] == [1, 0, 1, 1]
    assert len(report.graphs) == 3
    first, second = report.graph_breaks
    assert first.met == second.met == "a call of print()"
    assert [frame.rpartition(" in ")[2] for frame in first.frames] == ["program", "talk"]
    assert first.location == first.frames[-1]
    text = str(report)
    assert text.startswith("3 graphs, 2 graph breaks, ")
    assert 'talk: print("hello")' in text
    assert first.remedy in text
    assert capsys.readouterr().out == "hello\n"


def test_whole_graph_is_told_with_its_kernels():
    model = nn.Sequential(nn.Conv3d(2, 3, 2), nn.GELU()).requires_grad_(False)
    report = gw.explain(gw.compile(model))(torch.ones(1, 2, 4, 4, 4))

    (graph,) = report.graphs
    assert graph.ends_at is None
    assert graph.num_kernels >= 1
    assert graph.num_extern_calls >= 1
    assert graph.arena_bytes is not None
    assert report.seconds["capture"] > 0
    assert "weight" in "\n".join(report.guards)


def test_lines_of_a_recursion_are_told_once():
    def deepen(x, depth):
        if depth == 0:
            gw.graph_break()
        return x if depth == 0 else deepen(x + 1, depth - 1)

    told = str(gw.explain(lambda x: deepen(x, 7))(torch.ones(2)))

    assert told.partition("why:")[0].count("depth - 1)") == 1
    assert "(the same line 6 more times)" in told


def test_what_runs_eagerly_is_told(recwarn):
    report = gw.explain(lambda x: x * 2)(torch.ones(2).to_sparse())

    assert report.eager == {"unsupported_argument": 1}
    assert "ran eagerly (unsupported argument): 1 call" in str(report)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError):
        gw.explain(3)


def test_command_explains_a_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, graphwright as gw\n"
        "@gw.compile\n"
        "def f(x):\n"
        "    y = x + 1\n"
        "    if y.sum() > 0:\n"
        "        return y * 2\n"
        "    return y\n"
        "f(torch.ones(2))\n"
    )
    start = "from graphwright.cli import main; main()"
    command = [sys.executable, "-c", start, "explain", str(script)]
    made = subprocess.run(command, capture_output=True, text=True, check=True)

    assert made.stdout.startswith("2 graphs, 1 graph break")
    assert "if y.sum() > 0:" in made.stdout


def test_report_is_in_the_trace_as_data(tmp_path):
    with gw.config.patch(trace=str(tmp_path)):
        gw.compile(program)(torch.ones(3))
    (file,) = tmp_path.iterdir()
    lines = file.read_text().splitlines()
    assert any('"capture_report"' in line for line in lines)
    assert all(json.loads(line) for line in lines if line.startswith("{"))
