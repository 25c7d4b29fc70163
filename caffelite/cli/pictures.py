"""Flags of the verbs that put pictures through a net: ``classify`` and ``detect``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from caffelite.cli.command import ENGINE, engine_options
from caffelite.cli.flags import Flag, Options
from caffelite.errors import MissingFileError, UsageError

if TYPE_CHECKING:
    import numpy as np

_MODEL = "models/bvlc_reference_caffenet/"

PICTURES = (
    Flag("model_def", f"{_MODEL}deploy.prototxt", "net file", "FILE"),
    Flag("pretrained_model", f"{_MODEL}bvlc_reference_caffenet.caffemodel", "weights file", "FILE"),
    Flag(
        "mean_file",
        "",
        "mean (.npy, .binaryproto); not given: ILSVRC 2012's mean colour; '': none",
        "FILE",
    ),
    Flag("input_scale", "", "what inputs are multiplied by, last of all", "NUMBER"),
    Flag("raw_scale", "255.0", "what pixels from 0 to 1 are multiplied by, before the mean", "NUMBER"),
    Flag("channel_swap", "2,1,0", "order of the channels; 2,1,0 makes BGR of RGB", "NUMBERS"),
    Flag("gpu", False, "compute on GPU 0"),
    *(flag for flag in ENGINE if flag.name != "gpu"),
)


def net_options(options: Options) -> dict[str, Any]:
    """What a Classifier or Detector is made with, as these flags ask for.

    Raises UsageError for what is no number, DeviceError for a GPU, MissingFileError for missing files.
    """
    from pathlib import Path

    for name in ("model_def", "pretrained_model"):
        if not Path(options.text(name)).exists():
            raise MissingFileError(options.text(name), f"--{name}:", f"give yours: --{name} FILE")
    return {
        "model_file": options.text("model_def"),
        "pretrained_file": options.text("pretrained_model"),
        "mean": mean_of(options),
        "input_scale": _number(options, "input_scale"),
        "raw_scale": _number(options, "raw_scale"),
        "channel_swap": whole_numbers(options, "channel_swap"),
        **engine_options(options),
    }


def mean_of(options: Options) -> np.ndarray | None:
    """The mean: of --mean_file, or of ILSVRC 2012, which is told; None for ``--mean_file ''``."""
    from caffelite.tools.classify import ILSVRC_2012_MEAN, load_mean

    if not options.has("mean_file"):
        print(
            f"Mean: {', '.join(f'{value:g}' for value in ILSVRC_2012_MEAN)}, "
            "the mean colour of ILSVRC 2012 (no --mean_file)"
        )
        return ILSVRC_2012_MEAN
    path = options.text("mean_file")
    return load_mean(path) if path else None


def whole_numbers(options: Options, name: str) -> list[int] | None:
    """The numbers of a list with commas; None for an empty one. Raises UsageError."""
    try:
        return [int(part) for part in options.items(name)] or None
    except ValueError:
        raise UsageError(
            f"--{name}: expected whole numbers with commas between, got '{options.text(name)}'"
        ) from None


def _number(options: Options, name: str) -> float | None:
    text = options.text(name)
    try:
        number = float(text) if text else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise UsageError(f"--{name}: expected a number, got '{text}'")
    return number
