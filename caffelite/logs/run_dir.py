"""A training run's own folder: solver and nets as used, the log, the table of metrics, and the snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffelite.atomic import atomic_write
from caffelite.errors import SnapshotError
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


class RunDir:
    """A folder, made if need be. Raises SnapshotError if that is not possible."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SnapshotError(
                f"cannot make the run directory '{path}': {error.strerror or error}"
            ) from error

    def adopt(self, source: SolverSource) -> None:
        """Copies the solver's nets here, makes the solver use them and snapshot here, and writes it.

        A solver without a random_seed gets one, so that the files repeat the run. The written solver runs
        from the same working directory, since paths of data in the nets stay as they are.
        """
        param = source.message
        for field in ("net", "train_net"):
            if param.HasField(field):
                setattr(param, field, self._copy(getattr(param, field), f"{field}.prototxt"))
        for index, file in enumerate(param.test_net):
            param.test_net[index] = self._copy(file, f"test_net_{index}.prototxt")
        param.snapshot_prefix = str(self.path / (Path(param.snapshot_prefix).name or "net"))
        param.random_seed = RandomSource(param.random_seed).seed
        self.write(SOLVER, write_text(param).encode())

    def write(self, name: str, content: bytes) -> Path:
        """Writes a file here, whole or not at all."""
        with atomic_write(self.path / name) as file:
            file.write(content)
        return self.path / name

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Sends the log to the folder's files, too, while a block runs."""
        with get_log().to(FileSink(self.path / LOG), MetricsSink(self.path / METRICS)):
            yield

    def _copy(self, file: str, name: str) -> str:
        return str(self.write(name, read_bytes(file, "net")))
