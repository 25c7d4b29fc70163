"""``im_detect`` of Fast and Faster R-CNN: one image through a net, and what its blobs say in pixels of the image.

    scores, boxes = im_detect(net, image)            # Faster R-CNN
    scores, boxes = im_detect(net, image, proposals)  # Fast R-CNN

It takes py-faster-rcnn's test prototxts as they are: inputs ``data`` and ``im_info`` or ``rois``, blobs ``rois``,
``cls_prob`` and ``bbox_pred``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caffelite.boxes.boxes import Array, areas, clip, decode
from caffelite.boxes.config import Config, cfg
from caffelite.boxes.images import image_blob, prepared
from caffelite.errors import DataError, NotFiniteError, UsageError
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.suggest import suggestion

_AREA = 224**2  # of several sizes of the image, a region is seen in that in which it has about so many pixels
_HASH = np.array([1, 1e3, 1e6, 1e9, 1e12])
_SEVERAL = 64  # regions are filled up to a multiple of this, so that few plans serve all numbers


@dataclass(frozen=True)
class View:
    """How images are shown to a net, and how its answers are read: py-faster-rcnn's ``cfg.TEST`` in one value."""

    means: tuple[float, ...]  # B, G, R
    scales: tuple[int, ...]  # of the short side, pixels
    max_size: int  # of the long side, pixels
    bbox_reg: bool = True
    svm: bool = False
    dedup: float = 1 / 16

    @classmethod
    def of(cls, config: Config = cfg) -> View:
        """What a configuration says."""
        test = config.TEST
        means = tuple(config.PIXEL_MEANS.reshape(3).tolist())
        return cls(means, test.SCALES, test.MAX_SIZE, test.BBOX_REG, test.SVM, config.DEDUP_BOXES)


def im_detect(
    net: Net | Model, im: Array, boxes: Array | None = None, view: View | None = None
) -> tuple[Array, Array]:
    """Scores float32 (R, C) and boxes (R, 4 C) of an image (H, W, 3), B, G, R; C counts background, class 0.

    ``boxes`` (R, 4), pixels of the image from 0, both corners inside: the regions, for a net with an input ``rois``. A
    net with an input ``im_info`` finds its own. ``view``: by default what ``cfg.TEST`` says.

    Raises:
        UsageError: boxes are missing, or given to a net that finds its own; several scales for such a net; the net is
            none of a detector.
        DataError: the image or the boxes have another shape, or the image has no pixels.
        NotFiniteError: the net's answers are not finite where proposals are made.
    """
    net = as_net(net)
    check_image(im)
    view = view or View.of()
    if "im_info" in net.inputs:
        if boxes is not None:
            raise UsageError(
                f"net '{net.name}' finds its own regions: expected no boxes, got {np.shape(boxes)}"
            )
        return _with_rpn(net, im, view)
    if "rois" not in net.inputs:
        got = ", ".join(net.inputs) or "none"
        fix = "give the test.prototxt of a detector, not the one for training"
        raise UsageError(
            f"net '{net.name}': expected inputs data and im_info or rois, got {got}\n  Fix: {fix}"
        )
    if boxes is None:
        raise UsageError(
            f"net '{net.name}' has an input rois: it needs boxes\n"
            "  Fix: caffelite.detection.proposals.propose(image), or 'caffelite det propose'"
        )
    return _with_boxes(net, im, checked_boxes(boxes), view)


def as_net(net: Net | Model) -> Net:
    """The pycaffe view of a net that lives."""
    return Net.of(net) if isinstance(net, Model) else net


def check_image(im: Any) -> None:
    """Raises DataError for what is no image (H, W, 3)."""
    if not isinstance(im, np.ndarray) or im.ndim != 3 or im.shape[2] != 3 or not im.size:
        got = im.shape if isinstance(im, np.ndarray) else type(im).__name__
        fix = "caffelite.detection.load_picture(path)"
        raise DataError(
            f"expected an image (H, W, 3), B, G, R, with at least a pixel, got {got}\n  Fix: {fix}"
        )


def image_blobs(im: Array, view: View) -> tuple[Array, Array]:
    """The image at each of the view's scales (S, 3, h, w), and the scales (S,) float64."""
    shown = [prepared(im, np.array(view.means), target, view.max_size) for target in view.scales]
    return image_blob([image for image, _ in shown]), np.array([scale for _, scale in shown])


def rpn_blobs(net: Net, im: Array, view: View) -> tuple[dict[str, Any], float]:
    """The inputs of a net that finds its own regions, which are reshaped to the image; and the image's scale.

    Raises UsageError for several scales, or a net with other inputs.
    """
    if not {"data", "im_info"} <= set(net.inputs):
        got = ", ".join(net.inputs) or "none"
        raise UsageError(f"net '{net.name}': expected inputs data and im_info, got {got}")
    if len(view.scales) != 1:
        raise UsageError(
            f"net '{net.name}' finds its own regions: expected one scale, got {view.scales}\n  Fix: TEST.SCALES"
        )
    data, scales = image_blobs(im, view)
    info = np.array([[*data.shape[2:], scales[0]]], np.float32)
    blobs = {"data": data, "im_info": info}
    fit(net, blobs)
    return blobs, float(scales[0])


def fit(net: Net, blobs: dict[str, Any]) -> None:
    """Gives inputs the shapes of arrays."""
    for name, values in blobs.items():
        net.blobs[name].reshape(*values.shape)


def _with_rpn(net: Net, im: Array, view: View) -> tuple[Array, Array]:
    blobs, scale = rpn_blobs(net, im, view)
    net.forward(**blobs)
    rois = np.array(_blob(net, "rois"))[:, 1:5] / np.float32(scale)
    return _answers(net, rois, im, view)


