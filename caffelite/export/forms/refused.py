"""Layers that ONNX cannot express, and why."""

from __future__ import annotations

from typing import Any

from caffelite.export.forms import Form, form
from caffelite.export.writer import Writer

_WHY = {
    "Python": "its arithmetic is Python code",
    "PSROIPooling": "ONNX has no position-sensitive pooling of regions",
}


def _refusal(why: str) -> Form:
    def refuse(to: Writer, **_: Any) -> None:
        raise to.refuse(why)

    return refuse


for _type, _reason in _WHY.items():
    form(_type)(_refusal(_reason))
