"""Small databases for the tests of the data package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.lmdb import LmdbWriter


class Golden:
    """Databases and the batches that BVLC Caffe 1.0 made of them (golden.npz)."""

    def __init__(self, folder: Path):
        self.arrays = np.load(Path(__file__).parent / "golden.npz")
        self.folder = folder

    def database(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            with LmdbWriter(path) as writer:
                for key, record in self.records(name):
                    writer.put(record, key.split("_", 1)[1])
        return path

    def records(self, name: str) -> list[tuple[str, bytes]]:
        ends = np.cumsum(self.arrays[f"{name}_lengths"])[:-1]
        parts = np.split(self.arrays[f"{name}_records"], ends)
        return [(k.decode(), p.tobytes()) for k, p in zip(self.arrays[f"{name}_keys"], parts, strict=True)]

    def mean_file(self) -> Path:
        path = self.folder / "mean.binaryproto"
        path.write_bytes(self.arrays["mean_binaryproto"].tobytes())
        return path


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    return Golden(tmp_path)


@pytest.fixture
def numbered(tmp_path: Path) -> Callable[..., Path]:
    """Makes a database whose record i has label i mod 100 and pixels that start with i."""

    def make(count: int = 23, shape: tuple[int, int, int] = (1, 6, 7), name: str = "numbered") -> Path:
        rng = np.random.default_rng(count)
        with LmdbWriter(tmp_path / name) as writer:
            for i in range(count):
                pixels = rng.integers(0, 256, shape, np.uint8)
                pixels[0, 0, 0] = i % 256
                writer.put(Datum(*shape, pixels.tobytes(), i % 100))
        return tmp_path / name

    return make


def empty(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def take() -> Callable[..., list[dict[str, np.ndarray]]]:
    """The next batches of a source, as new arrays."""

    def batches(source, count: int) -> list[dict[str, np.ndarray]]:
        found = []
        for _ in range(count):
            found.append(empty(source.shapes()))
            source.next(found[-1])
        return found

    return batches
