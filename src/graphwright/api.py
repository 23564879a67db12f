"""The public entry points: `compile`, what keeps functions from being compiled, and `reset`.

In: a user's function, method or module, and how it is to be compiled, if at all.   Out: a callable that behaves like the original.
Does not: know how compiling works (see `pipeline.py`); it checks what the user wrote and gives back an object of the
right form.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar, overload

import torch

from graphwright.base.config import config
from graphwright.capture import ALLOWED, make_disabled, mark_outside, original_of_disabled
from graphwright.pipeline import (
    BackendFunction,
    CompiledTarget,
    CompileOptions,
    Explanation,
    compile_function,
    explain_call,
    forget_all,
    make_install,
    make_options,
    uncompiled,
)

P = ParamSpec("P")
R = TypeVar("R")


class _SharedModule(torch.nn.Module):
    """A module that is called in a way of its own and shares everything else with the module it was made from.

    Its `__dict__` *is* the original's, so parameters, buffers, submodules, hooks, `training` and all other attributes are
    the same on both, and `state_dict` has the original's keys. The original is `._orig_mod`.
    """

    __slots__ = ("_call", "_orig_mod")

    def __init__(self, module: torch.nn.Module) -> None:
        # `torch.nn.Module.__init__` would make fresh state; there must be only one.
        object.__setattr__(self, "__dict__", module.__dict__)
        object.__setattr__(self, "_orig_mod", module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module in the form's own way."""
        return self._call(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module in the form's own way."""
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


def _set_call(module: _SharedModule, call: Callable[..., Any]) -> None:
    object.__setattr__(module, "_call", call)


class CompiledModule(_SharedModule):
    """A module that runs compiled."""

    __slots__ = ("_compiled_target",)

    def __init__(self, module: torch.nn.Module, options: CompileOptions) -> None:
        super().__init__(module)
        target = CompiledTarget(module, options, make_install(self, _set_call))
        object.__setattr__(self, "_compiled_target", target)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Copying or pickling gives a compiled module around a copy of the original."""
        return CompiledModule, (self._orig_mod, self._compiled_target.options)


class DisabledModule(_SharedModule):
    """A module that programs do not capture a call of."""

    __slots__ = ("_how",)

    def __init__(self, module: torch.nn.Module, *, is_recursive: bool, reason: str | None) -> None:
        super().__init__(module)
        call = make_disabled(module, is_recursive=is_recursive, reason=reason)
        object.__setattr__(self, "_call", call)
        how = functools.partial(DisabledModule, is_recursive=is_recursive, reason=reason)
        object.__setattr__(self, "_how", how)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Copying or pickling gives a disabled module around a copy of the original."""
        return self._how, (self._orig_mod,)


def _compile_method(method: types.MethodType, options: CompileOptions) -> types.MethodType:
    return types.MethodType(compile_function(method.__func__, options), method.__self__)


def _innermost(model: Any) -> Any:
    """Give what a compiled or disabled function or module was made from; anything else as it is."""
    while True:
        inner: Any = original_of_disabled(uncompiled(model))
        if isinstance(model, _SharedModule):
            inner = model._orig_mod  # noqa: SLF001  (a name users know)
        elif isinstance(model, types.MethodType):
            function = _innermost(model.__func__)
            inner = model if function is model.__func__ else function.__get__(model.__self__)
        if inner is model:
            return model
        model = inner


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


@mark_outside
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
        dynamic: whether one variant serves calls of many sizes. `None`: the first call's sizes and ints are taken as they are;
            those that differ in a later call are symbols from then on, and further values of them compile nothing more.
            `True`: all sizes of arguments, and int arguments, are symbols from the start. `False`: each set of sizes is a
            variant. Sizes of 0 and 1, and those of parameters and buffers, are never symbols; what the program needs the
            value of (a loop's length, a text) is fixed for the variant.
        backend: `"native"` (LLVM on CPU), `"aten"` (functional ATen graphs run by eager kernels), `"eager"` (the captured
            graph as captured), or a function `f(gm: torch.fx.GraphModule, example_inputs) -> callable`.
        mode: `"default"`, or `"reduce-overhead"` or `"max-autotune"`, which so far compile as the default does and say so once:
            calls are not recorded and replayed, and kernels are not tried out against each other.
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
    model = _innermost(model)
    match model:
        case torch.nn.Module():
            return CompiledModule(model, checked)
        case types.MethodType():
            return _compile_method(model, checked)
        case _:
            return compile_function(model, checked)


@overload
def disable(
    fn: Callable[P, R], *, recursive: bool = ..., reason: str | None = ...
) -> Callable[P, R]: ...


@overload
def disable(
    fn: None = ..., *, recursive: bool = ..., reason: str | None = ...
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


@mark_outside
def disable(fn: Any = None, *, recursive: bool = True, reason: str | None = None) -> Any:
    """Keep a function, method, module or class out of compiled programs; also a decorator, bare or with arguments.

    A call of it inside a compiled function ends the graph, and it runs eagerly. What was compiled is taken back: a compiled
    function is disabled as the function it was made from.

    Args:
        fn: what to disable. Of a class, its instances' construction and call are. Left out, a decorator is returned.
        recursive: compile nothing that it calls either, while it runs: compiled functions serve calls by what is compiled
            already, and run the others eagerly.
        reason: why, for people; it stands in errors and logs.

    Returns:
        A callable of the same signature (a module with the same parameters and attributes; the class itself), or a decorator.

    Raises:
        TypeError: `fn` cannot be called.
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    if not callable(fn):
        message = f"gw.disable takes something that can be called, and was given {fn!r} of type {type(fn).__name__}"
        raise TypeError(message)
    inner = _innermost(fn)
    match inner:
        case type():
            return _disable_class(inner, is_recursive=recursive, reason=reason)
        case torch.nn.Module():
            return DisabledModule(inner, is_recursive=recursive, reason=reason)
        case types.MethodType():
            made = make_disabled(inner.__func__, is_recursive=recursive, reason=reason)
            return types.MethodType(made, inner.__self__)
        case _:
            return make_disabled(inner, is_recursive=recursive, reason=reason)


def _disable_class(kind: type, *, is_recursive: bool, reason: str | None) -> type:
    """Disable the construction and the call of a class's instances, in the class itself."""
    names = ["__init__", "__call__", "_call_impl"]
    own = {name for base in kind.__mro__ if base is not object for name in base.__dict__}
    for name in own.intersection(names):
        made = make_disabled(getattr(kind, name), is_recursive=is_recursive, reason=reason)
        setattr(kind, name, made)
    return kind


@mark_outside
def allow_in_graph(fn: Any) -> Any:
    """Take a function into compiled programs as it is: one call in the torch-level graph, whatever it does inside.

    The function runs natively while a program is captured, on tensors without data. Nothing that it reads beside its
    arguments is guarded, so it must depend on them alone, and must give tensors, or tuples, lists and dicts of them.
    To be called before what uses the function is compiled.

    Args:
        fn: the function, or a list or tuple of functions.

    Returns:
        `fn`.

    Raises:
        TypeError: `fn` cannot be called.
    """
    if isinstance(fn, list | tuple):
        return [allow_in_graph(one) for one in fn]
    if not callable(fn) or isinstance(fn, torch.nn.Module):
        message = (
            f"gw.allow_in_graph takes a function, and was given {fn!r} of type {type(fn).__name__}"
        )
        raise TypeError(message)
    ALLOWED.add(fn)
    return fn


@mark_outside
def explain(fn: Callable[..., Any], **options: Any) -> Callable[..., Explanation]:
    """Tell what becomes of a call: graphs, graph breaks with their reasons, guards, kernels, times.

    `print(gw.explain(fn)(*args))` compiles `fn` anew for that call (what was compiled of it before is not used, nor is the cache of
    programs) and runs it once.

    Args:
        fn: a function, method or module, compiled or not.
        options: as for `gw.compile`.

    Returns:
        A callable of the same arguments, which gives the report: its text is for people, its fields are data (`graphs`,
        `graph_breaks`, `captures`, `guards`, `seconds`, `eager`).

    Raises:
        TypeError: `fn` cannot be called.
    """
    compiled: Callable[..., Any] = compile(_innermost(fn), **options)

    def explain_one_call(*args: Any, **kwargs: Any) -> Explanation:
        with config.patch(disk_cache=False):
            return explain_call(lambda: compiled(*args, **kwargs))

    return explain_one_call


@mark_outside
def reset() -> None:
    """Forget every compiled program of this process; caches on disk stay."""
    forget_all()
