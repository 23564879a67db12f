"""Symbolic integers from their text.

In:  a Python expression over size symbols, `min` and `max`, as `ir/dims.py` writes it.   Out: a `Dim`.
Keeps: `parse_dim(render_dim(dim)) == dim`; any other way to write the same expression gives an equal or equivalent one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from graphwright.ir.symint import Dim
from graphwright.ir.symint_algebra import (
    add,
    floordiv,
    maximum,
    minimum,
    mod,
    mul,
    neg,
    power,
    sub,
    symbol,
)

_BINARY: Final[dict[type[ast.operator], Callable[[Dim, Dim], Dim]]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.FloorDiv: floordiv,
    ast.Mod: mod,
}
_CALLS: Final = {"min": minimum, "max": maximum}


def parse_dim(text: str) -> Dim:
    """Give the int or expression that `text` stands for.

    Raises:
        ValueError: `text` is no such expression.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        msg = f"no expression over sizes: {text!r}"
        raise ValueError(msg) from error
    return _dim(tree.body)


def _dim(node: ast.expr) -> Dim:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return neg(_dim(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(exponent))):
            return power(_dim(left), exponent)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_dim(left), _dim(right))
        case ast.Call(func=ast.Name(id=name), args=args) if name in _CALLS and args:
            return _CALLS[name]([_dim(arg) for arg in args])
        case _:
            msg = f"no expression over sizes: {ast.unparse(node)!r}"
            raise ValueError(msg)
