"""What the verbs that use a trained detector share: their flags, and how it is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

if TYPE_CHECKING:
    from caffelite.detection.detector import AnyDetector

DETECTOR = (
    Flag("weights", "", "weights in place of RUN/detector.caffemodel", "FILE"),
    Flag("classes", "", "of a detector without detector.json: names of the classes, commas between", "NAMES"),
    Flag("score", "", "least score of what is found, in place of the detector's", "X"),
    Flag("nms", "", "overlap from which on the worse of two boxes goes, in place of the detector's", "X"),
    Flag("set", (), "settings of cfg.TEST in place of the detector's", "KEY VALUE ..."),
    Flag("threads", 0, "threads that compute; 0: the physical cores that this process may use", "N"),
)


def load_detector(options: Options) -> AnyDetector:
    """The detector that the first word names, as the flags want it. Raises what ``Detector.load`` does."""
    from caffelite.cpu.threads import set_threads
    from caffelite.detection.detector import Detector

    if options.integer("threads") < 0:
        raise UsageError(f"--threads: expected 1 or more, or 0, got {options.integer('threads')}")
    if options.integer("threads"):
        set_threads(options.integer("threads"))
    detector = Detector.load(
        options.arguments[0], options.text("weights") or None, pairs=options.several("set")
    )
    changes: dict[str, Any] = {name: share(options, name) for name in ("score", "nms") if options.has(name)}
    if options.has("classes"):
        names = options.items("classes")
        if len(names) != len(detector.card.classes):
            raise UsageError(f"--classes: expected {len(detector.card.classes)} names, got {len(names)}")
        changes["classes"] = tuple(names)
    detector.card = replace(detector.card, **changes)
    return detector


def share(options: Options, name: str) -> float:
    """A flag's number from 0 to 1. Raises UsageError."""
    text = options.text(name)
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise UsageError(f"--{name}: expected a number from 0 to 1, got '{text}'")
    return value


def whole(options: Options, name: str, least: int = 0) -> int:
    """A flag's whole number. Raises UsageError if it is below ``least``."""
    value = options.integer(name)
    if value < least:
        raise UsageError(f"--{name}: expected {least} or more, got {value}")
    return value


def tell(text: str) -> None:
    """A line of progress, to the log."""
    from caffelite.logs.log import get_log

    get_log().emit("message", text, "test.py:1")
