"""OpenCV, loaded when the first image is decoded."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from caffelite.data.skipped import BadRecordError
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
        BadRecordError: the bytes are no image that OpenCV reads, or not 8 bits deep.
        DataError: OpenCV cannot be loaded.
    """
    cv2 = load()
    flags = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    image = imdecode(data, flags)
    if image is None:
        raise BadRecordError("its encoded image cannot be decoded")
    if image.dtype != np.uint8:
        raise BadRecordError(f"expected an image of 8 bits a channel, got {image.dtype}")
    pixels: np.ndarray = image.reshape(*image.shape[:2], -1).transpose(2, 0, 1)
    return pixels


def imdecode(data: bytes | memoryview, flags: int) -> np.ndarray | None:
    """What OpenCV makes of the bytes of an image file; None if that is nothing. Raises DataError without OpenCV."""
    cv2 = load()
    if not len(data):
        return None
    try:
        image: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # a head that promises more than 2^30 pixels, say
        return None
    return image


def read(path: str, color: bool) -> np.ndarray:
    """The image in a file, as :func:`decode` gives it.

    Raises:
        BadRecordError: there is no such file, it cannot be read, or it is no image.
    """
    return decode(read_bytes(path), color)


def read_bytes(path: str) -> bytes:
    """What is in an image file. Raises BadRecordError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        where = "" if os.path.isabs(path) else f" (looked up from '{os.getcwd()}')"
        raise BadRecordError(f"{getattr(error, 'strerror', None) or error}{where}") from error


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image (C, H, W) of uint8 in another size, by OpenCV's bilinear interpolation, without smoothing.

    Raises:
        BadRecordError: it cannot have this size (there is no memory for it, or a side has 2^31 pixels).
    """
    cv2 = load()
    try:
        resized = cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), (width, height))
    except cv2.error as error:
        raise BadRecordError(f"it cannot be resized to {height} x {width}: {error.err or error}") from error
    pixels: np.ndarray = resized.reshape(height, width, -1).transpose(2, 0, 1)
    return pixels
