"""Results are built, and effects replayed, alike in both forms."""

import collections
import enum
import functools
import types

import pytest
import torch
from guard_cases import Color, Plain
from runtime_programs import ProgramMaker, meta_of, round_trip

from graphwright.base.config import Wrapper
from graphwright.ir.aten import GraphOutput
from graphwright.ir.constants import make_constant
from graphwright.ir.guards import CodeGuard, IdentityGuard, TypeGuard
from graphwright.ir.program import SymbolBinding
from graphwright.ir.recipes import (
    AttrEntry,
    BuildCell,
    BuildDict,
    BuildFunction,
    BuildList,
    BuildMethod,
    BuildObject,
    BuildPartial,
    BuildSet,
    BuildSlice,
    BuildTuple,
    DeleteAttrEffect,
    DeleteItemEffect,
    DictEntry,
    FromBuilt,
    FromConstant,
    FromOutput,
    FromPin,
    FromSource,
    FromSymbol,
    ReplaceContentsEffect,
    SetAttrEffect,
    SetCellEffect,
    SetGlobalEffect,
    SetItemEffect,
)
from graphwright.ir.sources import ArgSource, EnumConst, GlobalsSource, PlainConst
from graphwright.ir.symint import Monomial, Power, Symbol, SymExpr
from graphwright.runtime import make_backend_entry

X = ArgSource(0, "x")
Y = ArgSource(1, "y")
FORMS = pytest.mark.parametrize("wrapper", list(Wrapper))

Point = collections.namedtuple("Point", "a b")


class Bag(list):
    """A list with attributes."""


def plain(value):
    return FromConstant(PlainConst(value))


def call(make, args, wrapper):
    """Make a program of a tensor and further arguments, from live and from decoded data; give both results."""
    results = []
    for is_decoded in (False, True):
        maker = ProgramMaker()
        x = args[0]
        maker.tensor(X, x)
        rest = make(maker)
        metas = [meta_of(x)]
        program = maker.program(
            len(args), [X], metas, outputs=(GraphOutput(0, metas[0]),) * 2, **rest
        )
        live = maker.live
        if is_decoded:
            program, _ = round_trip(program)
            live = None
        entry = make_backend_entry(
            program, lambda i, _: [i[0] + 1, i[0] + 2], target=None, live_pins=live, wrapper=wrapper
        )
        results.append(entry.try_call(args, {}))
    return results


@FORMS
def test_containers_are_built(wrapper):
    x = torch.zeros(2)

    def make(maker):
        pin = maker.pin
        maker.guards.append(IdentityGuard(ArgSource(1, "kinds"), pin(Point)))
        maker.guards.append(IdentityGuard(ArgSource(2, "kinds"), pin(collections.OrderedDict)))
        items = (plain(1), FromConstant(make_constant(2.5, pin)))
        return {
            "result": BuildList(
                (
                    BuildTuple(items),
                    BuildTuple(items, pin(Point)),
                    BuildList((BuildSet(items), BuildSet(items, is_frozen=True))),
                    BuildDict((DictEntry(plain("k"), FromOutput(1)),)),
                    BuildDict((DictEntry(plain("k"), plain(3)),), pin(collections.OrderedDict)),
                    BuildSlice(plain(None), plain(4), plain(2)),
                    FromOutput(0),
                )
            )
        }

    for result in call(make, (x, Point, collections.OrderedDict), wrapper):
        assert result[:3] == [(1, 2.5), Point(1, 2.5), [{1, 2.5}, frozenset({1, 2.5})]]
        assert type(result[1]) is Point
        assert torch.equal(result[3]["k"], x + 2)
        assert type(result[4]) is collections.OrderedDict
        assert result[4] == {"k": 3}
        assert result[5] == slice(None, 4, 2)
        assert torch.equal(result[6], x + 1)


@FORMS
def test_tuple_of_outputs_sources_and_constants_is_built(wrapper):
    x, other = torch.zeros(2), object()

    def make(maker):
        return {"result": BuildTuple((FromOutput(1), FromSource(Y), plain("c"), FromOutput(1)))}

    for result in call(make, (x, other), wrapper):
        assert type(result) is tuple
        assert result[1] is other
        assert result[2] == "c"
        assert result[0] is result[3]


@FORMS
def test_objects_with_cycles_are_built_once(wrapper):
    x = torch.zeros(2)

    def make(maker):
        maker.guards.append(IdentityGuard(Y, maker.pin(Plain)))
        maker.guards.append(IdentityGuard(ArgSource(2, "bag"), maker.pin(Bag)))
        node = BuildObject(
            maker.pin(Plain),
            (AttrEntry("me", FromBuilt(0)), AttrEntry("bag", FromBuilt(1))),
        )
        bag = BuildObject(
            maker.pin(Bag), (AttrEntry("owner", FromBuilt(0)),), (plain(1), FromBuilt(1))
        )
        loop = BuildDict((DictEntry(plain("self"), FromBuilt(2)),))
        return {
            "built": (node, bag, loop),
            "result": BuildTuple((FromBuilt(0), FromBuilt(1), FromBuilt(2))),
        }

    for node, bag, loop in call(make, (x, Plain, Bag), wrapper):
        assert type(node) is Plain
        assert node.me is node
        assert node.bag is bag
        assert bag.owner is node
        assert bag[0] == 1
        assert bag[1] is bag
        assert loop["self"] is loop


