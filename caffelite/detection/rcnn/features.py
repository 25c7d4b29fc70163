"""Features of regions, computed once and kept on disk.

A file holds one blob for some regions of some pictures. Its name is a hash of all that its values depend on: the weights,
the net, how regions are cut out, the pictures' files and the regions. So nothing can be stale, an interrupted run goes on
where it was, and after a change only what it touches is computed anew. Files are NumPy's, read by memory mapping.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.boxes.boxes import Array
from caffelite.detection.pictures import load_picture
from caffelite.detection.rcnn.crop_net import CropNet, digest
from caffelite.detection.rcnn.regions import Regions
from caffelite.errors import NotFiniteError, UsageError

_TOGETHER = 64  # pictures in a file
PRECISIONS = ("float16", "float32")

Tell = Callable[[str], None]
Wanted = tuple[str, Sequence[Array]]  # a blob, and of each picture the indices of regions


class Features:
    """One blob of chosen regions of all pictures: ``features[i]`` is float32 (rows of picture i, D)."""

    def __init__(self, files: Sequence[Path], counts: Sequence[int]):
        self._files, self._starts = files, np.concatenate([[0], np.cumsum(counts)])
        self._open: tuple[Path | None, Array] = (None, np.empty(0))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, i: int) -> Array:
        if not 0 <= i < len(self):
            raise IndexError(i)
        first = self._starts[i - i % _TOGETHER]
        values = self._mapped(self._files[i // _TOGETHER])
        return np.asarray(values[self._starts[i] - first : self._starts[i + 1] - first], np.float32)

    def _mapped(self, file: Path) -> Array:
        if self._open[0] != file:
            self._open = (file, np.load(file, mmap_mode="r", allow_pickle=False))
        return self._open[1]


class FeatureCache:
    """Features that a net gives, in a folder. ``key``: what stands for the net, its weights and how it is shown regions.

    ``precision``: float16 or float32 of the files.
    """

    def __init__(self, net: CropNet, key: bytes, folder: str | os.PathLike[str], precision: str = "float16"):
        if precision not in PRECISIONS:
            raise UsageError(f"precision of features: expected {' or '.join(PRECISIONS)}, got '{precision}'")
        self._net, self._key, self._precision = net, key, precision
        self._folder = make_folder(folder)

    def extract(
        self, regions: Sequence[Regions], wanted: Sequence[Wanted], tell: Tell | None = None
    ) -> list[Features]:
        """Blobs of regions: ``wanted`` names blobs, each with the indices of the regions of each picture to keep it for.

        A region that is kept for no blob is not looked at. Raises DataError for a picture that cannot be read,
        NotFiniteError for values that the precision does not hold, SnapshotError if the disk is full.
        """
        files: list[list[Path]] = [[] for _ in wanted]
        for start in range(0, len(regions), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            for known, file in zip(files, self._block(regions[part], _cut(wanted, part)), strict=True):
                known.append(file)
            if tell:
                tell(f"features of {min(start + _TOGETHER, len(regions))} of {len(regions)} pictures")
        return [Features(known, list(map(len, rows))) for known, (_, rows) in zip(files, wanted, strict=True)]

    def _block(self, regions: Sequence[Regions], wanted: Sequence[Wanted]) -> list[Path]:
        seen = self._key + b"".join(map(_digest, regions))
        files = [self._file(seen, *one) for one in wanted]
        if not all(file.exists() for file in files):
            values = [self._of_picture(one, _cut(wanted, i)) for i, one in enumerate(regions)]
            for (blob, _), file, parts in zip(wanted, files, zip(*values, strict=True), strict=True):
                self._write(file, blob, np.concatenate(parts))
        return files

    def _of_picture(self, one: Regions, wanted: Sequence[tuple[str, Array]]) -> list[Array]:
        needed = np.unique(np.concatenate([rows for _, rows in wanted]))
        image = load_picture(one.picture.path)
        found = self._net.run(image, one.boxes[needed], [blob for blob, _ in wanted])
        return [
            values[np.searchsorted(needed, rows)] for values, (_, rows) in zip(found, wanted, strict=True)
        ]

    def _file(self, seen: bytes, blob: str, rows: Sequence[Array]) -> Path:
        parts = [
            seen,
            blob.encode(),
            self._precision.encode(),
            *(np.asarray(r, "<i8").tobytes() for r in rows),
        ]
        return self._folder / f"{digest(*parts).hex()[:32]}.npy"

    def _write(self, file: Path, blob: str, values: Array) -> None:
        with np.errstate(over="ignore"):
            kept = values.astype(self._precision)
        if not np.isfinite(kept).all():
            raise NotFiniteError(
                f"features '{blob}' are not finite in {self._precision}: the largest is {np.abs(values).max():g}\n"
                "  Fix: precision float32, or look at the weights"
            )
        with atomic_write(file) as out:
            np.save(out, kept, allow_pickle=False)


def _cut(wanted: Sequence[tuple[str, Any]], pictures: Any) -> list[tuple[str, Any]]:
    """The part of a picture, or of several."""
    return [(blob, rows[pictures]) for blob, rows in wanted]


def _digest(one: Regions) -> bytes:
    return digest(one.picture.path.read_bytes(), np.ascontiguousarray(one.boxes, "<f4").tobytes())
