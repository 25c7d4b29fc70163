"""``caffelite detect``: predictions for windows of images, as Caffe's python/detect.py writes them."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.pictures import PICTURES, net_options
from caffelite.errors import UsageError

if TYPE_CHECKING:
    from caffelite.detector import Detector

_MODES = ("selective_search", "list")


def _run(options: Options) -> int:
    from caffelite.detector import Detector
    from caffelite.tools.detect import check_output, write_detections

    source, target = options.arguments
    check_output(target)
    detect = _detection(source, options.text("crop_mode"))
    settings = _with_mean_colour(net_options(options))
    detector = Detector(context_pad=options.integer("context_pad"), **settings)
    print("CPU mode\nLoading input...")
    began = perf_counter()
    detections = detect(detector)
    print(f"Processed {len(detections)} windows in {perf_counter() - began:.3f} s.")
    write_detections(target, detections)
    print(f"Saved to {target}.")
    return 0


def _detection(source: str, mode: str) -> Callable[[Detector], list[dict[str, Any]]]:
    """What is to be done with a detector, one image at a time: the windows of an image take a gigabyte."""
    from caffelite.tools.detect import read_names, read_windows

    _check_mode(source, mode)
    if mode == "list":
        pairs = list(read_windows(source).items())
        return lambda detector: [found for pair in pairs for found in detector.detect_windows([pair])]
    names = read_names(source)
    return lambda detector: [found for name in names for found in detector.detect_selective_search([name])]


def _check_mode(source: str, mode: str) -> None:
    """The kind of list must be that of the mode. Raises UsageError."""
    ending = {"list": ".csv", "selective_search": ".txt"}[mode]
    if not source.lower().endswith(ending):
        what = "a CSV with filename, ymin, xmin, ymax, xmax" if mode == "list" else "a list of images"
        other = next(name for name in _MODES if name != mode)
        raise UsageError(
            f"--crop_mode {mode}: expected {what}, a name that ends in {ending}, got '{source}'\n"
            f"  Fix: --crop_mode {other}"
        )


def _with_mean_colour(settings: dict[str, Any]) -> dict[str, Any]:
    """A mean image becomes its mean colour: windows lie anywhere."""
    mean = settings["mean"]
    return settings if mean is None or mean.ndim < 3 else {**settings, "mean": mean.mean(axis=(-2, -1))}


COMMAND = Command(
    "predictions for windows of images, given or proposed, into .csv or .h5",
    _run,
    (
        *PICTURES,
        Flag("crop_mode", _MODES[0], "where windows come from: selective_search or list", "MODE", _MODES),
        Flag(
            "context_pad",
            16,
            "pixels of the net's input, at each side, that show what is around a window",
            "N",
        ),
    ),
    "INPUT OUTPUT",
    "INPUT is, for selective_search, a .txt with an image a line; for list, a .csv with filename, ymin, "
    "xmin, ymax, xmax. A row of the output is a window: filename, its corners, and the net's first output "
    "(class0, class1, ...).",
    ("caffelite detect --model_def net.prototxt --pretrained_model net.caffemodel images.txt out.h5",),
    (2, 2),
)
