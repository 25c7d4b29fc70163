"""Images that nobody has drawn boxes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffelite.detection.dataset import DetectionSet, Picture, load_set
from caffelite.detection.formats.detect import format_of
from caffelite.detection.pictures import SUFFIXES, picture_header
from caffelite.errors import DataError


def set_or_images(path: Path, split: str = "") -> DetectionSet:
    """A data set; or, where there are no annotations, an image or the images in a folder as a set without classes.

    Raises what :func:`load_set` does.
    """
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return DetectionSet(path.stem, (), [_picture(path)])
    images = sorted(f for f in path.glob("*") if f.suffix.lower() in SUFFIXES)
    if images and not split and not _has_annotations(path):
        return DetectionSet(path.name, (), [_picture(file) for file in images])
    return load_set(path, split)


def _has_annotations(path: Path) -> bool:
    try:
        format_of(path)
    except DataError:  # none is known
        return False
    return True


def _picture(path: Path) -> Picture:
    width, height = picture_header(path).shown
    nothing = np.zeros(0, np.int64)
    return Picture(
        path.name, path, width, height, np.zeros((0, 4), np.float32), nothing, nothing.astype(bool)
    )
