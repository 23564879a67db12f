"""One compiled function or module, and what happens to a call.

In: a target, options, calls.   Out: results.

A call runs the first variant whose guards hold. When none fits, one more is compiled under the target's lock. When that cannot
be done, the call runs eagerly: it is counted under its reason, and each reason is told of once.
"""

from __future__ import annotations

import functools
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, final

from graphwright.base.config import Config, config
from graphwright.base.counters import counters
from graphwright.base.errors import (
    GraphwrightError,
    GraphwrightWarning,
    InternalError,
    RecompileError,
    RecompileLimitExceeded,
    Unsupported,
)
from graphwright.base.garbage import GARBAGE_COLLECTIONS
from graphwright.base.ids import CompileId
from graphwright.base.logging import LogName, log
from graphwright.capture import Foreseen, ProgramRaised, is_compiling, is_eager_region
from graphwright.ir.guards import IdentityGuard
from graphwright.pipeline.freezing import find_hindrance
from graphwright.pipeline.jobs import Job
from graphwright.pipeline.obstacles import find_obstacle
from graphwright.pipeline.options import LEFT_OUT_BY_MODE, CompileOptions, Stance
from graphwright.pipeline.own_frames import is_own_frame
from graphwright.pipeline.plans import prepare_runtime
from graphwright.pipeline.revival import find_or_build
from graphwright.pipeline.session import SESSION, make_observer
from graphwright.runtime import MISSING, Dispatcher, Entry, GuardFailure, call_and_watch

if TYPE_CHECKING:
    from graphwright.ir.program import Break
    from graphwright.pipeline.breaks import Pieces

P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H")
Install = Callable[[Callable[..., Any]], None]
"""Puts a callable in the place that calls go to."""


@final
class _Entrances:
    """What calls of a target come in by, where no entry serves them.

    Holds the target by a weak reference: what serves calls holds this, and the target holds what serves calls. Who can call holds the
    target, as a rule; a copy of a compiled function that was made from its code alone does not, and runs eagerly when the target has gone.
    """

    def __init__(self, owner: CompiledTarget) -> None:
        self._owner: Final = weakref.ref(owner)
        self._target: Final = owner.target

    def first_call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Serve the calls that come before the target's dispatcher is in place."""
        owner = self._owner()
        return self._run(args, kwargs) if owner is None else owner.first_call(*args, **kwargs)

    def on_miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call that no entry serves."""
        owner = self._owner()
        return self._run(args, kwargs) if owner is None else owner.on_miss(args, kwargs)

    def run_again(self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call in plain Python whose graph has raised."""
        owner = self._owner()
        return self._run(args, kwargs) if owner is None else owner.run_again(error, args, kwargs)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        counters.add("eager", "released")
        text = "graphwright: a compiled function was called through a copy of its code after it had gone; the call runs eagerly"
        warnings.warn(text, GraphwrightWarning, stacklevel=_count_own_frames() + 1)
        return self._target(*args, **kwargs)


