"""One program for each kind of guard and source, with calls that it serves and calls that it does not."""

import collections
import enum
import functools
import math
import sys
import types
from dataclasses import dataclass, field

import torch
from runtime_programs import ProgramMaker, meta_of

from graphwright.ir.aten import TensorMeta
from graphwright.ir.constants import make_constant
from graphwright.ir.dtypes import DType
from graphwright.ir.guards import (
    AttrAbsentGuard,
    CodeGuard,
    Comparison,
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    DistinctTensorsGuard,
    GlobalStateGuard,
    IdentityGuard,
    LengthGuard,
    NoOverlapGuard,
    SameObjectGuard,
    ShapeGuard,
    StorageOffsetGuard,
    TensorGuard,
    TypeAttrAbsentGuard,
    TypeGuard,
)
from graphwright.ir.program import SymbolBinding
from graphwright.ir.recipes import FromConstant
from graphwright.ir.sources import (
    ArgSource,
    AttrSource,
    ClosureSource,
    DefaultSource,
    DictKeySource,
    DictValueSource,
    GlobalsSource,
    ImportSource,
    InstanceDictSource,
    ItemSource,
    KwDefaultSource,
    ModuleDictSource,
    PinSource,
    PlainConst,
    TargetSource,
    TypeAttrSource,
    TypeSource,
)
from graphwright.ir.symint import Monomial, Power, Symbol, SymExpr

X = ArgSource(0, "x")
Y = ArgSource(1, "y")


class Color(enum.Enum):
    """An enum to be guarded."""

    RED = 1
    BLUE = 2


class Plain:
    """An object with attributes and class attributes."""

    shared = 7

    def __init__(self, **attrs):
        self.__dict__.update(attrs)


class Child(Plain):
    """A subclass that adds an attribute."""

    extra = 8


