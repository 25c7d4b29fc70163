"""What a run that has gone wrong says: on which pictures, with which boxes, and what to do about the learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caffelite.detection.roidb import pictures_in
from caffelite.errors import NotFiniteError
from caffelite.logs.log import number

_CLIP = 10  # what cures most detectors
_WARM_UP = 100  # iterations


def explained(
    error: NotFiniteError, iteration: int, rate: float, param: Any, batch: Sequence[Mapping[str, Any]]
) -> NotFiniteError:
    """The error with the batch in which it was raised and advice. ``param``: the solver's; ``rate``: its rate there."""
    text, _, fix = str(error).partition("\n  Fix: ")
    if not text.startswith("iteration"):
        text = f"iteration {iteration}: {text}"
    pictures = "".join(f"\n  Batch: {line}" for line in pictures_in(batch))
    advice = "; ".join(_advice(rate, param))
    return NotFiniteError(f"{text}{pictures}\n  Fix: the learning rate was {number(rate)}: {advice or fix}")


def _advice(rate: float, param: Any) -> list[str]:
    found = [f"try base_lr: {number(param.base_lr / 10)}"]
    if param.clip_gradients < 0:
        found.append(f"clip_gradients: {_CLIP}")
    if not (param.rampup_interval or param.warmup_iter):
        found.append(f"a warm-up, rampup_interval: {_WARM_UP} rampup_lr: {number(param.base_lr / 10)}")
    return [*found, "and look at the boxes above ('caffelite det check DATA' finds bad ones)"]
