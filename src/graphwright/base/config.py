"""Every setting of graphwright, and the object `gw.config` that holds their values.

In: assignments, `patch`, per-program options, and `GRAPHWRIGHT_<NAME>` from the environment.   Out: a `Config` whose attributes
are typed; `snapshot` gives one that cannot change, which is what a compile is handed.
Keeps: a value is of its setting's type, always; a name that does not exist is an error that names the nearest one.
"""

from __future__ import annotations

import contextlib
import enum
import os
import warnings
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Final, Self, final

from graphwright.base.errors import ConfigError
from graphwright.base.settings import (
    Role,
    Setting,
    choice,
    flag,
    nearest,
    text,
    whole_number,
)

__all__ = ["Config", "ConfigPatch", "Wrapper", "config", "nearest"]

_PREFIX: Final = "GRAPHWRIGHT_"


class Wrapper(enum.StrEnum):
    """What runs the plan of a compiled program."""

    NATIVE = "native"
    """A native function: guards, allocation, kernels and ATen calls without Python in between."""
    PYTHON = "python"
    """Readable Python source, which does the same steps slowly and can be stepped through."""


@final
class Config:
    """The settings, as attributes.

    Args:
        values: values by name that differ from the defaults; already checked.
        is_frozen: whether an assignment is an error.
    """

    wrapper = choice(
        Wrapper.NATIVE,
        role=Role.OUTPUT,
        doc="What runs a compiled program: native code, or readable Python that does the same steps.",
    )
    num_threads = whole_number(
        0,
        role=Role.OUTPUT,
        doc="Threads that a kernel is divided among; 0 means as many as `torch.get_num_threads()` says when compiling.",
    )
    freezing = flag(
        default=False,
        role=Role.OUTPUT,
        doc="Take the parameters and buffers of modules as fixed in programs that are compiled without gradients (`torch.no_grad()`, "
        "`torch.inference_mode()`) and for one set of sizes: what depends on them alone is computed once, and the weights of "
        "matrix products are laid out anew, which takes memory for a second copy of them. A change in place, "
        "`load_state_dict` and other tensors in their place are seen, and it is computed again; changes through `.data` of the "
        "same memory (`p.data.add_(1)`), through NumPy or through raw pointers are not seen.",
    )
    cache_key_tag = text(
        "",
        role=Role.OUTPUT,
        doc="Part of every cache key: programs compiled under another tag are not found.",
    )
    strict_numerics = flag(
        default=False,
        role=Role.OUTPUT,
        doc="Pointwise ops give the very bits that eager gives: nothing is reassociated or contracted, and what own code would "
        "compute in other steps than eager is called instead. Slower.",
    )
    emulate_precision_casts = flag(
        default=True,
        role=Role.OUTPUT,
        doc="Round bfloat16 and float16 values between two ops of one kernel as eager does, which stores them; without it they "
        "stay in float32, which is closer to the exact value and further from eager's.",
    )
    fast_random = flag(
        default=False,
        role=Role.OUTPUT,
        doc="Compute random numbers in the kernels that use them: quicker, and other numbers than eager's, though the same ones "
        "for the same `torch.manual_seed`.",
    )
    recompile_limit = whole_number(
        8,
        role=Role.VIEW,
        minimum=1,
        doc="Variants of one function that are compiled; further inputs that fit none of them run eagerly.",
    )
    specialised_sizes = whole_number(
        64,
        role=Role.VIEW,
        minimum=1,
        doc="Sets of sizes for which a program with symbolic sizes keeps its code; the one used longest ago goes first.",
    )
    strict = flag(
        default=False,
        role=Role.VIEW,
        doc="Raise what went wrong inside the compiler, where the function would otherwise run eagerly and be counted.",
    )
    verify = flag(
        default=False,
        role=Role.VIEW,
        doc="Check the invariants of the intermediate programs between the passes.",
    )
    disk_cache = flag(
        default=True,
        role=Role.VIEW,
        doc="Keep what was compiled on disk, for this process and later ones.",
    )
    cache_dir = text(
        "",
        role=Role.VIEW,
        doc="The folder of the cache; empty means `graphwright` in the user's cache folder.",
    )
    logs = text(
        "",
        role=Role.VIEW,
        doc="Names of the logs to print, with commas between them; see `gw.logging.set_logs`.",
    )
    trace = text(
        "",
        role=Role.VIEW,
        doc="A folder for one structured trace per process, as JSON lines; empty means none.",
    )

    __slots__ = ("_is_frozen", "_values")
    _values: dict[str, object]
    _is_frozen: bool

    def __init__(
        self, values: Mapping[str, object] = MappingProxyType({}), *, is_frozen: bool = False
    ) -> None:
        # The mapping is replaced as a whole and never changed in place, so that a snapshot may share it.
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "_is_frozen", is_frozen)

    @classmethod
    def settings(cls) -> dict[str, Setting[object]]:
        """Give every setting by name, in the order of their declaration."""
        return {name: item for name, item in vars(cls).items() if isinstance(item, Setting)}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Give the settings whose defaults `GRAPHWRIGHT_<NAME>` in `environment` changes.

        Raises:
            ConfigError: a variable has a value that its setting does not take.

        Warns:
            UserWarning: a variable with the prefix belongs to no setting.
        """
        settings = {setting.environment_name: setting for setting in cls.settings().values()}
        values: dict[str, object] = {}
        for name in sorted(name for name in environment if name.startswith(_PREFIX)):
            if name in settings:
                values[settings[name].name] = settings[name].parsed(environment[name])
            else:
                hint = nearest(name, settings)
                message = f"the environment variable {name} sets nothing"
                warnings.warn(f"{message}; did you mean {hint}?" if hint else message, stacklevel=2)
        return cls(values)

    def read(self, name: str) -> object:
        """Give the value of the setting `name`.

        Raises:
            ConfigError: there is no such setting.
        """
        setting = self._setting(name)
        return self._values.get(name, setting.default)

    def write(self, name: str, value: object) -> None:
        """Set the setting `name`.

        Raises:
            ConfigError: there is no such setting, the value is not one for it, or these settings are a snapshot.
        """
        checked = self._setting(name).checked(value)
        if self._is_frozen:
            raise ConfigError(name, problem="belongs to a snapshot, which does not change")
        object.__setattr__(self, "_values", {**self._values, name: checked})

    def snapshot(self, options: Mapping[str, object] = MappingProxyType({})) -> Config:
        """Give the settings as they are now, with `options` in the place of some, unchangeable.

        Raises:
            ConfigError: an option is no setting, or its value is not one for it.
        """
        changed = {name: self._setting(name).checked(value) for name, value in options.items()}
        return Config({**self._values, **changed}, is_frozen=True)

    def output_settings(self) -> dict[str, str]:
        """Give the settings that change what a program compiles to, as text: a part of every cache key."""
        return {
            name: str(self.read(name))
            for name, setting in self.settings().items()
            if setting.is_output
        }

    def patch(self, **values: object) -> ConfigPatch:
        """Change settings for the length of a `with` block or of a call to a decorated function, for all threads.

        Raises:
            ConfigError: a name is no setting, or its value is not one for it.
        """
        checked = {name: self._setting(name).checked(value) for name, value in values.items()}
        return ConfigPatch(self, checked)

    def __setattr__(self, name: str, value: object) -> None:
        self.write(name, value)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.read(name)

    def __dir__(self) -> list[str]:
        return sorted({*self.settings(), "patch", "snapshot"})

    def __repr__(self) -> str:
        values = (f"{name}={self.read(name)!r}" for name in self.settings())
        return f"Config({', '.join(values)})"

    def _setting(self, name: str) -> Setting[object]:
        known = self.settings()
        if name not in known:
            raise ConfigError.for_name(name, what="setting", nearest=nearest(name, known))
        return known[name]


@final
class ConfigPatch(contextlib.ContextDecorator):
    """A change of settings that ends: a context manager and a decorator, which may be entered again while it is in force.

    Args:
        target: the settings to change.
        values: checked values by name.
    """

    def __init__(self, target: Config, values: Mapping[str, object]) -> None:
        self._target = target
        self._patched = dict(values)
        self._before: list[dict[str, object]] = []

    def __enter__(self) -> Self:
        self._before.append({name: self._target.read(name) for name in self._patched})
        for name, value in self._patched.items():
            self._target.write(name, value)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name, value in self._before.pop().items():
            self._target.write(name, value)


config: Final = Config.from_environment(os.environ)
"""The settings of this process, `gw.config`."""
