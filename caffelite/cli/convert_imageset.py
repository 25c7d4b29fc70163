"""``caffelite convert_imageset``: a database of the images in a list."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.databases import BACKEND, SEED
from caffelite.cli.flags import Flag, Options
from caffelite.logs.log import get_log


def _run(options: Options) -> int:
    from caffelite.tools.convert_imageset import ImageForm, convert_imageset, read_image_list, shuffled

    root, list_file, database = options.arguments
    form = ImageForm(
        options.switch("gray"), options.integer("resize_height"), options.integer("resize_width"),
        options.switch("encoded"), options.text("encode_type"),
    )  # fmt: skip
    entries = read_image_list(list_file)
    if options.switch("shuffle"):
        _say("Shuffling data", 83)
        entries = shuffled(entries, options.integer("seed"))
    _say(f"A total of {len(entries)} images.", 86)
    if form.encode_type and not form.encoded:
        _say("encode_type specified, assuming encoded=true.", 89)
    unread = convert_imageset(
        root, entries, database, form,
        backend=options.text("backend"), check_size=options.switch("check_size"),
    )  # fmt: skip
    if unread:
        text = f"{len(unread)} of {len(entries)} images could not be read and are not in '{database}'"
        _say(text, 150, "E")
    return 0


def _say(text: str, line: int, severity: str = "I") -> None:
    get_log().emit("message", text, f"convert_imageset.cpp:{line}", severity)


COMMAND = Command(
    "make a database of the images in a list",
    _run,
    (
        Flag("gray", False, "one channel instead of three"),
        Flag("shuffle", False, "in a random order"),
        BACKEND,
        Flag("resize_width", 0, "width in pixels that images are resized to; 0: their own", "N"),
        Flag("resize_height", 0, "height in pixels that images are resized to; 0: their own", "N"),
        Flag("check_size", False, "make sure that all images have one size"),
        Flag("encoded", False, "store image files instead of pixels"),
        Flag("encode_type", "", "format to encode in (jpg, png, ...); empty: each file's own", "ENDING"),
        SEED,
    ),
    "ROOT/ LIST DATABASE",
    "LIST has lines 'PATH LABEL'; ROOT is put before each path. Images that cannot be read are named, "
    "counted and left out.",
    (
        "caffelite convert_imageset -resize_height=256 -resize_width=256 -shuffle train/ train.txt "
        "train_lmdb",
        "caffelite convert_imageset -encoded -backend leveldb images/ list.txt images_leveldb",
    ),
    (3, 3),
)
