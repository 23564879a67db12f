"""Puts the machine together.

In: nothing.   Out: a `Machine` with all its operations and rules in place, and the opcode table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import torch

from graphwright.capture import (
    attribute_writes,
    attributes,
    calls,
    comparisons,
    comptime,
    interpreter,
    items,
    lookup,
    natives,
    operators,
    protocols,
    texts,
)
from graphwright.capture.frames import CodeTable, make_opcode_table
from graphwright.capture.guards import Guards
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.opcodes import calls as call_opcodes
from graphwright.capture.opcodes import (
    containers,
    control,
    exceptions,
    generators,
    names,
    stack,
)
from graphwright.capture.rules import (
    arithmetic,
    arrays,
    attention,
    autograd,
    classes,
    collections,
    controls,
    library,
    objects,
    torch_functions,
)
from graphwright.capture.rules.argument_counts import check_count
from graphwright.capture.world import Inputs, World

OPCODES: Final = make_opcode_table(
    stack.OPCODES,
    names.OPCODES,
    control.OPCODES,
    containers.OPCODES,
    call_opcodes.OPCODES,
    exceptions.OPCODES,
    generators.OPCODES,
)

_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "call": calls.call,
    "inline": calls.inline,
    "construct": calls.construct,
    "call_native": natives.call_native,
    "materialise": natives.materialise,
    "run_frame": interpreter.run_frame,
    "load_attr": attributes.load_attr,
    "load_raw_attr": attributes.load_raw_attr,
    "store_attr": attribute_writes.store_attr,
    "store_raw_attr": attribute_writes.store_raw_attr,
    "delete_attr": attribute_writes.delete_attr,
    "find": lookup.find,
    "special": lookup.special,
    "load_global": names.load_global,
    "getitem": items.getitem,
    "setitem": items.setitem,
    "delitem": items.delitem,
    "truth": protocols.truth,
    "iterate": protocols.iterate,
    "native_iterable": protocols.native_iterable,
    "members": protocols.members,
    "next_item": protocols.next_item,
    "contains": protocols.contains,
    "length": protocols.length,
    "binary": operators.binary,
    "compare": comparisons.compare,
    "text": texts.text,
    "show": texts.show,
    "is_same": comparisons.is_same,
}


def make_rules() -> dict[int, tuple[Any, Rule]]:
    """Join the rules of all families, by the `id` of the function (which is kept alive beside its rule)."""
    families = (
        objects.RULES,
        classes.RULES,
        collections.RULES,
        arithmetic.RULES,
        library.make_rules(),
        torch_functions.make_rules(),
        arrays.make_rules(),
        attention.make_rules(),
        autograd.make_rules(),
        controls.make_rules(),
        comptime.make_rules(),
    )
    joined: dict[int, tuple[Any, Rule]] = {}
    for family in families:
        for function, rule in family.items():
            joined[id(function)] = (function, check_count(function, rule))
    return joined


def make_machine(
    codes: CodeTable,
    rules: dict[int, tuple[Any, Rule]],
    tensor_type: type[torch.Tensor],
    inputs: Inputs,
) -> Machine:
    """Make the machine of one capture."""
    machine = Machine()
    machine.codes = codes
    machine.rules = {key: rule for key, (_, rule) in rules.items()}
    machine.tensor_type = tensor_type
    machine.plain_types = natives.make_plain_types(tensor_type)
    machine.guards = Guards(machine.loc, machine.own_classes)
    machine.world = World(machine.guards, inputs)
    for name, operation in _OPERATIONS.items():
        setattr(machine, name, functools.partial(operation, machine))
    return machine
