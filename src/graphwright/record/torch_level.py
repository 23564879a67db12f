"""The torch-level graph: the public calls of the program, as people read them.

In:  public torch calls after they ran (`note`), placeholders and constants.   Out: a `torch.fx.Graph` (`build`).

Calls are kept as light data while recording, and turned into fx nodes on demand: an fx node costs about as much as
recording the whole op. Operators appear as operators (`x * 2` is `operator.mul`), methods as methods.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import torch
from torch._C._functorch import peek_interpreter_stack
from torch.amp.autocast_mode import _enter_autocast, _exit_autocast
from torch.autograd.grad_mode import _enter_inference_mode, _exit_inference_mode

from graphwright.base.errors import Unsupported
from graphwright.ir.symint import Atom, Dim, FloorDiv, Max, Min, Mod, Symbol, SymExpr
from graphwright.ir.symint_algebra import free_symbols
from graphwright.record.abstract import AbstractTensor
from graphwright.record.floats import SymbolicNumber
from graphwright.record.sizes import dim_of
from graphwright.record.symnodes import number_of, to_extent

if TYPE_CHECKING:
    from graphwright.ir.locations import Loc
    from graphwright.ir.sources import Source
    from graphwright.record.specs import TensorSpec


class CallRef(msgspec.Struct, frozen=True):
    """The result of call number `call`, or the part of it that `path` leads to."""

    call: int
    path: tuple[int | str, ...] = ()


class SizeRef(msgspec.Struct, frozen=True):
    """A symbolic size among a call's arguments."""

    dim: SymExpr


class HiddenRef(msgspec.Struct, frozen=True):
    """A tensor that came out of a functional transform (`torch.vmap`, `torch.func.grad`), inside of which nothing is noted."""


class TorchCall:
    """One node to be: a placeholder, a constant or a call."""

    __slots__ = ("args", "kind", "kwargs", "loc", "name", "spec", "target")

    def __init__(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
    ) -> None:
        self.kind = kind
        """fx's own word: `placeholder`, `get_attr`, `call_function`, `call_method`."""
        self.target = target
        self.args = args
        self.kwargs = kwargs
        self.name = name
        """The name wanted for the node; None for fx's choice."""
        self.loc: Loc | None = None
        """The user's line."""
        self.spec: TensorSpec | None = None
        """What the tensor is that it gives, if it gives just one."""


