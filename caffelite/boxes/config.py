"""py-faster-rcnn's configuration: ``cfg.TRAIN.RPN_PRE_NMS_TOP_N`` and all the others, with its names and defaults.

One object for the whole process, as there, because the layers of old prototxts (``rpn.proposal_layer`` and the
like) read it in each pass. It stands here, before the layers; users import it from ``caffelite.detection.config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.errors import FieldError, UsageError
from caffelite.prototxt.suggest import did_you_mean


class Config(dict[str, Any]):
    """Settings by name, as attributes and as items: ``cfg.TRAIN.SCALES``, ``cfg["TRAIN"]["SCALES"]``.

    A setting keeps its type: whole numbers do for fractions, lists and single numbers for tuples. Raises UsageError for
    a value of another type, FieldError (also an ``AttributeError``) with a suggestion for a name that is not there.
    New names may be assigned, as in the original; ``set`` and ``merge``, which users' text goes through, refuse them.
    """

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise FieldError(_unknown(name, self))

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, checked(name, value, self[name]) if name in self else value)

    def set(self, key: str, value: Any) -> None:
        """Sets ``TRAIN.SCALES`` or the like, which must be there."""
        *groups, name = key.split(".")
        group: Any = self
        for i, part in enumerate([*groups, name]):
            if not isinstance(group, Config) or part not in group:
                raise FieldError(_unknown(key, self, ".".join(key.split(".")[:i])))
            group, owner = group[part], group
        if isinstance(group, Config):
            raise UsageError(
                f"{key}: expected one setting, got a group\n  Fix: {key}.{next(iter(group))} ..."
            )
        try:
            owner[name] = value
        except UsageError as error:
            raise UsageError(str(error).replace(name, key, 1)) from error

    def merge(self, values: Mapping[str, Any], prefix: str = "") -> None:
        """Sets all of a nested mapping, or, if something in it is wrong, nothing."""
        trial = self.copied()
        trial._take(values, prefix)
        self._take(values, prefix)

    def _take(self, values: Mapping[str, Any], prefix: str) -> None:
        for name, value in values.items():
            key = f"{prefix}{name}"
            if isinstance(value, Mapping):
                self._take(value, f"{key}.")
            else:
                self.set(key, value)

    def copied(self) -> Config:
        """A copy that shares nothing with this one."""
        copy = Config()
        for name, value in self.items():
            dict.__setitem__(copy, name, value.copied() if isinstance(value, Config) else value)
        return copy

    def restore(self, values: Config) -> None:
        """Becomes a copy of another configuration, for everybody who holds this one and its groups."""
        for name in self.keys() - values.keys():
            del self[name]
        for name, value in values.items():
            if isinstance(value, Config) and name in self:
                self[name].restore(value)
            else:
                dict.__setitem__(self, name, value)

    def names(self, prefix: str = "") -> list[str]:
        """Every setting as ``set`` takes it."""
        found: list[str] = []
        for name, value in self.items():
            found += value.names(f"{prefix}{name}.") if isinstance(value, Config) else [f"{prefix}{name}"]
        return found


def checked(name: str, value: Any, old: Any) -> Any:
    """A value in the form of the one that it replaces. Raises UsageError if it has another type."""
    fitted = _fitted(value, old)
    if fitted is None:
        raise UsageError(f"{name}: expected {_described(old)}, got {value!r}")
    return fitted


def _fitted(value: Any, old: Any) -> Any:
    """None if the value does not fit."""
    if isinstance(old, np.ndarray):
        return _array(value, old)
    if isinstance(old, tuple):
        return _tuple(value, old)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(old, float) and not isinstance(value, bool):
        return _number(value)
    if isinstance(old, str) and isinstance(value, Path):
        return str(value)
    return value if type(value) is type(old) else None


def _number(value: Any) -> float | None:
    """Text too: YAML takes ``1e-3`` for text."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def _tuple(value: Any, old: tuple[Any, ...]) -> tuple[Any, ...] | None:
    items = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
    if not items or (len(old) > 1 and len(items) != len(old)):
        return None
    fitted = tuple(_fitted(item, old[0]) for item in items)
    return None if None in fitted else fitted