@final
class CompiledTarget:
    """A target and its compiled variants.

    Making one costs nothing. The first call makes what serves calls from then on, usually a builtin function, and has it
    installed where the calls come in, so that nothing stands between them.

    Args:
        target: the user's function or module.
        options: how to compile it.
        install: told what to call: at once, and again by the first call.
        pieces: those of the target that this one belongs to, if it is one itself.
        is_piece: calls give a `Resumption` where there is more to come.
    """

    def __init__(
        self,
        target: Callable[..., Any],
        options: CompileOptions,
        install: Install,
        *,
        pieces: Pieces | None = None,
        is_piece: bool = False,
    ) -> None:
        self.target: Final = target
        self.options: Final = options
        self._install = install
        self._pieces = pieces
        self._has_own_pieces = pieces is None
        self._is_piece = is_piece
        self._lock = threading.RLock()
        self._entrances: Final = _Entrances(self)
        self._id = SESSION.next_program()
        self._noticed: set[str] = set()
        self._gave_up = False
        self._dispatcher: Dispatcher | None = None
        SESSION.keep_target(self)
        self.follow_stance()

    def __del__(self) -> None:
        """Let the models and tensors that the variants look at go with the target, and not when garbage is next looked for."""
        dispatcher: Dispatcher | None = getattr(self, "_dispatcher", None)
        if dispatcher is None or sys.is_finalizing():
            return
        dispatcher.release()
        if self._has_own_pieces and self._pieces is not None:
            self._pieces.release()

    @property
    def entries(self) -> Sequence[Entry]:
        """The compiled variants, in the order in which they were made."""
        return () if self._dispatcher is None else self._dispatcher.entries

    def forget(self) -> None:
        """Forget the variants, what was told of, and that compiling was given up."""
        with self._lock:
            if self._dispatcher is not None:
                self._dispatcher.clear()
            self._noticed.clear()
            self._gave_up = False

    def follow_stance(self) -> None:
        """Have calls come in where the stance of the process wants them, so that the default one costs a call nothing."""
        with self._lock:
            self._install(self._entrance())

    def _entrance(self) -> Callable[..., Any]:
        if SESSION.stance is Stance.FORCE_EAGER:
            return self.target
        return self._entrances.first_call if self._dispatcher is None else self._dispatcher.function

    def first_call(self, *args: Any, **kwargs: Any) -> Any:
        """Serve the calls that come before `install` has taken effect."""
        return self._ready().function(*args, **kwargs)

    def _ready(self) -> Dispatcher:
        with self._lock:
            if self._dispatcher is None:
                prepare_runtime(config.snapshot(self.options.settings))
                self._dispatcher = Dispatcher(self._entrances.on_miss)
                self._install(self._entrance())
            return self._dispatcher

    def on_miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call that no entry serves: by one more, or eagerly."""
        if self._gave_up or is_compiling():
            return self.target(*args, **kwargs)
        if is_eager_region():
            counters.add("eager", "disabled")
            return self.target(*args, **kwargs)
        obstacle = find_obstacle(args, kwargs)
        if obstacle is not None:
            self._notice("unsupported_argument", f"{obstacle}; calls with it run eagerly")
            return self.target(*args, **kwargs)
        if SESSION.stance is not Stance.DEFAULT:
            return self._run_uncompiled(SESSION.stance, args, kwargs)
        settings = config.snapshot(self.options.settings)
        entry, failure = self._find_or_build(args, kwargs, settings)
        if entry is not None:
            result = entry.try_call(args, kwargs)
            if result is not MISSING:
                return result
            failure = self._unstable(entry, args, kwargs)
        try:
            result = self.target(*args, **kwargs)
            if failure is not None:
                # Eager accepts what the compiler failed on, so the fault is ours and not the user's.
                self._report(failure, settings)
            return result
        finally:
            del failure  # it would be part of a cycle with its own traceback

    def run_again(self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call in plain Python whose graph has raised: the exception comes from its line then."""
        if config.snapshot(self.options.settings).strict:
            result, raised = call_and_watch(self.target, args, kwargs)
            if not any(issubclass(kind, type(error)) for kind in raised):
                message = f"the graph of {self._name} raised what plain Python does not: {error!r}"
                raise InternalError(message) from error
        else:
            result = self.target(*args, **kwargs)
        # The program has a handler for it.
        text = f"its graph raised {type(error).__name__} ({error}), so the call was made in plain Python"
        self._notice("graph_raised", text)
        return result

    def _run_uncompiled(self, stance: Stance, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call that needs a new variant, while the stance forbids making one."""
        if stance is Stance.FAIL_ON_RECOMPILE:
            failure = self.entries[-1].explain_failure(args, kwargs) if self.entries else None
            reason = failure.render() if failure else "nothing was compiled for it yet"
            text = (
                f"{self._name}: no compiled variant serves this call: {reason}. The stance {stance!s} forbids compiling one: "
                "call it with such arguments before, or set another stance."
            )
            raise RecompileError(text)
        counters.add("eager", "stance")
        return self.target(*args, **kwargs)

    def _find_or_build(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], settings: Config
    ) -> tuple[Entry | None, Exception | None]:
        with self._lock:
            for entry in self.entries:  # another thread may have compiled it meanwhile
                if entry.serves(args, kwargs):
                    return entry, None
            if self._gave_up or self._is_at_limit(args, kwargs, settings):
                return None, None
            try:
                with GARBAGE_COLLECTIONS.put_off(leaves_garbage=True):
                    entry = self._build(args, kwargs, settings)
            except Unsupported as error:
                if self.options.fullgraph:
                    raise
                self._gave_up = True
                self._notice("unsupported", f"it runs eagerly: {error}")
                log(LogName.GRAPH_BREAKS).info("%s runs eagerly: %s", self._name, error)
                return None, None
            except (InternalError, ProgramRaised) as error:
                if settings.strict and isinstance(error, InternalError):
                    raise
                return None, error
            except GraphwrightError:
                raise
            except Exception as error:  # noqa: BLE001  (the frame fallback: eager will tell whose fault it is)
                return None, error
            entry.on_failure = self._entrances.run_again
            self._ready().add(entry)
            return entry, None

    def _build(self, args: tuple[Any, ...], kwargs: dict[str, Any], settings: Config) -> Entry:
        if self.entries:
            counters.add("capture", "recompiles")
            self._log_recompile(args, kwargs)
        self._notice_options()
        observer = make_observer(CompileId(self._id.program, len(self.entries)))
        job = Job(
            self.target,
            args,
            kwargs,
            self.options,
            settings,
            observer,
            make_go_on=None if self.options.fullgraph else self._make_go_on,
            on_fault=None if settings.strict else self._tell_fault,
            earlier=[entry.program for entry in self.entries],
        )
        entry = find_or_build(job)
        hindrance = find_hindrance(entry.program) if settings.freezing else ""
        if hindrance:
            self._notice("freezing", f"`gw.config.freezing` does nothing for it: {hindrance}")
        return entry

    def _make_go_on(
        self, ends_at: Break, code: types.CodeType, foreseen: Foreseen | None
    ) -> Callable[..., Any]:
        """Make what a call goes on with after a graph break; called while a program is made, under the lock."""
        from graphwright.pipeline.breaks import Pieces  # noqa: PLC0415  (few programs have a break)

        if self._pieces is None:
            self._pieces = Pieces(functools.partial(_compile_piece, self.options))
        return self._pieces.make_go_on(ends_at, code, foreseen, is_piece=self._is_piece)

    def _is_at_limit(self, args: tuple[Any, ...], kwargs: dict[str, Any], settings: Config) -> bool:
        if len(self.entries) < settings.recompile_limit:
            return False
        failure = self.entries[-1].explain_failure(args, kwargs)
        text = (
            f"{len(self.entries)} variants were compiled, which is `gw.config.recompile_limit`; calls that fit none of them "
            f"run eagerly. {failure.render() if failure else ''}. {_remedy_for(failure)}"
        )
        if self.options.fullgraph:
            raise RecompileLimitExceeded(f"{self._name}: {text}")
        self._notice("recompile_limit", text)
        return True

    def _log_recompile(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        logger = log(LogName.RECOMPILES)
        for index, entry in enumerate(self.entries):
            failure = entry.explain_failure(args, kwargs)
            if failure is not None:
                logger.info("%s: variant %d: %s", self._name, index, failure.render())

    def _notice_options(self) -> None:
        mode = self.options.mode
        if mode in LEFT_OUT_BY_MODE:
            text = f"the mode {mode!s} compiles as the default one does: {LEFT_OUT_BY_MODE[mode]}"
            self._warn_once("mode", text)

    def _unstable(
        self, entry: Entry, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> InternalError:
        failure = entry.explain_failure(args, kwargs)
        text = failure.render() if failure else "the guards hold by now"
        return InternalError(f"the new variant of {self._name} does not serve its own call: {text}")

    def _tell_fault(self, fault: InternalError) -> None:
        counters.add("capture", "internal_failures")
        text = f"capturing it failed, so the graph breaks there; this is a bug of graphwright's: {fault}"
        self._notice("internal_failure", text)

    def _report(self, failure: Exception, settings: Config) -> None:
        counters.add("capture", "internal_failures")
        if settings.strict:
            message = f"compiling {self._name} failed, and eager did not: {failure!r}"
            raise InternalError(message) from failure
        self._gave_up = True
        reason = f"{type(failure).__name__}: {failure}"
        text = f"compiling it failed, so it runs eagerly; this is a bug of graphwright's: {reason}"
        self._notice("internal_failure", text)

    def _notice(self, reason: str, text: str) -> None:
        counters.add("eager", reason)
        self._warn_once(reason, text)

    def _warn_once(self, reason: str, text: str) -> None:
        if reason not in self._noticed:
            self._noticed.add(reason)
            message = f"graphwright: {self._name}: {text}"
            warnings.warn(message, GraphwrightWarning, stacklevel=_count_own_frames() + 1)

    @property
    def _name(self) -> str:
        named = self.target if hasattr(self.target, "__qualname__") else type(self.target)
        return str(getattr(named, "__qualname__", named))


def make_install(holder: H, put: Callable[[H, Callable[..., Any]], None]) -> Install:
    """Make what installs the calls of a target in the object that holds the target, and does not hold the object.

    Args:
        holder: the object.
        put: puts a callable in its place there.
    """
    held = weakref.ref(holder)

    def install(call: Callable[..., Any]) -> None:
        found = held()
        if found is not None:
            put(found, call)

    return install


def _remedy_for(failure: GuardFailure | None) -> str:
    """Say what to do about a guard that fails again and again."""
    guard = None if failure is None else failure.guard
    if isinstance(guard, IdentityGuard) and failure is not None and "<locals>" in failure.expected:
        return "Each call of a function that defines a class makes another one: define it outside."
    return "Raise the limit, or keep that value from changing."


def _count_own_frames() -> int:
    """Count the frames between the line of the user's that made the call and the caller of this; code that was generated is ours."""
    count = 0
    frame: types.FrameType | None = sys._getframe(1)  # noqa: SLF001  (the documented way)
    while frame is not None and is_own_frame(frame):
        count += 1
        frame = frame.f_back
    return count


def _compile_piece(
    options: CompileOptions, pieces: Pieces, target: Callable[..., Any], *, is_piece: bool
) -> Callable[..., Any]:
    """Compile a continuation, or a function that a break was met in."""
    place = _Place(target)
    install = make_install(place, _Place.install)
    place.owner = CompiledTarget(target, options, install, pieces=pieces, is_piece=is_piece)
    return place


class _Place:
    """Where the calls of a piece go."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.owner: CompiledTarget | None = None

    def install(self, call: Callable[..., Any]) -> None:
        """Let calls go elsewhere."""
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)


def compile_function(function: Callable[P, R], options: CompileOptions) -> Callable[P, R]:
    """Give the compiled form of a function: a function with its name and documentation; `._compiled_target` is the target."""
    call: Callable[..., Any] = function

    def install(serve: Callable[..., Any]) -> None:
        nonlocal call
        call = serve

    target = CompiledTarget(function, options, install)

    @functools.wraps(function)
    def compiled(*args: P.args, **kwargs: P.kwargs) -> R:
        result: R = call(*args, **kwargs)
        return result

    vars(compiled)["_compiled_target"] = target
    return compiled


def uncompiled(function: Any) -> Any:
    """Give what a compiled function was made from; anything else as it is."""
    # A wrapper of the user's may have taken over the attributes, so the code must be of this module too.
    if isinstance(function, types.FunctionType) and function.__globals__ is globals():
        target = vars(function).get("_compiled_target")
        if isinstance(target, CompiledTarget):
            return target.target
    return function
