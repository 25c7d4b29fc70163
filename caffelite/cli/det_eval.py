"""``caffelite det eval``: how good detections are."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.atomic import make_folder
    from caffelite.detection.dataset import load_set
    from caffelite.detection.detections import read_detections
    from caffelite.detection.evaluation import evaluate

    data, file = options.arguments
    score, output = _score(options), options.text("o")
    if output:
        make_folder(output)
    dataset = load_set(data, options.text("split"), classes=options.items("classes"))
    report = evaluate(dataset, read_detections(file, dataset), score=score)
    print(report.text())
    if output:
        print(f"Wrote {report.write(output, options.integer('worst'))}")
    return 0


def _score(options: Options) -> float:
    try:
        return float(options.text("score"))
    except ValueError:
        raise UsageError(f"--score: expected a number, got '{options.text('score')}'") from None


COMMAND = Command(
    "average precision of detections by VOC 2007, VOC 2010 and COCO, and where they are wrong",
    _run,
    (
        Flag(
            "o", "", "folder for report.html, report.json, report.csv, charts and the worst pictures", "DIR"
        ),
        Flag("split", "", "split of the data, such as test", "NAME"),
        Flag("classes", "", "classes in the order of the labels, with commas between", "NAMES"),
        Flag("score", "0.5", "from which score on mistakes are counted; average precision takes all", "X"),
        Flag("worst", 12, "pictures with most mistakes to draw", "N"),
    ),
    "DATA DETECTIONS",
    "DETECTIONS is a file .npz, .csv, .json (COCO results) or .pkl (all_boxes of Fast and Faster R-CNN), or a folder of VOC's "
    "comp4_det_test_CLASS.txt. A class that has no AP, or one of 0, is explained.",
    ("caffelite det eval VOCdevkit results -split test -o report", "caffelite det eval DATA boxes.json"),
    (2, 2),
)
