"""How one target is to be compiled, checked.

In: what the user wrote.   Out: `CompileOptions`, or an error that names the nearest valid word.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from graphwright.base.config import config, nearest
from graphwright.base.errors import ConfigError

BackendFunction = Callable[[torch.fx.GraphModule, list[Any]], Callable[..., Any]]
"""A user's backend: takes the captured torch-level graph and example inputs (tensors, and ints for symbolic ones), gives what runs in
its place."""


class BackendKind(enum.StrEnum):
    """What runs a captured program."""

    NATIVE = "native"
    """Own kernels and planned memory."""
    ATEN = "aten"
    """The functional ATen graph, by eager kernels."""
    EAGER = "eager"
    """The captured torch-level graph, as captured."""


class Mode(enum.StrEnum):
    """What compiling aims at; the names are `torch.compile`'s."""

    DEFAULT = "default"
    REDUCE_OVERHEAD = "reduce-overhead"
    """Calls that are recorded and replayed."""
    MAX_AUTOTUNE = "max-autotune"
    """Kernels that were tried out against each other."""


LEFT_OUT_BY_MODE: Final[Mapping[Mode, str]] = {
    Mode.REDUCE_OVERHEAD: (
        "calls are not recorded and replayed; on CPU a call runs native code on memory planned ahead either way"
    ),
    Mode.MAX_AUTOTUNE: (
        "kernels are not tried out against each other; how they are made follows from sizes and layouts alone"
    ),
}
"""What a mode promises and is not done, and what is done instead."""


class Stance(enum.StrEnum):
    """What all compiled functions and modules do; the names are PyTorch's."""

    DEFAULT = "default"
    """Serve calls by what was compiled, and compile what is missing."""
    FORCE_EAGER = "force_eager"
    """Run everything eagerly."""
    EAGER_ON_RECOMPILE = "eager_on_recompile"
    """Serve calls by what was compiled, and run the others eagerly."""
    FAIL_ON_RECOMPILE = "fail_on_recompile"
    """Serve calls by what was compiled, and raise for the others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """How one target is to be compiled; the public meaning of each field is at `graphwright.api.compile`."""

    fullgraph: bool = False
    dynamic: bool | None = None
    backend: BackendKind | BackendFunction = BackendKind.NATIVE
    mode: Mode = Mode.DEFAULT
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)


def make_options(
    *,
    fullgraph: bool,
    dynamic: bool | None,
    backend: str | BackendFunction,
    mode: str | None,
    settings: Mapping[str, object] | None,
) -> CompileOptions:
    """Check what a user asked for.

    Raises:
        ConfigError: an unknown backend, mode or option, or an option's value of the wrong type.
    """
    options = CompileOptions(
        fullgraph=fullgraph,
        dynamic=dynamic,
        backend=_checked_backend(backend),
        mode=_checked_mode(mode),
        settings=dict(settings or {}),
    )
    config.snapshot(options.settings)
    return options


def checked_kind(name: str) -> BackendKind:
    """Give the backend of this name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return BackendKind(name)
    except ValueError:
        hint = nearest(name, list(BackendKind))
        raise ConfigError.for_name(name, what="backend", nearest=hint) from None


def checked_stance(name: str) -> Stance:
    """Give the stance of this name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return Stance(name)
    except ValueError:
        hint = nearest(str(name), list(Stance))
        raise ConfigError.for_name(str(name), what="stance", nearest=hint) from None


def _checked_backend(backend: Any) -> BackendKind | BackendFunction:
    if isinstance(backend, str):
        return checked_kind(backend)
    if not callable(backend):
        expects = "the name of a backend, or a function of a graph and its example inputs"
        raise ConfigError.for_value("backend", backend, expects=expects)
    function: BackendFunction = backend
    return function


def _checked_mode(mode: str | None) -> Mode:
    if mode is None:
        return Mode.DEFAULT
    try:
        return Mode(mode)
    except ValueError:
        hint = nearest(str(mode), list(Mode))
        raise ConfigError.for_name(str(mode), what="mode", nearest=hint) from None
