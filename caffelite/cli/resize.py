"""``caffelite resize``: square images of one size."""

from __future__ import annotations

from caffelite.cli.command import Command, required
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError
from caffelite.logs.log import get_log


def _run(options: Options) -> int:
    from caffelite.tools.resize_and_crop_images import resize_and_crop_images

    source = required(options, "input_folder", "Need a folder with images.")
    target = required(options, "output_folder", "Need a folder to write to.")
    if options.integer("num_clients") < 0:
        raise UsageError("--num_clients: expected at least 1, or 0 for as many as there are cores")
    unread = resize_and_crop_images(
        source, target, options.integer("output_side_length"), _names(options.text("input")),
        options.integer("num_clients"),
    )  # fmt: skip
    if unread:
        text = f"{len(unread)} images could not be read and are not in '{target}'"
        get_log().emit("message", text, "resize_and_crop_images.py:1", "E")
    return 0


def _names(path: str) -> list[str] | None:
    from caffelite.tools.lists import read_lines

    return [line for _, line in read_lines(path)] if path else None


COMMAND = Command(
    "resize images and crop their middle square",
    _run,
    (
        Flag("input_folder", "", "folder with images, in folders or not", "DIR"),
        Flag("output_folder", "", "folder that gets them, in the same places", "DIR"),
        Flag("output_side_length", 256, "pixels a side", "N"),
        Flag(
            "input", "", "file with paths below the input folder, one a line; empty: all images there", "FILE"
        ),
        Flag("num_clients", 0, "images worked on at a time; 0: as many as there are cores", "N"),
        Flag("image_lib", "opencv", "only opencv", "NAME", ("opencv",), hidden=True),
    ),
    examples=("caffelite resize --input_folder=raw --output_folder=small --output_side_length=256",),
)
