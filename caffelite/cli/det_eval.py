"""``caffelite det eval``: how good detections are."""

from __future__ import annotations

import math

from caffelite.cli.command import Command
from caffelite.cli.detectors import whole
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.atomic import make_folder
    from caffelite.detection.dataset import load_set
    from caffelite.detection.detections import read_detections, write_detections
    from caffelite.detection.evaluation import evaluate

    if not options.text("data"):
        raise UsageError("expected --data DATA, the set that was detected in")
    score, output, save = _score(options), options.text("o"), options.text("save")
    worst = whole(options, "worst")
    if output:
        make_folder(output)
    dataset = load_set(options.text("data"), options.text("split"), classes=options.items("classes"))
    detections = read_detections(options.arguments[0], dataset)
    report = evaluate(dataset, detections, score=score)
    print(report.text())
    if save:
        write_detections(save, detections, dataset, options.text("split") or "test")
        print(f"Wrote {save}")
    if output:
        print(f"Wrote {report.write(output, worst)}")
    return 0


def _score(options: Options) -> float:
    try:
        score = float(options.text("score"))
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise UsageError(f"--score: expected a number, got '{options.text('score')}'")
    return score


COMMAND = Command(
    "average precision of detections by VOC 2007, VOC 2010 and COCO, and where they are wrong",
    _run,
    (
        Flag(
            "o", "", "folder for report.html, report.json, report.csv, charts and the worst pictures", "DIR"
        ),
        Flag("data", "", "the data set that was detected in", "DATA"),
        Flag("split", "", "split of the data, such as test", "NAME"),
        Flag("classes", "", "classes in the order of the labels, with commas between", "NAMES"),
        Flag("score", "0.5", "from which score on mistakes are counted; average precision takes all", "X"),
        Flag(
            "save",
            "",
            "the detections in another form: .json (COCO), .csv, .npz, or a folder for VOC's comp4 files",
            "PATH",
        ),
        Flag("worst", 12, "pictures with most mistakes to draw", "N"),
    ),
    "RUN|FILE",
    "RUN is a detector's folder, after det test. FILE is a file .npz, .csv, .json (COCO results) or .pkl (all_boxes of Fast and "
    "Faster R-CNN), or a folder of VOC's comp4_det_test_CLASS.txt. A class that has no AP, or one of 0, is explained.",
    (
        "caffelite det eval runs/shapes --data DATA --split test -o report",
        "caffelite det eval results --data VOCdevkit --split test",
        "caffelite det eval detections.pkl --data VOCdevkit --split test --save results",
    ),
    (1, 1),
)
