"""BatchNorm on the GPU, also with the scale and bias that forks learn in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffelite.cuda.channels import ChannelKernel
from caffelite.cuda.kernel import Call
from caffelite.cuda.scratch import scratch
from caffelite.layers.base import SavedSpec
from caffelite.plan.kernel import Site
from caffelite.types import Shape

_STATISTICS = ("mean", "variance", "factor")


class CudaBatchNorm(ChannelKernel):
    """y = (x - mean) / deviation, from the batch's statistics or the stored ones. The gradient reads y, or x if scaled."""

    @classmethod
    def place(cls, site: Site) -> tuple[Shape, int]:
        return site.one("x").shape[1:2], 1

    def saved(self) -> Sequence[SavedSpec]:
        shape = (self.along.channels,)
        names = ("inverse", "center") if self.layer.scaled else ("inverse",)
        return [SavedSpec(name, shape) for name in names]

    def reads(self) -> frozenset[str]:
        if self.layer.scaled:
            return frozenset(["x", "inverse", "center"])
        return frozenset(["inverse"] if self.layer.global_stats else ["y", "inverse"])

    # -- forward ----------------------------------------------------------------------------------------

    def compile_forward(self) -> list[Call]:
        x, y, inverse = (self.arrays[name] for name in ("x", "y", "inverse"))
        center = self._center(scratch(self.device, "center", self.along.channels))
        statistics = self._stored if self.layer.global_stats else self._of_batch
        scale, bias = self.optional("scale"), self.optional("bias")
        return [
            *statistics(x, center, inverse),
            self.over("affine", x.size, x, center, inverse, scale, bias, y),
        ]

    def after(self, backward: bool) -> None:
        super().after(backward)
        if not backward and not self.layer.global_stats:
            for name in _STATISTICS:
                self.values[name].wrote()

    def _stored(self, x: Any, center: Any, inverse: Any) -> list[Call]:
        stored = [self.value(name) for name in _STATISTICS]
        eps = np.float32(self.layer.eps)
        return [self.each("stored_statistics", self.along.channels, *stored, center, inverse, eps)]

    def _of_batch(self, x: Any, center: Any, inverse: Any) -> list[Call]:
        at, (means, squares) = self.along, self.room()
        stored = [self.value(name) for name in _STATISTICS]
        eps, unbiased = np.float32(self.layer.eps), np.float32(at.values / max(1, at.values - 1))
        kept = np.float32(self.layer.p.moving_average_fraction), np.int32(self.layer.averages)
        sizes = np.int32(at.lanes), np.int64(at.chunk), np.int64(at.chunks), np.int64(at.values)
        return [
            self.parts("moment_parts", x, means, squares),
            self.gather(
                "batch_statistics", means, squares, center, inverse, *stored, eps, unbiased, *kept, *sizes
            ),
            self.each("next_factor", 1, self.value("factor"), *kept),
        ]

    # -- backward ---------------------------------------------------------------------------------------

    def compile_backward(self) -> list[Call]:
        dy, dx = self.arrays["dy"], self.arrays["dx"]
        inverse, scale = self.arrays["inverse"], self.optional("scale")
        learned = [name for name in ("scale", "bias") if self.learns(name)]
        of_batch = dx is not None and not self.layer.global_stats
        calls: list[Call] = []
        if learned or of_batch:
            calls += self._all_sums(learned, of_batch)
        if of_batch:
            calls.append(self._batch_gradient(dy, dx))
        elif dx is not None:
            calls.append(self.over("affine", dx.size, dy, None, inverse, scale, None, dx))
        return calls

    def _all_sums(self, learned: list[str], of_batch: bool) -> list[Call]:
        """The learned parameters' gradients, and the means that dx takes away."""
        parts = dict(zip(("scale", "bias"), self.room(), strict=True))
        wanted = [part if of_batch or name in learned else None for name, part in parts.items()]
        inverse = self.arrays["inverse"]
        calls = [self.sums(self._normal(), self.arrays["dy"], wanted, self._center(None), inverse)]
        calls += [self.learn(name, parts[name]) for name in learned]
        if of_batch:
            for part, mean in zip(parts.values(), self._means(), strict=True):
                calls.append(self.total(part, mean, np.int32(0), 1 / self.along.values))
        return calls

    def _batch_gradient(self, dy: Any, dx: Any) -> Call:
        constants = self._center(None), self.arrays["inverse"], self.optional("scale")
        return self.over("batch_backward", dx.size, self._normal(), *constants, dy, *self._means(), dx)

    def _means(self) -> tuple[Any, Any]:
        """Memory for the means of dy times normalized x, and of dy."""
        n = self.along.channels
        memory = scratch(self.device, "means", 2 * n)
        return memory[:n], memory[n : 2 * n]

    def _normal(self) -> Any:
        """What backward has normalized values from."""
        return self.arrays["x" if self.layer.scaled else "y"]

    def _center(self, otherwise: Any) -> Any:
        """The saved mean; a layer that learns no scale saves none."""
        return self.arrays["center"] if self.layer.scaled else otherwise


KERNELS = (CudaBatchNorm,)
