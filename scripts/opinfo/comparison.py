"""Whether two results are the same, and in what they differ.

In: what eager gave and what the compiled function gave, tensors in any nesting of containers.   Out: the first difference
as a text, or None.
Compared are types, structure, plain values, and of tensors dtype, shape, layout, strides, conjugate and negative bits,
and values within the tolerances of `torch.testing` for the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.testing._comparison import default_tolerances

Difference = str | None
CompareValues = Callable[[torch.Tensor, torch.Tensor, tuple[int, ...]], Difference]
"""(eager's, ours, where they are in the result) → what differs in their values."""


def find_difference(
    expected: Any, actual: Any, compare_values: CompareValues, path: tuple[int, ...] = ()
) -> Difference:
    """Give the first difference.

    Args:
        expected: what eager gave.
        actual: what the compiled function gave.
        compare_values: compares two tensors of the same dtype and shape.
        path: where these two are in the whole results.
    """
    if isinstance(expected, torch.Tensor) and isinstance(actual, torch.Tensor):
        return _tensor_difference(expected, actual, compare_values, path)
    if type(expected) is not type(actual):
        return f"{_place(path)}type {type(actual).__name__} instead of {type(expected).__name__}"
    if isinstance(expected, Mapping):
        if list(expected) != list(actual):
            return f"{_place(path)}keys {list(actual)} instead of {list(expected)}"
        expected, actual = list(expected.values()), list(actual.values())
    if isinstance(expected, list | tuple):
        if len(expected) != len(actual):
            return f"{_place(path)}{len(actual)} items instead of {len(expected)}"
        for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
            difference = find_difference(left, right, compare_values, (*path, index))
            if difference is not None:
                return difference
        return None
    if _same_value(expected, actual):
        return None
    return f"{_place(path)}{actual!r} instead of {expected!r}"


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Give the tensors of a nesting, in the order that `path`s count them."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


def item_at(value: Any, path: tuple[int, ...]) -> Any:
    """Give what lies at a place of a nesting."""
    for index in path:
        value = list(value.values())[index] if isinstance(value, Mapping) else value[index]
    return value


def close_values(
    expected: torch.Tensor, actual: torch.Tensor, _path: tuple[int, ...]
) -> Difference:
    """Compare values within the default tolerances of the dtype."""
    try:
        torch.testing.assert_close(
            actual, expected, equal_nan=True, check_stride=False, check_device=True
        )
    except AssertionError as error:
        return " ".join(str(error).split())
    return None


def which_are_off(expected: torch.Tensor, actual: torch.Tensor) -> torch.Tensor:
    """Tell for each element whether it is beyond the default tolerances of the dtype."""
    rtol, atol = default_tolerances(expected)
    return ~torch.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=True)


def any_values(
    _expected: torch.Tensor, _actual: torch.Tensor, _path: tuple[int, ...]
) -> Difference:
    """Accept any values: those of memory that nothing was written to."""
    return None


def _tensor_difference(
    expected: torch.Tensor,
    actual: torch.Tensor,
    compare_values: CompareValues,
    path: tuple[int, ...],
) -> Difference:
    for name, get in _FACTS.items():
        left, right = get(expected), get(actual)
        if left != right:
            return f"{_place(path)}{name} {right} instead of {left}"
    difference = compare_values(expected, actual, path)
    return None if difference is None else f"{_place(path)}values: {difference}"


def _strides_that_matter(tensor: torch.Tensor) -> tuple[int | None, ...] | None:
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.numel() == 0:
        return None
    return tuple(
        None if extent == 1 else stride
        for extent, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )


_FACTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "class": type,
    "dtype": lambda tensor: tensor.dtype,
    "layout": lambda tensor: tensor.layout,
    "shape": lambda tensor: None if tensor.is_nested else tuple(tensor.shape),
    "strides": _strides_that_matter,
    "conjugate bit": lambda tensor: tensor.is_conj(),
    "negative bit": lambda tensor: tensor.is_neg(),
    "requires_grad": lambda tensor: tensor.requires_grad,
}


def _same_value(left: Any, right: Any) -> bool:
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    if vars(object)["__eq__"] is getattr(type(left), "__eq__", None):
        return True  # an object without a notion of equality: its class is what can be compared
    return bool(left == right)


def _place(path: tuple[int, ...]) -> str:
    return f"result{''.join(f'[{index}]' for index in path)}: " if path else ""
