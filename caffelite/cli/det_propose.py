"""``caffelite det propose``: boxes in which an object of any class may be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

if TYPE_CHECKING:
    from caffelite.detection.dataset import DetectionSet
    from caffelite.detection.proposals.tidy import Boxes

_METHODS = ("ss", "edgeboxes", "bing", "sliding", "rpn")
_WITH_MODEL = ("edgeboxes", "bing", "rpn")
_EVERY = 100  # pictures between lines of progress


def _run(options: Options) -> int:
    if not options.text("o"):
        raise UsageError(
            "where to? -o names the file of proposals, or the folder of the model that is learned"
        )
    if options.integer("limit") < 0:
        raise UsageError(f"--limit: expected a number of boxes, or 0 for all, got {options.integer('limit')}")
    if options.text("train-bing"):
        return _train(options)
    if not options.arguments:
        raise UsageError("expected DATA, or images\n  Fix: caffelite help det propose")
    return _propose(options)


def _train(options: Options) -> int:
    from caffelite.detection.dataset import load_set
    from caffelite.detection.proposals.bing_training import train

    dataset = load_set(options.text("train-bing"), options.text("split"))
    train(dataset, seed=options.integer("seed"), tell=_tell).write(options.text("o"))
    print(f"Wrote {options.text('o')}")
    return 0


def _propose(options: Options) -> int:
    from caffelite.atomic import check_target, make_folder
    from caffelite.detection.proposals import recall_of, write_proposals
    from caffelite.detection.proposals.files import check_name
    from caffelite.detection.proposals.images import set_or_images
    from caffelite.detection.proposals.recall import require_charts

    if options.text("curve"):
        require_charts()
    output, curve = check_name(options.text("o")), Path(options.text("curve"))
    for target in (output, curve) if options.text("curve") else (output,):
        make_folder(target.parent)
        check_target(target)
    dataset = set_or_images(Path(options.arguments[0]), options.text("split"))
    found = {}
    for key, boxes in _proposals(options, dataset):
        found[key] = boxes
        if len(found) % _EVERY == 0:
            _tell(f"{len(found)} of {len(dataset)} pictures")
    write_proposals(output, found)
    print(f"Wrote {output}: {sum(len(boxes) for boxes, _ in found.values())} boxes of {len(found)} pictures")
    if any(len(picture.boxes) for picture in dataset.pictures):
        recall = recall_of(dataset, found)
        print(recall.text())
        if options.text("curve"):
            recall.draw(curve)
    return 0


def _proposals(options: Options, dataset: DetectionSet) -> Iterable[tuple[str, Boxes]]:
    """Keys and boxes of all pictures: from a file, of a detector, or by one of the methods."""
    from caffelite.detection.proposals import propose_all, read_proposals

    method = options.text("method")
    if options.text("read"):
        return read_proposals(options.text("read"), dataset, order=options.text("order")).items()
    if method == "rpn":
        return _of_detector(options, dataset)
    return propose_all(dataset.pictures, method, **_of_method(options))


def _of_detector(options: Options, dataset: DetectionSet) -> Iterable[tuple[str, Boxes]]:
    from caffelite.detection.detector import Detector
    from caffelite.detection.rpn_proposals import each

    folder = options.text("model")
    if not folder:
        raise UsageError("--method rpn: expected --model RUN, the folder of a trained Faster R-CNN")
    detector = Detector.load(folder)
    if not isinstance(detector, Detector):
        raise UsageError(f"--model: '{folder}' is of method {detector.card.method}, which proposes nothing")
    return each(detector.net, detector.card, dataset.pictures, post=options.integer("limit"))


def _of_method(options: Options) -> dict[str, Any]:
    method, model = options.text("method"), options.text("model")
    given: dict[str, Any] = {"limit": options.integer("limit"), "threads": options.integer("threads")}
    if method in _WITH_MODEL:
        return given | {"model": model}
    if model:
        raise UsageError(f"--model: {method} has none; it is for {', '.join(_WITH_MODEL)}")
    return given | {"seed": options.integer("seed")}


def _tell(text: str) -> None:
    from caffelite.logs.log import get_log

    get_log().emit("message", text, "propose.py:1")


COMMAND = Command(
    "region proposals by Selective Search, Edge Boxes, BING, windows or an RPN; recall",
    _run,
    (
        Flag("o", "", "file of the proposals (.npz), or folder of the model that is learned", "PATH"),
        Flag("method", "ss", "ss (Selective Search), edgeboxes, bing, sliding or rpn", "NAME", _METHODS),
        Flag("read", "", "proposals from a file, .npz, .mat or .pkl, in place of a method", "FILE"),
        Flag("order", "", "of a .mat: xyxy counted from 0 or yxyx from 1; by default told from it", "NAME"),
        Flag("limit", 2000, "boxes of a picture at most; 0: all", "N"),
        Flag("split", "", "split of the data, such as trainval", "NAME"),
        Flag("seed", 0, "seed of the order of ss and sliding, and of learning", "N"),
        Flag(
            "model",
            "",
            "edgeboxes: file of structured edges; bing: folder of a model; rpn: folder of a detector",
            "PATH",
        ),
        Flag("curve", "", "picture (PNG) of recall over IoU", "FILE"),
        Flag("threads", 0, "pictures at a time; 0: as many as there are cores", "N"),
        Flag("train-bing", "", "learn a model of BING from the boxes of this data", "DATA"),
    ),
    "DATA|IMAGES",
    "DATA has boxes, and recall is printed; IMAGES is an image or a folder of them. See docs/proposals.md.",
    (
        "caffelite det propose VOCdevkit -split trainval -o ss.npz",
        "caffelite det propose -method bing photos -o boxes.npz -limit 500",
        "caffelite det propose -train-bing DATA -o bing_model",
        "caffelite det propose VOCdevkit -split test -read voc_2007_test.mat -o ss.npz",
    ),
    (0, 1),
)
