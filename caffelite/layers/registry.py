"""From a layer type to its class.

The folder is the table: type ``SoftmaxWithLoss`` is class ``SoftmaxWithLoss`` in ``softmax_with_loss.py``.
A module is imported when its type is first asked for. A user's own layer joins by ``register`` or by an
entry point in the group ``caffelite.layers`` (name = type, value = class).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import ModuleType

from caffelite.errors import NetError, UnknownNameError, UsageError
from caffelite.layers.base import Layer
from caffelite.prototxt.layer_names import OTHER_NAMES, home_of
from caffelite.prototxt.suggest import suggestion
from caffelite.types import Location

_NOT_LAYERS = {"base", "registry"}
_users: dict[str, type[Layer]] = {}


def register(type_: str, layer: type[Layer], *, replace: bool = False) -> None:
    """Adds a layer type of the user's; it then runs on every engine through its array body.

    ``replace`` lets it stand in for a type that caffelite ships. Raises UsageError without it, and for what is no
    Layer.
    """
    if not (isinstance(layer, type) and issubclass(layer, Layer)):
        raise UsageError(
            f"layer type '{type_}': expected a subclass of caffelite.layers.base.Layer, got {layer!r}"
        )
    if not replace and _shipped(type_):
        raise UsageError(
            f"layer type '{type_}': caffelite has a layer of this name\n"
            "  Fix: choose another name, or register(..., replace=True)"
        )
    _users[type_] = layer


def lookup(type_: str, location: Location | None = None, name: str = "") -> type[Layer]:
    """The class of a layer type. Raises UnknownNameError with a suggestion for an unknown one."""
    if type_ in _users:
        return _users[type_]
    found = _shipped(type_) or _plugged(type_)
    if found is None:
        raise UnknownNameError(_unknown(type_, location, name))
    return found


def module_name(type_: str) -> str | None:
    """The file (without ``.py``) that a shipped type lives in; kernels use the same name in their engine."""
    return _modules().get(type_.lower())


def layer_types() -> list[str]:
    """All known types, sorted. Imports every layer file."""
    return sorted({cls.__name__ for cls in _shipped_classes()} | set(_users) | set(_plugins()))


def shipped_types() -> list[str]:
    """The types that come with caffelite, sorted."""
    return sorted(cls.__name__ for cls in _shipped_classes())


@cache
def _modules() -> dict[str, str]:
    package = importlib.import_module("caffelite.layers")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return {
        name.replace("_", ""): name for name in names if name not in _NOT_LAYERS and not name.startswith("_")
    }


def _shipped(type_: str) -> type[Layer] | None:
    name = module_name(type_)
    if name is None:
        return None
    found: type[Layer] | None = getattr(_module(name), type_, None)
    return found


def _module(name: str) -> ModuleType:
    """A layer's module. Raises NetError that names its file if it cannot be imported."""
    full = f"caffelite.layers.{name}"
    try:
        return importlib.import_module(full)
    except Exception as error:
        spec = find_spec(full)
        raise NetError(_broken(f"layer file '{spec.origin if spec else full}'", error)) from error


def _broken(what: str, error: Exception) -> str:
    return f"{what} cannot be imported: {type(error).__name__}: {error}"


def _shipped_classes() -> Iterator[type[Layer]]:
    for key, name in _modules().items():
        for attribute, value in vars(_module(name)).items():
            if attribute.lower() == key and isinstance(value, type) and issubclass(value, Layer):
                yield value


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="caffelite.layers")}


def _plugged(type_: str) -> type[Layer] | None:
    point = _plugins().get(type_)
    if point is None:
        return None
    try:
        layer = point.load()
    except Exception as error:
        raise NetError(_broken(f"layer type '{type_}' of '{point.value}'", error)) from error
    register(type_, layer)
    return _users[type_]


def _unknown(type_: str, location: Location | None, name: str) -> str:
    at = f" at {location}" if location else ""
    home = home_of(type_)
    if home:
        return f"layer '{name}'{at}: '{type_}' is a layer of {home} that caffelite does not have yet (what is there: caffelite layers)"
    known = layer_types()
    hint = suggestion(type_, known, OTHER_NAMES)
    return f"layer '{name}'{at}: unknown type '{type_}'{hint} ({len(known)} types: caffelite layers)"
