"""Object detection: data, proposals, R-CNN, Fast R-CNN and Faster R-CNN, evaluation.

Names are loaded when they are first used; importing this package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "DetectionSet": "caffelite.detection.dataset",
    "Picture": "caffelite.detection.dataset",
    "divide": "caffelite.detection.dataset",
    "load_set": "caffelite.detection.dataset",
    "draw_boxes": "caffelite.detection.pictures",
    "load_picture": "caffelite.detection.pictures",
    "make_shapes": "caffelite.detection.shapes",
}

__all__ = ["DetectionSet", "Picture", "divide", "draw_boxes", "load_picture", "load_set", "make_shapes"]

if TYPE_CHECKING:
    from caffelite.detection.dataset import DetectionSet, Picture, divide, load_set
    from caffelite.detection.pictures import draw_boxes, load_picture
    from caffelite.detection.shapes import make_shapes


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caffelite.detection' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOMES)
