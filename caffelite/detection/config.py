"""py-faster-rcnn's ``cfg``, its files and its ``--set``.

from caffelite.detection.config import cfg, cfg_from_file, cfg_from_list

cfg_from_file("experiments/cfgs/faster_rcnn_end2end.yml")
cfg_from_list(["TRAIN.SCALES", "600,800", "TRAIN.RPN_BATCHSIZE", "128"])
cfg.TEST.NMS = 0.4
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caffelite.boxes.config import Config, cfg, defaults
from caffelite.boxes.yaml_text import read_yaml
from caffelite.errors import MissingFileError, UsageError

__all__ = ["Config", "cfg", "cfg_from_file", "cfg_from_list", "defaults"]


def cfg_from_file(path: str | Path, config: Config = cfg) -> None:
    """Takes the settings of a YAML file. Raises UsageError, which names the file, and takes none, if one is wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(path, "cfg file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cfg file '{path}' cannot be read: {error}") from error
    values = read_yaml(text, str(path))
    try:
        config.merge(values)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def cfg_from_list(pairs: Sequence[str], config: Config = cfg) -> None:
    """Takes ``["TRAIN.SCALES", "600", ...]`` as ``--set`` gives it: keys and values in turns.

    Values are Python's (``True``, ``0.5``, ``(600,)``, ``600,800``); what is none is text. Raises UsageError, or
    FieldError for a key that is not there, and then takes nothing.
    """
    if len(pairs) % 2:
        raise UsageError(f"--set: expected keys and values in turns, got {' '.join(pairs)}")
    trial = config.copied()
    for target in (trial, config):
        for key, text in zip(pairs[::2], pairs[1::2], strict=True):
            target.set(key, _value(key, text, target))


def _value(key: str, text: str, config: Config) -> Any:
    old: Any = config
    for part in key.split("."):
        old = old.get(part) if isinstance(old, Config) else None
    if isinstance(old, str):
        return text
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)
