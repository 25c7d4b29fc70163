"""Images of detection data: read whatever they are, and drawn with the boxes in them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.data import opencv
from caffelite.data.skipped import BadRecordError
from caffelite.detection.headers import Header, is_cut_short, read_header, turn
from caffelite.errors import DataError, MissingFileError, UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2")
"""What names of image files end with."""

COLORS = (
    (60, 60, 230), (60, 180, 60), (230, 120, 40), (30, 170, 240), (200, 60, 200), (190, 190, 30), (40, 90, 160),
    (140, 60, 120), (100, 220, 170), (250, 150, 150), (90, 90, 90), (20, 210, 210),
)  # fmt: skip
"""Of the classes, B, G, R; class 13 has the colour of class 1 again."""

_LEAST_SIDE = 200  # letters on images smaller than this would hide them


def load_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """An image file as (H, W, 3) uint8, B, G, R.

    Turned upright as its camera noted; grey becomes colour; CMYK becomes B, G, R; of 16 bits the upper 8 are kept; alpha
    is left out, as OpenCV and Pillow do. The path may have any characters. Nothing is cached.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no image, is cut short, or holds floats; names the file.
    """
    name = os.fspath(path)
    data = _bytes(name)
    if is_cut_short(data):
        raise DataError(f"picture '{name}' is cut short\n  Fix: copy it anew, or take it out of the set")
    image = _decode(data) if data else None
    if image is None or image.dtype != np.uint8:
        raise DataError(f"picture '{name}' cannot be decoded\n  Fix: {_cure(data)}")
    header = read_header(io.BytesIO(data))
    return np.ascontiguousarray(turn(image, header.orientation if header else 1))


def _decode(data: bytes) -> np.ndarray | None:
    cv2 = opencv.load()
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # for more pixels than it takes
        return None
    return image


def picture_header(path: str | os.PathLike[str]) -> Header:
    """Size and orientation of an image; of JPEG, PNG and BMP files only the first bytes are read.

    Raises what :func:`load_picture` does.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            header = read_header(file)
    except FileNotFoundError as error:
        raise MissingFileError(name, "picture") from error
    except OSError as error:
        raise DataError(f"picture '{name}' cannot be read: {error.strerror or error}") from error
    if header is None or min(header[:2]) < 1:
        height, width = load_picture(name).shape[:2]
        return Header(width, height)
    return header


def write_picture(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes an image (H, W, 3) uint8, B, G, R, in the format that the name ends with, whole or not at all.

    Raises:
        UsageError: no format is known by this ending.
        SnapshotError: it cannot be written there.
    """
    cv2 = opencv.load()
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if not cv2.haveImageWriter(f"image{suffix}"):
        raise UsageError(f"expected a name that ends with .png or .jpg, got '{os.fspath(path)}'")
    _, data = cv2.imencode(suffix, image)
    with atomic_write(path) as file:
        file.write(data.tobytes())


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    scores: Sequence[float] | np.ndarray | None = None,
    dashed: Sequence[bool] | np.ndarray | None = None,
) -> np.ndarray:
    """A copy of an image (H, W, 3) with boxes (K, 4) in the colours of their classes and the names above them.

    ``labels``: (K,) from 1. ``dashed``: boxes to be drawn thin, such as difficult ones. Names that are not ASCII, which
    OpenCV cannot write, are drawn as the number of the class.
    """
    y = np.ascontiguousarray(image).copy()
    for k, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        text = _text(int(label), classes, None if scores is None else scores[k])
        _draw(y, box, text, COLORS[(int(label) - 1) % len(COLORS)], dashed is not None and bool(dashed[k]))
    return y


def _text(label: int, classes: Sequence[str], score: float | None) -> str:
    name = classes[label - 1] if 1 <= label <= len(classes) else str(label)
    name = name if name.isascii() else f"class {label}"
    return name if score is None else f"{name} {score:.2f}"


def _draw(y: np.ndarray, box: np.ndarray, text: str, color: tuple[int, int, int], thin: bool) -> None:
    cv2 = opencv.load()
    side = min(y.shape[:2])
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    cv2.rectangle(y, (x1, y1), (x2, y2), color, 1 if thin else max(1, side // 250))
    scale = 0.35 if side < _LEAST_SIDE else max(0.4, side / 1200)
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    foot = y1 - 1 if y1 > height + below else min(y1 + height + below, y.shape[0] - 1)
    left = max(0, min(x1, y.shape[1] - width - 1))
    cv2.rectangle(y, (left, foot - height - below), (left + width, foot), color, cv2.FILLED)
    cv2.putText(
        y, text, (left, foot - below // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA
    )


def _bytes(name: str) -> bytes:
    if not os.path.exists(name):
        raise MissingFileError(name, "picture")
    try:
        return opencv.read_bytes(name)
    except BadRecordError as error:
        raise DataError(f"picture '{name}' cannot be read: {error}") from error


def _cure(data: bytes) -> str:
    if not data:
        return "the file is empty; copy it anew, or take it out of the set"
    if data.startswith((b"<", b"\xef\xbb\xbf<")):
        return "it is a web page, not an image; download it anew"
    return "it is broken or in a format that OpenCV does not know; convert it to PNG or JPEG"
