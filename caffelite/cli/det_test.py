"""``caffelite det test``: a detector over a data set, and how good it is."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.detectors import DETECTOR, load_detector, tell, whole
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.detection.proposals import read_proposals
    from caffelite.detection.rcnn.comparison import Comparison
    from caffelite.detection.rcnn.detector import RcnnDetector
    from caffelite.detection.testing import FILE, Times, assess, load_for

    if not options.text("data"):
        raise UsageError("expected --data DATA, the set to test on")
    worst = whole(options, "worst")
    detector = load_detector(options)
    modes = Comparison(detector) if isinstance(detector, RcnnDetector) else None
    dataset = load_for(detector.card, options.text("data"), options.text("split"))
    file = options.text("proposals")
    if file and detector.card.has_rpn:
        raise UsageError(f"--proposals: a detector of method {detector.card.method} finds its own")
    proposals = read_proposals(file, dataset) if file else None
    output = Path(options.text("o") or _home(options.arguments[0]) / "eval")
    times = Times()
    report = assess(modes or detector, dataset, output, proposals, tell=tell, times=times, worst=worst)
    print(report.text())
    if modes:
        print(f"\n{modes.text(dataset)}")
    print(times.text())
    print(f"Wrote {output / FILE} and {output / 'report.html'}")
    return 0


def _home(source: str) -> Path:
    path = Path(source)
    return path if path.is_dir() else path.parent


COMMAND = Command(
    "a detector over a data set: average precision by VOC 2007, VOC 2010 and COCO",
    _run,
    (
        Flag("data", "", "the data set", "DATA"),
        Flag("split", "", "split of the data, such as test", "NAME"),
        Flag("o", "", "folder of detections.npz and the report; by default RUN/eval", "DIR"),
        Flag("proposals", "", "rcnn, fast: file of proposals; by default they are looked for", "FILE"),
        Flag("worst", 12, "pictures with most mistakes to draw", "N"),
        *DETECTOR,
    ),
    "RUN",
    "RUN is a detector's folder, as det train leaves it, or its prototxt for testing. Classes are matched by their names; "
    "objects of others are left out.",
    (
        "caffelite det test runs/shapes --data DATA --split test",
        "caffelite det test models/VGG16/test.prototxt --weights VGG16_faster_rcnn_final.caffemodel --data VOCdevkit "
        "--split test --set TEST.SCALES 600",
    ),
    (1, 1),
)
