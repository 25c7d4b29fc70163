"""``caffelite mean``: the mean image of a database."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.databases import BACKENDS
from caffelite.cli.flags import Flag, Options


def _run(options: Options) -> int:
    from caffelite.tools.compute_image_mean import compute_image_mean

    database, output = [*options.arguments, ""][:2]
    compute_image_mean(database, output, options.text("backend"))
    return 0


COMMAND = Command(
    "compute the mean image of a database",
    _run,
    (
        Flag(
            "backend",
            "",
            "kind of the database: lmdb or leveldb; empty: whichever it is",
            "KIND",
            ("", *BACKENDS),
        ),
    ),
    "DATABASE [OUT.binaryproto]",
    examples=(
        "caffelite mean train_lmdb mean.binaryproto",
        "caffelite compute_image_mean -backend=lmdb train_lmdb",
    ),
    words=(1, 2),
)
