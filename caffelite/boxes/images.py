"""Images as the R-CNN detectors feed them to a net: less the mean, scaled by their short side, padded to one size."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.data import opencv
from caffelite.errors import DataError, MissingFileError


def scale_for(height: int, width: int, target: float, longest: float) -> float:
    """What makes the short side ``target`` pixels, or less if the long one would be more than ``longest``."""
    short, long = min(height, width), max(height, width)
    scale = target / short
    return longest / long if np.round(scale * long) > longest else scale


def prepared(image: Array, means: Array, target: float, longest: float) -> tuple[Array, float]:
    """An image (H, W, 3), B, G, R, less ``means`` (3,) and resized: float32 (h, w, 3), and its scale; no side is 0.

    Linear interpolation without anti-aliasing, by OpenCV, as published weights were trained with.
    """
    less = image.astype(np.float32) - np.asarray(means, np.float64).reshape(3).astype(np.float32)
    height, width = image.shape[:2]
    scale = scale_for(height, width, target, longest)
    cv2 = opencv.load()
    size = None
    if round(scale * min(height, width)) < 1:  # a line of pixels, of which OpenCV would make none
        size = tuple(max(round(scale * side), 1) for side in (width, height))
    resized: Array = cv2.resize(less, size, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return resized, scale


def image_blob(images: Sequence[Array], multiple: int = 1) -> Array:
    """Images (h, w, 3) of any sizes as (N, 3, H, W) float32; zeros fill the right and the bottom of smaller ones.

    H and W are what the largest need, and multiples of ``multiple``.
    """
    height, width = (-(-max(image.shape[i] for image in images) // multiple) * multiple for i in (0, 1))
    blob = np.zeros((len(images), 3, height, width), np.float32)
    for item, image in zip(blob, images, strict=True):
        item[:, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
    return blob


def read_image(source: Any) -> Array:
    """(H, W, 3) uint8, B, G, R, of an image file, or an array of this form itself. Raises DataError."""
    if isinstance(source, np.ndarray):
        return source
    path = Path(os.fspath(source))
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(path, "image") from error
    image = opencv.imdecode(data, opencv.load().IMREAD_COLOR)
    if image is None:
        raise DataError(f"image '{path}' cannot be decoded")
    return image


class ImageCache:
    """Decoded images of files, those used last, up to a number of bytes; a file that has changed is read again."""

    def __init__(self) -> None:
        self._images: OrderedDict[tuple[str, int, int], Array] = OrderedDict()
        self.nbytes = 0

    def read(self, source: Any, limit: int) -> Array:
        """What ``read_image`` gives, not to be written to. Keeps at most ``limit`` bytes; arrays are the caller's."""
        if isinstance(source, np.ndarray):
            return source
        key = _identity(source)
        image = self._images.get(key)
        if image is None:
            image = read_image(source)
            image.flags.writeable = False
            self._images[key] = image
            self.nbytes += image.nbytes
        self._images.move_to_end(key)
        while self.nbytes > limit and self._images:
            self.nbytes -= self._images.popitem(last=False)[1].nbytes
        return image


def _identity(source: Any) -> tuple[str, int, int]:
    """A file's path, time and size. Raises MissingFileError."""
    path = os.fspath(source)
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise MissingFileError(path, "image") from error
    return str(path), found.st_mtime_ns, found.st_size
