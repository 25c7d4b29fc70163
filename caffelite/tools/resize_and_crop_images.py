"""Square images of one size: Caffe's tools/extra/resize_and_crop_images.py, without map-reduce."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.data import opencv
from caffelite.errors import DataError, UsageError
from caffelite.logs.log import get_log
from caffelite.prototxt.binary import read_bytes
from caffelite.tools.convert_imageset import encode
from caffelite.tools.parallel import in_order
from caffelite.tools.progress import Progress

_EVERY = 1000
_WHERE = "resize_and_crop_images.py:1"
_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}


def resize_and_crop(image: np.ndarray, side: int) -> np.ndarray:
    """The middle (side, side, C) of an image (H, W, C) whose shorter side is first brought to ``side``."""
    H, W = image.shape[:2]
    size = (side, side * H // W) if H > W else (side * W // H, side)
    large: np.ndarray = opencv.load().resize(image, size)
    top, left = (large.shape[0] - side) // 2, (large.shape[1] - side) // 2
    return large[top : top + side, left : left + side]


def resize_and_crop_images(
    source: str | Path,
    target: str | Path,
    side: int = 256,
    names: Sequence[str] | None = None,
    threads: int = 0,
) -> list[str]:
    """Resizes images of a folder into the same places below another; gives those that cannot be read.

    ``names``: paths below ``source``; None: all image files there. Images that cannot be read are logged.

    Raises:
        UsageError: a side below 1, or one folder for both.
        DataError: no images, or none that can be read.
        SnapshotError: the target cannot be written.
    """
    if side < 1:
        raise UsageError(f"output side length: expected at least 1, got {side}")
    folder, out = Path(source), Path(target)
    if folder.resolve() == out.resolve():
        raise UsageError(
            f"output folder: expected another than the input folder '{source}', whose images it would replace"
        )
    opencv.load()
    found = list(images_below(folder)) if names is None else list(names)
    unread, progress = [], Progress(_EVERY, _WHERE)
    done = in_order(lambda name: _one(folder / name, out / name, side), found, threads)
    for name, well in zip(found, done, strict=True):
        if well:
            progress.step()
        else:
            unread.append(name)
    if not progress.count:
        raise DataError(f"none of {len(found)} images below '{folder}' could be read")
    progress.end()
    return unread


def images_below(folder: Path) -> Iterator[str]:
    """Paths of the image files in a folder and those in it, in order, without the folder's own."""
    if not folder.is_dir():
        raise DataError(f"input folder '{folder}' does not exist")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _ENDINGS and path.is_file():
            yield path.relative_to(folder).as_posix()


def _one(source: Path, target: Path, side: int) -> bool:
    """Whether the image could be read; then it is written."""
    try:
        image = opencv.decode(read_bytes(source, "image"), color=True).transpose(1, 2, 0)
    except DataError as error:
        get_log().emit(
            "message", f"Could not open or find file {source}: {error}", _WHERE, "E", path=str(source)
        )
        return False
    square = resize_and_crop(np.ascontiguousarray(image), side)
    data = encode(square.transpose(2, 0, 1), target.suffix[1:], source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as file:
        file.write(data)
    return True
