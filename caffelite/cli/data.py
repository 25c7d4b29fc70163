"""``caffelite data``: makes databases and mean images."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError
from caffelite.prototxt.suggest import suggestion


def _run(options: Options) -> int:
    what, *rest = options.arguments
    if what not in _KINDS:
        raise UsageError(f"data: expected one of {', '.join(_KINDS)}, got '{what}'{suggestion(what, _KINDS)}")
    return _KINDS[what](options, rest)


def _mnist(options: Options, rest: list[str]) -> int:
    if rest:
        raise UsageError(f"data mnist: expected flags only, got '{rest[0]}'\n  Fix: --from {rest[0]}")
    from caffelite.data.mnist import download, make_mnist

    source, target = options.text("from"), options.text("to")
    if options.switch("download"):
        source = str(download(source or target, report=print))
    if not source:
        raise UsageError("data mnist: expected --from DIR (a folder with the four idx files) or --download")
    for path in make_mnist(source, target):
        print(f"wrote {path}")
    return 0


def _mean(options: Options, rest: list[str]) -> int:
    if len(rest) != 2:
        raise UsageError(
            "data mean: expected LMDB OUT\n  Fix: caffelite data mean train_lmdb mean.binaryproto"
        )
    from caffelite.data.mean import compute_mean, write_mean

    mean = compute_mean(rest[0])
    write_mean(rest[1], mean)
    print(f"Number of channels: {len(mean)}")
    for channel, plane in enumerate(mean):
        print(f"mean_value channel [{channel}]: {plane.mean():g}")
    return 0


_KINDS = {"mnist": _mnist, "mean": _mean}

COMMAND = Command(
    "make databases: mnist from its idx files, the mean image of an LMDB",
    _run,
    (
        Flag("from", "", "mnist: folder with the four idx files, gzipped or not", "DIR"),
        Flag("to", "data/mnist", "mnist: folder that gets mnist_train_lmdb and mnist_test_lmdb", "DIR"),
        Flag("download", False, "mnist: fetch the files (11 MB) into --from or --to; checksums are checked"),
    ),
    "mnist | mean LMDB OUT",
    examples=(
        "caffelite data mnist --from ~/Downloads/mnist",
        "caffelite data mnist --download",
        "caffelite data mean train_lmdb mean.binaryproto",
    ),
    words=(1, 3),
)
