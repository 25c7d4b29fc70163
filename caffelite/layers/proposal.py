"""Proposal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.boxes.blobs import proposal_blobs
from caffelite.layers._rpn import check_info, check_map, check_share, decimal, naming, read_anchors
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Proposal(Layer):
    """Regions that may hold objects, from the scores and codes of a region proposal network's anchors.

    The codes make a box of each anchor, which is cut to the image; those with a side below ``min_size`` times the
    image's scale go; of the ``pre_nms_topn`` best each that overlaps a better one by more than ``nms_thresh`` goes; the
    ``post_nms_topn`` best of an image stay. Equal scores keep the order of rows, columns, anchors.

    Bottoms: scores (N, 2 A, H, W), background of all A anchors, then object; deltas (N, 4 A, H, W); im_info (N, 3), rows
             of height, width, scale.
    Tops:    rois (R, 5), rows of image, x1, y1, x2, y2; best (R, 1), their scores. R is N * post_nms_topn before the
             first pass.
    Gradient: none; training goes on as if the corners were constants, as in the paper's approximate joint training.
    Raises:  ShapeError; NetError for bad parameters; NotFiniteError for NaN in scores or deltas.
    Compatibility: ``rpn.proposal_layer`` of py-faster-rcnn, which takes one image and leaves the order of equal scores
             open. That module is known too, as a Python layer.
    Example: scores (1, 2, 4, 4), deltas (1, 4, 4, 4), im_info [[64, 64, 1]] -> rois, best; proposal_param { ratio: 1
             scale: 2 post_nms_topn: 3 }
    Source:  py-faster-rcnn, proposal_layer.py. Ren et al., "Faster R-CNN", 2015.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("scores", "deltas", "im_info")
    tops: ClassVar[tuple[str, ...]] = ("rois", "best?")
    message: ClassVar[str] = "proposal_param"
    unforced: ClassVar[tuple[str, ...]] = bottoms
    steady: bool = True

    def setup(self) -> None:
        self.anchors = read_anchors(self)
        check_share(self, "nms_thresh")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        scores, deltas, im_info = shapes
        check_map(self, "scores", scores, 2, self.anchors)
        check_map(self, "deltas", deltas, 4, self.anchors)
        if (scores[0], *scores[2:]) != (deltas[0], *deltas[2:]):
            raise self.shape_error(
                "scores and deltas of as many images and positions", f"scores={scores}, deltas={deltas}"
            )
        check_info(self, im_info, scores[0])
        rois = scores[0] * max(self.p.post_nms_topn, 1)
        tops: list[Shape] = [(rois, 5), (rois, 1)]
        return tops[: len(self.spec.top)]

    def measure(self, xp: Any, scores: Any, deltas: Any, im_info: Any) -> list[Shape]:
        p = self.p
        limits = {"pre": p.pre_nms_topn, "post": p.post_nms_topn, "threshold": decimal(p.nms_thresh)}
        with naming(self):
            found = proposal_blobs(scores, deltas, im_info, self.anchors, p.min_size, **limits)
        self.session["found"] = found
        return [blob.shape for blob in found][: len(self.spec.top)]

    def forward(self, xp: Any, rois: Any, best: Any) -> None:
        for top, values in zip((rois, best), self.session["found"], strict=True):
            if top is not None:
                top[...] = xp.asarray(values)
