"""Make an `AtenGraph` by running a functional program eagerly and noting the ATen ops that it meets."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graphwright.ir.aten import (
    AtenGraph,
    AtenNode,
    ConstantTensor,
    DeviceArg,
    DTypeArg,
    FloatArg,
    GraphOutput,
    InputMutation,
    KwArg,
    LayoutArg,
    ListArg,
    LiteralArg,
    MemoryFormatArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.dtypes import FROM_TORCH


def meta_of(tensor):
    return TensorMeta(
        dtype=FROM_TORCH[tensor.dtype],
        shape=tuple(tensor.shape),
        strides=tuple(tensor.stride()),
        offset=tensor.storage_offset(),
    )


class EagerGraphs(TorchDispatchMode):
    """Notes each op. Constants (tensors that are neither inputs nor results) are collected and put after the inputs."""

    def __init__(self, inputs):
        super().__init__()
        self.inputs = inputs
        self.keep = []
        self.ids = {id(tensor): ("input", index) for index, tensor in enumerate(inputs)}
        self.constants = []
        self.nodes = []
        self.num_results = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.keep.append((args, kwargs, result))
        op = str(func)
        node_args = tuple(self.argument(arg) for arg in args)
        node_kwargs = tuple((name, self.argument(value)) for name, value in (kwargs or {}).items())
        results, metas = [], []
        flat = result if isinstance(result, (tuple, list)) else (result,)
        for item in flat:
            if isinstance(item, torch.Tensor):
                results.append(("result", self.num_results))
                self.ids[id(item)] = results[-1]
                self.num_results += 1
                metas.append(meta_of(item))
            else:
                results.append(None)
                metas.append(None)
        self.nodes.append((op, node_args, node_kwargs, tuple(results), tuple(metas)))
        return result

    def reference(self, tensor):
        if id(tensor) not in self.ids:
            self.ids[id(tensor)] = ("constant", len(self.constants))
            data = bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
            meta = meta_of(tensor.contiguous())
            self.constants.append(ConstantTensor(meta=meta, data=data))
            self.keep.append(tensor)
        return self.ids[id(tensor)]

    def argument(self, value):
        match value:
            case torch.Tensor():
                return self.reference(value)
            case list() | tuple():
                return ("list", tuple(self.argument(item) for item in value))
            case float():
                return FloatArg(value.hex())
            case torch.dtype():
                return DTypeArg(FROM_TORCH[value])
            case torch.device():
                return DeviceArg(str(value))
            case torch.layout():
                return LayoutArg(str(value).removeprefix("torch."))
            case torch.memory_format():
                return MemoryFormatArg(str(value).removeprefix("torch."))
            case _:
                return LiteralArg(value)

    def resolve(self, reference):
        kind, index = reference
        match kind:
            case "input":
                return index
            case "constant":
                return len(self.inputs) + index
            case _:
                return len(self.inputs) + len(self.constants) + index

    def finish_arg(self, arg):
        if not isinstance(arg, tuple):
            return arg
        if arg[0] == "list":
            return ListArg(tuple(self.finish_arg(item) for item in arg[1]))
        return Ref(self.resolve(arg))

    def finish(self, outputs, mutated):
        nodes = tuple(
            AtenNode(
                op=op,
                args=tuple(self.finish_arg(arg) for arg in args),
                kwargs=tuple(KwArg(name, self.finish_arg(value)) for name, value in kwargs),
                results=tuple(-1 if item is None else self.resolve(item) for item in results),
                metas=metas,
            )
            for op, args, kwargs, results, metas in self.nodes
        )
        graph_outputs = []
        for tensor in outputs:
            alias_input, itself, alias_output = None, False, None
            for index, candidate in enumerate(self.inputs):
                if tensor.untyped_storage()._cdata == candidate.untyped_storage()._cdata:
                    alias_input = index
                    itself = tensor is candidate
                    if itself:
                        break
            if alias_input is None:
                for index, candidate in enumerate(outputs[: len(graph_outputs)]):
                    if tensor.untyped_storage()._cdata == candidate.untyped_storage()._cdata:
                        alias_output = index
                        break
            graph_outputs.append(
                GraphOutput(
                    value_id=self.resolve(self.reference(tensor)),
                    meta=meta_of(tensor),
                    alias_of_input=alias_input,
                    is_input_itself=itself,
                    alias_of_output=alias_output,
                )
            )
        return AtenGraph(
            inputs=tuple(meta_of(tensor) for tensor in self.inputs),
            symbols=(),
            nodes=nodes,
            outputs=tuple(graph_outputs),
            mutations=tuple(
                InputMutation(index, self.resolve(self.reference(tensor)))
                for index, tensor in mutated
            ),
            constants=tuple(self.constants),
        )


def graph_of(function, *inputs, mutated=None):
    """Record `function(*inputs)`, which gives a tensor or a tuple of tensors.

    `mutated`, if given, maps an input index to the index of the output that is that input's last value (and is then no
    output of the graph).
    """
    with torch.no_grad(), EagerGraphs(inputs) as recorder:
        outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    mutated = mutated or {}
    kept = [out for index, out in enumerate(outputs) if index not in mutated.values()]
    return recorder.finish(kept, [(target, outputs[index]) for target, index in mutated.items()])
