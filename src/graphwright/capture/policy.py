"""Which Python code is interpreted and which runs as it is.

In: functions and classes that the program calls.   Out: a decision, made from where the code lives.

PyTorch's own Python runs natively on abstract tensors, unless it is handed an object of the user's (a module, a callback): then
it is interpreted, so that what it reads of that object is guarded. Everything else that is Python is interpreted.
"""

from __future__ import annotations

import types
from typing import Final

_TORCH_USER_LEVEL: Final = ("torch.utils._contextlib", "torch.nn.modules", "torch.nn.parallel")
"""Modules of PyTorch's that are no more than user code: wrappers round a user's function, `forward` methods."""

CALLBACKS_MODULE: Final = "graphwright.capture.natives"
"""Where the functions are made that native code calls in place of the program's."""

_NATIVE_STDLIB: Final = frozenset(
    {
        "re",
        "math",
        "copyreg",
        "inspect",
        "string",
        "textwrap",
        "decimal",
        "fractions",
        "numbers",
        "json",
        "json.encoder",
        "json.decoder",
        "statistics",
        "ast",
        "abc",
        "_py_abc",
        "enum",
        "typing",
        "typing_extensions",
        "types",
        "importlib",
        "importlib._bootstrap",
        "importlib.metadata",
        "packaging.version",
        "packaging._structures",
        "posixpath",
        "os",
        "genericpath",
        "keyword",
        "dis",
        "linecache",
        "tokenize",
        "reprlib",
        "pprint",
        "sre_compile",
        "re._compiler",
    }
)
"""Pure modules of the standard library whose functions see nothing but their arguments."""


_OF_FILES: Final = frozenset({"os", "posixpath", "genericpath"})
"""Modules whose functions may look at files, and at the environment."""

_OF_NAMES: Final = frozenset(
    {
        *("join", "split", "splitext", "_splitext", "splitdrive", "basename", "dirname", "isabs"),
        *("normcase", "normpath", "commonpath", "commonprefix", "_get_sep", "_fspath"),
        *("fsencode", "fsdecode", "_check_arg_types"),
    }
)
"""Those of their functions that see no more than the names they are given."""


def is_torch_module_name(name: object) -> bool:
    """Tell whether a module of this name is part of PyTorch."""
    return isinstance(name, str) and (name == "torch" or name.startswith("torch."))


def _is_native_module(name: object) -> bool:
    if not isinstance(name, str):
        return False
    if name == "graphwright" or name.startswith("graphwright."):
        return True
    if is_torch_module_name(name):
        return not name.startswith(_TORCH_USER_LEVEL)
    return name in _NATIVE_STDLIB or name == CALLBACKS_MODULE


def is_native_function(function: types.FunctionType) -> bool:
    """Tell whether a Python function runs natively (as long as its arguments are plain)."""
    name = function.__globals__.get("__name__")
    if not _is_native_module(name) or (name in _OF_FILES and function.__name__ not in _OF_NAMES):
        return False
    if function.__closure__ is None:
        return True
    if name in _NATIVE_STDLIB:
        return False
    return not any(map(_holds_user_function, function.__closure__))


def _holds_user_function(cell: types.CellType) -> bool:
    try:
        content = cell.cell_contents
    except ValueError:
        return False
    if isinstance(content, types.MethodType):
        content = content.__func__
    if not isinstance(content, types.FunctionType):
        return False
    return not _is_native_module(content.__globals__.get("__name__"))


def is_torch_class(kind: type) -> bool:
    """Tell whether a class is PyTorch's own, so that its construction runs natively on plain arguments."""
    return is_torch_module_name(kind.__module__)
