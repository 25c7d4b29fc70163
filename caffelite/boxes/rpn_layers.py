"""The Python layers of py-faster-rcnn's prototxts, for which no files are needed: modules ``rpn.*``.

Thin covers of ``caffelite.boxes.blobs`` that read ``cfg`` in each pass, as the originals do. The layer types
``Proposal``, ``AnchorTarget`` and ``ProposalTarget`` compute the same and have their parameters in the prototxt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffelite.boxes.blobs import (
    Anchors,
    anchor_target_blobs,
    proposal_blobs,
    proposal_target_blobs,
)
from caffelite.boxes.config import Config, cfg
from caffelite.boxes.yaml_text import read_yaml
from caffelite.errors import UsageError
from caffelite.prototxt.suggest import suggestion
from caffelite.python_layer import KeyedLayer

_ZEROS, _ONES = (0.0,) * 4, (1.0,) * 4


class BoxLayer(KeyedLayer):
    """What the layers share: parameters from ``param_str``, tops that forward shapes, no gradient."""

    known: Sequence[str] = ()
    required: Sequence[str] = ()
    steady = True

    def setup(self, bottom: Any, top: Any) -> None:
        self.params = read_yaml(self.param_str, "param_str")
        for name in self.params:
            if name not in self.known:
                raise UsageError(f"param_str: unknown '{name}'{suggestion(name, self.known)}")
        for name in self.required:
            if name not in self.params:
                raise UsageError(f"param_str: expected '{name}'\n  Fix: param_str: \"'{name}': ...\"")

    def reshape(self, bottom: Any, top: Any) -> None:
        """Forward knows the shapes."""

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        """Nothing goes down: what is drawn, and where boxes are, count as constants."""
        for blob in bottom:
            blob.diff[...] = 0

    def _deliver(self, top: Any, blobs: Sequence[np.ndarray]) -> None:
        for blob, values in zip(top, blobs, strict=False):
            blob.reshape(*values.shape)
            blob.data[...] = values

    @property
    def settings(self) -> Config:
        """``cfg.TRAIN`` or ``cfg.TEST``."""
        found: Config = cfg[str(self.phase)]
        return found


class _WithAnchors(BoxLayer):
    known: Sequence[str] = ("feat_stride", "scales", "ratios", "base_size")
    required = ("feat_stride",)

    def setup(self, bottom: Any, top: Any) -> None:
        super().setup(bottom, top)
        p = self.params
        size = p.get("base_size", 16)
        self.anchors = Anchors.made(p["feat_stride"], size, p.get("ratios", ()), p.get("scales", ()))
        if bottom[0].shape[1] != 2 * len(self.anchors):
            expected = f"{2 * len(self.anchors)} channels of scores for {len(self.anchors)} anchors"
            raise UsageError(
                f"expected {expected}, got {bottom[0].shape}\n  Fix: 'scales': [...] in param_str"
            )


class ProposalLayer(_WithAnchors):
    """``rpn.proposal_layer``: scores, codes, im_info to rois (R, 5) and, if there is a second top, scores (R, 1)."""

    def setup(self, bottom: Any, top: Any) -> None:
        super().setup(bottom, top)
        top[0].reshape(1, 5)
        if len(top) > 1:
            top[1].reshape(1, 1, 1, 1)

    def forward(self, bottom: Any, top: Any) -> None:
        c = self.settings
        limits = {"pre": c.RPN_PRE_NMS_TOP_N, "post": c.RPN_POST_NMS_TOP_N, "threshold": c.RPN_NMS_THRESH}
        scores, deltas, im_info = (blob.data for blob in bottom)
        self._deliver(top, proposal_blobs(scores, deltas, im_info, self.anchors, c.RPN_MIN_SIZE, **limits))


class AnchorTargetLayer(_WithAnchors):
    """``rpn.anchor_target_layer``: scores, gt_boxes, im_info, data to labels, targets, inside and outside weights."""

    known = (*_WithAnchors.known, "allowed_border")
    steady = False

    def reshape(self, bottom: Any, top: Any) -> None:
        """Before forward already, because the losses' other bottoms follow the map at once."""
        items, _, height, width = bottom[0].shape
        count = len(self.anchors)
        top[0].reshape(items, 1, count * height, width)
        for blob in top[1:]:
            blob.reshape(items, 4 * count, height, width)

    def forward(self, bottom: Any, top: Any) -> None:
        c = cfg.TRAIN
        options = {
            "batch": c.RPN_BATCHSIZE,
            "fg_fraction": c.RPN_FG_FRACTION,
            "positive": c.RPN_POSITIVE_OVERLAP,
            "negative": c.RPN_NEGATIVE_OVERLAP,
            "clobber": c.RPN_CLOBBER_POSITIVES,
            "positive_weight": c.RPN_POSITIVE_WEIGHT,
            "inside_weights": c.RPN_BBOX_INSIDE_WEIGHTS,
            "allowed_border": self.params.get("allowed_border", 0),
        }
        gt, im_info = bottom[1].data, bottom[2].data
        shape = bottom[0].shape
        self._deliver(top, anchor_target_blobs(shape, gt, im_info, self.anchors, self.rng, **options))


class ProposalTargetLayer(BoxLayer):
    """``rpn.proposal_target_layer``: rois, gt_boxes to rois, labels, targets, inside and outside weights."""

    known = required = ("num_classes",)

    def setup(self, bottom: Any, top: Any) -> None:
        super().setup(bottom, top)
        columns = 4 * self.params["num_classes"]
        for blob, shape in zip(top, [(1, 5), (1, 1), *[(1, columns)] * 3], strict=False):
            blob.reshape(*shape)

    def forward(self, bottom: Any, top: Any) -> None:
        c = cfg.TRAIN
        normalize = c.BBOX_NORMALIZE_TARGETS_PRECOMPUTED
        options = {
            "batch": c.BATCH_SIZE,
            "fg_fraction": c.FG_FRACTION,
            "fg": c.FG_THRESH,
            "bg": (c.BG_THRESH_LO, c.BG_THRESH_HI),
            "means": c.BBOX_NORMALIZE_MEANS if normalize else _ZEROS,
            "stds": c.BBOX_NORMALIZE_STDS if normalize else _ONES,
            "inside_weights": c.BBOX_INSIDE_WEIGHTS,
        }
        rois, gt = bottom[0].data, bottom[1].data
        self._deliver(top, proposal_target_blobs(rois, gt, self.rng, self.params["num_classes"], **options))
