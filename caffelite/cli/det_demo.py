"""``caffelite det demo``: a detector at work on images, folders and videos."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.detectors import DETECTOR, load_detector
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.detection.demo import demo

    if not options.text("o"):
        raise UsageError("where to? -o names the folder of pictures and JSON")
    shown = demo(load_detector(options), options.arguments[1:], options.text("o"), tell=print)
    print(f"Wrote {len(shown)} pictures or videos, each with its JSON, to {options.text('o')}")
    return 0


COMMAND = Command(
    "what a detector finds in images, folders and videos, drawn in, and as JSON",
    _run,
    (Flag("o", "", "folder of what is written", "DIR"), *DETECTOR),
    "RUN IMAGE|FOLDER|VIDEO...",
    "RUN is a detector's folder, or its prototxt for testing. A video gives a video, and a JSON line for each frame.",
    (
        "caffelite det demo runs/shapes photo.jpg -o out",
        "caffelite det demo runs/shapes photos film.mp4 -o out --score 0.5",
    ),
    (2, None),
)
