"""Writes sets as PASCAL VOC folders, which every tool reads."""

from __future__ import annotations

import os
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.formats.voc import ORIGIN
from caffelite.errors import DataError

ANNOTATIONS, IMAGES, LISTS = "Annotations", "JPEGImages", "ImageSets/Main"


def write_voc(folder: str | os.PathLike[str], dataset: DetectionSet, split: str = "trainval") -> Path:
    """Writes a set, its images copied, into a VOC folder, and lists it as a split; others may be there already.

    Coordinates count from 1 in the files. Nothing says there that an object is a crowd: it is difficult.

    Raises:
        DataError: an image is gone.
        SnapshotError: it cannot be written there.
    """
    root = Path(folder)
    for picture in dataset.pictures:
        write_file(root / IMAGES / f"{picture.key}{picture.path.suffix}", _content(picture))
        text = annotation(picture, dataset.classes, f"{picture.key}{picture.path.suffix}")
        write_file(root / ANNOTATIONS / f"{picture.key}.xml", text.encode())
    keys = "".join(f"{picture.key}\n" for picture in dataset.pictures)
    write_file(root / LISTS / f"{split}.txt", keys.encode())
    return root


def annotation(picture: Picture, classes: tuple[str, ...], file_name: str) -> str:
    """The text of a picture's annotation file. ``file_name``: of its image."""
    objects = "".join(
        _object(classes[label - 1], box, bool(difficult))
        for label, box, difficult in zip(picture.labels, picture.boxes, picture.difficult, strict=True)
    )
    return (
        f"<annotation>\n\t<folder>{IMAGES}</folder>\n\t<filename>{escape(file_name)}</filename>\n"
        f"\t<size>\n\t\t<width>{picture.width}</width>\n\t\t<height>{picture.height}</height>\n"
        f"\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n{objects}</annotation>\n"
    )


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, its folder made if need be. Raises SnapshotError."""
    make_folder(path.parent)
    with atomic_write(path) as file:
        file.write(data)


def _object(name: str, box: np.ndarray, difficult: bool) -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box.tolist(), strict=True)
    lines = "".join(f"\t\t\t<{corner}>{value + ORIGIN:.7g}</{corner}>\n" for corner, value in corners)
    return (
        f"\t<object>\n\t\t<name>{escape(name)}</name>\n\t\t<pose>Unspecified</pose>\n"
        f"\t\t<truncated>0</truncated>\n\t\t<difficult>{int(difficult)}</difficult>\n"
        f"\t\t<bndbox>\n{lines}\t\t</bndbox>\n\t</object>\n"
    )


def _content(picture: Picture) -> bytes:
    try:
        return picture.path.read_bytes()
    except OSError as error:
        raise DataError(f"picture '{picture.path}' cannot be read: {error.strerror or error}") from error
