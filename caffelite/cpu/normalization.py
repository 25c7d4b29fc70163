"""Normalization with a learned scale and shift through oneDNN: what the forks' BatchNorm and BN share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import Call, OneDnnKernel, described
from caffelite.cpu.onednn import Array, Memory, MemoryDesc
from caffelite.cpu.onednn_types import Arg, Normalization, Prop
from caffelite.layers.base import Layer, SavedSpec
from caffelite.params import Param
from caffelite.plan.kernel import MIXED, Site, common_layout
from caffelite.types import count


class OneDnnScaledNorm(OneDnnKernel):
    """y = (x - mean) / deviation * scale + shift, from the batch's statistics or from stored ones."""

    inplace = True

    def __init__(self, site: Site):
        super().__init__(site)
        x = site.one("x")
        self._desc = described(x, common_layout(site))
        self._channels = MemoryDesc.of((x.shape[1],))
        self.values = count(x.shape) // x.shape[1]  # a channel
        self._flags = Normalization.SCALE | (Normalization.SHIFT if self.shift else Normalization.NONE)
        if self.fixed:
            self._flags |= Normalization.GLOBAL_STATS

    @classmethod
    def refuses(cls, site: Site) -> str:
        if objection := super().refuses(site):
            return objection
        if len(site.one("x").shape) > 5:
            return "more than 5 axes"
        return "" if common_layout(site) else MIXED

    # -- what layers differ in --------------------------------------------------------------------------

    @property
    def shift(self) -> str:
        """The name of the shift among the layer's parameters; empty if it has none."""
        return "shift"

    @property
    def fixed(self) -> bool:
        """Whether stored statistics are used."""
        raise NotImplementedError

    @property
    def eps(self) -> float:
        """What is added to the variance."""
        return float(self.layer.eps)

    def running(self) -> tuple[Array, Array]:
        """The stored mean and variance."""
        raise NotImplementedError

    def update(self, mean: Array, variance: Array) -> None:
        """Takes a batch's mean and biased variance into the stored ones."""
        raise NotImplementedError

    # -- passes -----------------------------------------------------------------------------------------

    def saved(self) -> Sequence[SavedSpec]:
        return [SavedSpec(name, self._channels.shape) for name in ("mean_used", "variance_used")]

    def reads(self) -> frozenset[str]:
        return frozenset(["x", "mean_used", "variance_used"])

    def compile_forward(self, post: Layer | None) -> list[Call]:
        desc = primitives.batch_normalization(
            self._desc, self._desc, self.eps, self._flags, training=not self.fixed
        )
        memories = {Arg.SRC: self._blob("x"), Arg.DST: self._blob("y"), **self._statistics(), **self._scale()}
        run = desc.bind(memories, self.scratch).run
        return [self._use_running, run] if self.fixed else [run, self._update]

    def compile_backward(self) -> list[Call]:
        blob = self._desc
        hint = primitives.batch_normalization(blob, blob, self.eps, self._flags, training=True)
        desc = primitives.batch_normalization_backward(
            Prop.BACKWARD, blob, blob, blob, self.eps, self._flags, hint
        )
        dx = blob.empty() if self.arrays["dx"] is None else self._blob("dx")
        names = {Arg.DIFF_SCALE: "scale"} | ({Arg.DIFF_SHIFT: self.shift} if self.shift else {})
        gradients = {arg: self._channels.empty() for arg in names}
        memories = {Arg.SRC: self._blob("x"), Arg.DIFF_DST: self._blob("dy"), Arg.DIFF_SRC: dx}
        memories |= {**self._statistics(), Arg.SCALE: self._param("scale"), **gradients}
        calls: list[Call] = [desc.bind(memories, self.scratch).run]
        for arg, name in names.items():
            if self.site.learn.get(name, False):
                calls.append(partial(_deliver, self.params[name], gradients[arg].array.view(np.float32)))
        return calls

    def _use_running(self) -> None:
        mean, variance = self.running()
        self.arrays["mean_used"][...] = mean.reshape(-1)
        self.arrays["variance_used"][...] = variance.reshape(-1)

    def _update(self) -> None:
        self.update(self.arrays["mean_used"], self.arrays["variance_used"])

    def _statistics(self) -> dict[Arg, Memory]:
        used = {Arg.MEAN: "mean_used", Arg.VARIANCE: "variance_used"}
        return {arg: Memory(self._channels, self.arrays[name]) for arg, name in used.items()}

    def _scale(self) -> dict[Arg, Memory]:
        shift = {Arg.SHIFT: self._param(self.shift)} if self.shift else {}
        return {Arg.SCALE: self._param("scale"), **shift}

    def _param(self, name: str) -> Memory:
        return Memory(self._channels, self.params[name].data.reshape(-1))

    def _blob(self, name: str) -> Memory:
        return Memory(self._desc, self.arrays[name])


def _deliver(param: Param, gradient: Array) -> None:
    """Writes to a parameter's gradient, or adds if there is one already."""
    target, add = param.grad_for_write()
    gradient = gradient.reshape(target.shape)
    if add:
        target += gradient
    else:
        target[...] = gradient
