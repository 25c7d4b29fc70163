"""Square images of one size: Caffe's tools/extra/resize_and_crop_images.py, without map-reduce."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from caffelite.atomic import atomic_write, make_folder
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
    """The middle (C, side, side) of an image (C, H, W) whose shorter side is first brought to ``side``."""
    _, H, W = image.shape
    height, width = (side * H // W, side) if H > W else (side, side * W // H)
    top, left = (height - side) // 2, (width - side) // 2
    return opencv.resize(image, height, width)[:, top : top + side, left : left + side]


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
        UsageError: a side below 1; a path that leads out of the folder; a place that is that of an input image.
        DataError: no images, or none that can be read.
        SnapshotError: the target cannot be written.
    """
    if side < 1:
        raise UsageError(f"output side length: expected at least 1, got {side}")
    folder, out = Path(source), Path(target)
    found = list(images_below(folder)) if names is None else list(map(_below, names))
    _check_apart(folder, out, found)
    opencv.load()
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


def _below(name: str) -> str:
    """The path as it is written below a folder. Raises UsageError for one that leads elsewhere."""
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(f"'{name}': expected a path below the input folder")
    return path.as_posix()


def _check_apart(folder: Path, out: Path, names: Sequence[str]) -> None:
    """Raises UsageError if an image would take the place of one that is read (one folder may lie in the other)."""
    source, target = folder.resolve(), out.resolve()
    inputs = {os.path.join(source, name) for name in names}
    if clash := next((name for name in names if os.path.join(target, name) in inputs), None):
        raise UsageError(
            f"output folder '{out}': '{clash}' would replace an image of the input folder '{folder}'\n"
            "  Fix: write into another folder"
        )


def _one(source: Path, target: Path, side: int) -> bool:
    """Whether the image could be read; then it is written."""
    try:
        square = resize_and_crop(opencv.decode(read_bytes(source, "image"), color=True), side)
    except DataError as error:
        get_log().emit(
            "message", f"Could not open or find file {source}: {error}", _WHERE, "E", path=str(source)
        )
        return False
    data = encode(square, target.suffix[1:], source)
    make_folder(target.parent)
    with atomic_write(target) as file:
        file.write(data)
    return True
