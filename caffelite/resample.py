"""Images in other sizes, with the weights of scikit-image and SciPy.

pycaffe resizes by ``skimage.transform.resize`` and ``scipy.ndimage.zoom``. OpenCV weighs pixels otherwise, and a
separable filter is but two sums over a few taps.
"""

from __future__ import annotations

import numpy as np

from caffelite.types import Shape


def resize_areas(image: np.ndarray, size: Shape, order: int) -> np.ndarray:
    """``skimage.transform.resize(mode="constant")`` without anti-aliasing: (H, W, K) to (h, w, K), float64.

    Pixels are areas. What lies outside has the image's smallest value, which is where pycaffe puts the constant.
    ``order``: 0 nearest, 1 linear, 3 cubic (Catmull and Rom's spline, cut off at the image's own range).
    """
    low, high = float(image.min()), float(image.max())
    y = image
    for axis, length in enumerate(size):
        n = image.shape[axis]
        x = (np.arange(length) + 0.5) * n / length - 0.5
        y = _filter(y, axis, x, order, low if axis == 0 else 0.0)
    y += low
    return np.clip(y, low, high) if order == 3 else y


def resize_points(image: np.ndarray, size: Shape, order: int) -> np.ndarray:
    """``scipy.ndimage.zoom``: (H, W, K) to (h, w, K), float64. Pixels are points, and corners stay in corners.

    ``order``: 0 nearest, 1 linear.
    """
    y = image
    for axis, length in enumerate(size):
        x = np.arange(length) * (image.shape[axis] - 1) / max(1, length - 1)
        y = _filter(y, axis, x, order, 0.0)
    return y


def _filter(image: np.ndarray, axis: int, x: np.ndarray, order: int, zero: float) -> np.ndarray:
    """The image minus ``zero`` at the positions x along an axis, float64; outside of it there is nothing but 0."""
    n = image.shape[axis]
    y: np.ndarray | float = 0.0
    for index, weight in _taps(x, order):
        weight = np.where((index >= 0) & (index < n), weight, 0.0)
        picked = np.take(image, np.clip(index, 0, n - 1), axis)
        y = y + np.subtract(picked, zero, dtype=np.float64) * np.expand_dims(
            weight, (1, 2) if axis == 0 else 1
        )
    return np.asarray(y)


def _taps(x: np.ndarray, order: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which pixels make the value at x, and their weights."""
    if order == 0:
        return [(np.floor(x + 0.5).astype(int), np.ones_like(x))]
    base = np.floor(x).astype(int)
    t = x - base
    if order == 1:
        return [(base, 1 - t), (base + 1, t)]
    weights = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    return [(base + k - 1, weight) for k, weight in enumerate(weights)]
