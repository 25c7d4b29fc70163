"""The ONNX forms of layers: one function for a layer type, families in one file.

The folder is the table. To add a form write a function into the file where it belongs, or into a new one, and
name the layer types over it (``caffelite/export/writer.py`` tells what it gets and gives)::

    @form("Sigmoid")
    def sigmoid(to, x):
        return to.op("Sigmoid", x)

A layer of your own, outside this repository: the same decorator, ``from caffelite.export import form``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

Form = Callable[..., Any]
_forms: dict[str, Form] = {}


def form(*types: str) -> Callable[[Form], Form]:
    """Makes a function the form of layer types."""

    def add(function: Form) -> Form:
        _forms.update(dict.fromkeys(types, function))
        return function

    return add


def find_form(type_: str) -> Form | None:
    """The form of a layer type, None if there is none."""
    _load()
    return _forms.get(type_)


def form_types() -> list[str]:
    """All layer types that have a form, sorted."""
    _load()
    return sorted(_forms)


@cache
def _load() -> None:
    own = dict(_forms)  # a user's form that was there first stays
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    _forms.update(own)
