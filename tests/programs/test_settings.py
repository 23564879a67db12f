"""Settings that programs ask for are seen anew after they changed, and cost no new capture while they stay as they are."""

from __future__ import annotations

import contextlib
import decimal
import gc
import logging
import os
import random
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import backends
from torch.random import fork_rng, manual_seed

import graphwright as gw
from graphwright.base.counters import counters
from graphwright.cache import fresh

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch would rather have newer settings set

X = torch.ones(2, 2)
VARIABLE = "A_SETTING_OF_A_TEST"
MODULE = "a_module_of_a_test"
LOGGER = logging.getLogger("a logger of a test")
FILE = Path(tempfile.gettempdir()) / f"setting-of-a-test-{os.getpid()}"
HOOKS: list[Any] = []


class Setting(NamedTuple):
    ask: Callable[[], Any]
    change: Callable[[Any], object]
    values: tuple[Any, Any]


def attribute(owner: Any, name: str, *values: Any) -> Setting:
    """Give the setting that is an attribute; the program reads it where it stands."""
    names: dict[str, Any] = {"owner": owner}
    exec(f"def ask(): return owner.{name}\ndef change(value): owner.{name} = value", names)
    return Setting(names["ask"], names["change"], values[:2] if values else (True, False))


def put(table: Any, key: Any, value: Any) -> None:
    """Put an entry in a table, or take it out where there is to be none."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def set_hooks(number: int) -> None:
    while len(HOOKS) > number:
        HOOKS.pop().remove()
    while len(HOOKS) < number:
        HOOKS.append(torch.nn.modules.module.register_module_forward_hook(lambda *args: None))


ON_OFF = True, False
SETTINGS = {
    "deterministic": Setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, ON_OFF
    ),
    "deterministic, with a warning only": Setting(
        torch.is_deterministic_algorithms_warn_only_enabled,
        lambda value: torch.use_deterministic_algorithms(value, warn_only=value),
        ON_OFF,
    ),
    "deterministic, as a level": Setting(
        torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, (1, 0)
    ),
    "memory filled": attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
    "threads": Setting(torch.get_num_threads, torch.set_num_threads, (1, 2)),
    "default dtype": Setting(
        torch.get_default_dtype, torch.set_default_dtype, (torch.float64, torch.float32)
    ),
    "default device": Setting(
        torch.get_default_device,
        lambda value: torch.set_default_device(value if value.type == "meta" else None),
        (torch.device("meta"), torch.device("cpu")),
    ),
    "precision of products": Setting(
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        ("high", "highest"),
    ),
    "anomalies": Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, ON_OFF),
    "anomalies, whether checked for NaN": Setting(
        torch.is_anomaly_check_nan_enabled,
        lambda value: torch.autograd.set_detect_anomaly(False, value),
        (False, True),
    ),
    "grad mode": Setting(torch.is_grad_enabled, torch.set_grad_enabled, (False, True)),
    "warnings always": Setting(torch.is_warn_always_enabled, torch.set_warn_always, ON_OFF),
    "fast path of attention": Setting(
        backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled, (False, True)
    ),
    "mkldnn": Setting(lambda: backends.mkldnn.enabled, torch._C._set_mkldnn_enabled, (False, True)),
    "mkldnn, deterministic": Setting(
        lambda: backends.mkldnn.deterministic, torch._C._set_mkldnn_deterministic, ON_OFF
    ),
    "short products": attribute(backends, "cuda.matmul.allow_tf32"),
    "short sums": attribute(
        backends, "cuda.matmul.allow_bf16_reduced_precision_reduction", False, True
    ),
    "flash attention": Setting(
        backends.cuda.flash_sdp_enabled, backends.cuda.enable_flash_sdp, (False, True)
    ),
    "plain attention": Setting(
        backends.cuda.math_sdp_enabled, backends.cuda.enable_math_sdp, (False, True)
    ),
    "nnpack": Setting(torch._C._get_nnpack_enabled, torch._C._set_nnpack_enabled, (False, True)),
    "quantized engine": attribute(
        backends, "quantized.engine", *backends.quantized.supported_engines[-2:]
    ),
    "order of products": attribute(backends, "opt_einsum.enabled", False, True),
    "autocast": Setting(
        lambda: torch.is_autocast_enabled("cpu"),
        lambda value: torch.set_autocast_enabled("cpu", value),
        ON_OFF,
    ),
    "autocast of the other device": Setting(
        torch.is_autocast_enabled, torch.set_autocast_enabled, ON_OFF
    ),
    "autocast, dtype": Setting(
        lambda: torch.get_autocast_dtype("cpu"),
        lambda value: torch.set_autocast_dtype("cpu", value),
        (torch.float16, torch.bfloat16),
    ),
    "autocast, cache": Setting(
        torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, (False, True)
    ),
    "printing": Setting(
        lambda: torch._tensor_str.PRINT_OPTS.precision,
        lambda value: torch.set_printoptions(precision=value),
        (2, 4),
    ),
    "hooks of modules": Setting(
        lambda: len(torch.nn.modules.module._global_forward_hooks), set_hooks, (1, 0)
    ),
    "parameters overwritten": Setting(
        torch.__future__.get_overwrite_module_params_on_conversion,
        torch.__future__.set_overwrite_module_params_on_conversion,
        ON_OFF,
    ),
    "parameters swapped": Setting(
        torch.__future__.get_swap_module_params_on_conversion,
        torch.__future__.set_swap_module_params_on_conversion,
        ON_OFF,
    ),
    "threads of backward": Setting(
        torch._C._is_multithreading_enabled, torch._C._set_multithreading_enabled, (False, True)
    ),
    "checks of sparse tensors": Setting(
        torch.sparse.check_sparse_tensor_invariants.is_enabled,
        torch._C._set_check_sparse_tensor_invariants,
        ON_OFF,
    ),
    "variable of the environment": Setting(
        lambda: os.environ.get(VARIABLE),
        lambda value: put(os.environ, VARIABLE, value),
        ("1", "2"),
    ),
    "variable of the environment, by os.getenv": Setting(
        lambda: os.getenv(VARIABLE), lambda value: put(os.environ, VARIABLE, value), ("1", "2")
    ),
    "whether there is a variable": Setting(
        lambda: VARIABLE in os.environ,
        lambda value: put(os.environ, VARIABLE, "1" if value else None),
        ON_OFF,
    ),
    "folder": Setting(os.getcwd, os.chdir, (os.sep, tempfile.gettempdir())),
    "whether there is a file": Setting(
        lambda: os.path.exists(FILE),
        lambda value: FILE.touch() if value else FILE.unlink(missing_ok=True),
        ON_OFF,
    ),
    "depth of calls": Setting(sys.getrecursionlimit, sys.setrecursionlimit, (3000, 4000)),
    "garbage collection": Setting(
        gc.isenabled, lambda value: gc.enable() if value else gc.disable(), (False, True)
    ),
    "arguments of the process": Setting(
        lambda: sys.argv[0], lambda value: put(sys.argv, 0, value), ("a", "b")
    ),
    "whether a module is loaded": Setting(
        lambda: MODULE in sys.modules,
        lambda value: put(sys.modules, MODULE, types.ModuleType(MODULE) if value else None),
        ON_OFF,
    ),
    "level of a logger": Setting(lambda: LOGGER.level, LOGGER.setLevel, (10, 20)),
    "whether a logger listens": Setting(
        lambda: LOGGER.isEnabledFor(15),
        lambda value: LOGGER.setLevel(10 if value else 20),
        ON_OFF,
    ),
    "whether logging is off": Setting(
        lambda: LOGGER.isEnabledFor(60), lambda value: logging.disable(0 if value else 70), ON_OFF
    ),
    "precision of decimals": Setting(
        lambda: decimal.getcontext().prec,
        lambda value: setattr(decimal.getcontext(), "prec", value),
        (5, 9),
    ),
    "errors of arrays": Setting(
        lambda: np.geterr()["divide"], lambda value: np.seterr(divide=value), ("ignore", "warn")
    ),
    "printing of arrays": Setting(
        lambda: np.get_printoptions()["precision"],
        lambda value: np.set_printoptions(precision=value),
        (3, 8),
    ),
    "name of the thread": attribute(threading.current_thread(), "name", "first", "second"),
}


def count_captures() -> int:
    return counters["capture"]["frames"]


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_seen_anew(name: str) -> None:
    ask, change, values = SETTINGS[name]
    before = ask()

    def program(x):
        return ask(), x + 1

    compiled = gw.compile(program)
    try:
        with gw.config.patch(strict=True):
            for value in (*values, values[0]):
                change(value)
                asked = ask()
                assert asked == value
                assert compiled(X)[0] == asked
                captured = count_captures()
                assert compiled(X)[0] == asked
                assert count_captures() == captured, "captured again, though nothing changed"
    finally:
        change(before)
    assert ask() == before


def test_filters_of_warnings_are_seen_anew() -> None:
    compiled = gw.compile(lambda x: (len(warnings.filters), x + 1))
    with warnings.catch_warnings(), gw.config.patch(strict=True):
        for change in (
            lambda: None,
            lambda: warnings.simplefilter("ignore"),
            warnings.resetwarnings,
        ):
            change()
            assert compiled(X)[0] == len(warnings.filters)


STREAMS: dict[str, tuple[Callable[[], Any], Callable[[int], object]]] = {
    "seed": (torch.initial_seed, torch.manual_seed),
    "state": (lambda: torch.get_rng_state().sum().item(), torch.manual_seed),
    "random": (random.random, random.seed),
    "random, state": (lambda: random.getstate()[1][0], random.seed),
    "numpy": (np.random.rand, np.random.seed),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_of_random_numbers_are_seen_anew(name: str) -> None:
    ask, seed = STREAMS[name]
    compiled = gw.compile(lambda x: (ask(), x + 1))
    kept = random.getstate(), np.random.get_state()
    try:
        with gw.config.patch(strict=True):
            for number in (3, 4, 3):
                seed(number)
                expected = ask()
                seed(number)
                assert compiled(X)[0] == expected
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


def _as_pytorchs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that its code holds to be PyTorch's own."""
    code: types.CodeType = function.__code__
    return types.FunctionType(code, vars(torch.random))


