"""Layers of detection nets: regions, prior boxes, detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caffelite.export.forms import form
from caffelite.export.tensors import Tensor
from caffelite.export.writer import Writer

_CORNERS = 4
_COLUMNS = 7  # item, label, score, x1, y1, x2, y2


@form("ROIPooling")
def roi_pooling(to: Writer, x: Tensor, rois: Tensor) -> Tensor:
    rows = rois if len(rois.known) == 2 else to.op("Flatten", rois, axis=1)
    scale = float(to.p.spatial_scale)
    return to.op("MaxRoiPool", x, rows, pooled_shape=list(to.layer.pooled), spatial_scale=scale)


@form("PriorBox")
def prior_box(to: Writer, x: Tensor, data: Tensor) -> Tensor:
    """A constant: only the sizes of its bottoms count."""
    boxes = np.empty(to.tops[0], np.float32)
    to.layer.forward(np, boxes)
    return to.constant(boxes)


@dataclass
class _Candidates:
    """Boxes (B, P, 4) and scores (B, L, P): B are items; or items times classes, L being 1."""

    boxes: Tensor
    scores: Tensor
    each: bool  # a class has boxes of its own, and B counts items and classes


@form("DetectionOutput")
def detection_output(to: Writer, loc: Tensor, conf: Tensor, prior: Tensor) -> Tensor:
    """Caffe's suppression: candidates of a class are its best ``top_k``, which NonMaxSuppression has no word for."""
    to.fixed_batch()
    nms = to.p.nms_param
    if nms.eta < 1:
        raise to.refuse("its nms_param.eta changes the threshold from box to box")
    found = _candidates(to, loc, conf, prior)
    priors = found.scores.known[2]
    most, overlap = np.array([priors], np.int64), np.array([min(nms.nms_threshold, 1)], np.float32)
    lowest = np.array([to.layer.lowest], np.float32)
    chosen = to.op("NonMaxSuppression", _upright(to, found.boxes), _limited(to, found), most, overlap, lowest)
    items = conf.known[0]
    return _table(to, _kept(to, _rows(to, found, chosen), items), items)


def _candidates(to: Writer, loc: Tensor, conf: Tensor, prior: Tensor) -> _Candidates:
    items, classes = conf.known[0], to.p.num_classes
    boxes = _decoded(to, loc, prior)  # (N, P, L, 4)
    scores = to.reshape(conf, (items, -1, classes))
    priors = int(np.prod(conf.known[1:])) // classes
    scores = to.op("Transpose", scores, perm=[0, 2, 1])
    if to.p.share_location:
        scores.shape = (items, classes, priors)
        return _Candidates(to.reshape(boxes, (items, priors, _CORNERS)), scores, each=False)
    boxes = to.op("Transpose", boxes, perm=[0, 2, 1, 3])
    each = to.reshape(scores, (items * classes, 1, priors))
    each.shape = (items * classes, 1, priors)
    return _Candidates(to.reshape(boxes, (items * classes, priors, _CORNERS)), each, each=True)


def _decoded(to: Writer, loc: Tensor, prior: Tensor) -> Tensor:
    """Boxes (N, P, L, 4) as ``code_type`` says."""
    items, priors = loc.known[0], int(np.prod(prior.known[2:])) // _CORNERS
    both = to.reshape(to.op("Slice", prior, (0,), (1,), (0,)), (2, priors, 1, _CORNERS))
    boxes, variances = to.ops("Split", 2, both, (1, 1), axis=0)  # (1, P, 1, 4)
    loc = to.reshape(loc, (items, priors, -1, _CORNERS))
    if not to.p.variance_encoded_in_target:
        loc = to.op("Mul", loc, variances)
    if to.layer.code == "CORNER":
        return to.op("Add", boxes, loc)
    low, high = to.ops("Split", 2, boxes, (2, 2), axis=3)
    sizes = to.op("Sub", high, low)
    if to.layer.code == "CORNER_SIZE":
        return to.op("Add", boxes, to.op("Mul", loc, to.op("Concat", sizes, sizes, axis=3)))
    moves, growths = to.ops("Split", 2, loc, (2, 2), axis=3)
    middles = to.op("Mul", to.op("Add", low, high), 0.5)
    centres = to.op("Add", to.op("Mul", moves, sizes), middles)
    half = to.op("Mul", to.op("Mul", to.op("Exp", growths), sizes), 0.5)
    return to.op("Concat", to.op("Sub", centres, half), to.op("Add", centres, half), axis=3)


