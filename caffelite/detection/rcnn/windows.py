"""From pictures and proposals to the window file that R-CNN's net is fine-tuned with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from caffelite.detection.dataset import DetectionSet
from caffelite.detection.formats.window import write_windows as write
from caffelite.detection.rcnn.regions import Boxes, regions_of


def write_windows(
    path: str | os.PathLike[str], dataset: DetectionSet, proposals: Mapping[str, Boxes]
) -> Path:
    """Writes a window file of a set, with absolute paths of pictures, whole or not at all.

    ``proposals``: key -> boxes (K, 4) and scores, for all pictures. Raises DataError for a picture without, SnapshotError
    if it cannot be written.
    """
    regions = regions_of(dataset.pictures, proposals)
    pictures = [replace(one.picture, path=one.picture.path.resolve()) for one in regions]
    write(path, pictures, {one.picture.key: one.boxes[one.objects :] for one in regions})
    return Path(path)
