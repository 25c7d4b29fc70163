"""``caffelite convert_cifar_data``: databases of CIFAR-10's binary version."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.databases import backend_of
from caffelite.cli.flags import Options


def _run(options: Options) -> int:
    from caffelite.tools.convert_cifar_data import convert_cifar_data

    source, target, backend = options.arguments
    convert_cifar_data(source, target, backend_of(backend))
    return 0


COMMAND = Command(
    "make databases of CIFAR-10 from its binary version",
    _run,
    usage="INPUT_FOLDER OUTPUT_FOLDER lmdb|leveldb",
    text="Reads data_batch_1.bin to data_batch_5.bin and test_batch.bin; writes cifar10_train_KIND and "
    "cifar10_test_KIND.",
    examples=("caffelite convert_cifar_data cifar-10-batches-bin examples/cifar10 lmdb",),
    words=(3, 3),
)
