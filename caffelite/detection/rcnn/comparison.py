"""Softmax, SVMs, and SVMs with box regression, side by side."""

from __future__ import annotations

from typing import Any

from caffelite.boxes.boxes import Array
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.evaluation import Report, evaluate
from caffelite.detection.rcnn.detector import RcnnDetector


class Comparison:
    """An R-CNN that notes what all its modes find while it looks at the pictures of a set, in their order."""

    def __init__(self, detector: RcnnDetector):
        self.detector, self.card, self.regions = detector, detector.card, detector.regions
        self._found: list[dict[str, Array]] = []

    def detect(self, image: Any, boxes: Array | None = None, *args: Any, **options: Any) -> Array:
        """What the detector's own mode finds."""
        self._found.append(self.detector.detect_all(image, boxes, *args, **options))
        return self._found[-1][self.detector.mode]

    def reports(self, dataset: DetectionSet) -> dict[str, Report]:
        """How good each mode is over the pictures that were looked at, which are those of the set."""
        pairs = list(zip(dataset.pictures, self._found, strict=True))
        return {
            mode: evaluate(dataset, {picture.key: found[mode] for picture, found in pairs})
            for mode in self.detector.modes
        }

    def text(self, dataset: DetectionSet) -> str:
        """A table of all modes, in lines."""
        lines = [f"{'scored by':10}{'VOC07':>8}{'area':>8}{'COCO':>8}"]
        for mode, report in self.reports(dataset).items():
            lines.append(f"{mode:10}{report.map07:8.3f}{report.map:8.3f}{report.coco['AP']:8.3f}")
        return "\n".join(lines) + "\n"
