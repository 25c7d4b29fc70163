"""``import caffe`` for old scripts: the name leads to caffelite, sub-modules included."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from caffelite.errors import UsageError

# Names that NumPy has dropped since 1.20. Types of Python's own, and other names of what NumPy still has.
OLD_TYPES = {
    "float": float,
    "int": int,
    "bool": bool,
    "object": object,
    "str": str,
    "complex": complex,
    "unicode": str,
}
OLD_NAMES = {
    "Inf": "inf", "Infinity": "inf", "NAN": "nan", "NaN": "nan", "PINF": "inf", "alltrue": "all", "complex_": "complex128",
    "cumproduct": "cumprod", "float_": "float64", "infty": "inf", "mat": "asmatrix", "product": "prod", "round_": "round",
    "row_stack": "vstack", "sometrue": "any", "string_": "bytes_", "trapz": "trapezoid", "unicode_": "str_",
}  # fmt: skip


def install_as_caffe(*, old_numpy: bool = False) -> None:
    """Makes ``import caffe``, ``from caffe.proto import caffe_pb2`` and the like give caffelite in this process.

    ``old_numpy`` puts back the names that scripts of NumPy 1 use and NumPy has dropped: ``np.float``, ``np.int``,
    ``np.Inf``, ``np.in1d`` and the like. Raises UsageError if another ``caffe`` is loaded already.
    """
    loaded = sys.modules.get("caffe")
    caffelite = importlib.import_module("caffelite")
    if loaded is not None and loaded is not caffelite:
        raise UsageError(
            f"another module 'caffe' is loaded: {getattr(loaded, '__file__', loaded)}\n"
            "  Fix: call caffelite.install_as_caffe() before the first import of caffe"
        )
    if loaded is None:
        sys.modules["caffe"] = caffelite
        sys.meta_path.insert(0, _Finder())
    if old_numpy:
        _put_back()


def _put_back() -> None:
    numpy = importlib.import_module("numpy")
    old: dict[str, Any] = OLD_TYPES | {name: getattr(numpy, now, None) for name, now in OLD_NAMES.items()}
    old |= {
        "NINF": -numpy.inf,
        "asfarray": lambda a, dtype=float: numpy.asarray(a, dtype),
        "asscalar": lambda a: a.item(),
        "in1d": lambda a, b, **options: numpy.isin(numpy.ravel(a), b, **options),
        "msort": lambda a: numpy.sort(a, axis=0),
    }
    for name, value in old.items():
        if name not in vars(numpy) and value is not None:
            setattr(numpy, name, value)


def stands_in() -> bool:
    """Whether ``import caffe`` gives caffelite in this process."""
    return sys.modules.get("caffe") is sys.modules.get("caffelite")


class _Finder(MetaPathFinder):
    """Finds ``caffe.x`` as ``caffelite.x``: one module under two names, never a second copy."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("caffe."):
            return None
        own = "caffelite." + name.removeprefix("caffe.")
        if importlib.util.find_spec(own) is None:
            return None
        return ModuleSpec(name, _Loader(own))


class _Loader(Loader):
    """Gives the module of another name, as it is."""

    def __init__(self, own: str):
        self._own = own
        self._spec: Any = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._own)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # importing has put the other name's there
