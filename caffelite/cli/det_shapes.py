"""``caffelite det shapes DIR``: makes the shapes set."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options


def _run(options: Options) -> int:
    from caffelite.detection.shapes import make_shapes

    counts = {name: options.integer(name) for name in ("images", "test", "size", "classes", "seed")}
    folder = make_shapes(options.arguments[0], **counts, hard=options.has("hard"))
    print(f"wrote {counts['images']} pictures for training and {counts['test']} for the test to '{folder}'")
    return 0


COMMAND = Command(
    "make a small VOC set of circles, squares and triangles to try a detector on",
    _run,
    (
        Flag("images", 400, "pictures of the split train", "N"),
        Flag("test", 100, "pictures of the split test", "N"),
        Flag("size", 128, "pixels of a side of the pictures, 32 or more", "N"),
        Flag("classes", 3, "how many of circle, square, triangle, star, cross, ring", "N"),
        Flag("hard", False, "shapes turned any way, nearly hidden, smaller, of stronger patterns"),
        Flag("seed", 0, "another seed makes other pictures, the same the same", "N"),
    ),
    "DIR",
    "Shapes differ in size, colour and texture, hide one another and reach out of the pictures. Some are difficult, some "
    "pictures are empty.",
    (
        "caffelite det shapes data/shapes",
        "caffelite det shapes data/many --images 4000 --size 256 --classes 6",
    ),
    (1, 1),
)
