"""A training run's folder: a detector's folder in which the run puts snapshots, log and table, and at last the weights.

RUN/train.prototxt test.prototxt solver.prototxt detector.json    as used
RUN/settings.json                                                 --set of the run
RUN/snapshots/NAME_iter_N.caffemodel .solverstate
RUN/log.txt metrics.csv pictures/
RUN/detector.caffemodel
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from caffelite.atomic import atomic_write, check_target, check_writable, make_folder
from caffelite.detection.card import CARD, Card
from caffelite.errors import DataError, MissingFileError, UsageError
from caffelite.logs.caffe import FileSink
from caffelite.logs.log import get_log
from caffelite.logs.metrics import MetricsSink

LOG, METRICS = "log.txt", "metrics.csv"
SNAPSHOTS, PICTURES = "snapshots", "pictures"
WEIGHTS = "detector.caffemodel"
SETTINGS = "settings.json"
_PROTOTXT = (".prototxt", ".pt", ".txt")
_ITERATION = re.compile(r"_iter_(\d+)\.solverstate(\.h5)?$")


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether a run has begun in a folder."""
    folder = Path(path)
    begun = any((folder / name).exists() for name in (METRICS, WEIGHTS)) or newest_state(folder) is not None
    return begun or any(folder.glob(f"stage*/{METRICS}"))


def newest_state(folder: str | os.PathLike[str]) -> Path | None:
    """The solver state of most iterations in a run's folder."""
    states = {
        path: _ITERATION.search(path.name)
        for path in (Path(folder) / SNAPSHOTS).glob("*_iter_*.solverstate*")
    }
    found = {path: int(match[1]) for path, match in states.items() if match}
    return max(found, key=lambda path: found[path], default=None)


def open_run(recipe: str | os.PathLike[str], run: str | os.PathLike[str], card: Card, resume: str) -> Path:
    """The folder of a run, with the recipe's files in it; nothing is trained before all of it is known to be writable.

    ``resume``: "" begins a run, and a folder that holds one is refused; else the files of the run stay as they are.

    Raises:
        UsageError: the folder holds another run.
        SnapshotError: it cannot be made or written to.
    """
    folder = Path(run)
    goes_on = is_run(folder)
    if goes_on and not resume:
        raise UsageError(
            f"'{folder}' holds a run already\n  Fix: name another folder (-o; for py-faster-rcnn's tools --set EXP_DIR NAME), or go on with that run: --resume auto"
        )
    make_folder(folder / SNAPSHOTS)
    probe(folder)
    if not goes_on:
        _adopt(Path(recipe), folder)
        card.write(folder)
    return folder


def kept_settings(folder: Path, pairs: Sequence[str]) -> Sequence[str]:
    """``["TRAIN.SCALES", "600", ...]``: those that a run began with, then ``pairs``; a run that begins keeps these.

    Raises DataError if what was kept cannot be read.
    """
    path = folder / SETTINGS
    if not is_run(folder):
        with atomic_write(path) as file:
            file.write((json.dumps(list(pairs)) + "\n").encode())
        return pairs
    kept = _read_settings(path) if path.exists() else []
    if kept:
        get_log().emit("message", f"The run has --set {' '.join(kept)}", "train.py:1")
    return [*kept, *pairs]


def _read_settings(path: Path) -> list[str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read as the settings of a run: {error}") from error
    if not isinstance(kept, list) or not all(isinstance(text, str) for text in kept):
        raise DataError(f"'{path}': expected a list of texts, keys and values in turns, got {kept!r}")
    return kept


def probe(folder: Path) -> None:
    """Raises SnapshotError unless all that a run writes can be written."""
    check_writable(folder / SNAPSHOTS / "probe")
    for name in (LOG, METRICS, WEIGHTS):
        check_target(folder / name)


def _adopt(recipe: Path, folder: Path) -> None:
    """Copies nets, solvers and lists of a detector's folder."""
    if not recipe.is_dir():
        raise MissingFileError(recipe, "folder of a detector", "caffelite det init makes one")
    if recipe.resolve() == folder.resolve():
        return
    for file in sorted(recipe.iterdir()):
        if file.suffix in _PROTOTXT and file.name != LOG and file.is_file():
            with atomic_write(folder / file.name) as copy:
                copy.write(file.read_bytes())


@contextmanager
def recording(folder: Path) -> Iterator[None]:
    """Sends the log to the folder's files, too, while a block runs."""
    with get_log().to(FileSink(folder / LOG), MetricsSink(folder / METRICS)):
        yield


def card_in(folder: str | os.PathLike[str]) -> Card | None:
    """The card of a folder; None if it has none."""
    return Card.read(folder) if (Path(folder) / CARD).exists() else None
