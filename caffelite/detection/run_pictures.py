"""Pictures with what a new detector finds in them: the look that says more than a loss."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from caffelite.atomic import make_folder
from caffelite.boxes.boxes import Array
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.detector import AnyDetector, Detector
from caffelite.detection.pictures import draw_boxes, load_picture, write_picture
from caffelite.detection.run_folder import PICTURES
from caffelite.logs.log import get_log

_SCORE = 0.5  # what is drawn


def draw_found(
    run: Path, dataset: DetectionSet, count: int, proposals: Mapping[str, tuple[Array, Array]] | None = None
) -> None:
    """Writes ``RUN/pictures/NN_KEY.jpg`` of some pictures, spread over the set: annotated boxes thin, found ones thick."""
    detector = Detector.load(run)
    folder = make_folder(run / PICTURES)
    for old in folder.glob("[0-9][0-9]_*.jpg"):
        old.unlink()
    places = np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int))
    for number, place in enumerate(places):
        picture = dataset.pictures[place]
        regions = proposals[picture.key][0] if proposals is not None else None
        name = f"{number:02}_{picture.key.replace('/', '_')}.jpg"
        write_picture(folder / name, _drawn(detector, picture, regions))
    get_log().emit("message", f"Wrote {len(places)} pictures to {folder}", "train.py:1")


def _drawn(detector: AnyDetector, picture: Picture, regions: Array | None) -> Array:
    image = load_picture(picture.path)
    rows = detector.detect(image, regions, score=_SCORE)
    classes = detector.card.classes
    truth = draw_boxes(
        image, picture.boxes, picture.labels, classes, dashed=np.ones(len(picture.boxes), bool)
    )
    return draw_boxes(truth, rows[:, 2:], rows[:, 0].astype(np.int64), classes, rows[:, 1])
