"""``caffelite det compress``: a detector whose fully connected layers are thinner, and faster."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

_USUAL = ("fc6", "fc7")


def _run(options: Options) -> int:
    from caffelite.detection.compression import compress

    source, output = options.arguments[0], options.text("o")
    force = options.switch("force")
    if not output:
        raise UsageError("where to? -o names the folder of the new detector")
    for layer in compress(source, output, ranks(options), options.text("weights") or None, force=force):
        print(layer.text())
    print(f"Wrote {output}")
    return 0


def ranks(options: Options) -> dict[str, int]:
    """Layer -> rank, as the flags say. Raises UsageError."""
    found = {name: options.integer(name) for name in _USUAL if options.has(name)}
    words = options.several("layers")
    if len(words) % 2:
        raise UsageError(f"--layers: expected layers and ranks in turns, got {' '.join(words)}")
    for name, rank in zip(words[::2], words[1::2], strict=True):
        if not rank.isdecimal():
            raise UsageError(f"--layers: expected a rank for '{name}', got '{rank}'")
        found[name] = int(rank)
    if not found:
        raise UsageError("expected layers and their ranks\n  Fix: --fc6 1024 --fc7 256")
    return found


COMMAND = Command(
    "a detector with fully connected layers of lower rank (truncated SVD), which are faster",
    _run,
    (
        Flag("o", "", "folder of the new detector", "DIR"),
        Flag("fc6", 0, "rank of layer fc6", "N"),
        Flag("fc7", 0, "rank of layer fc7", "N"),
        Flag("layers", (), "ranks of layers with other names", "NAME RANK ..."),
        Flag("weights", "", "weights in place of RUN/detector.caffemodel", "FILE"),
        Flag("force", False, "write over a detector that is in DIR"),
    ),
    "RUN",
    "RUN is a detector's folder, or its prototxt for testing. The new folder is used as the old one is.",
    ("caffelite det compress runs/vgg16 -o runs/vgg16_svd --fc6 1024 --fc7 256",),
    (1, 1),
)
