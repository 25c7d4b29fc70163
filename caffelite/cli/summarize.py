"""``caffelite summarize``: who is connected with whom in a net."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.prototxt.source import read_net
from caffelite.tools.summarize import MAX_WIDTH, summarize


def _run(options: Options) -> int:
    width = options.integer("w" if options.has("w") else "max-width")
    for line in summarize(read_net(options.arguments[0]), width):
        print(line)
    return 0


COMMAND = Command(
    "who is connected with whom in a net, a line a layer",
    _run,
    (
        Flag("max-width", MAX_WIDTH, "longest column; 0: no limit", "N"),
        Flag("w", MAX_WIDTH, "the same", "N", hidden=True),
    ),
    "NET",
    "Name, type, multipliers of rate and decay (x, d), bottoms, tops (in brackets if no layer takes them), "
    "and the window: 5/2+1 20 is a kernel of 5 with stride 2, padding 1 and 20 outputs. 'caffelite summary' tells shapes "
    "and costs.",
    ("caffelite summarize train_val.prototxt -w 40",),
    (1, 1),
)
