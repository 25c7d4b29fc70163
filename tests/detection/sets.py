"""Small sets for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffelite.detection.dataset import DetectionSet, Picture


def picture(key, boxes, labels=None, difficult=None, size=(100, 100), path=Path("none.jpg"), **more):
    """A picture with boxes as lists; all of class 1 and none difficult unless said."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.ones(len(boxes), np.int64) if labels is None else np.array(labels, np.int64)
    difficult = np.zeros(len(boxes), bool) if difficult is None else np.array(difficult, bool)
    return Picture(key, path, *size, boxes, labels, difficult, **more)


def dataset(*pictures, classes=("cat",), **more):
    return DetectionSet("toys", classes, list(pictures), **more)


def rows(*values):
    return np.array(values, np.float32).reshape(-1, 6)
