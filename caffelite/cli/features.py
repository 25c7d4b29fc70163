"""``caffelite features``: blobs of a net, computed for its data, into databases."""

from __future__ import annotations

from caffelite.cli.command import ENGINE, Command, engine_options
from caffelite.cli.databases import backend_of
from caffelite.cli.flags import Options
from caffelite.engine import gpu_engine
from caffelite.errors import MissingFileError, UsageError


def _run(options: Options) -> int:
    from pathlib import Path

    from caffelite.tools.extract_features import extract_features

    weights, net, blobs, databases, batches, backend, *device = options.arguments
    if not Path(weights).exists():
        raise MissingFileError(weights, "weights file")
    extract_features(
        weights, net, blobs.split(","), databases.split(","), _whole(batches), backend_of(backend),
        **engine_options(options) | _device(device),
    )  # fmt: skip
    return 0


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"number of batches: expected a whole number, got '{text}'") from None


def _device(words: list[str]) -> dict[str, str]:
    """The engine that the old trailing words ``CPU`` or ``GPU [DEVICE_ID=N]`` name, if they are there."""
    if not words or words[0] == "CPU":
        return {}
    if words[0] != "GPU":
        raise UsageError(f"features: expected CPU or GPU behind the kind of database, got '{words[0]}'")
    number = words[1].removeprefix("DEVICE_ID=") if len(words) > 1 else "0"
    return {"engine": gpu_engine(number)}


COMMAND = Command(
    "compute blobs of a net for its data and write them into databases",
    _run,
    ENGINE,
    "WEIGHTS NET BLOBS DATABASES BATCHES lmdb|leveldb [CPU|GPU]",
    "The net, in phase TEST, brings its own data layer. BLOBS and DATABASES are lists with commas: each "
    "blob goes into the database at its place, a record an item, with the numbers in float_data. "
    "GPU may be followed by DEVICE_ID=N.",
    ("caffelite features net.caffemodel train_val.prototxt fc7,prob fc7_lmdb,prob_lmdb 10 lmdb",),
    (6, 8),
)
