"""The public entry points: `compile` and `reset`.

In: a user's function, method or module, and how it is to be compiled.   Out: a callable that behaves like the original.
Does not: know how compiling works (see `pipeline.py`); it checks what the user wrote and gives back an object of the
right form.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar, overload

import torch

from graphwright.pipeline import (
    BackendFunction,
    CompiledTarget,
    CompileOptions,
    compile_function,
    forget_all,
    make_options,
)

P = ParamSpec("P")
R = TypeVar("R")


class CompiledModule(torch.nn.Module):
    """A module that runs compiled and shares everything else with the module it was made from.

    Its `__dict__` *is* the original's, so parameters, buffers, submodules, hooks, `training` and all other attributes are
    the same on both, and `state_dict` has the original's keys. The original is `._orig_mod`.
    """

    __slots__ = ("_call", "_compiled_target", "_orig_mod")

    def __init__(self, module: torch.nn.Module, options: CompileOptions) -> None:
        # `torch.nn.Module.__init__` would make fresh state; there must be only one.
        object.__setattr__(self, "__dict__", module.__dict__)
        object.__setattr__(self, "_orig_mod", module)
        install = functools.partial(object.__setattr__, self, "_call")
        target = CompiledTarget(module, options, install)
        object.__setattr__(self, "_compiled_target", target)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module, compiled."""
        return self._call(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module, compiled."""
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._orig_mod, name)

    def __getitem__(self, key: Any) -> Any:
        return self._orig_mod[key]

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._orig_mod)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._orig_mod), "_orig_mod"})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._orig_mod!r})"

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Copying or pickling gives a compiled module around a copy of the original."""
        return CompiledModule, (self._orig_mod, self._compiled_target.options)


def _compile_method(method: types.MethodType, options: CompileOptions) -> types.MethodType:
    return types.MethodType(compile_function(method.__func__, options), method.__self__)


@overload
def compile(
    model: Callable[P, R],
    *,
    fullgraph: bool = ...,
    dynamic: bool | None = ...,
    backend: str | BackendFunction = ...,
    mode: str | None = ...,
    options: Mapping[str, object] | None = ...,
    disable: bool = ...,
) -> Callable[P, R]: ...


@overload
def compile(
    model: None = ...,
    *,
    fullgraph: bool = ...,
    dynamic: bool | None = ...,
    backend: str | BackendFunction = ...,
    mode: str | None = ...,
    options: Mapping[str, object] | None = ...,
    disable: bool = ...,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def compile(  # noqa: PLR0913  (the arguments are torch.compile's)
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | BackendFunction = "native",
    mode: str | None = None,
    options: Mapping[str, object] | None = None,
    disable: bool = False,
) -> Any:
    """Compile a function, a method or an `nn.Module`; also a decorator, bare or with arguments.

    Nothing is compiled until the first call. A call with inputs that no compiled variant was made for compiles one more.

    Args:
        model: what to compile. An `nn.Module` gives back a module with the same parameters, `state_dict` and attributes;
            the original is `._orig_mod`. Left out, a decorator is returned.
        fullgraph: raise `gw.errors.Unsupported` where something cannot be captured, rather than run it eagerly.
        dynamic: `False` specialises on every size. `None` and `True` ask for symbolic sizes where they pay; this version
            specialises, and says so once for `True`.
        backend: `"native"` (LLVM on CPU), `"aten"` (functional ATen graphs run by eager kernels), `"eager"` (the captured
            graph as captured), or a function `f(gm: torch.fx.GraphModule, example_inputs) -> callable`.
        mode: `"default"`, `"reduce-overhead"` or `"max-autotune"`.
        options: settings of `gw.config`, by name, that hold for this program only.
        disable: give `model` back as it is.

    Returns:
        A callable of the same signature, or a decorator.

    Raises:
        TypeError: `model` cannot be called.
        gw.errors.ConfigError: an unknown backend, mode or option; the text names the nearest valid one.
    """
    checked = make_options(
        fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, settings=options
    )
    if model is None:
        return functools.partial(
            compile,
            fullgraph=fullgraph,
            dynamic=dynamic,
            backend=backend,
            mode=mode,
            options=options,
            disable=disable,
        )
    if not callable(model):
        message = (
            f"gw.compile takes a function, a method or an nn.Module, and was given {model!r} of type "
            f"{type(model).__name__}; pass the callable itself, not the result of calling it"
        )
        raise TypeError(message)
    if disable:
        return model
    match model:
        case CompiledModule():
            return CompiledModule(model._orig_mod, checked)  # noqa: SLF001  (a name users know)
        case torch.nn.Module():
            return CompiledModule(model, checked)
        case types.MethodType():
            return _compile_method(model, checked)
        case _:
            return compile_function(model, checked)


def reset() -> None:
    """Forget every compiled program of this process; caches on disk stay."""
    forget_all()