def _drop_in_fork(x: torch.Tensor) -> torch.Tensor:
    with fork_rng():
        manual_seed(3)
        return torch.nn.functional.dropout(x)


SEEDING: dict[str, Callable[..., Any]] = {
    "by itself": _as_pytorchs(lambda x: manual_seed(3) and torch.nn.functional.dropout(x)),
    "for a while": _as_pytorchs(_drop_in_fork),
    "deeper": _as_pytorchs(lambda x: (lambda y: manual_seed(3) and torch.rand_like(y))(x) + x),
}


@pytest.mark.parametrize("name", SEEDING)
def test_code_of_pytorchs_that_seeds_draws_the_same_at_each_call(name: str) -> None:
    """However deep it seeds: the draw is refused, and plain Python makes the call."""
    function = SEEDING[name]
    x = torch.randn(64)
    torch.manual_seed(1)
    expected = [(function(x), torch.rand(3)) for _ in range(3)]
    compiled = gw.compile(lambda x: (function(x), torch.rand(3)))

    torch.manual_seed(1)
    found = [compiled(x) for _ in range(3)]

    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


CONTEXTS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "grad mode": (torch.is_grad_enabled, torch.no_grad),
    "inference mode": (torch.is_inference_mode_enabled, torch.inference_mode),
    "profiler": (torch.autograd._profiler_enabled, torch.autograd.profiler.profile),
    "anomalies": (torch.is_anomaly_enabled, torch.autograd.detect_anomaly),
    "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda: torch.autocast("cpu")),
    "device": (torch.get_default_device, lambda: torch.device("meta")),
    "subclasses": (torch._C._is_torch_function_enabled, torch._C.DisableTorchFunctionSubclass),
    "replay of views": (
        torch._C._is_view_replay_enabled,
        lambda: torch.autograd._force_original_view_tracking(True),
    ),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts_around_calls_are_seen(name: str) -> None:
    ask, context = CONTEXTS[name]
    compiled = gw.compile(lambda x: (ask(), x + 1))
    outside = ask()
    with gw.config.patch(strict=True):
        for around in (contextlib.nullcontext, context, contextlib.nullcontext, context):
            with around():
                assert (ask() == outside) == (around is contextlib.nullcontext)
                assert compiled(X)[0] == ask()


def test_what_the_program_has_set_is_not_asked_for_again() -> None:
    def program(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), x @ x

    compiled = gw.compile(program, fullgraph=True)
    expected = program(X)
    with fresh(), gw.config.patch(strict=True):
        before = count_captures()
        for _ in range(3):
            *told, product = compiled(X)
            assert told == [*expected[:2]]
            assert torch.equal(product, expected[2])
        assert count_captures() == before + 1


def test_what_the_program_sets_for_good_is_told_at_each_call() -> None:
    def program(x):
        before = torch.get_num_threads()
        torch.set_num_threads(before + 1)
        return before, torch.get_num_threads(), x + 1

    compiled = gw.compile(program)
    before = torch.get_num_threads()
    try:
        with gw.config.patch(strict=True):
            for step in range(3):
                assert compiled(X)[:2] == (before + step, before + step + 1)
    finally:
        torch.set_num_threads(before)
