"""What a call of a compiled program costs besides its kernels.

In:  nothing.   Out: tables on the terminal: µs per call of a tiny one-kernel program, by number of guarded tensors (arguments;
parameters of modules, with all guards and with the shortcut that skips unchanged dictionaries); the cost of each guard on global
state; how long the native functions take to compile and to load.

The machine may be shared: every figure is the least of several rounds, and the forms are timed in turns. The last column, an
eager `x * 2` in the same round, says how fast the machine was.

Run: python benchmarks/call_overhead.py
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Sequence

import torch

from graphwright.base.config import Wrapper
from graphwright.codegen.llvm import compile_kernels, load_object
from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.dtypes import FROM_TORCH, DType
from graphwright.ir.guards import (
    ConstantGuard,
    GlobalStateGuard,
    GlobalStateKind,
    Guard,
    LengthGuard,
    TensorGuard,
    TypeGuard,
)
from graphwright.ir.loops import (
    Access,
    Compute,
    Const,
    Index,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Param,
    Store,
    Term,
)
from graphwright.ir.ops import ScalarOp
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
from graphwright.ir.sources import (
    ArgSource,
    InstanceDictSource,
    ItemSource,
    Pin,
    PinKind,
    PlainConst,
    Source,
    TargetSource,
)
from graphwright.runtime import Code, Dispatcher, Entry, make_entry, read_global_state
from graphwright.runtime.native import NativeEntry, NativeModule

NUMEL = 64
CALLS = 2000
ROUNDS = 9
WARM_UP = 20


def double_kernel() -> Kernel:
    """Give `out[i] = in[i] * 2`."""
    at = Index((Term("i", 1),))
    body = (
        Load("x", "source", at),
        Const("two", (2.0).hex(), DType.FLOAT32),
        Compute("y", ScalarOp.MUL, ("x", "two"), DType.FLOAT32),
        Store("target", at, "y"),
    )
    loop = Loop("i", Index(), (Index((), NUMEL),), LoopKind.VECTOR, body)
    params = (
        Param("source", DType.FLOAT32, Access.READ),
        Param("target", DType.FLOAT32, Access.WRITE),
    )
    return Kernel("double", params, (), (), (loop,))


def meta_of(tensor: torch.Tensor) -> TensorMeta:
    """Describe a tensor."""
    return TensorMeta(
        FROM_TORCH[tensor.dtype],
        tuple(tensor.shape),
        tensor.stride(),
        requires_grad=tensor.requires_grad,
    )


class Maker:
    """Collects guards and pins of a program whose graph doubles its first argument."""

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self.live: list[object] = []
        self.pins: list[Pin] = []

    def pin(self, cls: type) -> int:
        """Number the pin of a class."""
        if cls not in self.live:
            self.live.append(cls)
            self.pins.append(Pin(PinKind.CLASS, cls.__module__, cls.__qualname__))
        return self.live.index(cls)

    def tensor(self, source: Source, tensor: torch.Tensor) -> None:
        """Guard a tensor."""
        self.guards.append(TensorGuard(source, meta_of(tensor), self.pin(type(tensor))))

    def states(self) -> None:
        """Guard every piece of global state."""
        self.guards += [GlobalStateGuard(kind, read_global_state(kind)) for kind in GlobalStateKind]

    def module(self, source: Source, module: torch.nn.Module) -> None:
        """Guard what a call of a module depends on: class, mode, hooks, parameters, children."""
        own = InstanceDictSource(source)

        def item(base: Source, key: str) -> ItemSource:
            return ItemSource(base, PlainConst(key))

        self.guards += [
            TypeGuard(source, self.pin(type(module))),
            ConstantGuard(item(own, "training"), PlainConst(module.training)),
        ]
        self.guards += [
            LengthGuard(item(own, name), 0)
            for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        ]
        for name, parameter in module.named_parameters(recurse=False):
            self.tensor(item(item(own, "_parameters"), name), parameter)
        for name, child in module.named_children():
            self.module(item(item(own, "_modules"), name), child)

    def entry(self, num_args: int, code: Code, *, target: object, wrapper: Wrapper) -> Entry:
        """Make the entry."""
        meta = TensorMeta(DType.FLOAT32, (NUMEL,), (1,))
        places = (InputPlace(0), OutputPlace())
        buffers = tuple(Buffer(meta.dtype, meta.shape, meta.strides, 4 * NUMEL, p) for p in places)
        plan = Plan(
            inputs=(meta,),
            symbols=(),
            buffers=buffers,
            kernels=(KernelRef("double", "double"),),
            steps=(RunKernel(0, (0, 1)),),
            outputs=(NewOutput(1, meta),),
            mutated_inputs=(),
            arena_bytes=0,
            is_long=False,
        )
        program = Program(
            name="double",
            pattern=CallPattern(num_args),
            pins=tuple(self.pins),
            guards=tuple(self.guards),
            symbols=(),
            inputs=(ArgSource(0, "x"),),
            graph=AtenGraph((meta,), (), (), ()),
            built=(),
            result=FromOutput(0),
        )
        return make_entry(program, plan, code, target=target, live_pins=self.live, wrapper=wrapper)


def refuse(args: Sequence[object], kwargs: object) -> object:
    """No call may miss."""
    raise AssertionError(args, kwargs)


def served(entry: Entry) -> Callable[..., torch.Tensor]:
    """Give the function that a user's call reaches."""
    dispatcher = Dispatcher(refuse)
    dispatcher.add(entry)
    return dispatcher.function


