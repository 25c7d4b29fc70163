"""``caffelite convert_mnist_data``: a database of two idx files."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.databases import BACKEND
from caffelite.cli.flags import Options


def _run(options: Options) -> int:
    from caffelite.tools.convert_mnist_data import convert_mnist_data

    images, labels, database = options.arguments
    convert_mnist_data(images, labels, database, options.text("backend"))
    return 0


COMMAND = Command(
    "make a database of MNIST's digits from two idx files",
    _run,
    (BACKEND,),
    "IMAGES LABELS DATABASE",
    "The files may be packed with gzip.",
    ("caffelite convert_mnist_data train-images-idx3-ubyte train-labels-idx1-ubyte mnist_train_lmdb",),
    (3, 3),
)
