"""The size and the orientation of an image, read from the first bytes of its file.

A camera notes how it was held: an orientation from 1 to 8 (EXIF 2.3, tag 0x0112). Viewers and annotation tools turn the
image as it says, and so do we.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO, NamedTuple

import numpy as np

_JPEG, _PNG, _BMP = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that tell its size
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length
_SCAN = 0xDA
_END = b"\xff\xd9"
_APP1, _EXIF = 0xE1, b"Exif\0\0"
_ORIENTATION = 0x0112
_TRANSPOSED = 5  # from this orientation on width and height change places


class Header(NamedTuple):
    """What the first bytes tell: width and height as stored, and the orientation, 1 for upright."""

    width: int
    height: int
    orientation: int = 1

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as the image is seen."""
        return self.size_turned(self.width, self.height)

    def size_turned(self, width: int, height: int) -> tuple[int, int]:
        """A stored size as it is seen, or the other way round."""
        return (height, width) if self.orientation >= _TRANSPOSED else (width, height)


def read_header(file: BinaryIO) -> Header | None:
    """The header of an open image file; None for one that is no JPEG, PNG or BMP, or is broken."""
    start = file.read(26)
    try:
        if start.startswith(_JPEG):
            file.seek(2)
            return _jpeg(file)
        if start.startswith(_PNG):
            file.seek(len(_PNG))
            return _png(file)
        if start.startswith(_BMP):
            width, height = struct.unpack("<ii", start[18:26])
            return Header(width, abs(height))  # negative: rows from the top
    except (struct.error, ValueError):
        return None
    return None


def is_cut_short(data: bytes) -> bool:
    """Whether the end of a JPEG or PNG is missing, which some versions of OpenCV paint over with grey."""
    if data.startswith(_PNG):
        return b"IEND" not in data[-1024:]
    if not data.startswith(_JPEG):
        return False
    file = BytesIO(data)
    file.seek(2)
    while _marker(file) is not None:  # segments before the scan may hold a whole small JPEG
        length = int.from_bytes(file.read(2), "big")
        if length < 2:
            return True
        file.seek(length - 2, 1)
    return data.find(_END, file.tell()) < 0


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """A stored image (H, W, ...) as it is to be seen; a view."""
    if orientation >= _TRANSPOSED:
        image = image.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return image[::rows, ::columns]


def turn_box(
    box: tuple[float, float, float, float], orientation: int, width: int, height: int
) -> tuple[float, float, float, float]:
    """A box of a stored image, ``width`` x ``height``, in the image as it is seen."""
    x1, y1, x2, y2 = box
    if orientation >= _TRANSPOSED:
        x1, y1, x2, y2, width, height = y1, x1, y2, x2, height, width
    if orientation in (2, 3, 6, 7):
        x1, x2 = width - 1 - x2, width - 1 - x1
    if orientation in (3, 4, 7, 8):
        y1, y2 = height - 1 - y2, height - 1 - y1
    return x1, y1, x2, y2


# -- the formats ---------------------------------------------------------------------------------------------


def _jpeg(file: BinaryIO) -> Header | None:
    orientation = 1
    while (marker := _marker(file)) is not None:
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return Header(width, height, orientation)
        if marker == _APP1:
            orientation = _exif(file.read(length - 2), _EXIF) or orientation
        else:
            file.seek(length - 2, 1)
    return None


def _marker(file: BinaryIO) -> int | None:
    """The next marker that a segment follows; None at the end, or where there should be one and is none."""
    if file.read(1) != b"\xff":
        return None
    code = 0xFF
    while code == 0xFF or code in _ALONE:  # filling, or markers in a row
        byte = file.read(1)
        if not byte:
            return None
        code = byte[0]
    return None if code in (0, 0xD9, _SCAN) else code


def _png(file: BinaryIO) -> Header | None:
    width, height, orientation = 0, 0, 1
    while True:
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return Header(width, height, orientation) if width else None
        (length,) = struct.unpack(">I", head[:4])
        if head[4:] == b"IHDR":
            width, height = struct.unpack(">II", file.read(8))
            length -= 8
        elif head[4:] == b"eXIf":
            orientation = _exif(file.read(length), b"") or 1
            length = 0
        file.seek(length + 4, 1)


def _exif(data: bytes, prefix: bytes) -> int:
    """The orientation in an EXIF segment; 0 if it has none."""
    tiff = data.removeprefix(prefix)
    if not data.startswith(prefix) or tiff[:2] not in (b"II", b"MM"):
        return 0
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 0
    except struct.error:
        return 0  # a broken note of a camera is as none
    return 0
