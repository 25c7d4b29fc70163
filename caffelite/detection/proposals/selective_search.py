"""Selective Search: regions of like colour and texture, joined step by step; the box of each that ever was.

OpenCV's implementation with the settings of R-CNN, which are not OpenCV's: segments from k = 50 and 100 in two colour
spaces with sigma .8, sides of at least 20 pixels of 500. OpenCV finds the same boxes each time but draws their order anew;
here the order is drawn from a seed.

Source: "Selective Search for Object Recognition" (Uijlings et al., 2013), selective_search_boxes.m of R-CNN.
"""

from __future__ import annotations

import numpy as np

from caffelite.data import opencv
from caffelite.detection.proposals.contrib import part
from caffelite.detection.proposals.tidy import USUAL, Boxes, falling, share_of_usual, tidy
from caffelite.random import RandomSource

K = 50
SIGMA = 0.8
MIN_SIDE = 20


def selective_search(
    image: np.ndarray,
    *,
    limit: int = 2000,
    seed: int = 0,
    min_side: int = MIN_SIDE,
    k: int = K,
    sigma: float = SIGMA,
    longest: int = USUAL,
    quality: bool = False,
) -> Boxes:
    """Proposals of an image (H, W, 3) uint8.

    ``k``: size of the first segments, also the step to the next; ``quality``: more segmentations, four times the time.
    ``longest``: larger images are shrunk so that their longer side is this, as R-CNN did; 0 for never. ``min_side``: of an
    image of 500 pixels; less in smaller ones, which R-CNN enlarged, in proportion. The order, and so which boxes ``limit`` leaves, depends on ``seed`` and the boxes alone.

    Raises:
        DataError: this OpenCV has no Selective Search.
    """
    small, scale = _shrunk(image, longest)
    if min(small.shape[:2]) < 2:
        return tidy(np.empty((0, 4)), np.empty(0), image.shape)
    search = part("ximgproc", "segmentation").createSelectiveSearchSegmentation()
    search.setBaseImage(small)
    switch = search.switchToSelectiveSearchQuality if quality else search.switchToSelectiveSearchFast
    switch(k, k, sigma)
    x, y, w, h = np.asarray(search.process(), np.float32).reshape(-1, 4).T
    large = np.minimum(w, h) >= min_side * share_of_usual(small.shape)
    boxes = np.column_stack([x, y, x + w, y + h])[large] * scale - [0, 0, 1, 1]
    return _ranked(boxes, image.shape, seed, limit)


def _shrunk(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    side = max(image.shape[:2])
    if not longest or side <= longest:
        return image, 1.0
    cv2, scale = opencv.load(), side / longest
    height, width = (max(1, round(n / scale)) for n in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), scale


def _ranked(boxes: np.ndarray, shape: tuple[int, ...], seed: int, limit: int) -> Boxes:
    """Boxes in the order of their place by falling area times a random number.

    R-CNN took their place in the joining, the whole image first, times a random number; OpenCV does not tell that
    place, and the area stands in for it. OpenCV's own order, the other way round, finds half as much with 100 boxes.
    """
    boxes, _ = tidy(boxes, np.zeros(len(boxes)), shape)
    boxes = boxes[np.lexsort(boxes.T)]  # whatever order they came in
    sizes = boxes[:, 2:] - boxes[:, :2] + 1
    place = np.argsort(np.argsort(-sizes.prod(axis=1), kind="stable")) + 1.0
    words = RandomSource(seed).words(0, len(boxes), "selective_search")[:, 0]
    order = np.argsort(place * (words / 2.0**64), kind="stable")[: limit or None]
    return boxes[order], falling(len(order))