def _upright(to: Writer, boxes: Tensor) -> Tensor:
    """Boxes without area for those with corners on the wrong side: to Caffe they overlap nothing, ONNX turns them."""
    low, high = to.ops("Split", 2, boxes, (2, 2), axis=2)
    return to.op("Concat", low, to.op("Max", low, high), axis=2)


def _limited(to: Writer, found: _Candidates) -> Tensor:
    """Scores that lose by rule, of the background and beyond the best ``top_k``, at the threshold, which excludes them."""
    lowest, (_, _, priors) = float(to.layer.lowest), found.scores.known
    scores = found.scores
    background = np.arange(to.p.num_classes) == to.p.background_label_id
    if background.any():
        rows = background.reshape(-1, 1)
        if found.each:
            rows = np.tile(background, scores.known[0] // len(background)).reshape(-1, 1, 1)
        scores = to.op("Where", rows, lowest, scores)
    if not -1 < to.layer.top_k < priors:
        return scores
    values, index = to.ops("TopK", 2, scores, (to.layer.top_k,), axis=2)
    nothing = to.op("Expand", lowest, found.scores.known)
    return to.op("ScatterElements", nothing, index, values, axis=2)


def _rows(to: Writer, found: _Candidates, chosen: Tensor) -> Tensor:
    """Rows (K, 7) of the chosen triples (batch, class, prior), which come by item, label and falling score."""
    score = to.op("Unsqueeze", to.op("GatherND", found.scores, chosen), (1,))
    batch, label, prior = to.ops("Split", 3, chosen, (1, 1, 1), axis=1)
    box = to.op("GatherND", found.boxes, to.op("Concat", batch, prior, axis=1))
    if found.each:
        classes = np.array(to.p.num_classes, np.int64)
        batch, label = to.op("Div", batch, classes), to.op("Mod", batch, classes)
    item, label = to.cast(batch, "float32"), to.cast(label, "float32")
    return to.op("Concat", item, label, score, box, axis=1)


def _kept(to: Writer, rows: Tensor, items: int) -> Tensor:
    """The best ``keep_top_k`` rows of each item, in their order."""
    if to.p.keep_top_k < 0:
        return rows
    parts = []
    for item in range(items):
        mine = rows
        if items > 1:
            first = to.op("Squeeze", to.op("Slice", rows, (0,), (1,), (1,)), (1,))
            mine = to.op("Compress", rows, to.op("Equal", first, float(item)), axis=0)
        score = to.op("Squeeze", to.op("Slice", mine, (2,), (3,), (1,)), (1,))
        most = to.op("Min", to.op("Shape", score), (to.p.keep_top_k,))
        _, best = to.ops("TopK", 2, score, most)
        _, order = to.ops("TopK", 2, best, most, largest=0)
        parts.append(to.op("Gather", mine, to.op("Gather", best, order), axis=0))
    return to.op("Concat", *parts, axis=0)


def _table(to: Writer, rows: Tensor, items: int) -> Tensor:
    """The rows as (1, 1, K, 7): if there are none, one of -1 for each item; zeros up to a fixed number."""
    nothing = np.full((items, _COLUMNS), -1, np.float32)
    nothing[:, 0] = np.arange(items)
    size = to.op("Slice", to.op("Shape", rows), (0,), (1,))
    end = to.op("Where", to.op("Greater", size, (0,)), size, (items,))
    rows = to.op("Slice", to.op("Concat", rows, nothing, axis=0), (0,), end, (0,))
    if to.layer.fixed:
        most = items * to.p.keep_top_k
        rows = to.op("Concat", rows, np.zeros((most, _COLUMNS), np.float32), axis=0)
        rows = to.op("Slice", rows, (0,), (most,), (0,))
    return to.reshape(rows, (1, 1, -1, _COLUMNS))