class TorchTrace:
    """The calls of one recording.

    Args:
        location: asked for each call: the user's current line.
    """

    def __init__(self, location: Callable[[], Loc | None]) -> None:
        self._location = location
        self.calls: list[TorchCall] = []
        self.constants: dict[str, torch.Tensor] = {}
        """Real tensors that became constants, by the attribute name that their nodes get."""
        self._outputs: list[CallRef | HiddenRef] | None = None
        self._symbols: dict[str, tuple[CallRef, int]] = {}
        self._parts: dict[CallRef, TorchCall] = {}
        """The parts of results that have names, with their node to be; its arguments are found when it is built."""
        self._numbers: dict[Source, CallRef] = {}
        """The calls that take a number out of the input that holds it, by the number's source."""
        self.hides_calls = False
        """A functional transform made some of the tensors, so that no graph can be built."""
        self._is_silent = False
        self._regions: list[tuple[object, CallRef]] = []
        """The regions that the program is inside of."""

    def add_placeholder(self, tensor: AbstractTensor, name: str | None) -> None:
        """Add the next graph input."""
        wanted = name or f"arg{len(self.calls)}_1"
        ref = self._add(TorchCall("placeholder", wanted, (), {}, wanted.lower()), tensor)
        tensor.torch_ref = ref
        for dim, extent in enumerate(tensor.state.spec.shape):
            own = dim_of(extent)
            if isinstance(own, SymExpr):
                symbol = _only_symbol(own)
                if symbol is not None:
                    self._symbols.setdefault(symbol, (ref, dim))

    def add_constant(self, made: AbstractTensor, tensor: torch.Tensor) -> None:
        """Add a real tensor that is part of the graph."""
        name = f"_tensor_constant{len(self.constants)}"
        self.constants[name] = tensor
        made.torch_ref = self._add(TorchCall("get_attr", name, (), {}, name), made)

    def add_item(self, number: SymbolicNumber, tensor: AbstractTensor) -> None:
        """Add the call that takes a number out of the input that holds it."""
        call = TorchCall("call_method", "item", (tensor.torch_ref,), {})
        self._numbers[number.source] = self._add(call, None)

    def note(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        """Add a call, if its result holds tensors or it changes some."""
        if self._is_silent or peek_interpreter_stack() is not None:
            return
        if not _holds_tensor(result) and not _changes_tensors(func, kwargs):
            return
        kind, target, args = _describe(func, args, kwargs)
        frozen_args = tuple(self._freeze(value) for value in args)
        frozen_kwargs = {name: self._freeze(value) for name, value in kwargs.items()}
        _mark(result, self._add(TorchCall(kind, target, frozen_args, frozen_kwargs), result))

    @property
    def int_symbols(self) -> tuple[str, ...]:
        """The symbols among the calls' arguments that are no extent of an input, in order: the graph takes their values first."""
        found: dict[str, None] = {}
        for call in self.calls:
            for value in (*call.args, *call.kwargs.values()):
                for dim in _iter_sizes(value):
                    found.update(dict.fromkeys(free_symbols(dim)))
        return tuple(name for name in found if name not in self._symbols)

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Note nothing while this is open."""
        was_silent, self._is_silent = self._is_silent, True
        try:
            yield
        finally:
            self._is_silent = was_silent

    def note_as_written(
        self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Add a call of `target` as it stands, whatever torch functions it called."""
        frozen_args = tuple(self._freeze(value) for value in args)
        frozen_kwargs = {name: self._freeze(value) for name, value in kwargs.items()}
        call = TorchCall("call_function", target, frozen_args, frozen_kwargs)
        _mark(result, self._add(call, result))

    def note_region(self, manager: object, *, enters: bool) -> None:
        """Add that a region that a context manager of PyTorch's makes begins, or ends; only some show in a graph.

        Args:
            manager: the context manager.
            enters: it is entered, not left.
        """
        region = next((one for kind, one in _REGIONS.items() if isinstance(manager, kind)), None)
        if region is None or self._is_silent or peek_interpreter_stack() is not None:
            return
        if enters:
            begin = TorchCall("call_function", region.enter, region.values(manager), {})
            self._regions.append((manager, self._add(begin, None)))
            return
        # By identity, innermost first: one may be entered twice.
        places = [place for place, (one, _) in enumerate(self._regions) if one is manager]
        if places:
            _, known = self._regions.pop(places[-1])
            self._add(TorchCall("call_function", region.leave, (known,), {}), None)

    def rename(self, tensor: torch.Tensor, name: str) -> None:
        """Give the node that made a tensor the name of the user's variable; the first name stays.

        A node cannot be called like the module that holds the graph, nor by what is no word (the argument of a comprehension).
        """
        ref: CallRef | None = getattr(tensor, "torch_ref", None)
        if ref is None or name == "self" or not name.isidentifier():
            return
        if ref.path:
            self._name_part(tensor, ref, name)
        elif self.calls[ref.call].name is None:
            self.calls[ref.call].name = name

    def _name_part(self, tensor: torch.Tensor, ref: CallRef, name: str) -> None:
        if ref not in self._parts:
            part = self._parts[ref] = TorchCall("call_function", operator.getitem, (), {}, name)
            part.loc = self.calls[ref.call].loc
            part.spec = tensor.state.spec if isinstance(tensor, AbstractTensor) else None

    def set_outputs(self, tensors: Sequence[AbstractTensor]) -> None:
        """Say what the program returns."""
        self._outputs = [self._freeze(tensor) for tensor in tensors]

    def build(self) -> torch.fx.Graph:
        """Give the graph of the calls so far, with an output node if the outputs are known.

        Raises:
            Unsupported: a functional transform made some of the tensors.
        """
        return self.build_with_calls()[0]

    def build_with_calls(self) -> tuple[torch.fx.Graph, dict[torch.fx.Node, TorchCall]]:
        """Give what `build` gives, and the call that each node stands for.

        Raises:
            Unsupported: as `build` does.
        """
        graph = torch.fx.Graph()
        building = _Building(graph, self._symbols, self._parts)
        for name in self.int_symbols:
            building.add_symbol(name)
        placeholders = [
            index for index, call in enumerate(self.calls) if call.kind == "placeholder"
        ]
        others = [index for index, call in enumerate(self.calls) if call.kind != "placeholder"]
        for index in (*placeholders, *others):
            building.add(index, self.calls[index])
        if self._outputs is not None:
            graph.output(tuple(building.value(ref) for ref in self._outputs))
        return graph, building.calls

    def _add(self, call: TorchCall, result: Any) -> CallRef:
        call.loc = self._location()
        if type(result) is AbstractTensor:
            call.spec = result.state.spec
        self.calls.append(call)
        return CallRef(len(self.calls) - 1)

    def _freeze(self, value: Any) -> Any:
        kind = type(value)
        if kind is AbstractTensor:
            ref = getattr(value, "torch_ref", None)
            self.hides_calls |= ref is None
            return HiddenRef() if ref is None else ref
        if kind is torch.SymInt:
            extent = to_extent(value)
            return extent if isinstance(extent, int) else SizeRef(extent.dim)  # type: ignore[arg-type]
        if kind is torch.SymFloat:
            number = number_of(value)
            if isinstance(number, SymbolicNumber):
                # One that no input holds is fixed, if it was looked at.
                return self._numbers.get(number.source, number.value)
            return number
        if isinstance(value, tuple):
            return tuple(self._freeze(item) for item in value)
        if kind is list:
            return [self._freeze(item) for item in value]
        if kind is dict:
            return {name: self._freeze(item) for name, item in value.items()}
        if kind is slice:
            return slice(
                self._freeze(value.start), self._freeze(value.stop), self._freeze(value.step)
            )
        return value


class _Building:
    """Turns calls into fx nodes."""

    def __init__(
        self,
        graph: torch.fx.Graph,
        symbols: Mapping[str, tuple[CallRef, int]],
        parts: Mapping[CallRef, TorchCall],
    ) -> None:
        self._graph = graph
        self._symbols = symbols
        self._parts = parts
        self._nodes: dict[CallRef, torch.fx.Node] = {}
        self._sizes: dict[str, torch.fx.Node] = {}
        self.calls: dict[torch.fx.Node, TorchCall] = {}

    def add_symbol(self, name: str) -> None:
        self._sizes[name] = self._graph.placeholder(name)

    def add(self, index: int, call: TorchCall) -> None:
        args = tuple(self.value(value) for value in call.args)
        kwargs = {name: self.value(value) for name, value in call.kwargs.items()}
        shown_type = torch.Tensor if call.kind == "placeholder" else None
        node = self._graph.create_node(call.kind, call.target, args, kwargs, call.name, shown_type)
        self._nodes[CallRef(index)] = node
        self.calls[node] = call

    def value(self, value: Any) -> Any:
        if isinstance(value, CallRef):
            return self._node(value)
        if isinstance(value, SizeRef):
            return self._dim(value.dim)
        if isinstance(value, HiddenRef):
            met = "a functional transform (torch.vmap, torch.func.grad) in a torch-level graph"
            why = "the calls inside it work on other tensors than the program's, so there is no node to show"
            raise Unsupported(met, why=why, remedy="use a backend that takes the ATen graph")
        if isinstance(value, tuple):
            return tuple(self.value(item) for item in value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        if isinstance(value, slice):
            return slice(self.value(value.start), self.value(value.stop), self.value(value.step))
        return value

    def _node(self, ref: CallRef) -> torch.fx.Node:
        node = self._nodes.get(ref)
        if node is None:
            whole = self._node(CallRef(ref.call, ref.path[:-1]))
            part = self._parts.get(ref)
            name = None if part is None else part.name
            args = (whole, ref.path[-1])
            with self._graph.inserting_after(whole):
                node = self._graph.create_node("call_function", operator.getitem, args, {}, name)
            self._nodes[ref] = node
            if part is not None:
                self.calls[node] = part
        return node

    def _dim(self, dim: Dim) -> Any:
        if isinstance(dim, int):
            return dim
        total: Any = None
        for term in dim.terms:
            value: Any = None
            for factor in term.factors:
                for _ in range(factor.exponent):
                    value = self._call(operator.mul, value, self._atom(factor.base))
            value = term.coeff if value is None else value
            value = (
                self._call(operator.mul, value, term.coeff)
                if term.factors and term.coeff != 1
                else value
            )
            total = self._call(operator.add, total, value)
        return total

    def _call(self, target: Any, left: Any, right: Any) -> Any:
        return right if left is None else self._graph.call_function(target, (left, right))

    def _atom(self, atom: Atom) -> Any:
        match atom:
            case Symbol(name=name):
                return self._symbol(name)
            case FloorDiv(numerator=first, denominator=second):
                return self._graph.call_function(
                    operator.floordiv, (self._dim(first), self._dim(second))
                )
            case Mod(value=first, modulus=second):
                return self._graph.call_function(
                    operator.mod, (self._dim(first), self._dim(second))
                )
            case Min(operands=operands) | Max(operands=operands):
                target = torch.sym_min if isinstance(atom, Min) else torch.sym_max
                total: Any = None
                for operand in operands:
                    total = self._call(target, total, self._dim(operand))
                return total

    def _symbol(self, name: str) -> torch.fx.Node:
        node = self._sizes.get(name)
        if node is None:
            ref, dim = self._symbols[name]
            source = self._node(ref)
            with self._graph.inserting_after(source):
                node = self._graph.call_method("size", (source, dim))
            self._sizes[name] = node
        return node


def _only_symbol(expr: SymExpr) -> str | None:
    if len(expr.terms) == 1 and expr.terms[0].coeff == 1 and len(expr.terms[0].factors) == 1:
        factor = expr.terms[0].factors[0]
        if factor.exponent == 1 and isinstance(factor.base, Symbol):
            return factor.base.name
    return None


def _iter_sizes(value: Any) -> Iterator[SymExpr]:
    """Give the symbolic sizes in an argument as the calls hold it."""
    if isinstance(value, SizeRef):
        yield value.dim
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _iter_sizes(item)
    elif isinstance(value, dict):
        yield from _iter_sizes(tuple(value.values()))
    elif isinstance(value, slice):
        yield from _iter_sizes((value.start, value.stop, value.step))


def _holds_tensor(result: Any) -> bool:
    if isinstance(result, torch.Tensor):
        return True
    return isinstance(result, (tuple, list)) and any(_holds_tensor(item) for item in result)


def _mark(result: Any, ref: CallRef) -> None:
    """Note on each new tensor which call gave it; one that a call gave back keeps its first."""
    if isinstance(result, AbstractTensor):
        if getattr(result, "torch_ref", None) is None:
            result.torch_ref = ref
    elif isinstance(result, (tuple, list)):
        for index, item in enumerate(result):
            _mark(item, CallRef(ref.call, (*ref.path, index)))
    elif isinstance(result, dict):
        for key, item in result.items():
            _mark(item, CallRef(ref.call, (*ref.path, key)))


class _Region(NamedTuple):
    """How the calls that enter and leave a context manager show in a graph."""

    enter: Callable[..., Any]
    leave: Callable[..., Any]
    values: Callable[[Any], tuple[Any, ...]]
    """The arguments of `enter`."""


_REGIONS: Final[dict[type, _Region]] = {
    torch.autocast: _Region(
        _enter_autocast,
        _exit_autocast,
        # what its own stand-in for graphs is made of
        lambda manager: (
            manager.device,
            manager.fast_dtype,
            manager._enabled,  # noqa: SLF001
            manager._cache_enabled,  # noqa: SLF001
        ),
    ),
    torch.inference_mode: _Region(
        _enter_inference_mode, _exit_inference_mode, lambda manager: (manager.mode,)
    ),
}


def _changes_tensors(func: Any, kwargs: Mapping[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    if name in ("__setitem__", "__set__", "_set_grad_enabled", "backward"):
        return True
    return kwargs.get("out") is not None or (name.endswith("_") and not name.endswith("__"))


_OPERATORS: Final[dict[str, Any]] = {
    **{
        f"__{name}__": getattr(operator, name)
        for name in ["neg", "pos", "abs", "invert", "getitem", "setitem", "matmul", "pow"]
    },
    **{
        f"__{name}__": getattr(operator, name)
        for name in [
            "add",
            "sub",
            "mul",
            "truediv",
            "floordiv",
            "mod",
            "eq",
            "ne",
            "lt",
            "le",
            "gt",
            "ge",
        ]
    },
    **{f"__{name}__": getattr(operator, name) for name in ["lshift", "rshift", "xor"]},
    **{
        f"__{name}__": getattr(operator, name)
        for name in ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul"]
    },
    **{
        f"__{name}__": getattr(operator, name)
        for name in ["iand", "ior", "ixor", "ilshift", "irshift"]
    },
    "__and__": operator.and_,
    "__or__": operator.or_,
}
_REVERSED: Final[dict[str, Any]] = {
    **{
        f"__r{name}__": getattr(operator, name)
        for name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"]
    },
    **{f"__r{name}__": getattr(operator, name) for name in ["lshift", "rshift", "xor"]},
    "__rdiv__": operator.truediv,
    "__rand__": operator.and_,
    "__ror__": operator.or_,
}


_OPERATOR_METHODS: Final[dict[str, Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "true_divide": operator.truediv,
    "matmul": operator.matmul,
    "remainder": operator.mod,
    "pow": operator.pow,
    "add_": operator.iadd,
    "sub_": operator.isub,
    "mul_": operator.imul,
    "div_": operator.itruediv,
}
"""torch names an operator's call like the method's (`x * 2` is `mul`); shown as the operator, which people write."""


def _describe(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, Any, Sequence[Any]]:
    """Give fx's kind and target for a function as torch hands it over, and the arguments in their order."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__"):
        attribute = _attribute_name(func)
        if name == "__get__":
            return "call_function", getattr, (args[0], attribute)
        return "call_function", setattr, (args[0], attribute, args[1])
    if name in _OPERATORS:
        return "call_function", _OPERATORS[name], args
    if name in _REVERSED:
        return "call_function", _REVERSED[name], (args[1], args[0])
    if _is_method(func):
        if name in _OPERATOR_METHODS and len(args) == 2 and not kwargs:
            return "call_function", _OPERATOR_METHODS[name], args
        return "call_method", name, args
    return "call_function", func, args


def _attribute_name(func: Any) -> str:
    """Give the name of the property whose getter or setter this is."""
    owner = func.__self__
    for cls in torch.Tensor.__mro__:
        for name, value in vars(cls).items():
            if value is owner:
                return name
    return str(getattr(owner, "__name__", "unknown"))


def _is_method(func: Any) -> bool:
    if type(func).__name__ in ("method_descriptor", "wrapper_descriptor"):
        return True
    # `Tensor.__pow__` and its like are functions of `torch._tensor` around methods written in C, whose names they bear.
    return getattr(func, "__module__", "") == "torch._tensor" and getattr(
        func, "__qualname__", ""
    ).startswith(("Tensor.", "TensorBase."))