def microseconds(calls: Sequence[tuple[Callable[..., object], tuple[object, ...]]]) -> list[float]:
    """Time calls in turns; the least of several rounds, in µs a call."""
    best = [float("inf")] * len(calls)
    timers = []
    for function, args in calls:
        names = ", ".join(f"a{number}" for number in range(len(args)))
        scope = {"f": function, **{f"a{number}": arg for number, arg in enumerate(args)}}
        timers.append(timeit.Timer(f"f({names})", globals=scope))
    for _ in range(ROUNDS):
        for number, timer in enumerate(timers):
            best[number] = min(best[number], timer.timeit(CALLS) / CALLS * 1e6)
    return best


def double(x: torch.Tensor) -> torch.Tensor:
    """Do eagerly what the program does."""
    return x * 2


def print_arguments(code: Code) -> None:
    """Print the cost by number of guarded arguments."""
    print("guarded arguments     native     python      eager x*2    (µs a call)")
    first = 0.0
    for count in (1, 2, 4, 8, 16, 32, 64):
        args = tuple(torch.randn(NUMEL) for _ in range(count))
        functions = []
        for wrapper in Wrapper:
            maker = Maker()
            maker.states()
            for number, tensor in enumerate(args):
                maker.tensor(ArgSource(number, f"x{number}"), tensor)
            functions.append(served(maker.entry(count, code, target=None, wrapper=wrapper)))
        assert torch.equal(functions[0](*args), args[0] * 2)
        found = microseconds([*((f, args) for f in functions), (double, args[:1])])
        first = first or found[0]
        slope = f"{(found[0] - first) / (count - 1):.3f} each further" if count > 1 else ""
        print(f"{count:17d} {found[0]:10.3f} {found[1]:10.2f} {found[2]:12.2f}    {slope}")


def print_modules(code: Code) -> None:
    """Print the cost by number of guarded parameters of a model."""
    print("\nguarded parameters    guards   all guards   shortcut    eager x*2    (µs a call)")
    for depth in (1, 4, 16, 64):
        layers = [
            torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4)) for _ in range(depth)
        ]
        model = torch.nn.Sequential(*layers)
        x = torch.randn(NUMEL)
        maker = Maker()
        maker.states()
        maker.tensor(ArgSource(0, "x"), x)
        maker.module(TargetSource(), model)
        functions = []
        for number in range(2):
            entry = maker.entry(1, code, target=model, wrapper=Wrapper.NATIVE)
            functions.append(served(entry))
            if number:
                for _ in range(WARM_UP):
                    functions[1](x)
            elif isinstance(entry.native, NativeEntry):
                entry.native.stop_learning()
        found = microseconds([*((f, (x,)) for f in functions), (double, (x,))])
        parameters = len(list(model.parameters()))
        print(
            f"{parameters:18d} {len(maker.guards):9d} {found[0]:12.3f} {found[1]:10.3f} {found[2]:12.2f}"
        )


def print_states(code: Code) -> None:
    """Print the cost of each guard on global state."""
    print("\nguard on global state       ns")
    x = torch.randn(NUMEL)
    repeats = 40
    kinds: list[GlobalStateKind | None] = [None, *GlobalStateKind]
    calls = []
    for kind in kinds:
        maker = Maker()
        maker.tensor(ArgSource(0, "x"), x)
        if kind is not None:
            maker.guards += [GlobalStateGuard(kind, read_global_state(kind))] * repeats
        calls.append((served(maker.entry(1, code, target=None, wrapper=Wrapper.NATIVE)), (x,)))
    base, *found = microseconds(calls)
    for kind, cost in zip(GlobalStateKind, found, strict=True):
        print(f"{kind.value:24s} {(cost - base) / repeats * 1e3:6.1f}")


def print_module_times() -> None:
    """Print how long the native functions take."""
    stored: dict[str, bytes] = {}
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        NativeModule(stored.get, stored.__setitem__)
        times.append((time.perf_counter() - begin) * 1e3)
    size = sum(map(len, stored.values())) / 1024
    print(
        f"native functions: {times[0]:.0f} ms to compile, {times[1]:.0f} ms to load, {size:.0f} KiB\n"
    )


def main() -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    print_module_times()
    code = load_object(compile_kernels([double_kernel()], num_threads=1))
    print_arguments(code)
    print_modules(code)
    print_states(code)


if __name__ == "__main__":
    main()
