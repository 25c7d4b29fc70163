"""``caffelite demo [DIR]``: trains a LeNet on real handwritten digits and shows what it learned."""

from __future__ import annotations

import shlex
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from caffelite.cli.command import ENGINE, Command, apply_engine, engine_name
from caffelite.cli.flags import Options
from caffelite.cli.train import train
from caffelite.logs.log import Record, Sink, get_log
from caffelite.logs.run_dir import SOLVER

if TYPE_CHECKING:
    from caffelite.demo.scores import Scores

_FILES = (
    ("solver.prototxt, net.prototxt", "the recipe and the net, as used"),
    ("train.log, metrics.csv", "the log and its numbers"),
    ("digits_iter_*", "snapshots: weights and solver states"),
    ("digits.caffemodel", "the weights"),
    ("curves.png", "loss and accuracy"),
    ("confusion.png, confusion.csv", "which digits are taken for which"),
    ("misread.png", "the misread ones"),
)


def _run(options: Options) -> int:
    from caffelite.demo import digits

    apply_engine(options)
    digits.check_installed()
    folder = Path(options.arguments[0]) if options.arguments else digits.free_folder()
    began = perf_counter()
    with get_log().to(*map(_WithoutNets, get_log().sinks), instead=True):
        result = digits.run(folder, train, engine_name(options), options.text("precision"))
    if isinstance(result, str):
        print(_stopped(folder, result))
    else:
        print(_report(folder, result, perf_counter() - began))
    return 0


class _WithoutNets:
    """A sink without the pages about the building of nets, which the demo's log file has."""

    def __init__(self, sink: Sink):
        self._sink = sink

    def write(self, record: Record) -> None:
        if record.kind not in ("net", "solver"):
            self._sink.write(record)

    def close(self) -> None:
        """The sink goes on afterwards."""


def _stopped(folder: Path, state: str) -> str:
    words = ("-solver", str(folder / SOLVER), "-snapshot", state, "--run-dir", str(folder))
    return f"\nStopped. To go on: {shlex.join(('caffelite', 'train', *words))}"


def _report(folder: Path, scores: Scores, seconds: float) -> str:
    width = max(len(name) for name, _ in _FILES)
    files = "\n".join(f"  {name:<{width}}  {what}" for name, what in _FILES)
    return (
        f"\n{scores.accuracy:.1%} of {len(scores.labels)} held-out digits read right "
        f"({len(scores.misread)} misread), after {seconds:.0f} s in all.\n\nIn {folder}:\n{files}"
    )


COMMAND = Command(
    "train a LeNet on handwritten digits in a minute: the place to start",
    _run,
    ENGINE,
    "[DIR]",
    "Makes LMDBs of the 1797 handwritten digits that come with scikit-learn, trains the LeNet of "
    "models/digits on four fifths of them, and tests it on the rest. DIR (default runs/demo) gets "
    "everything: databases, solver and net as used, log, metrics.csv, snapshots, pictures. Needs pip "
    "install 'caffelite[demo]'.",
    ("caffelite demo", "caffelite demo /tmp/digits --log-format rich"),
    (0, 1),
    progress=True,
)