def _with_boxes(net: Net, im: Array, boxes: Array, view: View) -> tuple[Array, Array]:
    if not len(boxes):
        classes = shape_of_answers(net, view)[1]
        return np.zeros((0, classes), np.float32), np.zeros((0, 4 * classes), np.float32)
    shown, back = _show(net, im, boxes, view)
    scores, found = _answers(net, boxes[shown], im, view)
    return scores[back], found[back]


def features(net: Net | Model, im: Array, boxes: Array, blob: str, view: View | None = None) -> Array:
    """What a Fast R-CNN's blob holds of each region: float32 (R, D) for boxes (R, 4). Raises what ``im_detect`` does."""
    net, boxes = as_net(net), checked_boxes(boxes)
    check_image(im)
    if not len(boxes):
        return np.zeros((0, int(np.prod(_blob(net, blob).shape[1:]))), np.float32)
    shown, back = _show(net, im, boxes, view or View.of())
    rows = np.array(_blob(net, blob))
    return rows.reshape(len(rows), -1)[: len(shown)][back]


def _show(net: Net, im: Array, boxes: Array, view: View) -> tuple[Array, Array]:
    """Passes an image and regions through a net; which regions it has seen (S,), and which of these each is (R,)."""
    data, scales = image_blobs(im, view)
    rois = _project(boxes, scales)
    shown = back = np.arange(len(boxes))
    if view.dedup > 0:
        cells = np.round(rois * np.float32(view.dedup))
        cells[:, 0] = rois[:, 0]  # the same place at another scale is another region
        _, shown, back = np.unique(cells.dot(_HASH), return_index=True, return_inverse=True)
    rois = np.pad(rois[shown], ((0, -len(shown) % _SEVERAL), (0, 0)), mode="edge")
    blobs: dict[str, Any] = {"data": data, "rois": rois}
    fit(net, blobs)
    net.forward(**blobs)
    return shown, back


def _project(boxes: Array, scales: Array) -> Array:
    """rois (R, 5) float32: the scale at which each box is nearest to 224 x 224 pixels, and the box at that scale."""
    boxes = boxes.astype(np.float64)
    scaled = areas(boxes)[:, None] * scales**2
    levels = np.abs(scaled - _AREA).argmin(axis=1) if len(scales) > 1 else np.zeros(len(boxes), np.int64)
    return np.concatenate([levels[:, None], boxes * scales[levels, None]], axis=1).astype(np.float32)


def _answers(net: Net, boxes: Array, im: Array, view: View) -> tuple[Array, Array]:
    count = len(boxes)
    scores = np.array(_blob(net, _scores_of(view))).reshape(shape_of_answers(net, view))[:count]
    if not view.bbox_reg:
        return scores, np.tile(boxes, (1, scores.shape[1])).astype(np.float32)
    deltas = np.array(_blob(net, "bbox_pred")).reshape(-1, 4 * scores.shape[1])[:count]
    return scores, clip(decode(boxes, deltas), *im.shape[:2])


def _scores_of(view: View) -> str:
    return "cls_score" if view.svm else "cls_prob"


def shape_of_answers(net: Net, view: View) -> tuple[int, int]:
    """Regions and classes, background included, of a net's scores.

    Raises UsageError if it has none, or no box for each class.
    """
    name = _scores_of(view)
    rows, *columns = _blob(net, name).shape
    classes = int(np.prod(columns))
    if view.bbox_reg and np.prod((shape := _blob(net, "bbox_pred").shape)[1:]) != 4 * classes:
        raise UsageError(
            f"net '{net.name}': expected bbox_pred (R, {4 * classes}), a box for each of the {classes} classes of {name}, "
            f"got {tuple(shape)}\n  Fix: set num_output of the layer that makes it"
        )
    return rows, classes


def _blob(net: Net, name: str) -> Array:
    if name not in net.blobs:
        near = suggestion(name, net.blobs)
        fix = "name it so in the prototxt; layers may have any names"
        raise UsageError(f"net '{net.name}': expected a blob '{name}', there is none{near}\n  Fix: {fix}")
    values: Array = net.blobs[name].data
    return values


def checked_boxes(boxes: Any) -> Array:
    """Boxes as an array (R, 4). Raises DataError for what are none."""
    array = np.asarray(boxes)
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(f"expected boxes (R, 4) of x1, y1, x2, y2, got {array.shape}")
    if not np.isfinite(array).all():
        raise DataError("expected boxes with finite corners")
    return array


def best(scores: Array, boxes: Array, *, score: float, nms: float, limit: int) -> Array:
    """Rows label, score, x1, y1, x2, y2 float32 (K, 6) of what ``im_detect`` gave, best first.

    Of each class those above ``score`` that overlap no better one of it by more than ``nms``; then the ``limit`` best
    of all classes, and those as good as the last of them; 0: all. Raises NotFiniteError for NaN, which is above no score.
    """
    from caffelite.boxes.nms import nms as suppress

    if np.isnan(scores).any() or np.isnan(boxes).any():
        raise NotFiniteError(
            "NaN in the scores or boxes of the detector: its net has diverged\n  Fix: take weights of an earlier snapshot"
        )
    rows = [np.empty((0, 6), np.float32)]
    for label in range(1, scores.shape[1]):
        (left,) = np.nonzero(scores[:, label] > score)
        mine, of_class = boxes[left, 4 * label : 4 * label + 4].astype(np.float32), scores[left, label]
        kept = suppress(mine, of_class, nms)
        rows.append(np.column_stack([np.full(len(kept), label), of_class[kept], mine[kept]]))
    found = np.concatenate(rows).astype(np.float32)
    if 0 < limit < len(found):
        found = found[found[:, 1] >= np.sort(found[:, 1])[-limit]]
    return found[np.argsort(-found[:, 1], kind="stable")]
