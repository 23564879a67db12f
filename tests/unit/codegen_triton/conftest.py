"""Kernels run twice: by Triton's interpreter in a process of its own, and statement by statement in Python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from graphwright.codegen.triton import render_kernel
from graphwright.ir.dims import evaluate_dim
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Compute,
    Const,
    If,
    IndexValue,
    Kernel,
    Load,
    Loop,
    Store,
    TransposeTile,
)
from graphwright.ir.ops import ReduceOp, ScalarOp

pytest.importorskip("triton")

COMPUTE = {
    ScalarOp.ADD: lambda a, b: a + b,
    ScalarOp.SUB: lambda a, b: a - b,
    ScalarOp.MUL: lambda a, b: a * b,
    ScalarOp.DIV: lambda a, b: a / b,
    ScalarOp.EXP: np.exp,
    ScalarOp.NEG: lambda a: -a,
    ScalarOp.RSQRT: lambda a: 1 / np.sqrt(a),
    ScalarOp.MAXIMUM: np.maximum,
    ScalarOp.LT: lambda a, b: a < b,
    ScalarOp.GT: lambda a, b: a > b,
    ScalarOp.WHERE: lambda c, a, b: a if c else b,
}


def numpy_dtype(dtype: DType) -> np.dtype:
    return np.dtype("bool" if dtype is DType.BOOL else dtype.value)


def constant(value: str, dtype: DType) -> float | int | bool:
    if dtype is DType.BOOL:
        return value == "true"
    return float.fromhex(value) if dtype.is_float else int(value)


class Meaning:
    """Runs the loop IR as it is defined, one scalar at a time."""

    def __init__(self, kernel: Kernel, arrays: Mapping[str, np.ndarray], symbols) -> None:
        self.symbols = symbols
        self.buffers = {name: array.reshape(-1) for name, array in arrays.items()}
        for scratch in kernel.scratch:
            self.buffers[scratch.name] = np.zeros(scratch.size, numpy_dtype(scratch.dtype))
        self.values = {}
        with np.errstate(all="ignore"):
            self.run(kernel.body)

    def index(self, index) -> int:
        total = evaluate_dim(index.const, self.symbols)
        for term in index.terms:
            total += int(self.values[term.name]) * evaluate_dim(term.coeff, self.symbols)
        return total

    def run(self, body) -> None:
        for stmt in body:
            self.step(stmt)

    def step(self, stmt) -> None:
        match stmt:
            case Const(name, value, dtype):
                self.values[name] = numpy_dtype(dtype).type(constant(value, dtype))
            case IndexValue(name, index):
                self.values[name] = np.int64(self.index(index))
            case Load(name, buffer, index):
                self.values[name] = self.buffers[buffer][self.index(index)]
            case Compute(name, ScalarOp.CAST, args, dtype):
                self.values[name] = self.values[args[0]].astype(numpy_dtype(dtype))
            case Compute(name, op, args, dtype):
                result = COMPUTE[op](*(self.values[arg] for arg in args))
                self.values[name] = numpy_dtype(dtype).type(result)
            case Store(buffer, index, value):
                self.buffers[buffer][self.index(index)] = self.values[value]
            case If(condition, inner):
                if self.values[condition]:
                    self.run(inner)
            case TransposeTile():
                self.transpose(stmt)
            case Loop():
                self.loop(stmt)

    def transpose(self, tile: TransposeTile) -> None:
        target, source = self.buffers[tile.target], self.buffers[tile.source]
        first, start = self.index(tile.target_index), self.index(tile.source_index)
        for r in range(tile.rows):
            for c in range(tile.cols):
                value = source[start + c * evaluate_dim(tile.source_stride, self.symbols) + r]
                target[first + r * evaluate_dim(tile.target_stride, self.symbols) + c] = value

    def loop(self, loop: Loop) -> None:
        updates = {carry.name: [] for carry in loop.carries}
        stop = min(self.index(stop) for stop in loop.stops)
        for i in range(self.index(loop.start), stop, loop.step):
            self.values[loop.var] = np.int64(i)
            self.run(loop.body)
            for carry in loop.carries:
                index = self.values[carry.index] if carry.index else None
                updates[carry.name].append((self.values[carry.update], index))
        for carry in loop.carries:
            self.values[carry.name] = reduce(carry, updates[carry.name])


def reduce(carry, updates):
    values = np.array([value for value, _ in updates], numpy_dtype(carry.dtype))
    match carry.op:
        case ReduceOp.SUM:
            return values.sum(dtype=values.dtype)
        case ReduceOp.PROD:
            return values.prod(dtype=values.dtype)
        case ReduceOp.MAX:
            return values.max()
        case ReduceOp.MIN:
            return values.min()
        case ReduceOp.ANY:
            return values.any()
        case ReduceOp.ALL:
            return values.all()
        case ReduceOp.ARGMAX:
            return updates[int(values.argmax())][1]
        case ReduceOp.ARGMIN:
            return updates[int(values.argmin())][1]


class TritonInterpreter:
    """The other process."""

    def __init__(self, folder: Path) -> None:
        self.arrays = folder / "arrays.npz"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("interpreter_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.count = 0

    def run(self, kernel: Kernel, arrays: Mapping[str, np.ndarray], symbols, bfloat16=()):
        code = render_kernel(kernel)
        arrays = {name: array.copy() for name, array in arrays.items()}
        for scratch in code.scratch:
            size = evaluate_dim(scratch.num_elements, symbols)
            arrays[scratch.name] = np.zeros(size, numpy_dtype(scratch.dtype))
        np.savez(self.arrays, **arrays)
        self.count += 1
        request = {
            "text": code.text,
            "name": f"kernel_{self.count}",
            "arrays": str(self.arrays),
            "bfloat16": list(bfloat16),
            "launches": [
                [launch.function, evaluate_dim(launch.num_programs, symbols)]
                for launch in code.launches
            ],
            "sizes": [evaluate_dim(size, symbols) for size in code.sizes],
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer == "ok", f"{answer}\n{code.text}"
        return dict(np.load(self.arrays))


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory) -> Iterator[TritonInterpreter]:
    worker = TritonInterpreter(tmp_path_factory.mktemp("triton"))
    yield worker
    worker.process.stdin.close()
    worker.process.wait(10)
    worker.process.stdout.close()


@pytest.fixture
def check_meaning(interpreter):
    """Run a kernel both ways on copies of the arrays and compare all of them."""

    def check(kernel: Kernel, arrays, symbols=None, rtol=0.0):
        symbols = symbols or {}
        expected = {name: array.copy() for name, array in arrays.items()}
        Meaning(kernel, expected, symbols)
        found = interpreter.run(kernel, arrays, symbols)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=rtol, err_msg=name)
        return found

    return check
