"""Edge Boxes: boxes that hold whole contours and cut few.

Scores come from OpenCV. It takes any map of edges; by default one from Sobel's derivatives, thinned. A model of structured
edges, as Edge Boxes used, can be given by its file; none comes with caffelite, because those that are published may not be
used commercially.

Source: "Edge Boxes: Locating Object Proposals from Edges" (Zitnick and Dollar, 2014).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np

from caffelite.data import opencv
from caffelite.detection.proposals.contrib import part
from caffelite.detection.proposals.tidy import Boxes, share_of_usual, tidy
from caffelite.errors import DataError, MissingFileError

_SMOOTH = 2.0  # pixels, sigma of the Gaussian before Sobel
_MOST = 10000  # boxes, OpenCV's own limit
_STRONG = 99.5  # percentile of the magnitudes that is edge strength 1


def edge_boxes(
    image: np.ndarray,
    *,
    limit: int = 2000,
    model: str | os.PathLike[str] = "",
    alpha: float = 0.65,
    beta: float = 0.75,
    min_score: float = 0.01,
    min_area: float = 1000.0,
) -> Boxes:
    """Proposals of an image (H, W, 3) uint8.

    ``model``: file of structured edges (.yml or .yml.gz); empty: Sobel. ``alpha``: overlap of neighbouring windows
    of the search; ``beta``: overlap from which the worse of two boxes goes; ``min_area``: pixels of the smallest
    box in an image of 500 pixels; less in smaller ones, in proportion.

    Raises:
        MissingFileError, DataError: the model is not there or is none; this OpenCV has no Edge Boxes.
    """
    strength, normal = structured_edges(image, model) if model else sobel_edges(image)
    search = part("ximgproc", "createEdgeBoxes")(
        alpha=alpha,
        beta=beta,
        minScore=min_score,
        maxBoxes=limit or _MOST,
        minBoxArea=min_area * share_of_usual(image.shape) ** 2,
    )
    if min(image.shape[:2]) < 2 or not strength.any():
        return tidy(np.empty((0, 4)), np.empty(0), image.shape)
    boxes, scores = search.getBoundingBoxes(strength, normal)
    x, y, w, h = np.asarray(boxes, np.float32).reshape(-1, 4).T
    found = np.column_stack([x, y, x + w - 1, y + h - 1])
    return tidy(found, np.asarray(scores).reshape(-1), image.shape, limit=limit)


def sobel_edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strength (H, W) float32 from 0 to 1 and direction across the edge, from 0 to pi, of thin edges.

    Of the three colours the one with the steepest slope counts. A pixel stays where none of its two neighbours across
    the edge is stronger.
    """
    cv2 = opencv.load()
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), _SMOOTH)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, i, 1 - i).reshape(image.shape) for i in (1, 0))
    which = (dx * dx + dy * dy).argmax(axis=2)[..., None]
    dx, dy = (np.take_along_axis(d, which, axis=2)[..., 0] for d in (dx, dy))
    strength, normal = np.sqrt(dx * dx + dy * dy), np.mod(np.arctan2(dy, dx), np.pi).astype(np.float32)
    normal[normal >= np.float32(np.pi)] = 0  # rounded up
    y, x = np.indices(strength.shape, np.float32)
    beside = [
        cv2.remap(strength, x + sign * np.cos(normal), y + sign * np.sin(normal), cv2.INTER_LINEAR)
        for sign in (1, -1)
    ]
    thin = np.where((strength >= beside[0]) & (strength >= beside[1]), strength, 0)
    full = np.percentile(strength, _STRONG)
    return np.minimum(thin / max(float(full), 1e-6), 1).astype(np.float32), normal


def structured_edges(image: np.ndarray, model: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Strength and direction of edges as :func:`sobel_edges` gives them, by a forest of structured edges."""
    detector = _forest(os.fspath(model))
    edges = detector.detectEdges(image[..., ::-1].astype(np.float32) / 255)
    normal = detector.computeOrientation(edges)
    return detector.edgesNms(edges, normal), normal


@lru_cache(maxsize=1)
def _forest(path: str) -> Any:
    if not os.path.exists(path):
        raise MissingFileError(path, "model of structured edges")
    try:
        return part("ximgproc", "createStructuredEdgeDetection")(path)
    except opencv.load().error as error:
        raise DataError(f"model of structured edges '{path}' cannot be read: {error}") from error
