"""What R-CNN learns besides the net: SVMs and box regression, in the file ``rcnn.npz`` of a detector's folder."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.detection.rcnn.bbox_regression import BoxRegression
from caffelite.detection.rcnn.svm import Svms
from caffelite.errors import DataError, UsageError

FILE = "rcnn.npz"
_ARRAYS = ("svm_weights", "svm_biases", "box_weights", "box_biases")


@dataclass(frozen=True, eq=False)
class Machines:
    """``svm_blob``, ``box_blob``: the blobs of the net that the SVMs and the regression look at."""

    classes: tuple[str, ...]
    svm_blob: str
    box_blob: str
    svms: Svms
    regression: BoxRegression

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes ``rcnn.npz`` into a folder, whole or not at all. Raises SnapshotError."""
        path, file = Path(folder) / FILE, io.BytesIO()
        arrays = (self.svms.weights, self.svms.biases, self.regression.weights, self.regression.biases)
        names = {"svm_blob": np.str_(self.svm_blob), "box_blob": np.str_(self.box_blob)}
        np.savez(
            file,
            allow_pickle=False,
            classes=np.array(self.classes),
            **names,
            **dict(zip(_ARRAYS, arrays, strict=True)),
        )
        with atomic_write(path) as out:
            out.write(file.getvalue())
        return path

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Machines:
        """What :meth:`write` wrote. Raises DataError for a file that is broken, or of parts that do not fit."""
        try:
            with np.load(path, allow_pickle=False) as content:
                classes = tuple(map(str, content["classes"]))
                svm_blob, box_blob = str(content["svm_blob"]), str(content["box_blob"])
                arrays = [content[name].astype(np.float32) for name in _ARRAYS]
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"'{os.fspath(path)}' cannot be read as SVMs and box regression: {error}"
            ) from error
        C = len(classes)
        svm, svm_bias, box, box_bias = (array.shape for array in arrays)
        if (svm[:1], svm_bias, box[1:], box_bias) != ((C,), (C,), (4 * C,), (4 * C,)):
            shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(_ARRAYS, arrays, strict=True))
            raise DataError(f"'{os.fspath(path)}': arrays do not fit {C} classes: {shapes}")
        return cls(classes, svm_blob, box_blob, Svms(*arrays[:2]), BoxRegression(*arrays[2:]))

    def check(self, classes: Sequence[str]) -> None:
        """Raises UsageError unless these are the classes."""
        if tuple(classes) != self.classes:
            raise UsageError(
                f"{FILE} is for classes {', '.join(self.classes)}, the detector for {', '.join(classes)}\n"
                "  Fix: train again"
            )
