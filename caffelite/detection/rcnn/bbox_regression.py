"""R-CNN's regression from features of a proposal to where the object in it really is.

Source: rcnn_train_bbox_regressor.m of rbgirshick/rcnn and Girshick et al. 2014, appendix C: ridge regression with
lambda 1000 on whitened targets, of proposals that overlap with an object by more than 0.6. Widths are x2 - x1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.boxes.boxes import Array, clip, decode_rcnn, encode_rcnn
from caffelite.detection.rcnn.regions import Regions
from caffelite.detection.rcnn.svm import Rows, mean_norm

OVERLAP = 0.6
_LAMBDA = 1000.0
_NORM = 20.0  # mean norm of the scaled features
_WHITE = 1e-3  # added to variances


@dataclass(frozen=True, eq=False)
class BoxRegression:
    """Codes of boxes are x W + b: ``weights`` W float32 (D, 4 C), ``biases`` b float32 (4 C,); classes without background."""

    weights: Array
    biases: Array

    def boxes(self, x: Array, proposals: Array, height: int, width: int) -> Array:
        """What features (R, D) make of proposals (R, 4) for each class: float32 (R, 4 C), inside of the image."""
        codes = (x @ self.weights + self.biases).astype(np.float32)
        return clip(decode_rcnn(proposals.astype(np.float32), codes), height, width)


def train_regression(
    regions: Sequence[Regions], features: Rows, classes: int, *, weight: float = _LAMBDA, seed: int = 3
) -> BoxRegression:
    """A regression for each class. ``features[i]``: of the proposals ``regions[i].near(OVERLAP)``, (K, D).

    A class without such proposals leaves boxes where they are. ``weight``: lambda. Raises DataError if all features are 0.
    """
    pairs = [one.near(OVERLAP) for one in regions]
    x = np.concatenate([features[i] for i in range(len(regions))]).astype(np.float64)
    labels = np.concatenate([one.labels[objects] for one, (_, objects) in zip(regions, pairs, strict=True)])
    codes = np.concatenate([_codes(one, *pair) for one, pair in zip(regions, pairs, strict=True)])
    weights, biases = np.zeros((classes, x.shape[1], 4)), np.zeros((classes, 4))
    scale = _NORM / mean_norm(features, len(regions), seed) if len(x) else 1.0
    for label in np.unique(labels):
        chosen = labels == label
        W, b = fit(x[chosen] * scale, codes[chosen], weight)
        weights[label - 1], biases[label - 1] = W * scale, b
    folded = weights.transpose(1, 0, 2).reshape(x.shape[1], 4 * classes)
    return BoxRegression(folded.astype(np.float32), biases.ravel().astype(np.float32))


def _codes(one: Regions, near: Array, objects: Array) -> Array:
    boxes = one.boxes.astype(np.float64)
    return encode_rcnn(boxes[near], boxes[objects])


def fit(x: Array, y: Array, weight: float) -> tuple[Array, Array]:
    """W (D, 4) and b (4,) for y = x W + b: ridge regression, the bias punished as well, on whitened y (K, 4)."""
    middle = y.mean(axis=0)
    variances, axes = np.linalg.eigh((y - middle).T @ (y - middle) / len(y))
    spread = np.sqrt(variances + _WHITE)
    white, colour = (axes / spread) @ axes.T, (axes * spread) @ axes.T
    beta = _ridge(np.column_stack([x, np.ones(len(x))]), (y - middle) @ white, weight) @ colour
    return beta[:-1], beta[-1] + middle


def _ridge(x: Array, y: Array, weight: float) -> Array:
    """(x'x + weight I)^-1 x'y, by the smaller of the two equal systems."""
    K, D = x.shape
    if D <= K:
        return np.linalg.solve(x.T @ x + weight * np.eye(D), x.T @ y)
    found: Array = x.T @ np.linalg.solve(x @ x.T + weight * np.eye(K), y)
    return found
