"""A database of the images in a list: Caffe's convert_imageset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffelite.data import opencv
from caffelite.data.datum import Datum
from caffelite.data.lists import NO_COMMA
from caffelite.data.writer import open_writer
from caffelite.errors import DataError, UsageError
from caffelite.logs.log import get_log
from caffelite.prototxt.binary import read_bytes
from caffelite.random import RandomSource
from caffelite.tools.lists import read_lines
from caffelite.tools.parallel import in_order
from caffelite.tools.progress import Progress
from caffelite.types import Shape

_EVERY = 1000
_LINE = re.compile(r"(.*\S)[ \t]+([+-]?[0-9]{1,10})", re.DOTALL)
_LABELS = range(-(2**31), 2**31)
_SAME_FORMAT = {"jpeg": "jpg"}


class Entry(NamedTuple):
    """A line of an image list."""

    path: str
    label: int


@dataclass(frozen=True)
class ImageForm:
    """How images are to be stored.

    Attributes:
        gray: one channel, not three.
        height: in pixels; together with ``width`` what images are resized to. 0 and 0: their own size.
        width: see ``height``.
        encoded: store image files instead of pixels: the file as it is if it fits, or else a newly encoded
            one.
        encode_type: the ending of the format to encode in (``jpg``); empty: that of each file. Implies
            ``encoded``.
    """

    gray: bool = False
    height: int = 0
    width: int = 0
    encoded: bool = False
    encode_type: str = ""

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 0 or (self.height > 0) != (self.width > 0):
            side = max(self.height, self.width, 1)
            raise UsageError(
                f"resize_height {self.height}, resize_width {self.width}: expected both, or neither, above 0\n"
                f"  Fix: both, such as -resize_height={side} -resize_width={side}, as images get exactly this size"
            )


AS_IT_IS = ImageForm()


class Picture(NamedTuple):
    """A record and the shape (C, H, W) of its image."""

    datum: Datum
    shape: Shape


def read_image_list(path: str | Path) -> list[Entry]:
    """The lines ``PATH LABEL`` of a list; empty lines are left out. Paths may hold spaces.

    Raises:
        MissingFileError, DataError: no such file, an empty list, or a line of another form.
    """
    entries = []
    for number, line in read_lines(path):
        match = _LINE.fullmatch(line)
        if not match or int(match[2]) not in _LABELS:
            text = (
                f"{path}:{number}: expected 'PATH LABEL' with a whole number as label (32 bits), got '{line}'"
            )
            raise DataError(f"{text}\n  Fix: {NO_COMMA}" if "," in line else text)
        entries.append(Entry(match[1], int(match[2])))
    return entries


def read_picture(path: str | Path, label: int, form: ImageForm = AS_IT_IS) -> Picture:
    """An image file as a record.

    Raises:
        DataError: it is missing or no image, or cannot be encoded.
    """
    data = read_bytes(path, "image")
    image = opencv.decode(data, color=not form.gray)
    if form.height:
        image = opencv.resize(image, form.height, form.width)
    C, H, W = image.shape
    if not (form.encoded or form.encode_type):
        return Picture(Datum(C, H, W, image.tobytes(), label, encoded=False), image.shape)
    kind = form.encode_type or _ending(path)
    if form.height or not _fits(data, C, path, kind):
        data = encode(image, kind, path)
    return Picture(Datum(data=data, label=label, encoded=True), image.shape)


def convert_imageset(
    root: str,
    entries: list[Entry],
    database: str | Path,
    form: ImageForm = AS_IT_IS,
    *,
    backend: str = "LMDB",
    check_size: bool = False,
) -> list[str]:
    """Writes the images of a list to a new database and gives the paths of those that could not be read.

    A record's key is its number in the list with 8 digits, ``_``, and its path; ``root`` is put before paths.
    Images that cannot be read are logged and left out, as Caffe does. ``check_size`` asks that all have one
    shape.

    Raises:
        DataError: the database exists, none of the images can be read, or they differ in shape.
    """
    opencv.load()  # without it no image can be read, which is not the images' fault
    paths = [_join(root, entry.path) for entry in entries]
    unread: list[str] = []
    progress = Progress(_EVERY, "convert_imageset.cpp:148")
    first: Shape = ()
    with open_writer(database, backend) as writer:
        pictures = in_order(lambda item: _try(paths[item], entries[item].label, form), range(len(paths)))
        for number, picture in enumerate(pictures):
            if picture is None:
                unread.append(paths[number])
                continue
            first = first or picture.shape
            if check_size and picture.shape != first:
                raise _other_shape(paths[number], picture.shape, first)
            writer.put(picture.datum, key=f"{number:08d}_{entries[number].path}")
            progress.step()
        if not progress.count:
            if all(entry.path.endswith(",") for entry in entries):
                raise DataError(f"none of {len(paths)} images could be read\n  Fix: {NO_COMMA}")
            raise DataError(
                f"none of {len(paths)} images could be read: is '{root}' where the list's paths begin?"
            )
    progress.end()
    return unread


def shuffled(entries: list[Entry], seed: int = -1) -> list[Entry]:
    """The entries in a random order, the same for each ``seed`` from 0 up."""
    return [entries[number] for number in RandomSource(seed).permutation(len(entries), "convert_imageset")]


def _try(path: str, label: int, form: ImageForm) -> Picture | None:
    """The picture, or None, and a line in the log, if the file is missing or no image."""
    try:
        return read_picture(path, label, form)
    except DataError as error:
        get_log().emit("message", f"Could not open or find file {path}: {error}", "io.cpp:80", "E", path=path)
        return None


def _join(root: str, path: str) -> str:
    return root + path if not root or root.endswith("/") else f"{root}/{path}"


def _ending(path: str | Path) -> str:
    ending = Path(path).suffix[1:].lower()
    if not ending:
        raise UsageError(f"'{path}': its name does not tell how to encode it\n  Fix: -encode_type jpg, say")
    return ending


def _fits(data: bytes, channels: int, path: str | Path, kind: str) -> bool:
    """Whether a file can be stored as it is: of the wanted format and number of channels."""
    if _format(Path(path).suffix[1:]) != _format(kind):
        return False
    try:
        return len(opencv.decode(data)) == channels
    except DataError:  # 16 bits deep, say, which only the wanted form makes 8 of
        return False


def _format(ending: str) -> str:
    return _SAME_FORMAT.get(ending.lower(), ending.lower())


def encode(image: np.ndarray, kind: str, path: str | Path) -> bytes:
    """The image (C, H, W) as a file of the format with the ending ``kind``; ``path`` is for messages.

    Raises:
        UsageError: OpenCV knows no such format.
        DataError: the image does not fit the format.
    """
    cv2 = opencv.load()
    try:
        done, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image.transpose(1, 2, 0)))
    except cv2.error as error:
        raise UsageError(
            f"'{path}' cannot be encoded as '{kind}': {error}\n  Fix: -encode_type jpg or png"
        ) from error
    if not done:
        raise DataError(f"'{path}' cannot be encoded as '{kind}'")
    return bytes(data)


def _other_shape(path: str, shape: Shape, first: Shape) -> DataError:
    return DataError(
        f"'{path}': expected an image of shape {first} as before, got {shape}\n"
        "  Fix: -resize_height and -resize_width make all images of one size"
    )
