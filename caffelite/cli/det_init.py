"""``caffelite det init``: the nets and solvers of a detector, fitted to a data set."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

if TYPE_CHECKING:
    from caffelite.detection.card import Card
    from caffelite.detection.dataset import DetectionSet

_ARCHS = ("tiny", "caffenet", "vgg_cnn_m", "zf", "vgg16", "resnet50")
_METHODS = ("rcnn", "fast", "faster", "faster-4step")
_PRESETS = ("classic", "modern")
_TRAIN = ("trainval", "train")  # splits that are taken if none is named


def _run(options: Options) -> int:
    from pathlib import Path

    from caffelite.detection.card import CARD
    from caffelite.detection.recipes import choose, write_recipe

    folder = Path(options.arguments[0])
    if (folder / CARD).exists() and not options.switch("force"):
        raise UsageError(
            f"'{folder}' holds a detector already\n  Fix: name another folder, or --force to write over it"
        )
    if options.integer("iterations") < 0:
        raise UsageError(f"--iterations: expected 1 or more, got {options.integer('iterations')}")
    split = _split(options)
    dataset = _dataset(options, split)
    choice = choose(
        arch=options.text("arch"),
        method=options.text("method"),
        dataset=dataset,
        classes=options.items("classes"),
        preset=options.text("preset"),
    )
    iterations = options.integer("iterations")
    paths = write_recipe(folder, choice.card, **choice.options, iterations=iterations)
    print("\n".join(choice.reasons))
    print(f"Wrote {folder}: {', '.join(path.name for path in paths)}")
    print("\n".join(["Next:", *_next(str(folder), choice.card, options.text("data") or "DATA", split)]))
    return 0


def _split(options: Options) -> str:
    """The split to look at: the one that is named, or the one that is trained on."""
    from caffelite.detection.formats.detect import splits_of

    if options.text("split") or not options.text("data"):
        return options.text("split")
    there = splits_of(options.text("data"))
    return next((name for name in _TRAIN if name in there), "")


def _dataset(options: Options, split: str) -> DetectionSet | None:
    from caffelite.detection.dataset import load_set

    if not options.text("data"):
        return None
    return load_set(options.text("data"), split, classes=options.items("classes"))


def _next(folder: str, card: Card, data: str, split: str) -> list[str]:
    """The commands that follow."""
    from caffelite.detection.recipes import ARCHS

    source = ["--data", data, *(["--split", split] if split else [])]
    run = f"runs/{card.arch}_{card.method.replace('-', '_')}"
    train = ["caffelite", "det", "train", folder, *source, "-o", run]
    commands = []
    if card.proposals:
        file = "proposals.npz"
        commands.append(["caffelite", "det", "propose", data, *source[2:], "-o", file])
        train += ["--proposals", file]
    if weights := ARCHS[card.arch].weights:
        train += ["--weights", weights]
    return [f"  {shlex.join(command)}" for command in [*commands, train]]


COMMAND = Command(
    "write the nets and solver of a detector, with classes, anchors and sizes that suit the data",
    _run,
    (
        Flag("data", "", "the data set that the detector is to learn", "DATA"),
        Flag("split", "", "the split to look at; not given: trainval or train", "NAME"),
        Flag("arch", "tiny", "the backbone; all but tiny start from published weights", "NAME", _ARCHS),
        Flag(
            "method", "faster", "rcnn, fast, faster or faster-4step (alternating training)", "NAME", _METHODS
        ),
        Flag("preset", "classic", "classic: py-faster-rcnn's settings; modern: later ones", "NAME", _PRESETS),
        Flag("classes", "", "classes in the order of their labels; not given: the data's", "NAMES"),
        Flag("iterations", 0, "iterations of training, of the longest stage; 0: the usual number", "N"),
        Flag("force", False, "write over a detector that is in DIR"),
    ),
    "DIR",
    "DIR gets train.prototxt, test.prototxt, solver.prototxt and detector.json, all of them text to look at and to change. "
    "What was chosen is printed with the reason, and the command that trains it.",
    (
        "caffelite det init detectors/shapes --data data/shapes",
        "caffelite det init detectors/voc --data VOCdevkit/VOC2007 --arch vgg16 --method faster",
        "caffelite det init detectors/mine --classes cat,dog --arch zf --method fast",
    ),
    (1, 1),
)
