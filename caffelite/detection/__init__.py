"""Object detection: data, proposals, R-CNN, Fast R-CNN and Faster R-CNN, evaluation.

Names are loaded when they are first used; importing this package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Card": "caffelite.detection.card",
    "DetectionSet": "caffelite.detection.dataset",
    "Picture": "caffelite.detection.dataset",
    "divide": "caffelite.detection.dataset",
    "load_set": "caffelite.detection.dataset",
    "Detection": "caffelite.detection.detections",
    "read_detections": "caffelite.detection.detections",
    "write_detections": "caffelite.detection.detections",
    "Detector": "caffelite.detection.detector",
    "detect": "caffelite.detection.detector",
    "im_detect": "caffelite.detection.one_image",
    "detect_set": "caffelite.detection.testing",
    "Report": "caffelite.detection.evaluation",
    "evaluate": "caffelite.detection.evaluation",
    "draw_boxes": "caffelite.detection.pictures",
    "load_picture": "caffelite.detection.pictures",
    "propose": "caffelite.detection.proposals",
    "read_proposals": "caffelite.detection.proposals",
    "write_proposals": "caffelite.detection.proposals",
    "make_shapes": "caffelite.detection.shapes",
}

__all__ = [
    "Card",
    "Detection",
    "DetectionSet",
    "Detector",
    "Picture",
    "Report",
    "detect",
    "detect_set",
    "divide",
    "draw_boxes",
    "evaluate",
    "im_detect",
    "load_picture",
    "load_set",
    "make_shapes",
    "propose",
    "read_detections",
    "read_proposals",
    "write_detections",
    "write_proposals",
]

if TYPE_CHECKING:
    from caffelite.detection.card import Card
    from caffelite.detection.dataset import DetectionSet, Picture, divide, load_set
    from caffelite.detection.detections import Detection, read_detections, write_detections
    from caffelite.detection.detector import Detector, detect
    from caffelite.detection.evaluation import Report, evaluate
    from caffelite.detection.one_image import im_detect
    from caffelite.detection.pictures import draw_boxes, load_picture
    from caffelite.detection.proposals import propose, read_proposals, write_proposals
    from caffelite.detection.shapes import make_shapes
    from caffelite.detection.testing import detect_set


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caffelite.detection' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOMES)