class Slotted:
    """An object without a dictionary."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


@dataclass
class Case:
    """A program, and calls with the number of the guard that they fail (None: they are served)."""

    name: str
    make: object
    calls: list
    pins: list = field(default_factory=list)


def _program(maker, num_args=1, **rest):
    rest.setdefault("result", FromConstant(PlainConst("served")))
    return maker.program(num_args, rest.pop("inputs", ()), rest.pop("metas", ()), **rest)


def _simple(name, guards, good, bad, *, num_args=1, target=None):
    """A case whose calls pass every guard, or fail the one that stands with them."""

    def make():
        maker = ProgramMaker()
        maker.guards += guards(maker)
        return _program(maker, num_args), maker.live, target

    calls = [(args, None) for args in good] + [(args, number) for args, number in bad]
    return Case(name, make, calls)


def _constant(value, others):
    def guards(maker):
        return [ConstantGuard(X, make_constant(value, maker.pin))]

    name = f"constant {type(value).__name__} {value!r}"
    return _simple(name, guards, [(value,)], [((other,), 0) for other in others])


def constant_cases():
    """Constants of every kind, with values that are nearly the same."""
    return [
        _constant(None, [0, False]),
        _constant(True, [1, False]),
        _constant(3, [4, 3.0, True, 2**70, "3"]),
        _constant(10**6, [10**6 + 1]),
        _constant(2**70, [2**70 + 1, 0]),
        _constant("abc", ["abd", b"abc", 3]),
        _constant(1.5, [1.25, 1, "1.5"]),
        _constant(0.0, [-0.0, 0]),
        _constant(math.nan, [-math.nan, 1.0]),
        _constant(1 + 2j, [1 + 3j, 1.0]),
        _constant(b"ab", [b"ac", "ab"]),
        _constant((1, (2.0, "x")), [(1, (2, "x")), (1,), [1, (2.0, "x")], (1, (2.0, "y"))]),
        _constant(frozenset({1, 2}), [frozenset({1}), {1, 2}, frozenset({1, 2.0})]),
        _constant(slice(1, None, 2), [slice(1, 5, 2), slice(1.0, None, 2)]),
        _constant(range(1, 9, 2), [range(1, 8, 2), range(3)]),
        _constant(torch.float32, [torch.float64, None]),
        _constant(torch.device("cpu"), [torch.device("meta"), "cpu"]),
        _constant(torch.strided, [torch.sparse_coo]),
        _constant(torch.channels_last, [torch.contiguous_format]),
        _constant(torch.Size([2, 3]), [torch.Size([2, 4]), (2, 3)]),
        _constant(..., [None]),
        _constant(NotImplemented, [None]),
        _constant(Color.RED, [Color.BLUE, 1]),
    ]


def source_cases():
    """Every kind of source, ending in a constant."""
    global_value = 5

    def closed(a, b=2, *, c=3):
        return a, b, c, global_value

    def other(a, b=9, *, c=9):
        return a, b, c, other

    def empty_cell():
        def inner():
            return late

        if False:
            late = 1
        return inner

    def is_5(source):
        return lambda _: [ConstantGuard(source, PlainConst(5))]

    def item(key):
        return ItemSource(X, PlainConst(key))

    module = types.ModuleType("gw_case_module")
    module.value = 5
    sys.modules["gw_case_module"] = module
    ordered = collections.OrderedDict(a=1, b=5)
    return [
        _simple("dict item", is_5(item("k")), [({"k": 5},)], [(({"j": 5},), 0), ((3,), 0)]),
        _simple("ordered dict item", is_5(item("b")), [(ordered,)], [(({},), 0)]),
        _simple("list item", is_5(item(1)), [([0, 5],)], [(([5],), 0), (([0, 6],), 0)]),
        _simple("last item", is_5(item(-1)), [([0, 5],), ((5,),)], [(([],), 0)]),
        _simple("tuple item", is_5(item(0)), [((5,),)], [(((),), 0), (((6,),), 0)]),
        _simple("deque item", is_5(item(0)), [(collections.deque([5]),)], [((set(),), 0)]),
        _simple(
            "named tuple item",
            is_5(item(0)),
            [(collections.namedtuple("N", "a")(5),)],
            [((collections.namedtuple("N", "a")(6),), 0)],
        ),
        _simple(
            "instance dict",
            is_5(ItemSource(InstanceDictSource(X), PlainConst("v"))),
            [(Plain(v=5),), (Child(v=5, w=1),)],
            [((Plain(v=6),), 0), ((Plain(),), 0), ((Slotted(5),), 0)],
        ),
        _simple(
            "slot attribute",
            is_5(AttrSource(X, "value")),
            [(Slotted(5),)],
            [((Slotted(6),), 0), ((Plain(),), 0)],
        ),
        _simple(
            "type attribute",
            is_5(TypeAttrSource(TypeSource(X), "limit")),
            [(type("T", (), {"limit": 5})(),)],
            [((type("T", (), {"limit": 6})(),), 0), ((Plain(),), 0)],
        ),
        _simple(
            "closure",
            is_5(ClosureSource(X, 0, "global_value")),
            [(closed,)],
            [((other,), 0), ((empty_cell(),), 0), ((len,), 0), ((constant_cases,), 0)],
        ),
        _simple(
            "default",
            lambda _: [ConstantGuard(DefaultSource(X, 0), PlainConst(2))],
            [(closed,)],
            [((other,), 0), ((constant_cases,), 0), ((3,), 0)],
        ),
        _simple(
            "keyword default",
            lambda _: [ConstantGuard(KwDefaultSource(X, "c"), PlainConst(3))],
            [(closed,)],
            [((other,), 0), ((constant_cases,), 0)],
        ),
        _simple(
            "globals",
            lambda _: [
                ConstantGuard(
                    ItemSource(GlobalsSource(X), PlainConst("__name__")), PlainConst(__name__)
                )
            ],
            [(closed,)],
            [((functools.wraps,), 0), ((3,), 0)],
        ),
        _simple(
            "module dict",
            is_5(ItemSource(ModuleDictSource("gw_case_module"), PlainConst("value"))),
            [(0,)],
            [],
        ),
        _simple(
            "module dict of no module",
            is_5(ItemSource(ModuleDictSource("gw_no_such_module"), PlainConst("value"))),
            [],
            [((0,), 0)],
        ),
        _simple(
            "import",
            lambda maker: [IdentityGuard(ImportSource("math"), maker.pin(math))],
            [(0,)],
            [],
        ),
        _simple(
            "dict key and value",
            lambda _: [
                ConstantGuard(DictKeySource(X, 1), PlainConst("b")),
                ConstantGuard(DictValueSource(X, 1), PlainConst(5)),
            ],
            [({"a": 1, "b": 5},)],
            [(({"a": 1},), 0), (({"b": 5, "a": 1},), 0), (({"a": 1, "b": 6},), 1), (([],), 0)],
        ),
        _simple(
            "target",
            is_5(ItemSource(InstanceDictSource(TargetSource()), PlainConst("v"))),
            [(0,)],
            [],
            target=Plain(v=5),
        ),
        _simple(
            "pin",
            lambda maker: [
                TypeGuard(X, maker.pin(Plain)),
                ConstantGuard(TypeAttrSource(PinSource(maker.pin(Plain)), "shared"), PlainConst(7)),
            ],
            [(Plain(),)],
            [((3,), 0)],
        ),
    ]


def identity_cases():
    """Guards on what an object is."""

    def local_function():
        return 1

    def another_function():
        return 2

    return [
        _simple(
            "type",
            lambda maker: [TypeGuard(X, maker.pin(Plain))],
            [(Plain(),)],
            [((Child(),), 0), ((3,), 0)],
        ),
        _simple(
            "identity of a builtin",
            lambda maker: [IdentityGuard(X, maker.pin(math.sin))],
            [(math.sin,)],
            [((math.cos,), 0), ((local_function,), 0)],
        ),
        _simple(
            "identity of a class",
            lambda maker: [IdentityGuard(X, maker.pin(Plain))],
            [(Plain,)],
            [((Child,), 0)],
        ),
        _simple(
            "code",
            lambda maker: [CodeGuard(X, maker.pin(local_function.__code__))],
            [(local_function,)],
            [((another_function,), 0), ((len,), 0), ((local_function.__code__,), 0)],
        ),
        _simple(
            "same object",
            lambda _: [SameObjectGuard(X, ArgSource(1, "y"))],
            [(local_function, local_function)],
            [((local_function, another_function), 0)],
            num_args=2,
        ),
    ]


def container_cases():
    """Guards on containers and absent attributes."""
    return [
        _simple(
            "length",
            lambda _: [LengthGuard(X, 2)],
            [([1, 2],), ((1, 2),), ({"a": 1, "b": 2},), ({1, 2},), ("ab",), (range(2),)],
            [(([1],), 0), (({},), 0), (({1},), 0), ((Plain(),), 0)],
        ),
        _simple(
            "keys",
            lambda _: [DictKeysGuard(X, (PlainConst("a"), PlainConst(2)))],
            [
                ({"a": 1, 2: 2},),
                (collections.OrderedDict({"a": 1, 2: 2}),),
                ({"".join(["a"]): 0, 2: 2},),
            ],
            [(({2: 2, "a": 1},), 0), (({"a": 1},), 0), (({"a": 1, 2.0: 2},), 0), (([],), 0)],
        ),
        _simple(
            "no keys",
            lambda _: [DictKeysGuard(X, ())],
            [({},)],
            [(({1: 1},), 0)],
        ),
        _simple(
            "contains",
            lambda _: [DictContainsGuard(X, PlainConst("a"), is_present=True)],
            [({"a": 1},), ({"a"},), (frozenset({"a"}),)],
            [(({},), 0), (({"b"},), 0), ((["a"],), 0)],
        ),
        _simple(
            "contains not",
            lambda _: [DictContainsGuard(X, PlainConst("a"), is_present=False)],
            [({},), ({"b"},)],
            [(({"a": 1},), 0), (([],), 0)],
        ),
        _simple(
            "no attribute",
            lambda _: [AttrAbsentGuard(X, "shared")],
            [(Plain(),), (Plain(other=1),), (Slotted(1),), (3,)],
            [((Plain(shared=1),), 0)],
        ),
        _simple(
            "no type attribute",
            lambda _: [TypeAttrAbsentGuard(TypeSource(X), "extra")],
            [(Plain(),), (3,)],
            [((Child(),), 0)],
        ),
    ]


def tensor_cases():
    """Guards on tensors."""
    base = torch.zeros(4, 6)
    needs_grad = torch.zeros(4, 6, requires_grad=True)

    def meta(**changes):
        values = {"dtype": DType.FLOAT32, "shape": (4, 6), "strides": (6, 1), **changes}
        return TensorMeta(**values)

    def is_tensor(kind, expected):
        return lambda maker: [TensorGuard(X, expected, maker.pin(kind))]

    def placed(offset):
        return torch.zeros(32).as_strided((4, 6), (6, 1), offset)

    with torch.inference_mode():
        inference = torch.zeros(4, 6)
    seven = torch.zeros(1, 2, 1, 2, 1, 2, 3)
    return [
        _simple(
            "tensor",
            is_tensor(torch.Tensor, meta()),
            [(base,), (torch.zeros(6, 6)[2:],), (torch.ones(48)[5:29].view(4, 6),), (inference,)],
            [
                ((base.t(),), 0),
                ((torch.zeros(4, 12)[:, ::2],), 0),
                ((base.double(),), 0),
                ((base.half(),), 0),
                ((torch.nn.Parameter(base, requires_grad=False),), 0),
                ((needs_grad,), 0),
                ((torch.zeros(4, 6, 1),), 0),
                ((torch.zeros(5, 6),), 0),
                ((torch.zeros(4, 6, device="meta"),), 0),
                ((base.to_sparse(),), 0),
                ((None,), 0),
                (([base],), 0),
            ],
        ),
        _simple(
            "tensor that requires grad",
            is_tensor(torch.Tensor, meta(requires_grad=True)),
            [(needs_grad,), (needs_grad * 2,), (needs_grad[0:4],)],
            [((base,), 0), ((needs_grad.detach(),), 0)],
        ),
        _simple(
            "parameter",
            is_tensor(torch.nn.Parameter, meta(requires_grad=True)),
            [(torch.nn.Parameter(base),)],
            [((base,), 0), ((torch.nn.Parameter(base, requires_grad=False),), 0)],
        ),
        _simple(
            "scalar tensor",
            is_tensor(torch.Tensor, meta(shape=(), strides=())),
            [(torch.tensor(1.0),)],
            [((torch.zeros(1),), 0), ((1.0,), 0)],
        ),
        _simple(
            "tensor of seven dimensions",
            is_tensor(torch.Tensor, meta_of(seven)),
            [(seven.clone(),)],
            [((seven.transpose(1, 3).contiguous().transpose(1, 3),), 0), ((seven[0],), 0)],
        ),
        _simple(
            "conjugate",
            is_tensor(torch.Tensor, meta(dtype=DType.COMPLEX64)),
            [(torch.zeros(4, 6, dtype=torch.complex64),)],
            [((torch.zeros(4, 6, dtype=torch.complex64).conj(),), 0)],
        ),
        _simple(
            "place in memory",
            lambda maker: [
                TensorGuard(X, meta(), maker.pin(torch.Tensor)),
                StorageOffsetGuard(X, 2),
            ],
            [(placed(2),), (placed(2),)],
            [((placed(0),), 1), ((placed(3),), 1), ((torch.zeros(4, 6),), 1)],
        ),
        _simple(
            "bool tensor",
            is_tensor(torch.Tensor, meta(dtype=DType.BOOL)),
            [(torch.zeros(4, 6, dtype=torch.bool),)],
            [((torch.zeros(4, 6, dtype=torch.uint8),), 0)],
        ),
    ]


def relation_cases():
    """Guards on several tensors."""
    one, two = torch.zeros(8), torch.zeros(8)

    def two_tensors(maker):
        return [TensorGuard(s, meta_of(one), maker.pin(torch.Tensor)) for s in (X, Y)]

    def stretch(tensor, start):
        return tensor.as_strided((8,), (1,), start)

    long = torch.zeros(64)
    return [
        _simple(
            "distinct",
            lambda maker: [*two_tensors(maker), DistinctTensorsGuard((X, Y))],
            [(one, two), (one, one.view(8))],
            [((one, one), 2)],
            num_args=2,
        ),
        _simple(
            "no overlap",
            lambda maker: [*two_tensors(maker), NoOverlapGuard(X, (Y,))],
            [(one, two), (stretch(long, 0), stretch(long, 8))],
            [((one, one), 2), ((stretch(long, 0), stretch(long, 7)), 2)],
            num_args=2,
        ),
        _simple(
            "no shared memory",
            lambda maker: [*two_tensors(maker), NoOverlapGuard(X, (Y,), is_whole=True)],
            [(one, two)],
            [((one, one), 2), ((stretch(long, 0), stretch(long, 16)), 2)],
            num_args=2,
        ),
        _simple(
            "no memory",
            lambda maker: [
                *[TensorGuard(s, meta_of(one[:0]), maker.pin(torch.Tensor)) for s in (X, Y)],
                NoOverlapGuard(X, (Y,), is_whole=True),
            ],
            [(torch.empty(0), torch.empty(0)), (torch.empty(0), one[:0])],
            [((one[:0], one[8:]), 2)],
            num_args=2,
        ),
    ]


def _symbol(name):
    return SymExpr((Monomial(1, (Power(Symbol(name), 1),)),))


def symbol_cases():
    """Symbolic extents, and what is compared with them."""
    n, m = _symbol("n"), _symbol("m")
    twice = SymExpr((Monomial(2, (Power(Symbol("n"), 1),)), Monomial(1)))

    def make(guards, symbols):
        def build():
            maker = ProgramMaker()
            for guard in guards(maker):
                maker.guards.append(guard)
            return _program(maker, 2, symbols=symbols), maker.live, None

        return build

    def meta(shape, strides):
        return TensorMeta(DType.FLOAT32, shape, strides)

    def square_and_double(maker):
        pin = maker.pin(torch.Tensor)
        return [
            TensorGuard(X, meta((n, n), (n, 1)), pin),
            TensorGuard(Y, meta((twice,), (1,)), pin),
            ShapeGuard(SymExpr((Monomial(2),)), Comparison.LE, n),
        ]

    def int_first(maker):
        return [
            TensorGuard(X, meta((n, m), (m, 1)), maker.pin(torch.Tensor)),
            TypeGuard(Y, maker.pin(int)),
            ShapeGuard(n, Comparison.LT, m),
        ]

    square = (SymbolBinding("n", X, 0),)
    mixed = (SymbolBinding("m", Y, None), SymbolBinding("n", X, 0))
    return [
        Case(
            "symbolic shapes",
            make(square_and_double, square),
            [
                ((torch.zeros(3, 3), torch.zeros(7)), None),
                ((torch.zeros(5, 5), torch.zeros(11)), None),
                ((torch.zeros(3, 4), torch.zeros(7)), 0),
                ((torch.zeros(3, 3).t(), torch.zeros(7)), 0),
                ((torch.zeros(3, 3), torch.zeros(8)), 1),
                ((torch.zeros(1, 1), torch.zeros(3)), 2),
            ],
        ),
        Case(
            "symbol from an int",
            make(int_first, mixed),
            [
                ((torch.zeros(3, 4), 4), None),
                ((torch.zeros(3, 4), 5), 0),
                ((torch.zeros(4, 4), 4), 2),
                ((torch.zeros(3, 4), True), 1),
                ((torch.zeros(3, 4), 2**80), 1),
            ],
        ),
    ]


def state_guard(kind, text):
    """A program with a guard on global state."""
    maker = ProgramMaker()
    maker.guards.append(GlobalStateGuard(kind, text))
    return _program(maker, 0), maker.live


def all_cases():
    """Every case."""
    return [
        *constant_cases(),
        *source_cases(),
        *identity_cases(),
        *container_cases(),
        *tensor_cases(),
        *relation_cases(),
        *symbol_cases(),
    ]
