"""``compress_net.py`` of py-faster-rcnn."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.frcnn import DEF, GPU, NET, needed
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.atomic import check_target
    from caffelite.detection.compression import fill
    from caffelite.model import Model

    needed(options, "def", "def-svd", "net")
    weights = Path(options.text("net"))
    net = Model.load(options.text("def"), weights, backward=False)
    thin = Model(options.text("def-svd"), backward=False)
    layers = fill(thin, net)
    if not layers:
        raise UsageError(
            "--def-svd: expected layers such as fc6_L and fc6_U in place of a layer fc6 of --def, got none"
        )
    ranks = "".join(f"_{layer.layer}_{layer.rank}" for layer in layers)
    target = weights.with_name(f"{weights.stem}_svd{ranks}.caffemodel")
    check_target(target)
    thin.save(target)
    print("\n".join([*(layer.text() for layer in layers), f"Wrote {target}"]))
    return 0


COMMAND = Command(
    "weights for a net with layers fc6_L, fc6_U in place of fc6 (SVD)",
    _run,
    (DEF, Flag("def-svd", "", "the compressed net", "PROTOTXT"), NET, GPU),
    text="Writes NET_svd_fc6_1024_fc7_256.caffemodel beside NET; the ranks are those of the compressed net.",
    examples=(
        "tools/compress_net.py --def test.prototxt --def-svd compressed/test.prototxt --net vgg16.caffemodel",
    ),
)
