"""ProposalTarget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.boxes.blobs import proposal_target_blobs
from caffelite.layers._rpn import check_gt, check_share, decimal, four, naming
from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class ProposalTarget(Layer):
    """A random choice of proposals, and what the head of a Fast R-CNN should say of them.

    The annotated boxes are candidates too, unless ``append_gt: false``. A candidate that overlaps some box by
    ``fg_thresh`` or more has the class of the one that it overlaps most; one whose largest overlap is in
    [``bg_thresh_lo``, ``bg_thresh_hi``) is background. Of each image ``batch_size`` are chosen (0: all), at most
    ``fg_fraction`` with objects, and those first.

    Bottoms: rois (K, 5), rows of image, x1, y1, x2, y2; gt (G, 5), rows of x1, y1, x2, y2, label, for one image, or
             (G, 6) with the image's number first. Rows of gt with label 0 are padding; K and G may be 0.
    Tops:    y (R, 5), the chosen; labels (R,); targets, inside, outside (R, 4 num_classes), other than 0 only in the four
             columns of the label. Targets are (code - bbox_mean) / bbox_std. R is batch_size before the first pass.
    Gradient: none.
    Random:  the choice.
    Raises:  ShapeError; NetError for bad parameters; DataError for boxes with x1 > x2 or y1 > y2, and for labels not
             below num_classes.
    Example: rois [[0, 8, 8, 40, 40], [0, 0, 0, 9, 9]], gt [[8, 8, 39, 39, 1]] -> y, labels, targets, inside, outside;
             proposal_target_param { num_classes: 2 batch_size: 4 fg_fraction: 0.5 }
    Source:  py-faster-rcnn, proposal_target_layer.py. Girshick, "Fast R-CNN", 2015.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("rois", "gt")
    tops: ClassVar[tuple[str, ...]] = ("y", "labels", "targets", "inside", "outside")
    message: ClassVar[str] = "proposal_target_param"
    unforced: ClassVar[tuple[str, ...]] = bottoms
    steady: bool = True

    def setup(self) -> None:
        p = self.p
        if p.num_classes < 2:
            fix = "set proposal_target_param.num_classes to the number of classes and the background"
            raise self.error("num_classes >= 2", p.num_classes, fix, "num_classes")
        check_share(self, "fg_fraction")
        stds = four(self, "bbox_std", 1)
        if not all(std > 0 for std in stds):
            raise self.error("bbox_std above 0", stds, field="bbox_std")
        self.options = {
            "classes": p.num_classes,
            "batch": p.batch_size,
            "fg_fraction": decimal(p.fg_fraction),
            "fg": decimal(p.fg_thresh),
            "bg": (decimal(p.bg_thresh_lo), decimal(p.bg_thresh_hi)),
            "append_gt": p.append_gt,
            "means": four(self, "bbox_mean", 0),
            "stds": stds,
            "inside_weights": four(self, "bbox_inside_weight", 1),
        }

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        rois, gt = shapes
        if len(rois) < 2 or rois[1] != 5 or count(rois, 2) != 1:
            raise self.shape_error("rois (K, 5), rows of image, x1, y1, x2, y2", f"rois={rois}")
        check_gt(self, gt)
        items, columns = self.p.batch_size or rois[0], 4 * self.p.num_classes
        return [(items, 5), (items,), (items, columns), (items, columns), (items, columns)]

    def measure(self, xp: Any, rois: Any, gt: Any, rng: Any) -> list[Shape]:
        with naming(self):
            self.session["made"] = made = proposal_target_blobs(rois, gt, rng, **self.options)
        return [blob.shape for blob in made]

    def forward(self, xp: Any, y: Any, labels: Any, targets: Any, inside: Any, outside: Any) -> None:
        for top, values in zip((y, labels, targets, inside, outside), self.session["made"], strict=True):
            top[...] = xp.asarray(values)
