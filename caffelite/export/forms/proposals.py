"""The region proposal layer of Faster R-CNN, for one image of a fixed size."""

from __future__ import annotations

import numpy as np

from caffelite.export.forms import form
from caffelite.export.tensors import Tensor
from caffelite.export.writer import Writer
from caffelite.layers._rpn import decimal

_REMOVED = -1.0  # the score of a box that is too small; scores are shares, from 0 to 1
_LEAST = -0.5


@form("Proposal")
def proposal(to: Writer, scores: Tensor, deltas: Tensor, im_info: Tensor) -> list[Tensor]:
    """NonMaxSuppression of boxes whose far corners are moved by a pixel: then areas count as Caffe counts them."""
    to.fixed_batch()
    items, _, height, width = scores.known
    if items != 1:
        raise to.refuse("it proposes for one image at a time in ONNX")
    anchors = to.layer.anchors
    shares = to.op("Slice", scores, (len(anchors),), (2 * len(anchors),), (1,))
    shares = to.reshape(to.op("Transpose", shares, perm=[0, 2, 3, 1]), (-1,))
    codes = to.reshape(to.op("Transpose", deltas, perm=[0, 2, 3, 1]), (-1, 4))
    low, high = _clipped(to, _decoded(to, codes, anchors.over(height, width)), im_info)
    shares = to.op("Where", _large(to, low, high, im_info), shares, _REMOVED)
    count = len(anchors) * height * width
    most = min(to.p.pre_nms_topn, count) if to.p.pre_nms_topn > 0 else count
    shares, order = to.ops("TopK", 2, shares, (most,))
    low, high = to.op("Gather", low, order), to.op("Gather", high, order)
    kept = _suppressed(to, low, high, shares, most)
    boxes = to.op("Gather", to.op("Concat", low, high, axis=1), kept)
    first = to.op("Mul", to.op("Slice", boxes, (0,), (1,), (1,)), 0.0)  # the number of the image
    best = to.op("Unsqueeze", to.op("Gather", shares, kept), (1,))
    return [to.op("Concat", first, boxes, axis=1), best][: len(to.tops)]


def _decoded(to: Writer, codes: Tensor, anchors: np.ndarray) -> tuple[Tensor, Tensor]:
    """Near and far corners (K, 2) each."""
    sizes = anchors[:, 2:] - anchors[:, :2] + np.float32(1)
    centres = anchors[:, :2] + np.float32(0.5) * sizes
    moves, growths = to.ops("Split", 2, codes, (2, 2), axis=1)
    middles = to.op("Add", to.op("Mul", moves, sizes), centres)
    half = to.op("Mul", to.op("Mul", to.op("Exp", growths), sizes), 0.5)
    return to.op("Sub", middles, half), to.op("Add", middles, half)


def _clipped(to: Writer, corners: tuple[Tensor, Tensor], im_info: Tensor) -> list[Tensor]:
    info = to.reshape(im_info, (1, -1))
    height, width = (to.op("Slice", info, (i,), (i + 1,), (1,)) for i in (0, 1))
    last = to.op("Sub", to.op("Concat", width, height, axis=1), 1.0)
    return [to.op("Min", to.op("Max", corner, 0.0), last) for corner in corners]


def _large(to: Writer, low: Tensor, high: Tensor, im_info: Tensor) -> Tensor:
    """Whether both sides of a box are ``min_size`` or more, in pixels of the image before it was scaled."""
    scale = to.op("Slice", to.reshape(im_info, (-1,)), (2,), (3,))
    sides = to.op("Add", to.op("Sub", high, low), 1.0)
    fits = to.op("GreaterOrEqual", sides, to.op("Mul", scale, float(to.p.min_size)))
    wide, tall = to.ops("Split", 2, to.cast(fits, "float32"), (1, 1), axis=1)
    both = to.op("Mul", wide, tall)
    return to.cast(to.reshape(both, (-1,)), "bool")


def _suppressed(to: Writer, low: Tensor, high: Tensor, shares: Tensor, count: int) -> Tensor:
    """Indices (R,) of the boxes that stay, by falling score."""
    boxes = to.op("Unsqueeze", to.op("Concat", low, to.op("Add", high, 1.0), axis=1), (0,))
    limit = np.array([to.p.post_nms_topn if to.p.post_nms_topn > 0 else count], np.int64)
    overlap = np.array([decimal(to.p.nms_thresh)], np.float32)
    least = np.array([_LEAST], np.float32)
    row = to.op("Unsqueeze", shares, (0, 1))
    chosen = to.op("NonMaxSuppression", boxes, row, limit, overlap, least)
    return to.op("Squeeze", to.op("Slice", chosen, (2,), (3,), (1,)), (1,))
