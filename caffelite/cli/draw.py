"""``caffelite draw``: a net as a picture."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.prototxt.source import read_net
from caffelite.types import Phase

_DIRECTIONS = ("LR", "TB", "BT", "RL")


def _run(options: Options) -> int:
    from caffelite.draw import draw_net_to_file

    source, target = options.arguments
    phase = None if options.text("phase") == "ALL" else Phase[options.text("phase")]
    net = read_net(source).message
    print(f"Drawing net to {target}")
    draw_net_to_file(net, target, options.text("rankdir"), phase, options.switch("display_lrm"))
    return 0


COMMAND = Command(
    "a net as a picture",
    _run,
    (
        Flag(
            "rankdir", "LR", "direction of the data: LR (left to right), TB, BT, RL", "DIRECTION", _DIRECTIONS
        ),
        Flag("phase", "ALL", "layers of one phase only: TRAIN or TEST", "PHASE", ("ALL", "TRAIN", "TEST")),
        Flag("display_lrm", False, "show the multipliers of the learning rate"),
    ),
    "NET OUT.png",
    examples=(
        "caffelite draw train_val.prototxt net.png",
        "caffelite draw --rankdir TB --phase TEST net.prototxt net.svg",
    ),
    words=(2, 2),
)
