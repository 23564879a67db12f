"""The native call keeps references, threads and exceptions in order."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import llvmlite.binding as llvm
import msgspec
import pytest
import torch
from guard_cases import Plain
from plan_cases import all_plan_cases, linear_case, over
from runtime_programs import KernelCode, ProgramMaker, double_case, floats, meta_of

from graphwright.base.config import Wrapper
from graphwright.ir.guards import ConstantGuard, DictContainsGuard, LengthGuard, TensorGuard
from graphwright.ir.plan import CallExtern, ExternKind
from graphwright.ir.recipes import BuildTuple, FromConstant, FromOutput, FromSource
from graphwright.ir.sources import (
    ArgSource,
    AttrSource,
    FloatConst,
    InstanceDictSource,
    ItemSource,
    KwargSource,
    PlainConst,
    TupleConst,
)
from graphwright.runtime import MISSING, Dispatcher, make_backend_entry, make_entry
from graphwright.runtime.native.builtins import MethodDef
from graphwright.runtime.native.compiling import compile_text, make_machine
from graphwright.runtime.native.layout import find_layout
from graphwright.runtime.native.memory import read_word
from graphwright.runtime.native.module import NativeModule, NativeRefusal, load_native_module

CALLS = 10_000
DEFINITION = 16
"""Where a builtin function has the address of its definition, in bytes."""


def add_to(dispatcher, case):
    program, live = case.program()
    entry = make_entry(program, case.plan, case.code, target=None, live_pins=live)
    dispatcher.add(entry)
    return entry


def refuse(args, kwargs):
    raise AssertionError((args, kwargs))


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as lines:
        return int(lines.read().split()[1]) * 4096


def test_every_plan_case_runs_natively():
    for case in all_plan_cases():
        entry = add_to(Dispatcher(refuse), case)
        assert entry.refusal == ""
        assert entry.native.run_refusal == ""


@pytest.mark.parametrize("case", all_plan_cases(), ids=lambda case: case.name)
def test_references_and_memory_stay_what_they_are(case):
    dispatcher = Dispatcher(refuse)
    add_to(dispatcher, case)
    inputs = case.inputs
    for _ in range(20):
        dispatcher.function(*inputs)
    gc.collect()
    counts = [sys.getrefcount(tensor) for tensor in inputs]
    before = resident_bytes()

    for _ in range(CALLS // 40):
        dispatcher.function(*inputs)

    gc.collect()
    assert [sys.getrefcount(tensor) for tensor in inputs] == counts
    assert resident_bytes() - before < 4 << 20


def test_served_and_refused_calls_leave_reference_counts_alone():
    class Thing:
        __slots__ = ("__dict__", "slot")

    thing, constant = Thing(), (1.5, "text")
    thing.slot, thing.attr = "value of the slot", constant
    maker = ProgramMaker()
    source = ArgSource(0, "thing")
    maker.guards += [
        ConstantGuard(AttrSource(source, "slot"), PlainConst("value of the slot")),
        ConstantGuard(
            ItemSource(InstanceDictSource(source), PlainConst("attr")),
            TupleConst((FloatConst("0x1.8p+0"), PlainConst("text"))),
        ),
        ConstantGuard(KwargSource("flag"), PlainConst(value=True)),
    ]
    program = maker.program(1, (), (), keywords=("flag",), result=BuildTuple((FromSource(source),)))
    entry = make_backend_entry(program, lambda *_: (), target=None, live_pins=maker.live)
    missed = []
    dispatcher = Dispatcher(lambda args, kwargs: missed.append(1))
    dispatcher.add(entry)
    call = dispatcher.function
    call(thing, flag=True), call(thing, flag=False)
    held = [thing, thing.slot, constant, dispatcher, entry, None, True, MISSING]
    counts = [sys.getrefcount(value) for value in held]

    for _ in range(CALLS):
        call(thing, flag=True)
        call(thing, flag=False)

    drift = [abs(sys.getrefcount(v) - count) for v, count in zip(held, counts, strict=True)]
    assert len(missed) == CALLS + 1
    assert max(drift) < 50


def test_threads_use_contexts_of_their_own():
    case = linear_case()
    dispatcher = Dispatcher(refuse)
    entry = add_to(dispatcher, case)
    inputs = [[torch.randn_like(tensor) for tensor in case.inputs] for _ in range(4)]
    wrong = []

    def work(mine):
        (expected,) = case.eager(*mine)
        for _ in range(300):
            (result,) = dispatcher.function(*mine)
            if not torch.allclose(result, expected):
                wrong.append(result)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
    assert 1 <= entry.native.num_contexts <= len(threads)


def test_entries_may_be_added_while_others_call():
    cases = [double_case(torch.randn(size)) for size in range(2, 30)]
    missed = []
    dispatcher = Dispatcher(lambda args, kwargs: missed.append(args))
    program, live, plan, code = cases[0]
    dispatcher.add(make_entry(program, plan, code, target=None, live_pins=live))
    x, stop = torch.randn(2), threading.Event()
    wrong = []

    def work():
        while not stop.is_set():
            if not torch.equal(dispatcher.function(x), x * 2):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for program, live, plan, code in cases[1:]:
        dispatcher.add(make_entry(program, plan, code, target=None, live_pins=live))
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()

    assert not wrong
    assert not missed
    assert len(dispatcher.entries) == len(cases)


def test_call_may_be_entered_again_from_a_step():
    case = linear_case()
    depth = []

    def run(params, symbols):
        if len(depth) < 3:
            depth.append(1)
            (inner,) = dispatcher.function(*case.inputs)
            assert torch.allclose(inner, case.eager(*case.inputs)[0])
        floats(params[1], 24).copy_(floats(params[0], 24) + 1)

    case.code = KernelCode(add_one=run)
    dispatcher = Dispatcher(refuse)
    entry = add_to(dispatcher, case)

    (result,) = dispatcher.function(*case.inputs)

    assert torch.allclose(result, case.eager(*case.inputs)[0])
    assert entry.native.num_contexts == 4


class LockCode:
    """A kernel that writes to its second buffer whether the interpreter lock is held."""

    def __init__(self):
        check = ctypes.cast(ctypes.pythonapi.PyGILState_Check, ctypes.c_void_p).value
        text = f"""
        define void @look(ptr %params, ptr %symbols) {{
          %place = getelementptr i8, ptr %params, i64 8
          %target = load ptr, ptr %place
          %held = call i32 inttoptr (i64 {check} to ptr)()
          %number = sitofp i32 %held to float
          store float %number, ptr %target
          ret void
        }}
        """
        builder = llvm.JITLibraryBuilder().add_object_img(compile_text(text, make_machine()))
        self._engine = llvm.create_lljit_compiler()
        self._tracker = builder.export_symbol("look").link(self._engine, "look")

    def address(self, symbol):
        return self._tracker["look"]


@pytest.mark.parametrize(("is_long", "is_held"), [(True, 0.0), (False, 1.0)])
def test_lock_is_released_for_long_steps_only(is_long, is_held):
    x = torch.randn(1)
    program, live, plan, _ = double_case(x)
    plan = msgspec.structs.replace(plan, is_long=is_long)
    entry = make_entry(program, plan, LockCode(), target=None, live_pins=live)

    result = entry.try_call((x,), {})

    assert result.item() == is_held


def test_exception_of_a_python_step_leaves_everything_usable():
    x, y = torch.randn(3), torch.randn(3)
    case = next(case for case in all_plan_cases() if case.name == "mutation")
    metas = [meta_of(x), meta_of(y)]
    step = CallExtern(
        "aten.view.default",
        (over(0, metas[0]),),
        (),
        ExternKind.FUNCTIONAL,
        (),
    )
    plan = msgspec.structs.replace(case.plan, steps=(step, *case.plan.steps))
    program, live = case.program()
    entry = make_entry(program, plan, case.code, target=None, live_pins=live)
    counts = [sys.getrefcount(tensor) for tensor in case.inputs]

    for _ in range(50):
        with pytest.raises(RuntimeError, match="view"):
            entry.try_call(case.inputs, {})

    assert [sys.getrefcount(tensor) for tensor in case.inputs] == counts
    assert entry.native.num_contexts == 1


def test_exception_of_a_predicate_is_raised():
    class Bad:
        @property
        def value(self):
            raise ZeroDivisionError("in the getter")

    maker = ProgramMaker()
    maker.guards.append(ConstantGuard(AttrSource(ArgSource(0, "x"), "value"), PlainConst(1)))
    program = maker.program(1, (), (), result=FromConstant(PlainConst(1)))
    for wrapper in Wrapper:
        entry = make_backend_entry(
            program, lambda *_: (), target=None, live_pins=(), wrapper=wrapper
        )
        with pytest.raises(ZeroDivisionError, match="in the getter"):
            entry.try_call((Bad(),), {})


def test_keywords_are_taken_in_the_order_of_the_pattern():
    maker = ProgramMaker()
    maker.guards += [
        ConstantGuard(KwargSource("a"), PlainConst(1)),
        ConstantGuard(KwargSource("b"), PlainConst(2)),
    ]
    program = maker.program(
        0, (), (), keywords=("a", "b"), result=FromConstant(PlainConst("served"))
    )
    dispatcher = Dispatcher(lambda args, kwargs: ("missed", args, kwargs))
    dispatcher.add(make_backend_entry(program, lambda *_: (), target=None, live_pins=()))
    names = {"".join(["a"]): 1, "".join(["b"]): 2}

    assert dispatcher.function(a=1, b=2) == "served"
    assert dispatcher.function(**names) == "served"
    assert dispatcher.function(b=2, a=1) == ("missed", (), {"b": 2, "a": 1})
    assert dispatcher.function(a=1) == ("missed", (), {"a": 1})
    assert dispatcher.function(0, a=1, b=2) == ("missed", (0,), {"a": 1, "b": 2})


def test_entry_served_last_is_tried_first_and_newest_before_others():
    tried = []

    def entry_for(number):
        maker = ProgramMaker()
        maker.guards.append(ConstantGuard(ArgSource(0, "x"), PlainConst(number)))
        program = maker.program(1, (), (), result=FromConstant(PlainConst(number)))
        entry = make_backend_entry(
            program, lambda *_: (), target=None, live_pins=(), wrapper=Wrapper.PYTHON
        )
        guards = entry.guards
        entry.guards = lambda args, kwargs: (tried.append(number), guards(args, kwargs))[1]
        return entry

    dispatcher = Dispatcher(refuse)
    for number in range(3):
        dispatcher.add(entry_for(number))

    assert dispatcher.function(0) == 0
    assert dispatcher.function(0) == 0
    assert dispatcher.function(1) == 1
    assert tried == [2, 1, 0, 0, 0, 2, 1]


def test_forms_may_be_mixed_in_a_dispatcher():
    dispatcher = Dispatcher(lambda args, kwargs: "missed")
    for wrapper, size in zip(Wrapper, (3, 4), strict=True):
        program, live, plan, code = double_case(torch.randn(size))
        dispatcher.add(
            make_entry(program, plan, code, target=None, live_pins=live, wrapper=wrapper)
        )

    for size in (3, 4, 3):
        x = torch.randn(size)
        assert torch.equal(dispatcher.function(x), x * 2)
    assert dispatcher.function(torch.randn(5)) == "missed"


def test_cleared_dispatcher_serves_nothing():
    x = torch.randn(4)
    program, live, plan, code = double_case(x)
    dispatcher = Dispatcher(lambda args, kwargs: "missed")
    dispatcher.add(make_entry(program, plan, code, target=None, live_pins=live))

    dispatcher.clear()

    assert dispatcher.function(x) == "missed"
    assert dispatcher.entries == ()
    dispatcher.add(make_entry(program, plan, code, target=None, live_pins=live))
    assert torch.equal(dispatcher.function(x), x * 2)


def test_function_outlives_its_dispatcher_and_frees_what_it_holds():
    x = torch.randn(4)
    program, live, plan, code = double_case(x)
    dispatcher = Dispatcher(refuse)
    entry = make_entry(program, plan, code, target=Plain(), live_pins=live)
    dispatcher.add(entry)
    function, target = dispatcher.function, weakref.ref(entry.target)

    del dispatcher, entry
    gc.collect()
    assert torch.equal(function(x), x * 2)

    del function
    gc.collect()
    assert target() is None


def test_nothing_that_a_collection_frees_first_is_read_when_the_function_is_freed():
    dispatcher = Dispatcher(refuse)
    program, live, plan, code = double_case(torch.randn(4))
    entry = make_entry(program, plan, code, target=None, live_pins=live)
    dispatcher.add(entry)
    for function in (dispatcher.function, entry.native.function):
        # In a cycle of garbage, what the function holds may be cleared while the function is still to be freed.
        vars(function.__self__).clear()
        gc.collect()
        definitions = [known for known in gc.get_objects() if type(known) is MethodDef]
        assert read_word(id(function) + DEFINITION) in map(ctypes.addressof, definitions)


def test_dead_input_is_never_read():
    x = torch.randn(4)
    program, live, plan, code = double_case(x)
    entry = make_entry(program, plan, code, target=None, live_pins=live)
    for _ in range(100):
        y = torch.randn(4)
        assert torch.equal(entry.try_call((y,), {}), y * 2)
        del y


def test_object_code_is_kept_and_found():
    stored = {}

    made = NativeModule(stored.get, stored.__setitem__)
    found = NativeModule(stored.get, stored.__setitem__)

    assert not made.is_found
    assert found.is_found
    assert found.addresses.keys() == made.addresses.keys()
    assert [type(data) for data in stored.values()] == [bytes]


def test_stored_object_code_serves_a_fresh_process(tmp_path):
    stored = {}
    NativeModule(stored.get, stored.__setitem__)
    for key, data in stored.items():
        (tmp_path / key).write_bytes(data)
    program = (
        "import pathlib; from graphwright.runtime.native import NativeModule;"
        f"folder = pathlib.Path({str(tmp_path)!r});"
        "module = NativeModule(lambda key: (folder / key).read_bytes(), None);"
        "print(module.is_found)"
    )

    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (found.stdout.strip(), found.returncode) == ("True", 0), found.stderr


def test_process_has_one_native_module():
    assert load_native_module() is load_native_module()


def test_layout_is_the_same_whatever_memory_held_before():
    usual = find_layout()
    kept = []
    for size in range(400):
        find_layout.cache_clear()
        assert find_layout() == usual
        kept.append(
            torch.zeros(size % 7 + 1)
        )  # takes memory of tensors that are gone, so that other remains are met
        if size % 50 == 0:
            kept = kept[::2]


def test_layout_that_reads_wrongly_is_refused(monkeypatch):
    right = find_layout()
    wrong = msgspec.structs.replace(right, storage_offset=right.sizes)
    monkeypatch.setattr("graphwright.runtime.native.module.find_layout", lambda: wrong)

    with pytest.raises(NativeRefusal, match="a tensor"):
        NativeModule(lambda _: None, lambda _key, _data: None)


def test_refusal_falls_to_python(monkeypatch):
    def refuse_native(*_):
        raise NativeRefusal("this is no place for machine code")

    monkeypatch.setattr("graphwright.runtime.construction.load_native_module", refuse_native)
    monkeypatch.setattr("graphwright.runtime.native.dispatch.load_native_module", refuse_native)
    x = torch.randn(4)
    program, live, plan, code = double_case(x)
    missed = []

    def on_miss(args, kwargs):
        missed.append(args)
        entry = make_entry(program, plan, code, target=None, live_pins=live)
        dispatcher.add(entry)
        return entry.try_call(args, kwargs)

    dispatcher = Dispatcher(on_miss)

    for _ in range(3):
        assert torch.equal(dispatcher.function(x), x * 2)
    assert len(missed) == 1
    assert dispatcher.refusal == "this is no place for machine code"
    assert dispatcher.entries[0].native is None


def test_output_of_a_tuple_may_be_given_twice():
    x = torch.randn(4)
    program, live, plan, code = double_case(x)
    program = msgspec.structs.replace(program, result=BuildTuple((FromOutput(0), FromOutput(0))))
    entry = make_entry(program, plan, code, target=None, live_pins=live)

    first, second = entry.try_call((x,), {})

    assert first is second
    alone = object()
    assert sys.getrefcount(first) == sys.getrefcount(alone) + 1


def test_guard_of_an_unknown_dtype_asks_python():
    x = torch.zeros(3, dtype=torch.float8_e5m2)
    maker = ProgramMaker()
    maker.guards.append(TensorGuard(ArgSource(0, "x"), meta_of(x), maker.pin(torch.Tensor)))
    program = maker.program(1, (), (), result=FromConstant(PlainConst("served")))
    entry = make_backend_entry(program, lambda *_: (), target=None, live_pins=maker.live)

    assert entry.try_call((x,), {}) == "served"
    assert entry.try_call((x.float(),), {}) is MISSING


def test_program_of_many_slots_is_served():
    count = 3000
    table = {f"key{number}": number for number in range(count)}
    source = ArgSource(0, "table")
    maker = ProgramMaker()
    maker.guards += [
        ConstantGuard(ItemSource(source, PlainConst(key)), PlainConst(value))
        for key, value in table.items()
    ]
    last = ItemSource(source, PlainConst(f"key{count - 1}"))
    program = maker.program(1, (), (), result=FromSource(last))
    entry = make_backend_entry(program, lambda *_: (), target=None, live_pins=())

    for _ in range(20):
        assert entry.try_call((table,), {}) == count - 1
        assert entry.try_call(({**table, "key7": 8},), {}) is MISSING


def test_objects_that_go_while_a_predicate_runs_are_still_there():
    holder = {"value": ["kept", torch.zeros(2)]}
    source = ArgSource(0, "holder")
    value = ItemSource(source, PlainConst("value"))
    maker = ProgramMaker()
    maker.guards += [
        ConstantGuard(ItemSource(value, PlainConst(0)), PlainConst("kept")),
        DictContainsGuard(ArgSource(1, "items"), PlainConst(5), is_present=False),
        LengthGuard(value, 2),
    ]
    program = maker.program(2, (), (), result=FromSource(ItemSource(value, PlainConst(1))))
    entry = make_backend_entry(program, lambda *_: (), target=None, live_pins=())

    class Key:
        """Hashes like the key that is looked for, and compares by emptying the holder."""

        def __hash__(self):
            return hash(5)

        def __eq__(self, other):
            holder.clear()
            gc.collect()
            return False

    result = entry.try_call((holder, {Key(): 1}), {})

    assert torch.equal(result, torch.zeros(2))
    assert not holder
