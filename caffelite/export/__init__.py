"""The way out: nets and weights for other programs.

    caffelite.export.onnx("deploy.prototxt", "lenet.caffemodel", "lenet.onnx")

``onnx`` writes a model and compares it with the net in onnxruntime. ``safetensors``, ``npz``, ``caffemodel`` and
``hdf5`` write weights, read from any of these formats. ``form`` gives a layer of your own its ONNX form.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "onnx": "caffelite.export.to_onnx",
    "Report": "caffelite.export.report",
    "form": "caffelite.export.forms",
    "safetensors": "caffelite.export.weights",
    "npz": "caffelite.export.weights",
    "caffemodel": "caffelite.export.weights",
    "hdf5": "caffelite.export.weights",
}

__all__ = ["Report", "caffemodel", "form", "hdf5", "npz", "onnx", "safetensors"]

if TYPE_CHECKING:
    from caffelite.export.forms import form
    from caffelite.export.report import Report
    from caffelite.export.to_onnx import onnx
    from caffelite.export.weights import caffemodel, hdf5, npz, safetensors


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caffelite.export' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
