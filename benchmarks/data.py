"""``python -m benchmarks.data``: images a second of the data path alone, and shuffling a file larger than the memory.

Images are 256 x 256 pixels of smooth noise, as raw Datums and as JPEGs of the size that photographs have; batches
are cropped to 227 x 227 at random, mirrored, and the mean image is taken off. Rows of HDF5 files are shuffled by a
process that may take so much address space and no more.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from caffelite.data import opencv
from caffelite.data.datum import Datum
from caffelite.data.datum_source import DatumSource
from caffelite.data.hdf5 import Hdf5Batches
from caffelite.data.mean import write_mean
from caffelite.data.source import Source
from caffelite.data.transform import TransformParams
from caffelite.data.writer import open_writer
from caffelite.random import RandomSource
from caffelite.types import Phase

SIDE, CROP, CHANNELS = 256, 227, 3
ROW = (CHANNELS, 64, 64)  # of the HDF5 files, float32: 48 KiB


def main() -> None:
    """Prints a line a case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=16384, help="of the HDF5 files: 48 KiB each")
    parser.add_argument("--memory", type=int, default=128, help="MiB that reading them may take")
    parser.add_argument("--capped", nargs=2, help=argparse.SUPPRESS)  # the process that reads them
    arguments = parser.parse_args()
    if arguments.capped:
        path, memory = arguments.capped
        print(_shuffle(path, int(memory)), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        for line in _images(Path(folder), arguments):
            print(line, flush=True)
        for line in _rows(Path(folder), arguments):
            print(line, flush=True)


def _images(folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    pictures = [_picture(seed) for seed in range(arguments.images)]
    write_mean(folder / "mean.binaryproto", np.mean(pictures[:32], axis=0, dtype=np.float32))
    encoders: dict[str, Callable[[np.ndarray, int], Datum]] = {"raw": _raw, "jpeg": _jpeg}
    for kind, encode in encoders.items():
        with open_writer(folder / kind) as database:
            for label, picture in enumerate(pictures):
                database.put(encode(picture, label))
        for workers in (0, 1, 2):
            source = _open(folder, kind, arguments.batch, workers)
            rate = median(_rate(source, arguments) for _ in range(arguments.rounds))
            source.close()
            yield f"{kind:<5} {'in line' if not workers else f'{workers} workers':<10} {rate:8.0f} images/s"


def _picture(seed: int) -> np.ndarray:
    """Smooth noise with some grain, uint8 (3, 256, 256): 24 kB as a JPEG of quality 95."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (CHANNELS, 17, 17), np.uint8)
    smooth = opencv.resize(coarse, SIDE, SIDE).astype(np.int16)
    return np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)


def _raw(picture: np.ndarray, label: int) -> Datum:
    return Datum(*picture.shape, picture.tobytes(), label)


def _jpeg(picture: np.ndarray, label: int) -> Datum:
    _, data = opencv.load().imencode(".jpg", np.ascontiguousarray(picture.transpose(1, 2, 0)))
    return Datum(data=data.tobytes(), label=label, encoded=True)


def _open(folder: Path, kind: str, batch: int, workers: int) -> DatumSource:
    params = TransformParams(crop_size=CROP, mirror=True, mean_file=str(folder / "mean.binaryproto"))
    return DatumSource(folder / kind, batch, params, Phase.TRAIN, RandomSource(1), workers=workers)


def _rate(source: Source, arguments: argparse.Namespace) -> float:
    into = {name: np.empty(shape, np.float32) for name, shape in source.shapes().items()}
    batches = max(1, arguments.images // arguments.batch)
    for _ in range(5):  # workers fill their rings, pages come in
        source.next(into)
    start = perf_counter()
    for _ in range(batches):
        source.next(into)
    return batches * arguments.batch / (perf_counter() - start)


def _rows(folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    import h5py

    layouts: dict[str, dict[str, object]] = {
        "contiguous": {},
        "chunks of 64": {"chunks": (64, *ROW)},
        "gzip": {"chunks": (64, *ROW), "compression": "gzip", "compression_opts": 1},
        "gzip, h5py's": {"chunks": True, "compression": "gzip", "compression_opts": 1},
    }
    for name, layout in layouts.items():
        path = folder / "rows.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("data", (arguments.rows, *ROW), np.float32, **layout)
            for first in range(0, arguments.rows, 1024):
                count = min(1024, arguments.rows - first)
                data[first : first + count] = _some_rows(first, count)
        size = path.stat().st_size / 2**20
        command = [sys.executable, "-m", "benchmarks.data", "--capped", str(path), str(arguments.memory)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        yield f"hdf5, {name:<15} {size:6.0f} MiB: {told}; 64 rows in any order {_any_order(path):5.0f} ms"


def _any_order(path: Path) -> float:
    """Milliseconds that a batch takes whose rows lie anywhere: what a full permutation would cost."""
    import h5py

    with h5py.File(path) as file:
        rows = np.sort(RandomSource(1).permutation(len(file["data"]), "rows")[:64])
        start = perf_counter()
        file["data"][rows]
        return 1e3 * (perf_counter() - start)


def _some_rows(first: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(first).integers(0, 16, (count, *ROW)).astype(np.float32)
    rows[:, 0, 0, 0] = np.arange(first, first + count)
    return rows


def _shuffle(path: str, memory: int) -> str:
    """Reads one shuffled epoch in ``memory`` MiB of address space beyond what Python and its libraries have."""
    batches = Hdf5Batches([path], ["data"], 64, RandomSource(1), shuffle=True, memory=memory << 19)
    source = Source(batches, workers=0)
    into = {name: np.empty(shape, np.float32) for name, shape in source.shapes().items()}
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + (memory << 20),) * 2)
    start_size = _status("VmRSS") / 2**20
    seen, start = list[float](), perf_counter()
    for _ in range(len(source) // 64):
        source.next(into)
        seen += into["data"][:, 0, 0, 0].tolist()
    seconds = perf_counter() - start
    if len(set(seen)) != len(seen):
        raise SystemExit("an epoch must have each row once")
    peak = _status("VmHWM") / 2**20
    rate = len(seen) / seconds
    return f"{rate:6.0f} rows/s, {rate * 4 * np.prod(ROW) / 1e6:5.0f} MB/s, {start_size:.0f} MiB resident at first, {peak:.0f} at most"


def _status(name: str) -> int:
    """A size of this process in bytes, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main()
