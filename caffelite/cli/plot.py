"""``caffelite plot``: charts of training logs."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Options
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.tools.plot_training_log import chart_list, plot_training_log

    number, output, *logs = options.arguments
    if not number.isdecimal():
        raise UsageError(f"chart type: expected a number, got '{number}'\n{chart_list()}")
    plot_training_log(int(number), output, logs)
    return 0


COMMAND = Command(
    "a chart of one or more training logs",
    _run,
    usage="CHART_TYPE OUT.png LOG...",
    text="Chart types, against iterations or (odd numbers) seconds: 0 and 1 test accuracy, 2 and 3 test "
    "loss, 4 and 5 learning rate, 6 and 7 training loss. Needs matplotlib: pip install 'caffelite[plot]'.",
    examples=("caffelite plot 6 loss.png train.log", "caffelite plot 0 accuracy.pdf first.log second.log"),
    words=(3, None),
)