def _array(value: Any, old: np.ndarray) -> np.ndarray | None:
    try:
        array = np.asarray(value, old.dtype)
    except (TypeError, ValueError):
        return None
    return array.reshape(old.shape) if array.size == old.size else None


def _described(old: Any) -> str:
    if isinstance(old, Config):
        return f"a group of settings ({', '.join(old)})"
    if isinstance(old, np.ndarray):
        return f"{old.size} numbers"
    if isinstance(old, tuple):
        one = _described(old[0]).split(" ", 1)[1]
        return f"{len(old)} numbers" if len(old) > 1 else f"{one}s"
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    return words.get(type(old), type(old).__name__)


def _unknown(key: str, config: Config, known: str = "") -> str:
    meant = did_you_mean(key, config.names() if known or "." in key else [*config, *config.names()])
    text = f"{key}: there is no such setting"
    return f"{text}; did you mean '{meant}'?" if meant else f"{text} (see caffelite.detection.config)"


def defaults() -> Config:
    """A new configuration with py-faster-rcnn's values."""
    both = {"SCALES": (600,), "MAX_SIZE": 1000, "BBOX_REG": True, "HAS_RPN": False}
    both |= {"PROPOSAL_METHOD": "selective_search", "RPN_NMS_THRESH": 0.7, "RPN_MIN_SIZE": 16}
    return Config(
        TRAIN=Config(
            **both,
            IMS_PER_BATCH=2,
            IMAGE_CACHE_MB=256,  # decoded images that RoIDataLayer keeps; 0: none
            SIZE_MULTIPLE=1,  # of which height and width of data are multiples: fewer sizes to plan for
            BATCH_SIZE=128,  # regions, of all images together
            FG_FRACTION=0.25,
            FG_THRESH=0.5,
            BG_THRESH_HI=0.5,
            BG_THRESH_LO=0.1,
            USE_FLIPPED=True,
            BBOX_THRESH=0.5,
            SNAPSHOT_ITERS=10000,
            SNAPSHOT_INFIX="",
            USE_PREFETCH=False,
            BBOX_NORMALIZE_TARGETS=True,
            BBOX_INSIDE_WEIGHTS=(1.0, 1.0, 1.0, 1.0),
            BBOX_NORMALIZE_TARGETS_PRECOMPUTED=False,
            BBOX_NORMALIZE_MEANS=(0.0, 0.0, 0.0, 0.0),
            BBOX_NORMALIZE_STDS=(0.1, 0.1, 0.2, 0.2),
            ASPECT_GROUPING=True,
            RPN_POSITIVE_OVERLAP=0.7,
            RPN_NEGATIVE_OVERLAP=0.3,
            RPN_CLOBBER_POSITIVES=False,
            RPN_FG_FRACTION=0.5,
            RPN_BATCHSIZE=256,
            RPN_PRE_NMS_TOP_N=12000,
            RPN_POST_NMS_TOP_N=2000,
            RPN_BBOX_INSIDE_WEIGHTS=(1.0, 1.0, 1.0, 1.0),
            RPN_POSITIVE_WEIGHT=-1.0,
        ),
        TEST=Config(
            **both,
            NMS=0.3,
            SVM=False,
            RPN_PRE_NMS_TOP_N=6000,
            RPN_POST_NMS_TOP_N=300,
        ),
        DEDUP_BOXES=1 / 16,
        PIXEL_MEANS=np.array([[[102.9801, 115.9465, 122.7717]]]),  # B, G, R
        RNG_SEED=3,
        EPS=1e-14,
        ROOT_DIR=".",
        DATA_DIR="data",
        MODELS_DIR="models",
        MATLAB="matlab",
        EXP_DIR="default",
        USE_GPU_NMS=True,
        GPU_ID=0,
    )


cfg = defaults()
