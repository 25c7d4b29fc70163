"""Replays recorded cases of single layers.

A case is an .npz file: ``net`` (prototxt; the layer under test is named "t"), ``bottom_i``, ``param_i``,
expected ``top_i``, ``param_after_i`` (parameters after forward), ``top_diff_i`` (gradients put on the tops;
for losses the weight is put there), expected ``bottom_diff_i`` and ``param_diff_i``, and ``meta`` (JSON:
layer, phase).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.engine import get_engine
from caffelite.layers.base import Layer
from caffelite.layers.registry import lookup
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN, Engine
from caffelite.testing.case import Array, LayerCase, Run, Variant
from caffelite.testing.compare import CheckError, close
from caffelite.types import Phase

TOLERANCE = 1e-4  # of the largest value: two float32 programs; they agree to about 1e-6


def check_golden(path: str | Path, engines: Sequence[Engine | str] = ("cpu",)) -> None:
    """Raises CheckError unless the array body and each kernel for the case compute what was recorded."""
    from caffelite.testing.layer import kernel_variants

    case = GoldenCase.load(path)
    variants = [Variant(layout=layout) for layout in (PLAIN, CHANNELS_LAST)]
    named = [get_engine(engine) if isinstance(engine, str) else engine for engine in engines]
    for variant in [*variants, *kernel_variants(case, named)]:
        case.replay(variant)


@dataclass(frozen=True)
class GoldenCase(LayerCase):
    """A recorded case as a LayerCase, whose numbers are the recorded ones."""

    path: str = ""
    record: Any = None

    @classmethod
    def load(cls, path: str | Path) -> GoldenCase:
        """Reads a case. Raises CheckError if its net has no layer "t"."""
        with np.load(path) as archive:
            record = {name: archive[name] for name in archive.files}
        meta = json.loads(str(record["meta"]))
        shapes = tuple(array.shape for array in _numbered(record, "bottom"))
        values = dict(enumerate(_numbered(record, "bottom")))
        tops = len(_numbered(record, "top"))
        return cls(
            meta["layer"],
            "",
            shapes,
            tops,
            Phase[meta["phase"]],
            values=values,
            path=str(path),
            record=record,
        )

    @cached_property
    def net(self) -> Any:
        """The recorded net."""
        from caffelite.prototxt.source import parse_net

        return parse_net(str(self.record["net"]), self.path)

    def layer(self) -> Layer:
        for message, where in zip(self.net.message.layer, self.net.origins, strict=True):
            if message.name == "t":
                return lookup(message.type)(message, self.phase, where)
        raise CheckError(f'{self.path}: no layer "t" in its net')

    def param_values(self, layer: Layer) -> dict[str, Array]:
        recorded = _numbered(self.record, "param")
        return {spec.name: value for spec, value in zip(layer.params, recorded, strict=True)}

    def top_gradients(self, layer: Layer, shapes: Sequence[Any]) -> list[Array]:
        weights = list(layer.spec.loss_weight) or [1.0] + [0.0] * (len(shapes) - 1)
        recorded = _numbered(self.record, "top_diff")
        return recorded or [np.full(shape, weight) for shape, weight in zip(shapes, weights, strict=True)]

    def replay(self, variant: Variant) -> None:
        """Runs the case and compares everything that was recorded."""
        run = Run(self, variant).forward()
        names = [spec.name for spec in run.layer.params]
        self._compare(run, "top", run.y)
        self._compare(run, "param_after", [run.params[name].data for name in names])
        if run.has_backward and self._ran_backward(run.layer):
            run.backward()
            self._compare(run, "bottom_diff", run.dx)
            self._compare(run, "param_diff", [run.params[name].grad for name in names])

    def _ran_backward(self, layer: Layer) -> bool:
        """Caffe runs backward below a loss, or if all of the net is forced to; elsewhere zeros were recorded."""
        return layer.loss or self.net.message.force_backward or any(layer.spec.loss_weight)

    def describe(self, variant: Variant) -> str:
        return f"  {self.path}\n  {variant}"

    def _compare(self, run: Run, name: str, got: Sequence[Any]) -> None:
        for i, array in enumerate(got):
            want = self.record.get(f"{name}_{i}")
            if want is not None and array is not None:
                close(array, want, TOLERANCE, f"{name}_{i}", run.context)


def _numbered(record: Any, prefix: str) -> list[Array]:
    names = [
        name for name in record if name.rpartition("_")[0] == prefix and name.rpartition("_")[2].isdigit()
    ]
    return [record[name] for name in sorted(names, key=lambda name: int(name.rpartition("_")[2]))]
