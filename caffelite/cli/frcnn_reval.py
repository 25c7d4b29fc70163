"""``reval.py`` of py-faster-rcnn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.frcnn import COMMON, TEST_IMDB, settings_of
from caffelite.errors import MissingFileError

_FILES = ("detections.npz", "detections.pkl", "results")


def _run(options: Options) -> int:
    from caffelite.detection.detections import read_detections
    from caffelite.detection.evaluation import evaluate
    from caffelite.detection.imdb import load_imdb

    source = Path(options.arguments[0])
    file = next((source / name for name in _FILES if (source / name).exists()), source)
    if not file.exists() or file == source and not any(source.glob("comp*_det_*.txt")):
        raise MissingFileError(source / _FILES[0], "detections")
    with settings_of(options):
        dataset = load_imdb(options.text("imdb"), options.items("classes"))
        found = read_detections(file, dataset)
        if options.switch("nms"):
            found.update({key: _suppressed(rows) for key, rows in found.items()})
    report = evaluate(dataset, found)
    print(report.text())
    print(f"Wrote {report.write(source)}")
    return 0


def _suppressed(rows: np.ndarray) -> np.ndarray:
    """Rows (K, 6) without those that overlap a better one of their class by more than ``cfg.TEST.NMS``."""
    from caffelite.boxes.config import cfg
    from caffelite.boxes.nms import nms

    left = [np.flatnonzero(rows[:, 0] == label) for label in np.unique(rows[:, 0])]
    kept = [mine[nms(rows[mine, 2:], rows[mine, 1], cfg.TEST.NMS)] for mine in left]
    order = np.concatenate([np.zeros(0, np.int64), *kept])
    return np.take(rows, order, axis=0)


COMMAND = Command(
    "average precision of detections that test_net.py has written",
    _run,
    (TEST_IMDB, Flag("nms", False, "suppress with cfg.TEST.NMS before"), *COMMON),
    "FOLDER",
    "FOLDER holds detections.npz, the original's detections.pkl, or VOC's result files.",
    ("tools/reval.py output/default/voc_2007_test/zf --imdb voc_2007_test",),
    (1, 1),
)
