"""The verbs in the groups in which the help lists them, and the names that Caffe's own tools had."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from caffelite.cli.command import Command

NETS = ("demo", "train", "test", "time", "summary", "check", "show", "layers", "device_query", "train.py")

GROUPS = {
    "Nets": NETS,
    "Databases": (
        "data", "convert_imageset", "mean", "features", "convert_mnist_data", "convert_cifar_data",
        "convert_mnist_siamese_data", "resize",
    ),
    "Pictures through a net": ("classify", "classification", "detect"),
    "Detection": ("det", "frcnn"),
    "Files of nets": ("draw", "export", "summarize", "upgrade", "download"),
    "Logs": ("parse_log", "plot", "extract_seconds"),
}  # fmt: skip
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)
FAMILIES = ("det", "frcnn")  # verbs that are followed by another, each in a file of its own: det_check.py

OLD_NAMES: dict[str, tuple[str, ...]] = {
    "compress_net": ("frcnn", "compress_net"),
    "compute_image_mean": ("mean",),
    "download_model_binary": ("download",),
    "draw_net": ("draw",),
    "extract_features": ("features",),
    "parse_log.sh": ("parse_log", "--columns"),
    "plot_training_log": ("plot",),
    "resize_and_crop_images": ("resize",),
    "reval": ("frcnn", "reval"),
    "rpn_generate": ("frcnn", "rpn_generate"),
    "test_net": ("frcnn", "test_net"),
    "train_faster_rcnn_alt_opt": ("frcnn", "train_faster_rcnn_alt_opt"),
    "train_net": ("frcnn", "train_net"),
    "train_svms": ("frcnn", "train_svms"),
    "upgrade_net_proto_binary": ("upgrade", "--kind=net_binary"),
    "upgrade_net_proto_text": ("upgrade", "--kind=net_text"),
    "upgrade_solver_proto_text": ("upgrade", "--kind=solver_text"),
}
"""A tool of Caffe's that has another name here -> the words that stand for it."""


def current(name: str) -> tuple[str, ...]:
    """The verb, and perhaps its first flags, that a name stands for; an ending ``.py`` may be left on.

    A name of nothing comes back as it is.
    """
    if name in VERBS:
        return (name,)
    stem = name.removesuffix(".py")
    return OLD_NAMES.get(stem) or ((stem,) if stem in VERBS else (name,))


def old_names(verb: str) -> list[str]:
    """What Caffe called a verb that has another name here."""
    return [old for old, (new, *_) in OLD_NAMES.items() if new == verb]


def command(verb: str) -> Command:
    """A verb's definition; ``det check`` is one verb."""
    module = verb.replace(".", "_").replace(" ", "_")
    found: Command = importlib.import_module(f"caffelite.cli.{module}").COMMAND
    return found


def members(family: str) -> list[str]:
    """The verbs that may follow one, sorted; none if it is no family."""
    if family not in FAMILIES:
        return []
    names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name.removeprefix(f"{family}_") for name in names if name.startswith(f"{family}_"))
