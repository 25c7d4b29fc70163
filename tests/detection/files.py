"""Writes files of detection data as people have them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 60, 40


def image(folder: Path, name: str, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A picture in two colours, so that it can be told whether it was turned."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[: height // 2, : width // 2] = 220
    data = cv2.imencode(Path(name).suffix, pixels)[1].tobytes()
    (folder / name).write_bytes(data)
    return folder / name


def turned(path: Path, orientation: int) -> Path:
    """Gives a JPEG an orientation, as cameras do."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    data = path.read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(data[:2] + segment + data[2:])
    return path


def thing(*box: object, name: str = "cat", more: str = "") -> str:
    """An <object> on one line; None leaves a corner out."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    text = "".join(f"<{corner}>{value}</{corner}>" for corner, value in corners if value is not None)
    return f"<object><name>{name}</name>{more}<bndbox>{text}</bndbox></object>"


def annotation(folder: Path, key: str, *things: str, size: tuple[int, int] | None = (WIDTH, HEIGHT)) -> Path:
    """An annotation file: the things are on the lines 3, 4 ..."""
    folder.mkdir(parents=True, exist_ok=True)
    said = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    lines = ["<annotation>", f"<filename>{key}.jpg</filename>{said}", *things, "</annotation>"]
    (folder / f"{key}.xml").write_text("\n".join(lines), encoding="utf-8")
    return folder / f"{key}.xml"


def voc(folder: Path, *things: str, size: tuple[int, int] | None = (WIDTH, HEIGHT), key: str = "a") -> Path:
    """A VOC folder with one picture more."""
    image(folder / "JPEGImages", f"{key}.jpg")
    annotation(folder / "Annotations", key, *things, size=size)
    return folder


def listed(folder: Path, split: str, *keys: str) -> None:
    """The list of a split."""
    (folder / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets/Main" / f"{split}.txt").write_text("".join(f"{key}\n" for key in keys))


def coco(path: Path, images: list, annotations: list, categories: list | None = None) -> Path:
    """A COCO file with the categories 3, dog, and 7, cat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = categories or [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def python_2_detections(path: Path, boxes: list[list[np.ndarray]]) -> Path:
    """detections.pkl, [class][image] -> (N, 5), as Python 2 and NumPy 1.9 wrote it: the bytes of an array are a str."""
    lists = (b"](" + b"".join(map(_python_2_array, images)) + b"e" for images in boxes)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x80\x02](" + b"".join(lists) + b"e.")
    return path


def _python_2_array(rows: np.ndarray) -> bytes:
    values = rows.astype("<f4")
    head = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    kind = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    size = struct.pack("B", values.nbytes)  # of a short str
    return head + b"K%cK%c\x86" % values.shape + kind + b"\x89U" + size + values.tobytes() + b"tb"


def kinds(dataset: object) -> list[str]:
    """The kinds of what was found wrong."""
    return [finding.kind for finding in dataset.findings]  # type: ignore[attr-defined]
