"""Yolov3DetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, ClassVar

import numpy as np

from caffelite.layers._boxes import suppress
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Yolov3DetectionOutput(Layer):
    """Detections of a YOLOv3: boxes from grids of several sizes, one of each bunch that overlaps.

    A cell of a grid predicts ``num_box`` boxes: x and y within the cell (sigmoid), width and height as exponentials times the
    anchor in ``biases`` that ``mask`` names, how sure it is of an object and of each class (sigmoids, multiplied: the score).
    Every class whose score is above ``confidence_threshold`` counts. Of all grids and classes of an item the best
    scores win over boxes whose overlap with them is ``nms_threshold`` or more.

    Bottoms: x, one or more (N, num_box * (5 + num_classes), H, W), as many as ``mask_group_num``, each with its share of
             ``mask`` and its ``anchors_scale``, the pixels of a cell.
    Tops:    y (1, 1, K, 7), rows of item, label (from 1), score, x1, y1, x2, y2 in shares of the image, by item, then falling
             score. Without any, one row (item, -1, -1, -1, -1, -1, -1) for each item. K is 1 before the first pass.
    Gradient: none.
    Raises:  NetError for numbers of masks, scales or bottoms that do not fit; ShapeError for wrong numbers of channels.
    Compatibility: items of a batch are kept apart; MobileNet-YOLO takes them for one.
    Example: x (1, 14, 2, 2), z (1, 14, 4, 4); yolov3_detection_output_param { num_classes: 2 num_box: 2 mask: 2 mask: 3 mask: 0
             mask: 1 biases: [8, 8, 8, 12, 16, 16, 16, 24] anchors_scale: 16 anchors_scale: 8 confidence_threshold: 0.2 }
    Source:  MobileNet-YOLO, yolov3_detection_output_layer.cpp. Redmon and Farhadi, "YOLOv3", 2018.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x*",)
    message: ClassVar[str] = "yolov3_detection_output_param"
    unforced: ClassVar[tuple[str, ...]] = ("x",)

    def setup(self) -> None:
        p, grids = self.p, len(self.spec.bottom)
        if p.gaussian_box:
            raise self.error("gaussian_box: false", "true", field="gaussian_box")
        if p.num_classes < 1 or p.num_box < 1:
            raise self.error("num_classes and num_box >= 1", f"{p.num_classes} and {p.num_box}")
        if grids != p.mask_group_num:
            raise self.error(f"mask_group_num {grids}, one group of masks a bottom", p.mask_group_num)
        if len(p.mask) != grids * p.num_box or len(p.anchors_scale) != grids:
            expected = f"{grids * p.num_box} mask and {grids} anchors_scale"
            raise self.error(expected, f"{len(p.mask)} and {len(p.anchors_scale)}")
        if len(p.biases) <= 2 * max(p.mask) + 1:
            raise self.error(
                f"two biases for anchor {max(p.mask)}", f"{len(p.biases)} in all", field="biases"
            )

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        channels = self.p.num_box * (5 + self.p.num_classes)
        for x in shapes:
            if len(x) != 4 or x[1] != channels or x[0] != shapes[0][0]:
                raise self.shape_error(f"each x (N, {channels}, H, W)", ", ".join(map(str, shapes)))
        return [(1, 1, 1, 7)]

    def measure(self, xp: Any, x: Any) -> list[Shape]:
        found = [self._found(xp, item, [grid[item] for grid in x]) for item in range(len(x[0]))]
        rows = xp.concatenate([xp.zeros((0, 7), x[0].dtype), *found])
        if not len(rows):
            rows = xp.full((len(x[0]), 7), -1, x[0].dtype)
            rows[:, 0] = xp.arange(len(rows))
        self.session["rows"] = rows
        return [(1, 1, *rows.shape)]

    def forward(self, xp: Any, y: Any) -> None:
        y[0, 0] = self.session["rows"]

    def _found(self, xp: Any, item: int, grids: Sequence[Any]) -> Any:
        """Rows of the detections in one item, from its grids (channels, H, W)."""
        parts = [self._candidates(xp, grid, at) for at, grid in enumerate(grids)]
        boxes, labels, scores = (xp.concatenate(part) for part in zip(*parts, strict=True))
        threshold = float(np.nextafter(np.float32(self.p.nms_threshold), np.float32(-1)))  # equal ones go too
        kept = suppress(xp, boxes, scores, -inf, -1, threshold, 1.0)
        rows = xp.empty((len(kept), 7), boxes.dtype)
        rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:] = item, labels[kept], scores[kept], boxes[kept]
        return rows

    def _candidates(self, xp: Any, grid: Any, at: int) -> tuple[Any, Any, Any]:
        """Boxes (P, 4), labels (P,) and scores (P,) above the threshold, cell by cell."""
        values = grid.reshape(self.p.num_box, -1, *grid.shape[1:]).transpose(2, 3, 0, 1)
        scores = _sigmoid(xp, values[..., 5:]) * _sigmoid(xp, values[..., 4:5])
        *cell, label = xp.nonzero(scores > self.p.confidence_threshold)
        boxes = self._boxes(xp, values[..., :4], at)[tuple(cell)]
        return boxes, label + 1, scores[(*cell, label)]

    def _boxes(self, xp: Any, values: Any, at: int) -> Any:
        """Corners (H, W, num_box, 4) in shares of the image."""
        H, W, boxes, _ = values.shape
        mask = list(self.p.mask)[at * boxes : (at + 1) * boxes]
        anchors = xp.asarray(self.p.biases, dtype=values.dtype).reshape(-1, 2)[mask]
        size = xp.asarray([W, H], dtype=values.dtype)
        column, row = xp.meshgrid(xp.arange(W), xp.arange(H))
        place = xp.stack([column, row], axis=-1)[:, :, None]
        centre = (place + _sigmoid(xp, values[..., :2])) / size
        half = xp.exp(values[..., 2:]) * anchors / (size * self.p.anchors_scale[at]) / 2
        return xp.concatenate([centre - half, centre + half], axis=-1).astype(values.dtype)


def _sigmoid(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))
