"""Programs and plans written by hand, for the tests of the runtime."""

import ctypes
import types
from dataclasses import dataclass, field

import torch

from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.code_digest import class_digest, code_digest
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.ir.encoding import decode_plan, decode_program, encode_plan, encode_program
from graphwright.ir.guards import TensorGuard
from graphwright.ir.plan import (
    Buffer,
    InputPlace,
    KernelRef,
    NewOutput,
    OutputPlace,
    Plan,
    RunKernel,
)
from graphwright.ir.program import CallPattern, Program
from graphwright.ir.recipes import FromOutput
from graphwright.ir.sources import ArgSource, Pin, PinKind

_KERNEL = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_int64))


class KernelCode:
    """Machine code whose kernels are Python functions of (pointers, symbols)."""

    def __init__(self, **kernels):
        self._held = {name: _KERNEL(function) for name, function in kernels.items()}

    def address(self, symbol):
        return ctypes.cast(self._held[symbol], ctypes.c_void_p).value


def floats(pointer, count):
    """Give `count` floats at an address, as a tensor over that memory."""
    return torch.frombuffer((ctypes.c_float * count).from_address(pointer), dtype=torch.float32)


def meta_of(tensor):
    """Describe a tensor."""
    return TensorMeta(
        FROM_TORCH[tensor.dtype],
        tuple(tensor.shape),
        tensor.stride(),
        str(tensor.device),
        0,
        tensor.requires_grad,
    )


def buffer_of(meta, place):
    """Make a buffer for a value of static shape."""
    static = all(isinstance(dim, int) for dim in (*meta.shape, *meta.strides))
    size = 0
    if static:
        pairs = zip(meta.shape, meta.strides, strict=True)
        size = (sum((extent - 1) * stride for extent, stride in pairs) + 1) * meta.dtype.size_bytes
    return Buffer(meta.dtype, meta.shape, meta.strides, size, place, meta.device)


@dataclass
class ProgramMaker:
    """Collects pins, guards and inputs."""

    guards: list = field(default_factory=list)
    pins: list = field(default_factory=list)
    live: list = field(default_factory=list)

    def pin(self, value):
        """Number the pin of a live object."""
        for number, known in enumerate(self.live):
            if known is value:
                return number
        self.pins.append(describe(value))
        self.live.append(value)
        return len(self.pins) - 1

    def tensor(self, source, tensor, meta=None):
        """Guard that `source` is a tensor like `tensor`."""
        guard = TensorGuard(source, meta or meta_of(tensor), self.pin(type(tensor)))
        self.guards.append(guard)
        return guard

    def program(self, num_args, inputs, metas, **rest):
        """Make the program; `metas` are those of the graph's inputs."""
        graph = AtenGraph(tuple(metas), rest.pop("graph_symbols", ()), (), rest.pop("outputs", ()))
        return Program(
            name=rest.pop("name", "f"),
            pattern=CallPattern(num_args, rest.pop("keywords", ())),
            pins=tuple(self.pins),
            guards=tuple(self.guards),
            symbols=rest.pop("symbols", ()),
            inputs=tuple(inputs),
            graph=graph,
            built=rest.pop("built", ()),
            result=rest.pop("result", FromOutput(0)),
            effects=rest.pop("effects", ()),
            **rest,
        )


def describe(value):
    """Describe a live object as a pin."""
    match value:
        case types.CodeType():
            return Pin(PinKind.FUNCTION, "", value.co_qualname, code_digest(value))
        case types.ModuleType():
            return Pin(PinKind.MODULE, value.__name__, "", is_importable=True)
        case type():
            return Pin(PinKind.CLASS, value.__module__, value.__qualname__, class_digest(value))
        case types.BuiltinFunctionType():
            return Pin(PinKind.BUILTIN, value.__module__, value.__qualname__)
        case _:
            return Pin(PinKind.OBJECT, "?", "?")


def round_trip(program, plan=None):
    """Give program and plan as another process would decode them."""
    decoded = decode_program(encode_program(program))
    assert decoded == program
    if plan is None:
        return decoded, None
    decoded_plan = decode_plan(encode_plan(plan))
    assert decoded_plan == plan
    return decoded, decoded_plan


def double_kernel(count):
    """A kernel that writes twice its first buffer to its second."""

    def run(params, symbols):
        floats(params[1], count).copy_(floats(params[0], count) * 2)

    return run


def double_case(x):
    """`f(x) = x * 2` for float32 tensors like `x`: program, live pins, plan, code."""
    maker = ProgramMaker()
    source = ArgSource(0, "x")
    maker.tensor(source, x)
    meta = meta_of(x)
    out_meta = TensorMeta(meta.dtype, meta.shape, meta.strides)
    plan = Plan(
        inputs=(meta,),
        symbols=(),
        buffers=(buffer_of(meta, InputPlace(0)), buffer_of(out_meta, OutputPlace())),
        kernels=(KernelRef("double", "double"),),
        steps=(RunKernel(0, (0, 1)),),
        outputs=(NewOutput(1, out_meta),),
        mutated_inputs=(),
        arena_bytes=0,
        is_long=False,
    )
    program = maker.program(1, [source], [meta])
    return program, maker.live, plan, KernelCode(double=double_kernel(x.numel()))
