"""``caffelite frcnn VERB``: the tools of py-faster-rcnn, with their own flags. Each is a file, ``frcnn_train_net.py`` ..."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

GPU = Flag("gpu", "", "a GPU's number; these tools compute on the CPU, and say so", "ID")
CFG = Flag("cfg", "", "YAML file of settings", "FILE")
SET = Flag("set", (), "settings", "KEY VALUE ...")
IMDB = Flag(
    "imdb", "voc_2007_trainval", "voc_YEAR_SPLIT, coco_YEAR_SPLIT or PATH:SPLIT; several with +", "NAME"
)
TEST_IMDB = Flag("imdb", "voc_2007_test", IMDB.help, "NAME")
CLASSES = Flag(
    "classes",
    "",
    "classes in the order of the labels, with commas between; by default VOC's for voc",
    "NAMES",
)
DEF = Flag("def", "", "the net, in the form for testing", "PROTOTXT")
NET = Flag("net", "", "its weights", "CAFFEMODEL")
COMMON = (GPU, CFG, SET, CLASSES)


@contextmanager
def settings_of(options: Options) -> Iterator[None]:
    """``cfg`` as the flags have it; a GPU that was asked for is a warning."""
    from caffelite.detection.imdb import configured
    from caffelite.logs.log import get_log

    if options.text("gpu"):
        text = f"--gpu {options.text('gpu')}: computing on the CPU"
        get_log().emit("warning", text, "train_net.py:1", "W")
    with configured(options.text("cfg"), options.several("set")):
        yield


def needed(options: Options, *names: str) -> None:
    """Raises UsageError unless all of these flags were given."""
    for name in names:
        if not options.text(name):
            raise UsageError(f"expected --{name} FILE")


def _run(_: Options) -> int:
    from caffelite.cli.help import page
    from caffelite.cli.verbs import command, members

    print(page("frcnn", COMMAND, family={name: command(f"frcnn {name}") for name in members("frcnn")}))
    return 0


COMMAND = Command(
    "the tools of py-faster-rcnn under their old names and with their flags",
    _run,
    usage="VERB",
    text="They run from a folder that is laid out as py-faster-rcnn's, with data/VOCdevkit2007 and output in it. For new work "
    "'caffelite det' is easier.",
)
