"""Rules for what PyTorch itself asks to be treated in a special way, and for modules."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.capture.faults import natively
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.modules import (
    call_module,
    delete_module_attr,
    load_module_part,
    store_module_attr,
)
from graphwright.capture.natives import instance_of_tensor_class

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def is_compiling(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`torch.compiler.is_compiling()`: true."""
    return True


def slice_module_list(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`ModuleList[index]`: a slice is a new list over the same modules."""
    holder, index = args
    children = machine.load_attr(holder, "_modules")
    if not isinstance(index, slice):
        size = machine.length(children)
        position = index.__index__()
        if not -size <= position < size:
            msg = f"index {position} is out of range"
            raise IndexError(msg)
        return machine.getitem(children, str(position % size))
    kind: Any = type(holder)
    picked = list(machine.native_iterable(children).values())[index]
    made = kind.__new__(kind)
    torch.nn.Module.__init__(made)
    made._modules.update({str(i): child for i, child in enumerate(picked)})  # noqa: SLF001
    return made


def iterate_module_list(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`iter(ModuleList)` and `iter(Sequential)`."""
    children = machine.load_attr(args[0], "_modules")
    return iter(machine.native_iterable(children).values())


def has_torch_function(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`torch.overrides.has_torch_function(tensors)`: an abstract tensor is an ordinary tensor to the program."""
    return has_torch_function_variadic(machine, args[0], kwargs)


def has_torch_function_variadic(machine: Machine, args: Args, kwargs: Kwargs) -> bool:
    """`has_torch_function_variadic(*tensors)`, and `has_torch_function_unary(tensor)`."""
    return any(
        type(machine.world.original_of(value)) not in _ORDINARY
        and hasattr(value, "__torch_function__")
        for value in args
        if type(value) is not machine.tensor_type or machine.world.original_of(value) is not value
    )


_ORDINARY: Final = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


def assert_(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`torch._assert(condition, message)`."""
    condition = args[0] if args else kwargs["condition"]
    if not machine.truth(condition):
        raise AssertionError(args[1] if len(args) > 1 else kwargs.get("message"))


def update_flat_weights(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`RNNBase._update_flat_weights()`: the flat weights must be the parameters themselves, as they are unless someone replaced them."""
    module = args[0]
    flat = machine.load_attr(module, "_flat_weights")
    names = machine.load_attr(module, "_flat_weights_names")
    for i, name in enumerate(machine.native_iterable(names)):
        if not machine.is_same(machine.getitem(flat, i), machine.load_attr(module, name)):
            msg = f"a recurrent module whose parameter {name} was replaced"
            raise machine.unsupported(
                msg,
                why="it would gather its weights anew",
                remedy="call its flatten_parameters() once before the call",
            )


def check(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`torch._check(condition, message)`."""
    condition = args[0] if args else kwargs["cond"]
    if not machine.truth(condition):
        message = args[1] if len(args) > 1 else kwargs.get("message")
        raise RuntimeError(
            machine.call(message, [], {}) if message is not None else "Expected cond to be True"
        )


def default_device(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`torch.get_default_device()`: guarded, or set by a block of the program's; PyTorch makes a tensor to tell."""
    with machine.recorder.paused():
        return natively(torch.get_default_device)


def as_subclass(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`tensor.as_subclass(cls)`."""
    kind = next((one for one in (*args, *kwargs.values()) if isinstance(one, type)), torch.Tensor)
    if kind in _ORDINARY:
        return machine.call_native(torch.Tensor.as_subclass, args, kwargs)
    raise instance_of_tensor_class(machine, kind)


def make_subclass(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`torch.Tensor._make_subclass(cls, tensor)` and its like."""
    raise instance_of_tensor_class(machine, args[0] if args else kwargs["cls"])


def _quiet(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """A call that only counts uses of an interface."""


def make_rules() -> dict[Any, Rule]:
    """Give the rules; made on demand, as they name functions that a version of PyTorch may lack."""
    module = torch.nn.Module
    rules: dict[Any, Rule] = {
        module.__getattr__: load_module_part,
        module.__setattr__: store_module_attr,
        module.__delattr__: delete_module_attr,
        module.__call__: call_module,
        module._wrapped_call_impl: call_module,  # noqa: SLF001
        torch.nn.ModuleList.__getitem__: slice_module_list,
        torch.nn.ModuleList.__iter__: iterate_module_list,
        torch.nn.Sequential.__iter__: iterate_module_list,
        torch.compiler.is_compiling: is_compiling,
        torch.compiler.is_dynamo_compiling: is_compiling,
        torch.overrides.has_torch_function: has_torch_function,
        torch.overrides.has_torch_function_variadic: has_torch_function_variadic,
        torch.overrides.has_torch_function_unary: has_torch_function_variadic,
        torch._assert: assert_,  # noqa: SLF001
        torch._check: check,  # noqa: SLF001
        torch.nn.RNNBase._update_flat_weights: update_flat_weights,  # noqa: SLF001
        torch.get_default_device: default_device,
        torch.Tensor.as_subclass: as_subclass,
        torch.Tensor._make_subclass: make_subclass,  # noqa: SLF001
        torch.Tensor._make_wrapper_subclass: make_subclass,  # noqa: SLF001
        torch._C._log_api_usage_once: _quiet,  # noqa: SLF001
    }
    for name in ("torch._utils", "torch._dynamo.external_utils"):
        older = getattr(sys.modules.get(name), "is_compiling", None)
        if older is not None:
            rules[older] = is_compiling
    return rules
