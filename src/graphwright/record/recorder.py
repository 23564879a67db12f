"""The life of a recording: inputs, ops as they happen, outputs.

In:  real tensors (`add_input`), then torch functions called on their stand-ins while the recorder is active.
Out: the functional ATen graph (`finish`), the torch-level graph, the shape guards.

How an op travels: torch's function mode sees the public call (`modes.py`) and, once it has run, notes a torch-level
node; inside, autograd runs for real; below it the dispatch mode hands each ATen op to `dispatch`, which finds the
results' specs by rule (`shapes/`), by decomposition, or on `meta` tensors, adds a node, and wraps abstract tensors.

Keeps: one abstract tensor per real tensor added; nodes in program order; no real data is read, but that of small
constants.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import torch
from torch._C import _functorch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import AtenGraph, GraphOutput, InputMutation, ViewKind
from graphwright.ir.overloads import find_overload, is_random
from graphwright.record.abstract import (
    GRADIENTS_OF_STAND_INS,
    AbstractTensor,
    Gradients,
    NeedsValues,
    Origin,
    Storage,
    TensorState,
    make_abstract,
    with_history,
)
from graphwright.record.builder import GraphBuilder
from graphwright.record.constants import MAX_CONSTANT_BYTES, constant_bytes, spec_of_real
from graphwright.record.dispatch import Dispatcher
from graphwright.record.float_arguments import FloatArguments, OpCall
from graphwright.record.floats import SymbolicNumber
from graphwright.record.functional import emit_empty, read
from graphwright.record.layout import strides_like
from graphwright.record.lazy_flags import flag_functions, has_flags, without_flags
from graphwright.record.modes import RecordDispatchMode, RecordFunctionMode
from graphwright.record.op_recording import OpRecording
from graphwright.record.reshaping import is_reshaped, take_state
from graphwright.record.sizes import Extent, SizeTable
from graphwright.record.specs import TensorSpec
from graphwright.record.symnodes import to_symfloat, to_torch
from graphwright.record.torch_level import TorchTrace

if TYPE_CHECKING:
    from graphwright.ir.guards import ShapeGuard
    from graphwright.ir.locations import Loc

PlaceOfInput = Callable[[int], int | None]
OnRealTensor = Callable[[torch.Tensor], AbstractTensor | None]
OnFloat = Callable[[SymbolicNumber], AbstractTensor | None]


def _nowhere() -> Loc | None:
    return None


def _unknown(_tensor: torch.Tensor) -> AbstractTensor | None:
    return None


def _unguarded(_index: int) -> None:
    return None


def _fixed(_number: SymbolicNumber) -> None:
    return None


def _ignore(_name: str) -> None:
    return None


class RecordingMark(msgspec.Struct, frozen=True):
    """A point of a recording."""

    num_nodes: int
    num_values: int
    num_writes: int


def _outside_transforms() -> AbstractContextManager[Any]:
    """Give a context for making tensors that no transform of `torch.func` that is under way has anything to do with."""
    if _functorch.peek_interpreter_stack() is None:
        return nullcontext()
    return temporarily_clear_interpreter_stack()


class Recorder:
    """Records one program; a context manager, active in its `with` block.

    Args:
        on_real_tensor: asked once for each real tensor that meets an op without having been added; gives its
            stand-in (made with `add_input`), or None to make it a constant of the graph.
        location: asked for each node: the user's current line.
        place_of_input: asked where in its memory an input (by number) begins, in bytes, by a program that looks at that;
            whoever answers guards it. None: nobody does.
        on_float: asked for the graph input that holds a number which is not fixed (made with `add_float_input`); None: the number
            is then fixed.
        on_fallback: told the name of each op that has no shape rule and was tried on `meta` tensors.
        has_torch_graph: whether the torch-level graph is wanted.
    """

    def __init__(
        self,
        *,
        on_real_tensor: OnRealTensor = _unknown,
        location: Callable[[], Loc | None] = _nowhere,
        place_of_input: PlaceOfInput = _unguarded,
        on_float: OnFloat = _fixed,
        on_fallback: Callable[[str], None] = _ignore,
        has_torch_graph: bool = True,
    ) -> None:
        self.on_real_tensor = on_real_tensor
        self.location = location
        self.gradients: Gradients = GRADIENTS_OF_STAND_INS
        """What `.grad` of its tensors is."""
        self._place_of_input = place_of_input
        self._table = SizeTable(self._current_location)
        self._builder = GraphBuilder(self._table, self._current_location)
        self._trace = TorchTrace(self._current_location) if has_torch_graph else None
        recording = OpRecording(
            self, self._builder, self._wrap, self.abstract_of, on_fallback, self.paused
        )
        self._inputs: list[AbstractTensor] = []
        self._input_storages: list[Storage] = []
        self._input_histories: list[object] = []
        self._input_versions: list[int] = []
        self._stand_ins: dict[int, tuple[torch.Tensor, AbstractTensor]] = {}
        self._stack = ExitStack()
        self._is_paused = False
        self.dispatch_mode = RecordDispatchMode(self)
        self._dispatcher = Dispatcher(recording, self.dispatch_mode)
        self._float_arguments = FloatArguments(
            on_float, lambda tensor: recording.state_of(tensor).spec, self._dispatcher.dispatch
        )
        self._has_floats = False
        self._function_mode = RecordFunctionMode(self)

    def __enter__(self) -> Self:
        """Start recording."""
        self._stack.enter_context(self.dispatch_mode)
        self._stack.enter_context(self._function_mode)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop recording."""
        self._stack.close()

    # --- what goes in

    def add_input(
        self,
        tensor: torch.Tensor,
        *,
        name: str | None = None,
        dynamic_dims: Mapping[int, str] | None = None,
    ) -> AbstractTensor:
        """Make a real tensor the next graph input and give its stand-in; a tensor added before gives the same one.

        Args:
            tensor: a strided tensor; its data is not read.
            name: the placeholder's name in the torch-level graph (`l_x_`).
            dynamic_dims: dimension → symbol name. A name used before stands for the same size. Strides that
                follow from the dynamic extents become symbolic too.

        Raises:
            Unsupported: the tensor has a layout, dtype or type that graphs cannot hold.
        """
        known = self._stand_ins.get(id(tensor))
        if known is not None:
            return known[1]
        with self.paused():
            spec = spec_of_real(tensor, self._dynamic_shape(tensor, dynamic_dims or {}))
            needs_grad, is_inference = tensor.requires_grad, tensor.is_inference()
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            has_history = needs_grad and not tensor.is_leaf
        made = self.add_input_spec(
            spec,
            name=name,
            requires_grad=needs_grad,
            has_history=has_history,
            is_inference=is_inference,
        )
        if is_parameter:
            # What `isinstance(tensor, torch.nn.Parameter)` looks at.
            made._is_param = True  # noqa: SLF001
        self._stand_ins[id(tensor)] = (tensor, made)
        return made

    def add_input_spec(
        self,
        spec: TensorSpec,
        *,
        name: str | None = None,
        requires_grad: bool = False,
        has_history: bool = False,
        is_inference: bool = False,
        is_shown: bool = True,
    ) -> AbstractTensor:
        """Make the next graph input from a spec alone; one that is not shown has no torch-level placeholder."""
        value = self._builder.add_input(spec)
        storage = Storage(spec, value, Origin.INPUT, len(self._inputs))
        storage.is_inference = is_inference
        state = TensorState(spec, storage, (), value)
        with self.paused(), _outside_transforms():
            made = with_history(lambda: self._wrap(state)) if has_history else self._wrap(state)
            made.requires_grad_(requires_grad)
            self._input_histories.append(made.grad_fn)
            self._input_versions.append(_version(made))
        self._inputs.append(made)
        self._input_storages.append(storage)
        if self._trace is not None and is_shown:
            self._trace.add_placeholder(made, name)
        return made

    def add_tangent(self, output: AbstractTensor) -> AbstractTensor:
        """Make the next graph input the gradient that will come in for `output`; dense, whatever the output is."""
        spec = output.state.spec
        strides = strides_like(spec.shape, spec.strides)
        tangent = TensorSpec(spec.shape, strides, spec.dtype, spec.device)
        return self.add_input_spec(tangent, is_shown=False)

    def new_symbol(
        self, name: str, hint: int, *, minimum: int | None = 2, maximum: int | None = None
    ) -> torch.SymInt:
        """Make (or find) the size symbol `name`, of value `hint` in the example, guarded to lie in its range (None: no end)."""
        return to_torch(self._table.new_symbol(name, hint, minimum=minimum, maximum=maximum))  # type: ignore[return-value]

    def new_float(self, number: SymbolicNumber) -> torch.SymFloat:
        """Give what torch's functions take for a float that is not fixed."""
        self._has_floats = True
        return to_symfloat(number, self._table)

    def add_float_input(self, number: SymbolicNumber, *, name: str) -> AbstractTensor:
        """Make the next graph input of a tensor that holds a number; in the torch-level graph, calls take its item."""
        made = self.add_input_spec(
            TensorSpec((), (), torch.float64, torch.device("cpu")), name=name
        )
        if self._trace is not None:
            self._trace.add_item(number, made)
        return made

    def abstract_of(self, tensor: torch.Tensor, *, is_fresh: bool = False) -> AbstractTensor:
        """Give the stand-in of any tensor: itself, the added input's, `on_real_tensor`'s, or a constant's.

        Raises:
            Unsupported: the tensor is unknown and too large to be a constant.
        """
        if isinstance(tensor, AbstractTensor):
            return tensor
        known = self._stand_ins.get(id(tensor))
        if known is not None:
            return known[1]
        made = None
        if not is_fresh:
            with self.paused():
                made = self.on_real_tensor(tensor)
        if made is None:
            made = self._add_constant(
                tensor, Origin.FRESH_CONSTANT if is_fresh else Origin.SHARED_CONSTANT
            )
        self._stand_ins[id(tensor)] = (tensor, made)
        return made

    def place_of_input(self, index: int) -> int:
        """Give where in its memory an input begins, in bytes; the program then holds for that place only.

        Raises:
            NeedsValues: that cannot be guarded.
        """
        place = self._place_of_input(index)
        if place is None:
            raise NeedsValues(
                "a look at where in its memory a tensor begins that existed before the call",
                why="nothing checks that before a later call",
                remedy="leave the storage offset out: it is then the tensor's own",
            )
        return place

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function while recording, and show it as one node of the torch-level graph.

        For operators (`recorder.call(operator.mul, x, 2)`) and for functions that a user allowed in the graph.
        """
        return self.call_as(function, function, *args, **kwargs)

    def call_as(
        self, shown: Callable[..., Any], function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Call a function while recording, and show it as one node of the torch-level graph that calls `shown`."""
        if self._trace is None:
            return function(*args, **kwargs)
        with self._trace.silenced():
            result = function(*args, **kwargs)
        self._trace.note_as_written(shown, args, kwargs, result)
        return result

    # --- what comes out

    @property
    def inputs(self) -> tuple[AbstractTensor, ...]:
        """The stand-ins of the graph's inputs, in order."""
        return tuple(self._inputs)

    def strip_flags(self, tensor: AbstractTensor) -> tuple[AbstractTensor, list[Any]] | None:
        """Give a tensor without its conjugate and negative flags and the functions that put them back, if it has such.

        Raises:
            Unsupported: the tensor shares memory, and no flag tells how its values come from there.
        """
        state = tensor.state
        if not has_flags(state.recipe):
            return None
        functions = flag_functions(state.recipe)
        if functions is None:
            raise Unsupported(
                "a view of the parts of a conjugated tensor in the result",
                why="its memory holds other values, and only some of them are negated",
                remedy="clone it",
            )
        bare = tensor
        # In the torch-level graph, putting a flag on once more takes it off.
        for function in functions:
            bare = self._without_flags(bare, function, (bare,))
        if not functions and tensor.requires_grad:
            bare = self._without_flags(bare, torch.Tensor.view_as, (bare, bare))
        elif not functions:
            bare = self._without_flags(bare, torch.Tensor.detach, (bare,))
        return bare, functions

    def _without_flags(
        self,
        tensor: AbstractTensor,
        function: Callable[..., torch.Tensor],
        args: tuple[AbstractTensor, ...],
    ) -> AbstractTensor:
        """Give a tensor on the memory of `tensor` without flags; to autograd and in the torch-level graph it is `function(*args)`."""
        state = without_flags(tensor.state)
        made: Any
        if tensor.requires_grad:
            with self:
                made = function(*args)
            take_state(made, state)
        else:
            made = self._wrap(state)
            self.note_call(function, args, {}, made)
        bare: AbstractTensor = made
        return bare

    def is_input(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor is the stand-in of an input, as the caller passed it and not written to since."""
        if not isinstance(tensor, AbstractTensor):
            return False
        index = tensor.state.storage.input_index
        if index is None or self._inputs[index] is not tensor:
            return False
        return not is_reshaped(tensor, index) and tensor.state.storage.version == 0

    def reshaped_inputs(self) -> Mapping[int, AbstractTensor]:
        """The stand-ins, by input number, that the program gave another shape, layout or memory."""
        return {
            index: tensor for index, tensor in enumerate(self._inputs) if is_reshaped(tensor, index)
        }

    def outgrown_inputs(self) -> tuple[int, ...]:
        """Give the numbers of the inputs whose memory became too small."""
        return tuple(
            index for index, storage in enumerate(self._input_storages) if storage.is_outgrown
        )

    def check_inputs_kept(self) -> None:
        """Refuse a program that gave an input another shape, for callers who cannot pass that on to the tensor itself.

        Raises:
            Unsupported: it did.
        """
        for tensor in self.reshaped_inputs().values():
            raise Unsupported(
                f"a change of the shape of {tensor!r}, a tensor that existed before the call (`t_`, `resize_`)",
                why="its shape would have to be changed for the caller too",
                remedy="use the op without the underscore",
            )

    @property
    def shape_guards(self) -> tuple[ShapeGuard, ...]:
        """The guards on size symbols so far, each once, in the order they were taken."""
        return self._table.guards

    @property
    def symbol_hints(self) -> Mapping[str, int]:
        """Each size symbol with its value in the example."""
        return self._table.hints

    @property
    def num_nodes(self) -> int:
        """Number of ATen nodes so far."""
        return len(self._builder.nodes)

    def let_go(self) -> None:
        """Let go of what belongs to the program's call; what was recorded stays."""
        self.location, self._place_of_input, self.on_real_tensor = _nowhere, _unguarded, _unknown
        self._float_arguments.add_input = _fixed
        self.gradients = GRADIENTS_OF_STAND_INS
        self._stand_ins.clear()

    def mark(self) -> RecordingMark:
        """Give the point that the recording has come to."""
        builder = self._builder
        return RecordingMark(len(builder.nodes), len(builder.specs), len(builder.written))

    def has_effects_since(self, mark: RecordingMark) -> bool:
        """Tell whether, since then, random numbers were drawn or tensors written to that existed then, known to the recording or not."""
        builder = self._builder
        return any(
            is_random(find_overload(node.op)) for node in builder.nodes[mark.num_nodes :]
        ) or any(
            storage.first < mark.num_values or storage.origin is Origin.INPUT
            for storage in builder.written[mark.num_writes :]
        )

    @property
    def trace(self) -> TorchTrace:
        """The torch-level calls so far.

        Raises:
            ValueError: the recorder was made without.
        """
        if self._trace is None:
            msg = "this recorder keeps no torch-level graph"
            raise ValueError(msg)
        return self._trace

    @property
    def torch_graph(self) -> torch.fx.Graph:
        """The torch-level graph, built anew from the calls so far."""
        return self.trace.build()

    def finish(
        self,
        outputs: Sequence[torch.Tensor],
        *,
        is_shown: bool = True,
        num_returned: int | None = None,
    ) -> AtenGraph:
        """Give the functional graph whose outputs are these tensors; recording may go on and finish again.

        Args:
            outputs: abstract tensors, or real ones that were met.
            is_shown: whether they are the outputs of the torch-level graph too.
            num_returned: how many of them the caller gets, so that what they share in memory matters; else all.
        """
        tensors = [self.abstract_of(tensor) for tensor in outputs]
        if self._trace is not None and is_shown:
            self._trace.set_outputs(tensors)
        with self.paused():
            described = self._describe_outputs(tensors, num_returned)
            needs_grad = [tensor.requires_grad for tensor in self._inputs]
            mutations = [
                InputMutation(index, storage.value)
                for index, storage in enumerate(self._input_storages)
                if storage.value != self._builder.inputs[index]
            ]
            versioned = [
                index
                for index, (tensor, version) in enumerate(
                    zip(self._inputs, self._input_versions, strict=True)
                )
                if _version(tensor) != version
            ]
        return self._builder.freeze(described, mutations, needs_grad, versioned)

    def writes_history(self) -> bool:
        """Tell whether an input was written to so that its history is another one now, or the first that it has."""
        with self.paused():
            return any(
                tensor.grad_fn is not history
                for tensor, history in zip(self._inputs, self._input_histories, strict=True)
            )

    def paused(self) -> AbstractContextManager[None]:
        """Suspend recording: real tensors compute for real again."""
        return self._set_paused(is_paused=True)

    def resumed(self) -> AbstractContextManager[None]:
        """Go on recording, inside `paused`."""
        return self._set_paused(is_paused=False)

    @contextmanager
    def _set_paused(self, *, is_paused: bool) -> Iterator[None]:
        was_paused, self._is_paused = self._is_paused, is_paused
        try:
            yield
        finally:
            self._is_paused = was_paused

    @property
    def is_paused(self) -> bool:
        """True inside `paused`."""
        return self._is_paused

    # --- what the modes and tensors call

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record one ATen op and give its results."""
        if self._is_paused:
            return func(*args, **kwargs)
        if self._has_floats:
            func, args, kwargs = self._float_arguments.as_tensors(OpCall(func, args, kwargs))
        return self._dispatcher.dispatch(func, args, kwargs)

    def note_call(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Note one public torch call, after it has run."""
        if self._trace is not None:
            self._trace.note(func, args, kwargs, result)

    # --- inside

    def _current_location(self) -> Loc | None:
        return self.location()

    def _wrap(self, state: TensorState) -> AbstractTensor:
        is_static = not self._table.hints
        if torch.is_inference_mode_enabled() and not state.storage.is_inference:
            with torch.inference_mode(mode=False):
                return make_abstract(self, state, is_static=is_static)
        return make_abstract(self, state, is_static=is_static)

    def _dynamic_shape(
        self, tensor: torch.Tensor, dynamic_dims: Mapping[int, str]
    ) -> tuple[Extent, ...]:
        shape: list[Extent] = list(tensor.shape)
        for dim, symbol in dynamic_dims.items():
            shape[dim] = self._table.new_symbol(symbol, tensor.shape[dim], minimum=2, maximum=None)
        return tuple(shape)

    def _add_constant(self, tensor: torch.Tensor, origin: Origin) -> AbstractTensor:
        with self.paused():
            size_bytes = tensor.numel() * tensor.element_size()
            if size_bytes > MAX_CONSTANT_BYTES:
                raise Unsupported(
                    f"a tensor of {size_bytes} bytes that is neither an input nor made by the program",
                    why="only small tensors become constants of a graph, and nothing says where this one comes from",
                    remedy="pass it as an argument, or keep it as an attribute or global of the program",
                )
            if tensor.is_meta:
                spec = spec_of_real(tensor, tuple(tensor.shape))
                value = emit_empty(self._builder, spec)
            else:
                spec, data = constant_bytes(tensor)
                value = self._builder.add_constant(spec, data)
        made = self._wrap(TensorState(spec, Storage(spec, value, origin), (), value))
        if self._trace is not None:
            self._trace.add_constant(made, tensor)
        return made

    def _whole_of(self, state: TensorState) -> int | None:
        """Give the value of the memory that a tensor shows a part of; None where it shows all of it, or that value is not at hand."""
        storage = state.storage
        if _shows_all(state.spec, storage.root):
            return None
        has_layout = self._builder.specs[storage.value].strides == storage.root.strides
        return storage.value if has_layout and not storage.is_late else None

    def _describe_outputs(
        self, tensors: Sequence[AbstractTensor], num_returned: int | None
    ) -> list[GraphOutput]:
        described: list[GraphOutput] = []
        uses = collections.Counter(id(tensor.state.storage) for tensor in tensors[:num_returned])
        owners: dict[int, int] = {}
        for index, tensor in enumerate(tensors):
            state = tensor.state
            is_computed = has_flags(state.recipe)
            source = None if is_computed else state.storage.input_index
            earlier = owners.get(id(state.storage)) if source is None and not is_computed else None
            base = tensors[earlier] if earlier is not None else None
            if source is not None:
                base = self._inputs[source]
            is_first = base is None and not is_computed
            whole = self._whole_of(state) if is_first and uses[id(state.storage)] > 1 else None
            described.append(
                GraphOutput(
                    value_id=read(self._builder, state) if whole is None else whole,
                    meta=self._builder.meta(state.spec, requires_grad=tensor.requires_grad),
                    alias_of_input=source,
                    is_input_itself=source is not None and tensor is base,
                    alias_of_output=earlier,
                    view_kind=_view_kind(tensor, base),
                    is_of_detached=base is not None and _is_view_of_other(tensor, base),
                    is_part=whole is not None,
                )
            )
            if source is None and not is_computed:
                owners.setdefault(id(state.storage), index)
        return described


def _shows_all(spec: TensorSpec, root: TensorSpec) -> bool:
    places = (spec.shape, spec.strides, spec.offset, spec.dtype)
    return places == (root.shape, root.strides, root.offset, root.dtype)


_CREATION: Final = torch._C._autograd.CreationMeta  # noqa: SLF001  (no public name)
_VIEW_KINDS: Final = {
    _CREATION.DEFAULT: ViewKind.VIEW,
    _CREATION.NO_GRAD_MODE: ViewKind.NO_GRAD,
    _CREATION.INFERENCE_MODE: ViewKind.INFERENCE,
    _CREATION.MULTI_OUTPUT_NODE: ViewKind.ONE_OF_MANY,
    _CREATION.IN_CUSTOM_FUNCTION: ViewKind.OF_FUNCTION,
}


def _version(tensor: torch.Tensor) -> int:
    """Give how often autograd saw a tensor being written to; tensors made in inference mode are not looked at."""
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001  (the documented name)


def _share_version(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether a write to one tensor raises the version of the other, by raising it and setting it back."""
    if tensor.is_inference() or other.is_inference():
        return True
    version, others = _version(tensor), _version(other)
    torch._C._increment_version([tensor])  # noqa: SLF001  (the public name does no more)
    is_shared = _version(other) != others
    torch._C._autograd._unsafe_set_version_counter((tensor,), (version,))  # noqa: SLF001  (no public name)
    return is_shared


def _view_kind(tensor: AbstractTensor, base: AbstractTensor | None) -> ViewKind:
    """Tell what autograd made of a tensor over the memory of `base`: it ran above the recorder, as it does in eager."""
    if base is None or tensor is base:
        return ViewKind.VIEW
    if not tensor._is_view():  # noqa: SLF001  (the documented way)
        return ViewKind.DETACHED if _share_version(tensor, base) else ViewKind.DATA
    return _VIEW_KINDS[torch._C._autograd._get_creation_meta(tensor)]  # noqa: SLF001  (no public name)


def _is_view_of_other(tensor: AbstractTensor, base: AbstractTensor) -> bool:
    """Tell whether autograd takes a tensor for a view, but not of the same tensor as `base` or of `base` itself."""
    root = tensor._base  # noqa: SLF001  (the documented way)
    return root is not None and root is not base and root is not base._base  # noqa: SLF001
