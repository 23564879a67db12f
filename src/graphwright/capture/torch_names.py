"""Sources as PyTorch writes them: `L['x']`, `L['self'].weight`, `G['SCALE']`.

In: a source.   Out: its text. The names of size symbols are hashes of it, so that they are PyTorch's.
"""

from __future__ import annotations

from graphwright.ir.program_text import render_source
from graphwright.ir.sources import (
    AnswerSource,
    ArgSource,
    ArrayTensorSource,
    AttrSource,
    CalculatedSource,
    ClosureSource,
    Constant,
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


def torch_name(source: Source) -> str:  # noqa: C901, PLR0912  (one arm a source)
    """Give the text by which PyTorch would name the value found at `source`."""
    match source:
        case TargetSource():
            return "L['self']"
        case ArgSource(name=name) | KwargSource(name=name) | ClosureSource(name=name):
            return f"L[{name!r}]"
        case ItemSource(base=GlobalsSource() | ModuleDictSource(), key=key):
            return f"G[{_key_text(key)}]"
        case ItemSource(base=InstanceDictSource(base=holder), key=PlainConst(value=str(name))):
            return f"{torch_name(holder)}.{name}"
        case ItemSource(base=base, key=key):
            return f"{torch_name(base)}[{_key_text(key)}]"
        case AttrSource(base=base, name=name) | TypeAttrSource(base=base, name=name):
            return f"{torch_name(base)}.{name}"
        case InstanceDictSource(base=base):
            return f"{torch_name(base)}.__dict__"
        case TypeSource(base=base):
            return f"type({torch_name(base)})"
        case DefaultSource(function=function, index=index):
            return f"{torch_name(function)}.__defaults__[{index}]"
        case KwDefaultSource(function=function, name=name):
            return f"{torch_name(function)}.__kwdefaults__[{name!r}]"
        case DictKeySource(base=base, index=index):
            return f"list(dict.keys({torch_name(base)}))[{index}]"
        case DictValueSource(base=base, index=index):
            return f"list(dict.values({torch_name(base)}))[{index}]"
        case GlobalsSource(function=function):
            return f"{torch_name(function)}.__globals__"
        case ImportSource(module=module) | ModuleDictSource(module=module):
            return f"G[{module!r}]"
        case PinSource(pin=pin):
            return f"pin{pin}"
        case NumberSource() | SizeSource() | CalculatedSource() | AnswerSource():
            return render_source(source)
        case FloatTensorSource(number=base) | ArrayTensorSource(array=base):
            return torch_name(base)


def _key_text(key: Constant) -> str:
    return repr(key.value) if isinstance(key, PlainConst) else repr(key)
