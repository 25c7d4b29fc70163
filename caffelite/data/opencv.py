"""OpenCV, loaded when the first image is decoded."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffelite.errors import DataError

_WHEELS = "opencv-python opencv-contrib-python opencv-python-headless opencv-contrib-python-headless"
_FIX = f"pip uninstall -y {_WHEELS} && pip install opencv-contrib-python-headless"


def load() -> Any:
    """The module ``cv2``.

    Raises:
        DataError: it is not installed, or two of its wheels have overwritten each other's files.
    """
    try:
        import cv2
    except ImportError as error:
        raise DataError(f"images need OpenCV, which cannot be loaded: {error}\n  Fix: {_FIX}") from error
    if not hasattr(cv2, "imdecode"):
        raise DataError(
            f"OpenCV is broken: several of its wheels are installed over each other\n  Fix: {_FIX}"
        )
    return cv2


def decode(data: bytes | memoryview, color: bool | None = None) -> np.ndarray:
    """The image in the bytes of an image file: a (C, H, W) view of uint8, colours in the order B, G, R.

    ``color``: True for three channels, False for grey, None for what the file holds.

    Raises:
        DataError: the bytes are no image that OpenCV reads, or not 8 bits deep.
    """
    cv2 = load()
    flags = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if len(data) else None
    if image is None:
        raise DataError("its encoded image cannot be decoded")
    if image.dtype != np.uint8:
        raise DataError(f"expected an image of 8 bits a channel, got {image.dtype}")
    pixels: np.ndarray = image.reshape(*image.shape[:2], -1).transpose(2, 0, 1)
    return pixels
