"""Many pictures with their boxes on one sheet, to look a set over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from caffelite.data import opencv
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.pictures import draw_boxes, load_picture, write_picture
from caffelite.errors import DataError

_TILE, _TITLE, _GAP = 256, 18, 4  # pixels
_COLUMNS = 6
_INK, _PAPER = (40, 40, 40), 255
_LETTERS = 36  # of a title


def write_sheet(
    path: str | os.PathLike[str], dataset: DetectionSet, count: int = 24, first: Iterable[str] = ()
) -> int:
    """Draws up to ``count`` pictures of a set, evenly chosen, into an image file; how many there are.

    ``first``: keys of pictures that come before the others. Pictures that cannot be read are left out.

    Raises:
        DataError: no picture can be read.
        SnapshotError: the file cannot be written.
    """
    tiles = [
        tile
        for picture in _chosen(dataset, count, set(first))
        if (tile := _tile(picture, dataset)) is not None
    ]
    if not tiles:
        raise DataError(f"'{dataset.name}' has no pictures to draw")
    write_picture(path, _grid(tiles))
    return len(tiles)


def _chosen(dataset: DetectionSet, count: int, first: set[str]) -> list[Picture]:
    ahead = [picture for picture in dataset.pictures if picture.key in first][:count]
    others = [picture for picture in dataset.pictures if picture.key not in first]
    steps = np.linspace(0, len(others) - 1, min(count - len(ahead), len(others))).round().astype(int)
    return ahead + [others[step] for step in steps]


def _tile(picture: Picture, dataset: DetectionSet) -> np.ndarray | None:
    try:
        image = load_picture(picture.path)
    except DataError:
        return None  # the check tells of it
    cv2 = opencv.load()
    scale = _TILE / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    boxes = (picture.boxes + (0, 0, 1, 1)) * scale - (0, 0, 1, 1)
    drawn = draw_boxes(small, boxes, picture.labels, dataset.classes, dashed=picture.difficult)
    tile = np.full((_TITLE + size[1], _TILE, 3), _PAPER, np.uint8)
    tile[_TITLE:, : size[0]] = drawn
    title = picture.key.encode("ascii", "replace").decode()[-_LETTERS:]
    cv2.putText(tile, title, (2, _TITLE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
    return tile


def _grid(tiles: Sequence[np.ndarray]) -> np.ndarray:
    columns = min(_COLUMNS, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return np.concatenate([_row(row, columns) for row in rows])


def _row(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    row = np.full((max(map(len, tiles)) + _GAP, columns * (_TILE + _GAP), 3), _PAPER, np.uint8)
    for column, tile in enumerate(tiles):
        x = column * (_TILE + _GAP)
        row[: len(tile), x : x + _TILE] = tile
    return row
