"""A process in which Triton interprets kernels: reads one request a line, answers one line.

Request: {"text", "name", "launches": [[function, programs]], "arrays": path of an .npz, "sizes": [...]}; the arrays are
changed in place and written back. NVIDIA's math library is played by numpy.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
import triton.language as tl
from triton.language.extra import libdevice
from triton.runtime import interpreter
from triton.runtime.interpreter import TensorHandle

from graphwright.codegen.triton import load_source
from graphwright.codegen.triton.code import TritonCode

np.seterr(all="ignore")
ERF = np.vectorize(math.erf)
NUMPY = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "erf": ERF,
    "erfc": lambda x: 1 - ERF(x),
    "normcdf": lambda x: (1 + ERF(x * np.sqrt(0.5))) / 2,
    "rint": np.rint,
    "trunc": np.trunc,
    "fmod": np.fmod,
    "atan2": np.arctan2,
    "pow": np.power,
    "copysign": np.copysign,
}


def stand_in(function):
    def call(*operands):
        first = operands[0]
        data = function(*(operand.handle.data for operand in operands))
        data = np.asarray(data).astype(first.handle.data.dtype)
        return tl.tensor(TensorHandle(data, first.handle.dtype), first.type)

    return call


for function_name, function in NUMPY.items():
    setattr(libdevice, function_name, stand_in(function))


CONVERT_FLOAT = interpreter._convert_float


def round_to_bfloat16(data, source, target, rounding):
    """A GPU rounds to the nearest; the interpreter of Triton 3.9 cuts off."""
    if source == tl.float32 and target == tl.bfloat16:
        rounded = torch.from_numpy(np.ascontiguousarray(data)).to(torch.bfloat16)
        return rounded.view(torch.int16).numpy().view(np.uint16)
    return CONVERT_FLOAT(data, source, target, rounding)


interpreter._convert_float = round_to_bfloat16


def run(request: dict) -> None:
    code = TritonCode(request["text"], (), (), (), ())
    module = load_source(code, request["name"])
    arrays = dict(np.load(request["arrays"]))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for name in request["bfloat16"]:
        tensors[name] = tensors[name].view(torch.bfloat16)
    for function_name, programs in request["launches"]:
        kernel = getattr(module, function_name)
        kernel[(programs,)](*tensors.values(), *request["sizes"])
    np.savez(request["arrays"], **arrays)


for line in sys.stdin:
    try:
        run(json.loads(line))
        answer = "ok"
    except Exception as error:  # noqa: BLE001
        answer = f"{error!r}\n{traceback.format_exc()}"
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
