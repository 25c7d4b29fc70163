"""Runs a layer on given numbers: for worked examples in tests and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffelite.testing.case import Array, LayerCase, Run, Variant
from caffelite.types import Phase


@dataclass(frozen=True)
class Example:
    """What came out: tops, gradients of bottoms, parameters after the pass, gradients of parameters."""

    y: list[Array]
    dx: list[Array | None]
    params: dict[str, Array]
    dparams: dict[str, Array]


def run_layer(
    type_: str,
    text: str,
    bottoms: Sequence[Any],
    *,
    tops: int = 1,
    phase: Phase = Phase.TRAIN,
    params: Mapping[str, Any] | None = None,
    dy: Sequence[Any] | None = None,
    seed: int = 0,
) -> Example:
    """Runs the array body in float64 on ``bottoms``; backward as well if ``dy`` is given: for
    each top, something that broadcasts to its shape.

    Raises what the layer raises.
    """
    values = {i: np.asarray(x, np.float64) for i, x in enumerate(bottoms)}
    shapes = tuple(x.shape for x in values.values())
    case = LayerCase(type_, text, shapes, tops, phase, values=values, params=params or {}, seed=seed)
    run = Run(case, Variant(dtype="float64")).forward()
    if dy is not None:
        run.dy = [np.broadcast_to(np.asarray(g, np.float64), y.shape) for g, y in zip(dy, run.y, strict=True)]
        run.backward()
    return Example(run.y, run.dx, {name: p.data for name, p in run.params.items()}, run.learned)
