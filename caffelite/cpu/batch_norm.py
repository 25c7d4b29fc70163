"""BatchNorm through oneDNN, in place if the plan wants.

The gradient is computed from y, not from x: to oneDNN y is an input of mean 0 and variance 1 (epsilon 0)
with the scale 1 / deviation, and the gradient of that is the one wanted::

    dx = 1 / deviation * (dy - mean(dy) - y * mean(y * dy))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import Call, OneDnnKernel, described, layer_of
from caffelite.cpu.normalization import OneDnnScaledNorm
from caffelite.cpu.onednn import Array, Memory, MemoryDesc
from caffelite.cpu.onednn_types import Algorithm, Arg, Normalization, Prop
from caffelite.layers.base import Layer, SavedSpec
from caffelite.plan.kernel import MIXED, Site, common_layout
from caffelite.types import count


class OneDnnBatchNorm(OneDnnKernel):
    """y = (x - mean) / deviation, from the batch's statistics or from the running ones."""

    inplace = True

    def __init__(self, site: Site):
        super().__init__(site)
        x = site.one("x")
        self._desc = described(x, common_layout(site))
        self._channels = MemoryDesc.of((x.shape[1],))
        self._values = count(x.shape) // x.shape[1]  # a channel
        self._global: bool = layer_of(site).global_stats

    @classmethod
    def refuses(cls, site: Site) -> str:
        if objection := super().refuses(site):
            return objection
        if layer_of(site).scaled:
            return "the layer learns scale and bias"
        if len(site.one("x").shape) > 5:
            return "more than 5 axes"
        return "" if common_layout(site) else MIXED

    def saved(self) -> Sequence[SavedSpec]:
        return [SavedSpec("inverse", self._channels.shape)]

    def reads(self) -> frozenset[str]:
        return frozenset(["inverse"] if self._global else ["y", "inverse"])

    # -- forward ----------------------------------------------------------------------------------------

    def compile_forward(self, post: Layer | None) -> list[Call]:
        flags = Normalization.GLOBAL_STATS if self._global else Normalization.NONE
        eps = self.layer.p.eps
        desc = primitives.batch_normalization(self._desc, self._desc, eps, flags, not self._global)
        mean, variance = self._channels.empty(), self._channels.empty()
        self._mean, self._variance = (memory.array.view(np.float32) for memory in (mean, variance))
        memories = {
            Arg.SRC: self._blob("x"),
            Arg.DST: self._blob("y"),
            Arg.MEAN: mean,
            Arg.VARIANCE: variance,
        }
        run = desc.bind(memories, self.scratch).run
        return [self._use_running, run] if self._global else [run, self._update_running]

    def _use_running(self) -> None:
        factor = float(self.params["factor"].data[0])
        scale = np.float32(1 / factor if factor else 0)
        np.multiply(self.params["mean"].data, scale, out=self._mean)
        np.multiply(self.params["variance"].data, scale, out=self._variance)
        self._invert()

    def _update_running(self) -> None:
        self._invert()
        keep = self.layer.p.moving_average_fraction
        unbiased = self._variance * np.float32(self._values / max(1, self._values - 1))
        for name, new in (("factor", 1), ("mean", self._mean), ("variance", unbiased)):
            total = self.params[name].data
            total *= keep
            total += new

    def _invert(self) -> None:
        self.arrays["inverse"][...] = 1 / np.sqrt(self._variance + self.layer.p.eps)

    # -- backward ---------------------------------------------------------------------------------------

    def compile_backward(self) -> list[Call]:
        if self.arrays["dx"] is None:
            return []
        inverse = self.arrays["inverse"]
        if self._global:
            stretched = MemoryDesc.of((1, inverse.size, *(1,) * (len(self._desc.shape) - 2)))
            desc = primitives.binary(Algorithm.BINARY_MUL, self._desc, stretched, self._desc)
            memories = {Arg.SRC: self._blob("dy"), Arg.SRC_1: Memory(stretched, inverse)}
            return [desc.bind({**memories, Arg.DST: self._blob("dx")}, self.scratch).run]
        blob, flags = self._desc, Normalization.SCALE
        hint = primitives.batch_normalization(blob, blob, 0.0, flags, True)
        desc = primitives.batch_normalization_backward(Prop.BACKWARD, blob, blob, blob, 0.0, flags, hint)
        memories = {
            Arg.SRC: self._blob("y"),
            Arg.DIFF_DST: self._blob("dy"),
            Arg.DIFF_SRC: self._blob("dx"),
            Arg.SCALE: Memory(self._channels, inverse),
            Arg.DIFF_SCALE: self._channels.empty(),
            **standard(self._channels),
        }
        return [desc.bind(memories, self.scratch).run]

    def _blob(self, name: str) -> Memory:
        return Memory(self._desc, self.arrays[name])


def standard(channels: MemoryDesc) -> dict[Arg, Memory]:
    """Mean 0 and variance 1."""
    mean, variance = channels.empty(), channels.empty()
    mean.array.view(np.float32)[...] = 0
    variance.array.view(np.float32)[...] = 1
    return {Arg.MEAN: mean, Arg.VARIANCE: variance}


class OneDnnScaledBatchNorm(OneDnnScaledNorm):
    """BatchNorm of the forks that learn scale and bias in it."""

    @classmethod
    def refuses(cls, site: Site) -> str:
        return super().refuses(site) or ("" if layer_of(site).scaled else "the layer has no scale")

    @property
    def shift(self) -> str:
        return "" if "bias" in self.layer.absent else "bias"

    @property
    def fixed(self) -> bool:
        return bool(self.layer.global_stats)

    def running(self) -> tuple[Array, Array]:
        factor = float(self.params["factor"].data[0])
        scale = np.float32(1 / factor if factor else 0)
        return self.params["mean"].data * scale, self.params["variance"].data * scale

    def update(self, mean: Array, variance: Array) -> None:
        unbiased = variance * np.float32(self.values / max(1, self.values - 1))
        stored = [self.params[name].data for name in ("mean", "variance")]
        self.layer.update(list(zip(stored, (mean, unbiased), strict=True)), self.params["factor"].data)


KERNELS = (OneDnnBatchNorm, OneDnnScaledBatchNorm)
