"""Calls that Python or PyTorch refuses: the program gets the exception that it would get in eager, and may catch it."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch

import graphwright as gw

_CALLS = [
    "getattr(x)",
    "len()",
    "len(x, x)",
    "isinstance(x)",
    "min()",
    "max(1)",
    "sum()",
    "sorted()",
    "zip(1)",
    "enumerate()",
    "map()",
    "filter(None)",
    "list(1, 2)",
    "dict(1)",
    "dict([1])",
    "tuple(1,2)",
    "set(1)",
    "range()",
    "range(1,2,3,4)",
    "range('a')",
    "reversed()",
    "reversed(3)",
    "iter()",
    "next()",
    "next([1])",
    "abs()",
    "divmod(1)",
    "pow(2)",
    "round()",
    "hasattr(x)",
    "setattr(x,'a')",
    "callable()",
    "type()",
    "type(1,2)",
    "id()",
    "repr()",
    "str(1,2,3,4)",
    "int('a')",
    "int([])",
    "float('x')",
    "chr('a')",
    "ord('ab')",
    "hash([])",
    "all()",
    "any(1)",
    "issubclass(1, int)",
    "issubclass(int)",
    "super(1)",
    "slice()",
    "print(sep=1)",
    "math.sqrt('a')",
    "math.sqrt()",
    "math.floor()",
    "functools.reduce(1)",
    "functools.reduce(operator.add, [])",
    "functools.partial()",
    "itertools.chain(1)",
    "list(itertools.chain(1))",
    "itertools.islice([1])",
    "itertools.product(repeat='a')",
    "list(itertools.zip_longest([1], fill=2))",
    "operator.add(1)",
    "operator.itemgetter()",
    "operator.attrgetter(1)",
    "collections.deque(1)",
    "collections.OrderedDict(1)",
    "collections.Counter(1,2)",
    "collections.defaultdict(1)",
    "collections.namedtuple('a')",
    "[].append()",
    "[].append(1,2)",
    "[].pop(1,2)",
    "[].pop()",
    "[].insert(1)",
    "[].sort(1)",
    "[].index()",
    "[1].index(2)",
    "[].extend(1)",
    "{}.get()",
    "{}.pop()",
    "{}.pop(1)",
    "{}.update(1)",
    "{}.update([1])",
    "{}.setdefault()",
    "{}.items(1)",
    "{}.fromkeys()",
    "set().add()",
    "set().remove(1)",
    "set().union(1)",
    "''.join()",
    "''.join([1])",
    "''.join(1)",
    "'a'.split(1)",
    "'a'.replace('a')",
    "'{}'.format()",
    "'{a}'.format()",
    "'%d' % 'a'",
    "'%d %d' % 1",
    "(1).bit_length(1)",
    "(1).__add__()",
    "(1,).index(5)",
    "(1,).count()",
    "'a' + 1",
    "1 + 'a'",
    "[] + ()",
    "[1] * 'a'",
    "-'a'",
    "[1]['a']",
    "[1][5]",
    "{}[1]",
    "(1)[0]",
    "None.foo",
    "(lambda a: a)()",
    "(lambda: 1)(1)",
    "(lambda *, k: 1)()",
    "(lambda a: 1)(1, a=2)",
    "(lambda a: 1)(b=2)",
    "1()",
    "x.foo",
    "x.sum(1,2,3,4)",
    "torch.add(x)",
    "torch.zeros('a')",
    "torch.cat(x)",
    "torch.stack([])",
    "x.view('a')",
    "x.reshape(1000)",
    "x @ 'a'",
    "x[{}]",
    "x + 'a'",
    "x.to('nodev')",
    "torch.nn.functional.relu()",
    "bytes('a')",
    "bytearray(-1)",
    "memoryview(1)",
    "complex('x')",
    "frozenset(1)",
    "vars(1)",
    "dir(1,2)",
    "object(1)",
    "property(1,2,3,4,5)",
    "staticmethod()",
    "classmethod()",
    "eval()",
    "open()",
    "isinstance(1, 2)",
    "isinstance(1, (int, 2))",
    "sorted([1,'a'])",
    "sorted([1], 2)",
    "min([])",
    "max([], default=1, key=2)",
    "sum(['a'])",
    "sum([1], 'a')",
    "list(zip([1],[2,3], strict=True))",
    "format(1,'q')",
    "f'{1:q}'",
    "ascii()",
    "bin('a')",
    "hex(1.0)",
    "int.from_bytes(1)",
    "str.maketrans(1)",
    "dict.fromkeys(1)",
    "float.fromhex(1)",
    "copy.copy()",
    "copy.copy([1], x=[2])",
    "copy.deepcopy(memo={})",
    "copy.deepcopy(x=[1, [2]])",
    "sum(start=1)",
    "round(ndigits=1)",
    "functools.cache(lambda a: a)([1])",
    "functools.cache(lambda a: a)({})",
    "copy.deepcopy()",
]

_PROGRAM = """
import collections, copy, functools, itertools, math, operator, torch

def program(x):
    y = x + 1
    try:
        told = {call}
    except Exception as error:
        told = type(error).__name__, str(error)
    return y, str(told)
"""


def _run(program: Any) -> Any:
    try:
        result, told = program(torch.ones(2))
    except Exception as error:  # noqa: BLE001  (what cannot be caught in the program)
        return type(error), str(error)
    return result.tolist(), re.sub("0x[0-9a-f]+", "", told)


@pytest.mark.parametrize("call", _CALLS)
def test_refused_calls_raise_what_they_raise_in_eager(call: str) -> None:
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        exec(_PROGRAM.replace("{call}", call), names)
    program = names["program"]
    assert _run(gw.compile(program)) == _run(program)
