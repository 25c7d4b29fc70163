"""From the blobs of a Faster R-CNN net to boxes and back: what its three layers compute, for any number of images.

The blobs, for N images and A anchors at each of H x W positions:

    scores   (N, 2 A, H, W)  of background, then of object, for each anchor
    deltas   (N, 4 A, H, W)  code of each anchor's box
    im_info  (N, 3)          height and width in pixels of what the image fills of the net's input, and its scale
    gt       (G, 5)          x1, y1, x2, y2, label in pixels of the input, for one image; (G, 6) with the number of the
                             image first, for several. Rows with label 0 are padding.
    rois     (R, 5)          number of the image, x1, y1, x2, y2

Everything is computed in float32 in host memory, whatever engine the net runs on, because decisions hang on rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from caffelite.boxes.anchors import base_anchors, shifted
from caffelite.boxes.boxes import Array
from caffelite.boxes.targets import anchor_targets, proposal_targets, proposals
from caffelite.errors import DataError, NotFiniteError


def host(x: Any) -> Array:
    """An array of any engine as float32 in host memory."""
    return np.asarray(x.get() if hasattr(x, "get") else x, np.float32)


@dataclass(frozen=True)
class Anchors:
    """The anchors of a net: those of one position, and the pixels from one position to the next."""

    base: Array
    stride: float

    @classmethod
    def made(cls, stride: float, size: float, ratios: Any = (), scales: Any = ()) -> Anchors:
        """From parameters; empty ratios and scales are the published ones."""
        return cls(base_anchors(size, list(ratios) or (0.5, 1, 2), list(scales) or (8, 16, 32)), stride)

    def __len__(self) -> int:
        return len(self.base)

    def over(self, height: int, width: int) -> Array:
        """All anchors of a map (H * W * A, 4), not to be written to."""
        return _over(self.base.tobytes(), self.stride, height, width)


@lru_cache(maxsize=32)
def _over(base: bytes, stride: float, height: int, width: int) -> Array:
    anchors = shifted(np.frombuffer(base, np.float32).reshape(-1, 4), stride, height, width)
    anchors.flags.writeable = False
    return anchors


def proposal_blobs(
    scores: Any, deltas: Any, im_info: Any, anchors: Anchors, min_size: float, **options: Any
) -> tuple[Array, Array]:
    """rois (R, 5) and their scores (R, 1), image by image, best first.

    ``min_size`` is in pixels of the image before it was scaled; ``options`` are those of ``proposals``. Raises
    NotFiniteError for NaN in scores or deltas, DataError for an im_info that does not fit.
    """
    scores, deltas = host(scores), host(deltas)
    sizes = image_sizes(im_info, len(scores))
    boxes = anchors.over(*scores.shape[2:])
    rois, best = [np.empty((0, 5), np.float32)], [np.empty(0, np.float32)]
    for i, (height, width, scale) in enumerate(sizes.tolist()):
        codes, shares = _rows(deltas[i], 4), _rows(scores[i, len(anchors) :], 1)[:, 0]
        if np.isnan(codes).any() or np.isnan(shares).any():
            raise NotFiniteError(
                f"NaN in the scores or codes of the anchors of image {i}: the net has diverged"
            )
        found, values = proposals(boxes, codes, shares, height, width, min_size=min_size * scale, **options)
        rois.append(_numbered(i, found))
        best.append(values)
    return np.concatenate(rois), np.concatenate(best)[:, None]


def anchor_target_blobs(
    shape: tuple[int, ...], gt: Any, im_info: Any, anchors: Anchors, rng: np.random.Generator, **options: Any
) -> tuple[Array, Array, Array, Array]:
    """labels (N, 1, A H, W), targets, inside weights and outside weights (N, 4 A, H, W) for scores of a shape.

    ``options`` are those of ``anchor_targets``. Raises DataError for bad boxes.
    """
    items, _, height, width = shape
    truth = split_gt(gt, items)
    boxes = anchors.over(height, width)
    labels = np.empty((items, 1, len(anchors) * height, width), np.float32)
    rest = np.empty((3, items, 4 * len(anchors), height, width), np.float32)
    for i, (rows, columns, _) in enumerate(image_sizes(im_info, items).tolist()):
        made = anchor_targets(boxes, truth[i][:, :4], rows, columns, rng, **options)
        labels[i, 0] = _map(made.labels, len(anchors), height, width).reshape(len(anchors) * height, width)
        for j, values in enumerate((made.targets, made.inside, made.outside)):
            rest[j, i] = _map(values, 4 * len(anchors), height, width)
    return labels, rest[0], rest[1], rest[2]


def proposal_target_blobs(
    rois: Any, gt: Any, rng: np.random.Generator, classes: int, **options: Any
) -> tuple[Array, Array, Array, Array, Array]:
    """rois (R, 5), labels (R,), targets, inside weights and outside weights (R, 4 C), image by image.

    ``options`` are those of ``proposal_targets``. Raises DataError for bad boxes, or labels not below ``classes``.
    """
    rois = _flat(rois)
    index = rois[:, 0]
    if not (index >= 0).all():
        raise DataError(f"expected image numbers of 0 or more in rois, got {index.min():g}")
    gt = _flat(gt)
    items = int(max(index.max(initial=0), gt[:, 0].max(initial=0) if gt.shape[1] == 6 else 0)) + 1
    made = []
    for i, truth in enumerate(split_gt(gt, items)):
        if (truth[:, 4] >= classes).any():
            label = truth[:, 4].max()
            raise DataError(
                f"expected labels up to {classes - 1} (num_classes - 1) in gt_boxes, got {label:g}"
            )
        labels = truth[:, 4].astype(np.int64)
        made.append(
            proposal_targets(rois[index == i, 1:], truth[:, :4], labels, rng, classes=classes, **options)
        )
    numbered = np.concatenate([_numbered(i, one.rois) for i, one in enumerate(made)])
    labels = np.concatenate([one.labels for one in made]).astype(np.float32)
    targets, inside, outside = (
        np.concatenate([getattr(one, name) for one in made]) for name in ("targets", "inside", "outside")
    )
    return numbered, labels, targets, inside, outside


def image_sizes(im_info: Any, items: int) -> Array:
    """Height, width and scale (N, 3) of ``items`` images; the scale is 1 if it is not given."""
    rows = _flat(im_info)
    if len(rows) != items or rows.shape[1] < 2:
        raise DataError(f"expected im_info ({items}, 3), rows of height, width, scale, got {rows.shape}")
    if rows.shape[1] == 2:
        rows = np.concatenate([rows, np.ones((items, 1), np.float32)], axis=1)
    return rows[:, :3]


def split_gt(gt: Any, items: int) -> list[Array]:
    """The boxes of each image: rows x1, y1, x2, y2, label (G, 5).

    Raises DataError, with the row, for corners that are not finite or in the wrong order, or an image not there.
    """
    rows = _flat(gt)
    if rows.shape[1] not in (5, 6) or (rows.shape[1] == 5 and items > 1):
        wanted = "(G, 5)" if items == 1 else "(G, 6), the number of the image first, for several images"
        raise DataError(f"expected gt_boxes {wanted}, got {rows.shape}")
    index, boxes = (rows[:, 0], rows[:, 1:]) if rows.shape[1] == 6 else (np.zeros(len(rows)), rows)
    real = boxes[:, 4] > 0
    ordered = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] <= boxes[:, 2:4]).all(axis=1)
    good = ordered & (index >= 0) & (index < max(items, 1)) | (boxes[:, 4] <= 0)
    if not good.all():
        at = int(good.argmin())
        expected = f"x1 <= x2, y1 <= y2, finite, of images 0 to {items - 1}"
        raise DataError(f"expected boxes with {expected} in gt_boxes, got {_shown(rows[at])} as row {at}")
    return [boxes[real & (index == i)] for i in range(items)]


def _flat(x: Any) -> Array:
    """Rows of numbers, without axes of length 1 after them."""
    rows = host(x)
    return rows.reshape(len(rows), math.prod(rows.shape[1:]))


def _shown(row: Array) -> str:
    return f"({', '.join(f'{value:g}' for value in row.tolist())})"


def _rows(x: Array, columns: int) -> Array:
    """(A k, H, W) -> (H W A, k), the order of the anchors."""
    return x.transpose(1, 2, 0).reshape(x.size // columns, columns)


def _map(rows: Array, channels: int, height: int, width: int) -> Array:
    """(H W A, k) -> (A k, H, W), the other way."""
    return rows.reshape(height, width, channels).transpose(2, 0, 1)


def _numbered(item: int, boxes: Array) -> Array:
    return np.concatenate([np.full((len(boxes), 1), item, np.float32), boxes.astype(np.float32)], axis=1)
