"""AnchorTarget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.boxes.blobs import anchor_target_blobs
from caffelite.layers._rpn import (
    check_gt,
    check_info,
    check_map,
    check_share,
    decimal,
    four,
    naming,
    read_anchors,
)
from caffelite.layers.base import Layer
from caffelite.types import Shape


class AnchorTarget(Layer):
    """What a region proposal network should say of its anchors, for a random choice of them.

    Anchors in the image (but for ``allowed_border`` pixels) are objects if they overlap some box by
    ``positive_overlap`` or more, or if no other overlaps that box more; background if they overlap all by less than
    ``negative_overlap``. Of each image ``batch_size`` of them count, at most ``fg_fraction`` objects.

    Bottoms: scores (N, 2 A, H, W), for the shape alone; gt (G, 5), rows of x1, y1, x2, y2, label, for one image, or
             (G, 6) with the image's number first; im_info (N, 3), rows of height, width, scale; data, not read. Rows of
             gt with label 0 are padding; G may be 0.
    Tops:    labels (N, 1, A H, W): 1 object, 0 background, -1 to be ignored; targets, inside, outside (N, 4 A, H, W) for
             SmoothL1Loss with sigma 3. Outside weights are 1 / (anchors of the image that count).
    Gradient: none.
    Random:  the choice.
    Raises:  ShapeError; NetError for bad parameters; DataError for boxes with x1 > x2 or y1 > y2.
    Compatibility: a box that overlaps no anchor makes none an object; py-faster-rcnn then takes all without overlap.
    Example: scores (1, 2, 4, 4), gt [[8, 8, 39, 39, 1]], im_info [[64, 64, 1]] -> labels, targets, inside, outside;
             anchor_target_param { ratio: 1 scale: 2 batch_size: 4 }
    Source:  py-faster-rcnn, anchor_target_layer.py. Ren et al., "Faster R-CNN", 2015.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("scores", "gt", "im_info", "data?")
    tops: ClassVar[tuple[str, ...]] = ("labels", "targets", "inside", "outside")
    message: ClassVar[str] = "anchor_target_param"
    host: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = bottoms[:3] + ("data",)

    def setup(self) -> None:
        p = self.p
        self.anchors = read_anchors(self)
        check_share(self, "fg_fraction", "positive_overlap", "negative_overlap")
        if p.positive_weight >= 0:
            check_share(self, "positive_weight")
        if p.batch_size < 1:
            raise self.error("batch_size >= 1", p.batch_size, field="batch_size")
        self.options = {
            "batch": p.batch_size,
            "fg_fraction": decimal(p.fg_fraction),
            "positive": decimal(p.positive_overlap),
            "negative": decimal(p.negative_overlap),
            "clobber": p.clobber_positives,
            "allowed_border": p.allowed_border,
            "positive_weight": decimal(p.positive_weight),
            "inside_weights": four(self, "bbox_inside_weight", 1),
        }

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        scores, gt, im_info = shapes[:3]
        check_map(self, "scores", scores, 2, self.anchors)
        check_gt(self, gt)
        check_info(self, im_info, scores[0])
        items, _, height, width = scores
        self.map = (items, 0, height, width)
        each = (items, 4 * len(self.anchors), height, width)
        return [(items, 1, len(self.anchors) * height, width), each, each, each]

    def forward(
        self, xp: Any, gt: Any, im_info: Any, labels: Any, targets: Any, inside: Any, outside: Any, rng: Any
    ) -> None:
        with naming(self):
            made = anchor_target_blobs(self.map, gt, im_info, self.anchors, rng, **self.options)
        for top, values in zip((labels, targets, inside, outside), made, strict=True):
            top[...] = xp.asarray(values)
