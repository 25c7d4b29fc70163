"""``caffelite classification``: the classes of one picture, as Caffe's C++ example prints them."""

from __future__ import annotations

from caffelite.cli.command import ENGINE, Command, engine_options
from caffelite.cli.flags import Options


def _run(options: Options) -> int:
    from caffelite.tools.classification import Classification, prediction_lines

    *files, picture = options.arguments
    net = Classification(*files, **engine_options(options))
    for line in prediction_lines(picture, net.classify(picture)):
        print(line)
    return 0


COMMAND = Command(
    "the five likeliest classes of a picture, by name",
    _run,
    ENGINE,
    "DEPLOY WEIGHTS MEAN LABELS PICTURE",
    "The picture is resized to the net's input; the mean colour of the mean file is taken from it.",
    ("caffelite classification deploy.prototxt net.caffemodel mean.binaryproto synset_words.txt cat.jpg",),
    (5, 5),
)
