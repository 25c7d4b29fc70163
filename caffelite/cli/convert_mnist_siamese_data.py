"""``caffelite convert_mnist_siamese_data``: a database of pairs of digits."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.databases import BACKENDS, SEED
from caffelite.cli.flags import Flag, Options


def _run(options: Options) -> int:
    from caffelite.tools.convert_mnist_data import convert_mnist_siamese_data

    images, labels, database = options.arguments
    convert_mnist_siamese_data(images, labels, database, options.text("backend"), options.integer("seed"))
    return 0


COMMAND = Command(
    "make a database of random pairs of MNIST's digits",
    _run,
    (Flag("backend", "leveldb", "kind of the database: lmdb or leveldb", "KIND", BACKENDS), SEED),
    "IMAGES LABELS DATABASE",
    "A record has two channels, a digit each, and label 1 if both are of one class.",
    ("caffelite convert_mnist_siamese_data images-idx3-ubyte labels-idx1-ubyte pairs_leveldb",),
    (3, 3),
)
