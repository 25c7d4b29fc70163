"""A training run's own folder: solver and nets as used, the log, the table of metrics, and the snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffelite.atomic import atomic_write, make_folder
from caffelite.errors import UsageError
from caffelite.logs.caffe import FileSink
from caffelite.logs.log import get_log
from caffelite.logs.metrics import MetricsSink
from caffelite.prototxt.binary import read_bytes
from caffelite.prototxt.source import SolverSource
from caffelite.prototxt.write import write_text
from caffelite.random import RandomSource

SOLVER = "solver.prototxt"
LOG = "train.log"
METRICS = "metrics.csv"
_STATES = "*_iter_*.solverstate*"
_OF_A_RUN = (
    SOLVER, LOG, METRICS, "net.prototxt", "train_net.prototxt", "test_net_*.prototxt", "*_iter_*.caffemodel*",
    _STATES,
)  # fmt: skip


class RunDir:
    """A folder, made if need be. Raises SnapshotError if that is not possible.

    A folder with files that a run would write is refused with UsageError, unless ``snapshot`` lies in it:
    then the run in it goes on. Its log and its table are added to, its solver and nets stay as they are.
    """

    def __init__(self, path: str | Path, snapshot: str | Path = ""):
        self.path = make_folder(path)
        self._written: list[Path] = []
        found = next((file for pattern in _OF_A_RUN for file in self.path.glob(pattern)), None)
        self.goes_on = found is not None and self._holds(snapshot)
        if found and not self.goes_on:
            raise UsageError(
                f"run directory '{path}' holds another run: there is a '{found.name}'\n"
                f"  Fix: name another directory{self._way_on()}"
            )

    def _holds(self, snapshot: str | Path) -> bool:
        return bool(snapshot) and Path(snapshot).resolve().parent == self.path.resolve()

    def _way_on(self) -> str:
        """How to go on with the run that is here, from its newest snapshot if it has one."""
        newest = max(self.path.glob(_STATES), key=lambda file: file.stat().st_mtime, default=None)
        return f", or go on with that run: -snapshot {newest}" if newest else ""

    def adopt(self, source: SolverSource) -> None:
        """Copies the solver's nets here, makes the solver use them and snapshot here, and writes it.

        A solver without a random_seed gets one, so that the files repeat the run. The written solver runs
        from the same working directory, since paths of data in the nets stay as they are. A run that goes on
        only snapshots here: its state holds the seed.
        """
        param = source.message
        param.snapshot_prefix = str(self.path / (Path(param.snapshot_prefix).name or "net"))
        if self.goes_on:
            return
        for field in ("net", "train_net"):
            if param.HasField(field):
                setattr(param, field, self._copy(getattr(param, field), f"{field}.prototxt"))
        for index, file in enumerate(param.test_net):
            param.test_net[index] = self._copy(file, f"test_net_{index}.prototxt")
        param.random_seed = RandomSource(param.random_seed).seed
        self.write(SOLVER, write_text(param).encode())

    def write(self, name: str, content: bytes) -> Path:
        """Writes a file here, whole or not at all."""
        path = self.path / name
        with atomic_write(path) as file:
            file.write(content)
        self._written.append(path)
        return path

    def discard(self) -> None:
        """Takes away what was written for a run that could not begin. The log of one that goes on stays."""
        for path in self._written if self.goes_on else [*self._written, self.path / LOG]:
            path.unlink(missing_ok=True)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Sends the log to the folder's files, too, while a block runs."""
        with get_log().to(FileSink(self.path / LOG), MetricsSink(self.path / METRICS)):
            yield

    def _copy(self, file: str, name: str) -> str:
        return str(self.write(name, read_bytes(file, "net")))
