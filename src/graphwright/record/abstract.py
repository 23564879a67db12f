"""Abstract tensors: what a program computes on while it is recorded.

In:  specs.   Out: `AbstractTensor`, a real `torch.Tensor` subclass without data, on which torch's own code and autograd run.

An abstract tensor is one way to look at a `Storage`: memory that several tensors may share. The storage has a current
value (of the graph) and a version that each in-place op raises; the tensor knows by which views it is reached from the
storage's root, so that its own value can be made anew after a sibling was written to (see `functional.py`).
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from torch._C import _disabled_torch_function_impl

from graphwright.base.errors import Unsupported
from graphwright.record.specs import TensorSpec
from graphwright.record.symnodes import to_torch

if TYPE_CHECKING:
    from graphwright.ir.aten import Arg, KwArg


class ViewStep:
    """One view op between a storage's root and a tensor."""

    __slots__ = ("args", "inverse_args", "kwargs", "op", "result_index", "source", "target")

    def __init__(  # noqa: PLR0913  (a record)
        self,
        op: str,
        args: tuple[Arg, ...],
        kwargs: tuple[KwArg, ...],
        rule_args: tuple[Any, ...],
        source: TensorSpec,
        target: TensorSpec,
        result_index: int | None,
    ) -> None:
        self.op = op
        self.args = args
        """The node's arguments after the viewed tensor."""
        self.kwargs = kwargs
        self.inverse_args = rule_args
        """The same arguments as the shape rule saw them."""
        self.source = source
        self.target = target
        self.result_index = result_index
        """Which result it is, for ops that give several views."""


class Origin(enum.Enum):
    """Where a storage comes from."""

    INPUT = "input"
    COMPUTED = "computed"
    FRESH_CONSTANT = "fresh_constant"
    """Made by the program from literal data: each call has its own."""
    SHARED_CONSTANT = "shared_constant"
    """A real tensor that the program found; writing to it would be lost."""


class Storage:
    """Memory that abstract tensors share."""

    __slots__ = (
        "first",
        "input_index",
        "is_inference",
        "is_known_zero",
        "is_late",
        "is_outgrown",
        "origin",
        "root",
        "value",
        "version",
    )

    def __init__(
        self, root: TensorSpec, value: int, origin: Origin, input_index: int | None = None
    ) -> None:
        self.root = root
        self.first = value
        """The value that it was made with; values are numbered in time."""
        self.value = value
        self.version = 0
        self.origin = origin
        self.input_index = input_index
        self.is_inference = torch.is_inference_mode_enabled()
        """It was made in inference mode, so that the tensors on it are inference tensors."""
        self.is_known_zero = False
        """It was made as zeros without memory, from which eager computes without looking at the other operand."""
        self.is_late = False
        """It is written to once the graph has run: what it holds then is not known here."""
        self.is_outgrown = False
        """A tensor on it was resized to more than it holds; in eager every tensor on it sees the new memory."""


class TensorState:
    """What an abstract tensor is: a spec, and a way to look at a storage."""

    __slots__ = ("recipe", "spec", "storage", "value", "version")

    def __init__(
        self, spec: TensorSpec, storage: Storage, recipe: tuple[ViewStep, ...], value: int
    ) -> None:
        self.spec = spec
        self.storage = storage
        self.recipe = recipe
        self.value = value
        self.version = storage.version


class OpHandler(Protocol):
    """What an abstract tensor needs of the recorder that made it."""

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record one ATen op."""

    @property
    def inputs(self) -> Sequence[AbstractTensor]:
        """The stand-ins of the graph's inputs, in order."""

    @property
    def gradients(self) -> Gradients:
        """What `.grad` of abstract tensors is."""

    def place_of_input(self, index: int) -> int:
        """Give where in its memory an input begins, in bytes; the program then holds for that place only."""


class _Begun(torch.autograd.Function):
    """What a stand-in came from that is no leaf; nothing asks for gradients on the far side of it."""

    @staticmethod
    def forward(ctx: Any, root: torch.Tensor, make: Callable[[], AbstractTensor]) -> AbstractTensor:
        del ctx, root
        return make()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[None, None]:
        del ctx, gradients
        return None, None


def with_history(make: Callable[[], AbstractTensor]) -> AbstractTensor:
    """Give the tensor that `make` makes, as one that requires a gradient and is no leaf: autograd lets programs write to it."""
    with torch.enable_grad(), torch.inference_mode(mode=False):
        root = torch.zeros((), requires_grad=True)
        made: AbstractTensor = _Begun.apply(root, make)  # type: ignore[no-untyped-call]
    return made


