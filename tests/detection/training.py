"""What tests of training share: a small set, recipes for it, regions, and a run of a few iterations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffelite.detection.config import cfg
from caffelite.detection.recipes import init
from caffelite.detection.shapes import make_shapes
from caffelite.detection.training import train


def shapes(folder: Path) -> Path:
    """A set of seven small pictures; odd, so that batches of two wrap around."""
    return make_shapes(folder, 7, 2, size=64, seed=2)


def recipe(folder: Path, dataset, method="faster", **options):
    """A detector's folder whose nets take little time. Returns its card."""
    folder.mkdir()
    return init(folder, arch="tiny", method=method, dataset=dataset, **options)


def regions(dataset, count=20):
    """Boxes around the pictures' own and anywhere."""
    rng = np.random.default_rng(3)
    found = {}
    for picture in dataset.pictures:
        corners = np.sort(rng.integers(0, 64, (count, 2, 2)), axis=1).reshape(count, 4)
        near = np.repeat(picture.boxes, 2, axis=0) + rng.integers(-3, 4, (2 * len(picture.boxes), 4))
        boxes = np.concatenate([corners, near]).astype(np.float32)
        found[picture.key] = boxes, np.ones(len(boxes), np.float32)
    return found


def short(folder: Path, dataset, run: Path, iterations=4, **options) -> Path:
    """A run of a few iterations, without pictures; cfg is as before."""
    before = cfg.copied()
    result = train(folder, dataset, run=run, iterations=iterations, seed=1, **{"pictures": 0} | options)
    assert cfg == before
    return result