@FORMS
def test_functions_methods_and_partials_are_built(wrapper):
    x = torch.zeros(2)
    amount = 3

    def template(self, step=1, *, scale=2):
        return (self, step, scale, amount)

    def make(maker):
        maker.guards.append(CodeGuard(Y, maker.pin(template.__code__)))
        function = BuildFunction(
            maker.pin(template.__code__),
            GlobalsSource(Y),
            "made",
            "made.here",
            cells=(BuildCell(plain(4)),),
            defaults=BuildTuple((plain(10),)),
            kw_defaults=BuildDict((DictEntry(plain("scale"), plain(20)),)),
            attrs=(AttrEntry("note", plain("n")),),
        )
        return {
            "built": (function,),
            "result": BuildTuple(
                (
                    FromBuilt(0),
                    BuildMethod(FromBuilt(0), plain("receiver")),
                    BuildPartial(FromBuilt(0), (plain("first"),), (AttrEntry("scale", plain(7)),)),
                    BuildFunction(
                        maker.pin(template.__code__),
                        GlobalsSource(Y),
                        "n",
                        "n",
                        (BuildCell(plain(5)),),
                    ),
                )
            ),
        }

    for function, method, partial, inline in call(make, (x, template), wrapper):
        assert function("s") == ("s", 10, 20, 4)
        assert (function.__name__, function.__qualname__, function.note) == (
            "made",
            "made.here",
            "n",
        )
        assert function.__globals__ is globals()
        assert method() == ("receiver", 10, 20, 4)
        assert type(method) is types.MethodType
        assert type(partial) is functools.partial
        assert partial() == ("first", 10, 7, 4)
        assert inline("s", 1, scale=2) == ("s", 1, 2, 5)


@FORMS
def test_nested_code_is_found_in_the_code_that_holds_it(wrapper):
    x = torch.zeros(2)

    def outer():
        def inner():
            return 11

        return inner

    def make(maker):
        maker.guards.append(CodeGuard(Y, maker.pin(outer.__code__)))
        code = maker.pin(outer().__code__)
        return {"result": BuildFunction(code, GlobalsSource(Y), "inner", "inner")}

    for result in call(make, (x, outer), wrapper):
        assert result() == 11


@FORMS
def test_enum_member_pin_and_symbol_are_built(wrapper):
    x = torch.zeros(5)
    n = SymExpr((Monomial(2, (Power(Symbol("n"), 1),)), Monomial(1)))

    def make(maker):
        maker.guards.append(TypeGuard(Y, maker.pin(Color)))
        return {
            "symbols": (SymbolBinding("n", X, 0),),
            "result": BuildTuple(
                (
                    FromConstant(EnumConst(maker.pin(Color), "RED")),
                    FromPin(maker.pin(Color)),
                    FromSymbol(n),
                )
            ),
        }

    for member, kind, number in call(make, (x, Color.BLUE), wrapper):
        assert member is Color.RED
        assert kind is Color
        assert isinstance(kind, enum.EnumMeta)
        assert number == 11


@FORMS
def test_effects_are_replayed_in_order(wrapper):
    x = torch.zeros(2)
    seen = Plain(a=1, gone=2), {"old": 1, "key": 2}, [1, 2, 3], collections.deque([1])
    holder = seen[0]
    cell_value = "before"

    def reader():
        return cell_value

    def make(maker):
        holder.a, holder.gone = 1, 2
        seen[1].clear()
        seen[1].update(old=1, key=2)
        target, mapping, listing, queue = (FromSource(ArgSource(i, f"a{i}")) for i in range(1, 5))
        function = ArgSource(5, "reader")
        effects = (
            SetAttrEffect(target, "a", FromOutput(0)),
            SetAttrEffect(target, "old_a", FromSource(Y)),
            DeleteAttrEffect(target, "gone"),
            SetItemEffect(mapping, plain("new"), FromOutput(1)),
            DeleteItemEffect(mapping, plain("old")),
            ReplaceContentsEffect(listing, BuildList((plain(9),))),
            ReplaceContentsEffect(queue, BuildList((plain(8), plain(7)))),
            SetCellEffect(function, 0, plain("after")),
            SetGlobalEffect(GlobalsSource(function), "MADE_BY_EFFECT", plain(5)),
        )
        return {"result": FromOutput(0), "effects": effects}

    results = call(make, (x, *seen, reader), wrapper)

    assert holder.a is results[-1]
    assert holder.old_a is holder
    assert not hasattr(holder, "gone")
    assert list(seen[1]) == ["key", "new"]
    assert seen[2] == [9]
    assert list(seen[3]) == [8, 7]
    assert reader() == "after"
    assert globals().pop("MADE_BY_EFFECT") == 5


@FORMS
def test_attribute_of_a_module_stays_in_its_table(wrapper):
    x = torch.zeros(2)
    module = torch.nn.BatchNorm1d(2)

    def make(maker):
        target = FromSource(Y)
        effects = (
            SetAttrEffect(target, "running_mean", FromOutput(0)),
            SetAttrEffect(target, "count", plain(3)),
        )
        return {"result": plain(None), "effects": effects}

    results = call(make, (x, module), wrapper)

    assert results == [None, None]
    assert torch.equal(module._buffers["running_mean"], x + 1)
    assert "running_mean" not in vars(module)
    assert vars(module)["count"] == 3
