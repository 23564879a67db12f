"""What Python's own functions and operators do with objects that are neither its numbers nor its strings."""

from __future__ import annotations

import array
import datetime
import decimal
import fractions
import ipaddress
import math
import operator
import pathlib
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import graphwright as gw
from graphwright.cache import fresh


class Shown:
    """An object whose text has no address in it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __hash__(self) -> int:
        return 7


class Real(Shown):
    def __init__(self, number: float) -> None:
        self.number = number

    def __float__(self) -> float:
        return float(self.number)


class Whole(Shown):
    def __index__(self) -> int:
        return 2


class Truncated(Shown):
    def __trunc__(self) -> int:
        return 2

    def __floor__(self) -> str:
        return "floor"

    def __round__(self, digits: int | None = None) -> Any:
        return "round", digits

    def __complex__(self) -> complex:
        return 1 + 2j

    def __bytes__(self) -> bytes:
        return b"bytes"

    def __divmod__(self, other: Any) -> Any:
        return self, other


class Length(Shown):
    def __init__(self) -> None:
        self.items = [1, 2]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> int:
        return self.items[index]

    def __contains__(self, value: object) -> bool:
        return True


class Counted(int):
    def __add__(self, other: Any) -> Any:
        return Counted(int(self) + int(other) + 100)

    def __str__(self) -> str:
        return f"<{int(self)}>"


class Scaled(float):
    def __mul__(self, other: Any) -> Any:
        return Scaled(float(self) * 10)


class Text(str):
    def upper(self) -> str:
        return "UPPER"

    def __len__(self) -> int:
        return 40


class Ordered(Shown):
    def __init__(self, key: int) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ordered) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Ordered) -> bool:
        return self.key < other.key

    def __format__(self, spec: str) -> str:
        return f"{spec}:{self.key}"


MAKERS: dict[str, Callable[[], Any]] = {
    "decimal": lambda: decimal.Decimal("2.5"),
    "fraction": lambda: fractions.Fraction(5, 2),
    "timedelta": lambda: datetime.timedelta(seconds=3),
    "datetime": lambda: datetime.datetime(2020, 1, 1),
    "float32": lambda: np.float32(2.5),
    "int64": lambda: np.int64(3),
    "bool_": lambda: np.bool_(True),
    "datetime64": lambda: np.datetime64("2020-01-01"),
    "ndarray": lambda: np.array(3.5),
    "uuid": lambda: uuid.UUID(int=5),
    "path": lambda: pathlib.PurePath("a/b"),
    "array": lambda: array.array("d", [1.0, 2.0]),
    "address": lambda: ipaddress.ip_address("1.2.3.4"),
    "bytearray": lambda: bytearray(b"12"),
    "bytes": lambda: b"12",
    "str": lambda: "12",
    "complex": lambda: 1 + 2j,
    "real": lambda: Real(2.5),
    "whole": Whole,
    "truncated": Truncated,
    "length": Length,
    "counted": lambda: Counted(2),
    "scaled": lambda: Scaled(2.5),
    "text": lambda: Text("12"),
    "ordered": lambda: Ordered(2),
    "range": lambda: range(1, 7, 2),
    "slice": lambda: slice(0, 2),
    "none": lambda: None,
    "class": lambda: Whole,
}

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "complex": complex,
    "bool": bool,
    "bytes": bytes,
    "str": str,
    "repr": repr,
    "hash": hash,
    "abs": abs,
    "round": round,
    "round to digits": lambda v: round(v, 1),
    "neg": operator.neg,
    "invert": operator.invert,
    "add": lambda v: v + 1,
    "radd": lambda v: 1 + v,
    "mul": lambda v: v * 2,
    "rmul": lambda v: 2 * v,
    "sub": lambda v: v - 1.5,
    "div": lambda v: v / 2,
    "floordiv": lambda v: v // 2,
    "mod": lambda v: v % 2,
    "divmod": lambda v: divmod(v, 2),
    "pow": lambda v: v**2,
    "shift": lambda v: 1 << v,
    "eq": lambda v: v == v,
    "ne number": lambda v: v != 2,
    "lt": lambda v: v < v,
    "ge number": lambda v: v >= 2,
    "len": len,
    "iter": lambda v: [*v],
    "unpack": lambda v: [one for one, *_ in [v]],
    "item": lambda v: v[0],
    "format": lambda v: f"{v}",
    "format width": lambda v: f"{v:>10}",
    "format float": lambda v: f"{v:.2f}",
    "format repr": lambda v: f"{v!r}",
    "percent s": lambda v: operator.mod("%s", (v,)),
    "percent f": lambda v: operator.mod("%f", (v,)),
    "percent d": lambda v: operator.mod("%d", (v,)),
    "percent x": lambda v: operator.mod("%x", (v,)),
    "percent c": lambda v: operator.mod("%c", (v,)),
    "percent of dict": lambda v: operator.mod("%(v)s", {"v": v}),
    "str.format": lambda v: str.format("{0} {0!r:>20}", v),
    "join": lambda v: ",".join([v, v]),
    "index": lambda v: [1, 2, 3, 4][v],
    "slice": lambda v: [1, 2, 3, 4][:v],
    "range": lambda v: list(range(v)),
    "repeat": lambda v: "ab" * v,
    "bin": bin,
    "chr": chr,
    "ord": ord,
    "operator.index": operator.index,
    "length_hint": lambda v: operator.length_hint(v, 7),
    "sum": lambda v: sum([v, v]),
    "sum from": lambda v: sum([1, 2], v),
    "max": lambda v: max(v, v),
    "min with key": lambda v: min([v], key=str),
    "sorted": lambda v: sorted([v, v]),
    "contained": lambda v: v in [v],
    "contains": lambda v: 1 in v,
    "key": lambda v: {v: 1}[v],
    "of a set": lambda v: len({v, v}),
    "sqrt": math.sqrt,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "isfinite": math.isfinite,
    "gcd": lambda v: math.gcd(v, 4),
    "fsum": lambda v: math.fsum([v, v]),
    "isinstance": lambda v: isinstance(v, (int, float)),
    "type": lambda v: type(v).__name__,
    "vars": lambda v: sorted(vars(v)),
    "callable": callable,
    "reversed": lambda v: list(reversed(v)),
    "zip": lambda v: list(zip(v, v, strict=True)),
    "bytes.fromhex": lambda v: bytes.fromhex(v),
    "startswith": lambda v: "12".startswith(v),
    "upper": lambda v: v.upper(),
    "tensor": lambda v: torch.tensor(v).tolist(),
    "as_tensor": lambda v: torch.as_tensor(v).tolist(),
    "tensor plus": lambda v: (torch.ones(2) + v).tolist(),
    "tensor times": lambda v: (v * torch.ones(2)).tolist(),
    "tensor equal": lambda v: bool((torch.ones(2) == v) is True),
    "full": lambda v: torch.full((2,), v).tolist(),
    "zeros": lambda v: torch.zeros(v).tolist(),
    "view": lambda v: torch.ones(4).view(v, -1).tolist(),
    "tensor item": lambda v: torch.arange(4.0)[v].tolist(),
    "clamp": lambda v: torch.ones(2).clamp(max=v).tolist(),
}


@pytest.fixture(autouse=True)
def strictly() -> Iterator[None]:
    with fresh(), gw.config.patch(strict=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _outcome(program: Callable[..., Any], *args: Any) -> tuple[str, str]:
    try:
        result = program(*args)
    except gw.errors.GraphwrightError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        return type(error).__name__, str(error)
    return type(result[0]).__name__, repr(result)


def _make_programs(maker: Callable[[], Any], function: Callable[[Any], Any]) -> Iterator[Any]:
    value = maker()
    yield lambda x, one: (function(one), x + 1)
    yield lambda x, _: (function(value), x + 1)
    yield lambda x, _: (function(maker()), x + 1)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_taken_as_in_eager(name: str, kind: str) -> None:
    maker, function = MAKERS[kind], FUNCTIONS[name]
    for program in _make_programs(maker, function):
        args = torch.ones(2), maker()
        expected = _outcome(program, *args)
        compiled = gw.compile(program)
        assert [_outcome(compiled, *args) for _ in range(2)] == [expected] * 2
