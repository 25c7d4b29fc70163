"""Pictures of mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffelite.data import opencv
from caffelite.detection.evaluation.confusion import Verdict
from caffelite.detection.pictures import draw_boxes, load_picture


def draw_verdict(verdict: Verdict, classes: Sequence[str]) -> bytes:
    """A picture as JPEG: what was detected with scores, and what was missed or is difficult drawn thin.

    Raises what ``load_picture`` does.
    """
    picture, rows = verdict.picture, verdict.shown
    unseen = np.union1d(verdict.missed, np.flatnonzero(picture.difficult))
    image = draw_boxes(
        load_picture(picture.path),
        picture.boxes[unseen],
        picture.labels[unseen] + len(classes) * picture.difficult[unseen],
        [f"{what} {name}" for what in ("missed", "difficult") for name in classes],
        dashed=np.ones(len(unseen), bool),
    )
    image = draw_boxes(image, rows[:, 2:], rows[:, 0].astype(np.int64), classes, rows[:, 1])
    _, data = opencv.load().imencode(".jpg", image)
    return bytes(data)
