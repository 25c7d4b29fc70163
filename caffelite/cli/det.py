"""``caffelite det VERB``: object detection. Each verb is a file of its own, ``det_check.py`` ..."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Options


def _run(_: Options) -> int:
    from caffelite.cli.help import page
    from caffelite.cli.verbs import command, members

    print(page("det", COMMAND, family={name: command(f"det {name}") for name in members("det")}))
    return 0


COMMAND = Command(
    "object detection: data, proposals, training, evaluation; 'caffelite det' lists its verbs",
    _run,
    usage="VERB",
    text="DATA is a VOC folder, a COCO file, YOLO text files, a CSV table or an R-CNN window file. 'caffelite help det VERB' "
    "tells more about a verb.",
)
