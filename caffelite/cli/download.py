"""``caffelite download``: the weights that a model's readme tells of."""

from __future__ import annotations

import sys

from caffelite.cli.command import Command
from caffelite.cli.flags import Options

_MEBIBYTE = 1 << 20


def _run(options: Options) -> int:
    from caffelite.tools.download_model_binary import download_model_binary, read_card

    folder = options.arguments[0]
    card = read_card(folder)
    fresh = download_model_binary(folder, _show if sys.stderr.isatty() else None)
    if sys.stderr.isatty() and fresh:
        print(file=sys.stderr)
    print(f"wrote {card.path}" if fresh else "Model already exists.")
    return 0


def _show(done: int, size: int) -> None:
    share = f" of {size / _MEBIBYTE:.0f}, {100 * done // size} %" if size else ""
    print(f"\r{done / _MEBIBYTE:.0f} MiB{share}", end="", file=sys.stderr, flush=True)


COMMAND = Command(
    "fetch the weights that a model's readme.md tells of",
    _run,
    usage="DIR",
    text="The readme begins with lines 'caffemodel: NAME', 'caffemodel_url: ADDRESS' and 'sha1: CHECKSUM' "
    "between two lines '---', as in Caffe's model zoo. A file with another checksum is never kept.",
    examples=("caffelite download models/bvlc_alexnet",),
    words=(1, 1),
)
