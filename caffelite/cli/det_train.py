"""``caffelite det train``: trains R-CNN, Fast R-CNN or Faster R-CNN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from caffelite.cli.command import ENGINE, Command, apply_engine, engine_name
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

if TYPE_CHECKING:
    from caffelite.detection.card import Card
    from caffelite.detection.dataset import DetectionSet

_METHODS = ("rcnn", "fast", "faster", "faster-4step")


def _run(options: Options) -> int:
    for name, what in (("data", "--data DATA, the set to train on"), ("o", "-o RUN, the folder of the run")):
        if not options.text(name):
            raise UsageError(f"expected {what}")
    apply_engine(options)
    run = Path(options.text("o"))
    folder = Path(options.arguments[0]) if options.arguments else run
    card, dataset = _card_and_data(options, folder, run)
    result = _train(options, folder, run, card, dataset)
    print(f"Wrote {result}")
    return 0


def _card_and_data(options: Options, folder: Path, run: Path) -> tuple[Card, DetectionSet]:
    """The card of the folder, of the run that goes on, or, where there is none, what the flags make of the data."""
    from caffelite.detection.card import Card
    from caffelite.detection.dataset import load_set
    from caffelite.detection.run_folder import card_in
    from caffelite.detection.testing import load_for

    data, split = options.text("data"), options.text("split")
    card = card_in(run) if options.text("resume") else None
    card = card or (card_in(folder) if folder.is_dir() else None)
    if card is not None:
        return card, load_for(card, data, split)
    dataset = load_set(data, split)
    if options.arguments:
        return Card(options.text("method"), "", dataset.classes), dataset
    from caffelite.atomic import make_folder
    from caffelite.detection.recipes import init

    make_folder(run)
    return init(run, arch=options.text("arch"), method=options.text("method"), dataset=dataset), dataset


def _train(options: Options, folder: Path, run: Path, card: Card, dataset: DetectionSet) -> Path:
    from caffelite.detection.training import train

    return train(
        folder,
        dataset,
        run=run,
        card=card,
        weights=options.items("weights"),
        proposals=options.text("proposals") or None,
        resume=options.text("resume"),
        iterations=options.integer("iterations") if options.has("iterations") else None,
        seed=options.integer("seed") if options.has("seed") else None,
        settings=options.several("set"),
        validation=_validation(options, card),
        pictures=options.integer("pictures"),
        engine=engine_name(options),
        precision=options.text("precision"),
    )


def _validation(options: Options, card: Card) -> DetectionSet | None:
    from caffelite.detection.testing import load_for

    return load_for(card, options.text("data"), options.text("val")) if options.text("val") else None


COMMAND = Command(
    "train R-CNN, Fast R-CNN or Faster R-CNN on a data set",
    _run,
    (
        Flag("data", "", "the data set", "DATA"),
        Flag("split", "", "split of the data to train on, such as trainval", "NAME"),
        Flag("val", "", "split whose pictures are drawn at the end; by default the one trained on", "NAME"),
        Flag("o", "", "folder of the run; becomes a detector's folder", "RUN"),
        Flag("arch", "tiny", "without FOLDER: the backbone, as det init has them", "NAME"),
        Flag(
            "method", "faster", "without FOLDER, or one without detector.json: the method", "NAME", _METHODS
        ),
        Flag("weights", "", "weights to begin with, commas between; later files overwrite", "FILES"),
        Flag("proposals", "", "rcnn, fast: file of proposals, as det propose writes it", "FILE"),
        Flag("resume", "", "auto: go on from RUN's newest snapshot; or a .solverstate", "auto|FILE"),
        Flag("iterations", 0, "in place of the solver's max_iter", "N"),
        Flag("set", (), "settings of cfg in place of the detector's", "KEY VALUE ..."),
        Flag("pictures", 8, "pictures to draw at the end with what is found in them", "N"),
        *ENGINE,
    ),
    "[FOLDER]",
    "FOLDER holds nets, solver and card, as det init writes them; without it they are made in RUN. Ctrl-C writes a "
    "snapshot and stops; --resume auto then gives the same numbers as a run that was never stopped. See docs/detector.md.",
    (
        "caffelite det train --data DATA --split train -o runs/1",
        "caffelite det train recipe --data VOCdevkit --split trainval -o runs/2 --weights VGG16.caffemodel",
        "caffelite det train --data DATA --split train -o runs/1 --resume auto",
    ),
    (0, 1),
)
