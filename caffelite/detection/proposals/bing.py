"""BING: an object of any class, seen at 8 x 8 gradients, looks like an object.

An image is resized so that a window of some size becomes 8 x 8; the strengths of its gradients are correlated with one
learned filter (stage I), and of the peaks of each size a learned line makes scores that can be compared between sizes
(stage II). The sizes are powers of 2. The original approximates the filter by bits; here it is correlated as it is.

Source: "BING: Binarized Normed Gradients for Objectness Estimation at 300fps" (Cheng et al., 2014).
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.data import opencv
from caffelite.detection.proposals.tidy import Boxes, tidy
from caffelite.errors import DataError, MissingFileError

SIDE = 8  # of the filter
PEAKS = 130  # of each size
SIZES = tuple((2**row, 2**column) for row in range(4, 10) for column in range(4, 10))
"""Heights and widths of windows by their number in OpenCV's files."""

SHIPPED = Path(__file__).with_name("bing_model")
_NAME = "ObjNessB2W8MAXBGR"
_REACH = 2  # pixels to each side in which only the highest peak stays


@dataclass(frozen=True, eq=False)
class Model:
    """What is learned: ``filter`` float32 (8, 8), ``sizes`` numbers in ``SIZES`` (S,), ``lines`` float32 (S, 2).

    A peak v of a size has the score v * line[0] + line[1].
    """

    filter: np.ndarray
    sizes: np.ndarray
    lines: np.ndarray

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Writes the three files that OpenCV's ``saliency.ObjectnessBING`` reads. Raises SnapshotError."""
        target = make_folder(folder)
        columns = {"wS1": self.filter, "wS2": self.lines, "idx": self.sizes[:, None]}
        for ending, array in columns.items():
            with atomic_write(target / f"{_NAME}.{ending}.yml.gz") as file:
                file.write(gzip.compress(_yaml(array.astype(np.float32)).encode(), mtime=0))

    @staticmethod
    def read(folder: str | os.PathLike[str]) -> Model:
        """The model in a folder, ours or OpenCV's.

        Raises:
            MissingFileError, DataError: a file is not there, or is something else.
        """
        filter_, lines, sizes = (
            _matrix(Path(folder) / f"{_NAME}.{end}.yml.gz") for end in ("wS1", "wS2", "idx")
        )
        sizes = sizes.ravel().astype(np.int64)
        known = len(sizes) and sizes.min() >= 0 and sizes.max() < len(SIZES)
        if filter_.shape != (SIDE, SIDE) or lines.shape != (len(sizes), 2) or not known:
            raise DataError(
                f"BING model '{folder}': expected a filter (8, 8), sizes (S,) and lines (S, 2), "
                f"got {filter_.shape}, {sizes.shape}, {lines.shape}"
            )
        return Model(filter_.astype(np.float32), sizes, lines.astype(np.float32))


def bing(
    image: np.ndarray, *, limit: int = 2000, model: Model | str | os.PathLike[str] = "", peaks: int = PEAKS
) -> Boxes:
    """Proposals of an image (H, W, 3) uint8.

    ``model``: a :class:`Model` or its folder; empty: the one that comes with caffelite, learned from 400 pictures of
    PASCAL VOC 2007. ``peaks``: windows of each size at most.
    """
    learned = model if isinstance(model, Model) else _read(os.fspath(model) or str(SHIPPED))
    boxes, scores = [np.empty((0, 4))], [np.empty(0)]
    for number, (slope, offset) in zip(learned.sizes, learned.lines, strict=True):
        found = windows(image, learned.filter, int(number), peaks)
        if found is not None:
            boxes.append(found[0])
            scores.append(found[1] * slope + offset)
    return tidy(np.concatenate(boxes), np.concatenate(scores), image.shape, limit=limit)


def windows(
    image: np.ndarray, filter_: np.ndarray, number: int, peaks: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Boxes (K, 4) and peaks (K,) of stage I for one size; None for a size that the image is too small for."""
    scaled = normed_gradients(image, number)
    if scaled is None:
        return None
    gradients, (width, height) = scaled
    match = opencv.load().matchTemplate(gradients.astype(np.float32), filter_, opencv.load().TM_CCORR)
    y, x = _peaks(match, peaks)
    left, top = np.round(x * (width / SIDE)), np.round(y * (height / SIDE))
    return np.column_stack([left, top, left + width - 1, top + height - 1]), match[y, x].astype(np.float64)


def normed_gradients(image: np.ndarray, number: int) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Gradients uint8 of the image, resized so that windows of a size become 8 x 8, and the windows' width and height.

    Windows are cut to the image; those of more than twice its sides are not looked for: None.
    """
    (rows, columns), (height, width) = image.shape[:2], SIZES[number]
    if height > 2 * rows or width > 2 * columns or min(rows, columns) < 2:
        return None
    width, height = min(width, columns), min(height, rows)
    cv2 = opencv.load()
    shape = round(SIDE * columns / width), round(SIDE * rows / height)
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA).astype(np.int16)
    across, down = _slope(small, 1), _slope(small, 0)
    return np.minimum(across + down, 255).astype(np.uint8), (width, height)


def _slope(image: np.ndarray, axis: int) -> np.ndarray:
    """The largest difference of any colour between the pixels beside each pixel; at borders that to the one, doubled."""
    moved = np.moveaxis(image, axis, 0)
    inner = np.abs(moved[2:] - moved[:-2])
    first, last = (2 * np.abs(moved[a] - moved[b])[None] for a, b in ((1, 0), (-1, -2)))
    return np.moveaxis(np.concatenate([first, inner, last]).max(axis=2), 0, axis)


def _peaks(match: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the highest points, of which none has another within ``_REACH``: greedy, all at once.

    A point that is the highest of what is left around it would be taken by the greedy order too.
    """
    cv2 = opencv.load()
    around = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    left, taken = match.copy(), np.zeros(match.shape, np.uint8)
    while np.count_nonzero(taken) < count and (left > -np.inf).any():
        highest = (left >= cv2.dilate(left, around)) & (left > -np.inf)
        taken |= highest
        left[cv2.dilate(highest.astype(np.uint8), around) > 0] = -np.inf
    y, x = np.nonzero(taken)
    best = np.argsort(-match[y, x], kind="stable")[:count]
    return y[best], x[best]


# -- files ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _read(folder: str) -> Model:
    return Model.read(folder)


def _yaml(array: np.ndarray) -> str:
    return "\n".join(_lines(array))


def _lines(array: np.ndarray) -> Iterator[str]:
    """A matrix as OpenCV's FileStorage writes it."""
    yield f"%YAML:1.0\n---\n{_NAME}: !!opencv-matrix"
    yield f"   rows: {array.shape[0]}\n   cols: {array.shape[1]}\n   dt: f"
    numbers = ", ".join(repr(float(x)) for x in array.ravel())
    yield f"   data: [ {numbers} ]\n"


def _matrix(path: Path) -> np.ndarray:
    cv2 = opencv.load()
    if not path.is_file():
        raise MissingFileError(path, "BING model")
    try:
        text = gzip.decompress(path.read_bytes()).decode()
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        matrix = storage.getNode(_NAME).mat()
    except (OSError, EOFError, UnicodeDecodeError, cv2.error, SystemError) as error:
        raise DataError(f"BING model '{path}' cannot be read: {error}") from error
    if matrix is None:
        raise DataError(f"BING model '{path}': expected a matrix named {_NAME}")
    return np.asarray(matrix)
