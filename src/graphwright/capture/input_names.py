"""Names of graph inputs, made from where they come from.

In: a source.   Out: a Python identifier, such as `L_x_` or `L_self_modules_fc_parameters_weight_`.
"""

from __future__ import annotations

import re
from typing import Final

from graphwright.ir.sources import (
    AnswerSource,
    ArgSource,
    ArrayTensorSource,
    AttrSource,
    CalculatedSource,
    ClosureSource,
    DefaultSource,
    DictKeySource,
    DictValueSource,
    FloatTensorSource,
    GlobalsSource,
    ImportSource,
    InstanceDictSource,
    ItemSource,
    KwargSource,
    KwDefaultSource,
    ModuleDictSource,
    NumberSource,
    PinSource,
    PlainConst,
    SizeSource,
    Source,
    TargetSource,
    TypeAttrSource,
    TypeSource,
)

_NO_WORD: Final = re.compile(r"\W+")


def input_name(source: Source) -> str:
    """Give the name of the graph input found at `source` (not unique by itself)."""
    text = "_".join(part for part in _parts(source) if part)
    return _NO_WORD.sub("_", f"L_{text}_")


def _parts(source: Source) -> list[str]:  # noqa: C901, PLR0912  (one arm a source)
    match source:
        case TargetSource():
            return ["self"]
        case ArgSource(name=name) | KwargSource(name=name) | ClosureSource(name=name):
            return [name]
        case ImportSource(module=module) | ModuleDictSource(module=module):
            return [module.rpartition(".")[2]]
        case ItemSource(base=base, key=key):
            return [
                *_parts(base),
                str(key.value if isinstance(key, PlainConst) else "item").strip("_"),
            ]
        case AttrSource(base=base, name=name) | TypeAttrSource(base=base, name=name):
            return [*_parts(base), name.strip("_")]
        case KwDefaultSource(function=function, name=name):
            return [*_parts(function), name]
        case DefaultSource(function=function, index=index):
            return [*_parts(function), f"default{index}"]
        case DictKeySource(base=base, index=index) | DictValueSource(base=base, index=index):
            return [*_parts(base), str(index)]
        case InstanceDictSource(base=base) | TypeSource(base=base):
            return _parts(base)
        case GlobalsSource(function=function):
            return [*_parts(function), "globals"]
        case PinSource(pin=pin):
            return [f"pin{pin}"]
        case NumberSource() | AnswerSource():
            return []
        case SizeSource(tensor=tensor, dim=dim):
            return [*_parts(tensor), f"size{dim}"]
        case CalculatedSource(operation=operation, operands=operands):
            return [operation.value, *(part for one in operands for part in _parts(one))]
        case FloatTensorSource(number=base) | ArrayTensorSource(array=base):
            return _parts(base)
