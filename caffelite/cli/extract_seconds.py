"""``caffelite extract_seconds``: when each iteration of a log was told."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Options


def _run(options: Options) -> int:
    from caffelite.tools.extract_seconds import extract_seconds

    extract_seconds(*options.arguments)
    return 0


COMMAND = Command(
    "seconds since the start for each line of a log that tells of an iteration",
    _run,
    usage="LOG OUT",
    examples=("caffelite extract_seconds train.log seconds.txt",),
    words=(2, 2),
)
