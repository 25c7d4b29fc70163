"""Pickles of other programs, read without running what is in them.

A pickle may name any function to be called. Here only what makes up NumPy arrays and plain Python values is known;
anything else is an error, not a call.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

from caffelite.errors import DataError, MissingFileError

_MODULES = {"numpy.core.multiarray": "numpy._core.multiarray", "numpy.core.numeric": "numpy._core.numeric"}
_KNOWN = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # how newer Pythons write bytes for older ones
    ("collections", "OrderedDict"),
}
_PLAIN = {
    "bytes",
    "set",
    "frozenset",
    "bytearray",
    "complex",
    "slice",
    "range",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
    "str",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = _MODULES.get(module, module)
        if module in ("builtins", "__builtin__") and name in _PLAIN:
            return super().find_class("builtins", name)
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(
                f"it names '{module}.{name}', which is neither an array nor a plain value"
            )
        return super().find_class(_module_here(module), name)


def _module_here(module: str) -> str:
    """NumPy 1 has its core under the older name."""
    import numpy as np

    return (
        module.replace("numpy._core", "numpy.core")
        if np.lib.NumpyVersion(np.__version__) < "2.0.0"
        else module
    )


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """The arrays, lists, dicts and numbers in a pickle of Python 2 or 3.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no pickle, is cut short, or holds anything else.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(os.fspath(path), "pickle") from error
    except OSError as error:
        raise DataError(f"pickle '{os.fspath(path)}' cannot be read: {error.strerror or error}") from error
    try:
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a foreign pickle may fail in any way
        raise DataError(
            f"pickle '{os.fspath(path)}' cannot be read: {error}\n"
            "  Fix: only arrays, lists, dicts, numbers and texts are read; save it anew as .npz"
        ) from error