_GRAD: Final[Any] = torch.Tensor.grad


class Gradients:
    """What `.grad` of abstract tensors is: here, what autograd itself keeps there."""

    def get(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Give the gradient of a tensor."""
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (no public name)
            found: torch.Tensor | None = _GRAD.__get__(tensor)
        return found

    def set(self, tensor: torch.Tensor, value: torch.Tensor | None) -> None:
        """Make `value` the gradient of a tensor.

        Raises:
            TypeError: it is no tensor.
            RuntimeError: it has another shape, dtype or device.
        """
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (no public name)
            _GRAD.__set__(tensor, value)


GRADIENTS_OF_STAND_INS: Final = Gradients()


def _refuse_data(name: str) -> Any:
    def refuse(self: AbstractTensor, *_args: object, **_kwargs: object) -> Any:
        raise data_access(f"`Tensor.{name}` of a tensor of shape {tuple(self.shape)}")

    refuse.__name__ = name
    return refuse


class NeedsValues(Unsupported):
    """An op asks for values, or the size of its result depends on them."""


class _Refused(threading.local):
    """The read of values that this thread refused last, and how many it has refused."""

    last: NeedsValues | None = None
    count = 0

    def since(self, count: int) -> NeedsValues | None:
        """Give the last error, if there were others after the first `count`."""
        return self.last if self.count > count else None


REFUSED: Final = _Refused()
"""PyTorch's own Python may catch the error and go another way than it goes with values: whoever runs it looks here afterwards."""


def data_access(met: str) -> NeedsValues:
    """Make the error for a read of values that are not known while recording."""
    REFUSED.last = error = NeedsValues(
        met,
        why="the values of a tensor are not known while the program is captured, only its shape and dtype",
        remedy="keep the computation on tensors (torch.where instead of if), or move this line out of the compiled function",
    )
    REFUSED.count += 1
    return error


class AbstractTensor(torch.Tensor):
    """A tensor without data; made by a recorder only."""

    state: TensorState
    handler: OpHandler

    torch_ref: Any = None
    """Which call of the torch-level graph made it (see `torch_level.py`)."""

    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's stub leaves out the op
        cls,
        func: Any,
        _types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Hand the op to the recorder; this happens outside its `with` block only."""
        return _handler_of(args, kwargs or {}).dispatch(func, args, kwargs or {})

    @property
    def grad(self) -> torch.Tensor | None:
        """The gradient, of which a stand-in's owner knows more than autograd."""
        return self.handler.gradients.get(self)

    @grad.setter
    def grad(self, value: torch.Tensor | None) -> None:
        self.handler.gradients.set(self, value)

    def __repr__(self, **_options: object) -> str:  # type: ignore[override]
        """Give shape and dtype, without asking torch (which would look at the data); as a text of the program's it is no good."""
        data_access("the text of a tensor")
        spec = self.state.spec
        return f"AbstractTensor({list(spec.shape)}, {spec.dtype})"

    numpy = _refuse_data("numpy")
    tolist = _refuse_data("tolist")
    data_ptr = _refuse_data("data_ptr")
    __array__ = _refuse_data("__array__")
    __dlpack__ = _refuse_data("__dlpack__")


AbstractTensor.__name__ = (
    "Tensor"  # as errors of operators call it, which the program may catch and show
)


_make_wrapper: Final = torch.Tensor._make_wrapper_subclass  # noqa: SLF001  (how subclasses are made)
_STRIDED: Final = torch.strided


def make_abstract(handler: OpHandler, state: TensorState, *, is_static: bool) -> AbstractTensor:
    """Make the tensor for a state; `is_static` promises that its spec has no symbolic extents."""
    spec = state.spec
    shape: Any = spec.shape
    strides: Any = spec.strides
    offset: Any = spec.offset
    if not is_static:
        shape = [to_torch(extent) for extent in shape]
        strides = [to_torch(stride) for stride in strides]
        offset = to_torch(offset)
    made: AbstractTensor = _make_wrapper(
        AbstractTensor, shape, strides, offset, None, spec.dtype, _STRIDED, spec.device
    )
    made.state = state
    made.handler = handler
    return made


def _handler_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> OpHandler:
    for value in (*args, *kwargs.values()):
        if isinstance(value, AbstractTensor):
            return value.handler
        if isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, AbstractTensor):
                    return item.handler
    msg = "no abstract tensor among the arguments"
    raise AssertionError(msg)
