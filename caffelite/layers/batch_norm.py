"""BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along
from caffelite.layers.base import Layer
from caffelite.types import Phase, Shape, count


class BatchNorm(Layer):
    """y = (x - mean) / sqrt(variance + eps) for each channel; no scale and shift: put a Scale layer behind.

    TRAIN uses the batch's own mean and (biased) variance and keeps running sums of them; TEST uses those.
    ``use_global_stats`` overrides the phase. The sums decay by ``moving_average_fraction`` f in every pass
    in TRAIN: factor = f * factor + 1, mean = f * mean + batch mean, likewise the unbiased variance. The
    statistics in use are mean / factor and variance / factor; a layer that was never trained has zeros there.

    Bottoms: x (N, C, *S).
    Tops:    y, as x.
    Params:  mean (C,), variance (C,), factor (1,): written by forward, never by a solver.
    Raises:  ShapeError if x has fewer than 2 axes; NetError for a non-zero lr_mult on the statistics.
    Source:  BVLC Caffe, batch_norm_layer.cpp. Ioffe and Szegedy, "Batch normalization", 2015.
    """

    message: ClassVar[str] = "batch_norm_param"
    inplace: ClassVar[bool] = True

    def setup(self) -> None:
        p = self.p
        self.global_stats: bool = (
            p.use_global_stats if p.HasField("use_global_stats") else self.phase == Phase.TEST
        )
        for i, param in enumerate(self.spec.param):
            if param.lr_mult != 0:
                raise self.error(
                    "lr_mult: 0 for statistics, which no solver may touch",
                    f"{param.lr_mult:g} in param {i}",
                    "drop the param entries; a Scale layer with bias_term: true learns scale and shift",
                )
        if self.global_stats:
            self.forward = self._forward_global  # type: ignore[method-assign]
            self.backward = self._backward_global  # type: ignore[method-assign,assignment]

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2:
            raise self.shape_error("x (N, C, *S) with at least 2 axes", f"x={x}")
        for name, shape in (("mean", (x[1],)), ("variance", (x[1],)), ("factor", (1,))):
            self.param(name, shape, learnable=False)
        self.save("inverse", (x[1],))  # 1 / standard deviation
        self.others = (0, *range(2, len(x)))  # axes that statistics run over
        return [x]

    def forward(self, xp: Any, x: Any, y: Any, mean: Any, variance: Any, factor: Any, inverse: Any) -> None:
        m = count(x.shape) // max(1, x.shape[1])  # values a channel
        if m == 0:
            return
        batch_mean = x.mean(axis=self.others)
        xp.subtract(x, along(batch_mean, 1, x.ndim), out=y)
        batch_variance = (y * y).mean(axis=self.others)
        inverse[...] = 1 / xp.sqrt(batch_variance + self.p.eps)
        y *= along(inverse, 1, x.ndim)
        keep = self.p.moving_average_fraction
        for total, new in ((factor, 1), (mean, batch_mean), (variance, batch_variance * (m / max(1, m - 1)))):
            total *= keep
            total += new

    def backward(self, xp: Any, y: Any, inverse: Any, dy: Any, dx: Any) -> None:
        if dx is None or not count(dy.shape):
            return
        mean_dy = along(dy.mean(axis=self.others), 1, dy.ndim)
        mean_ydy = along((y * dy).mean(axis=self.others), 1, dy.ndim)
        xp.subtract(dy, mean_dy + y * mean_ydy, out=dx)
        dx *= along(inverse, 1, dy.ndim)

    def _forward_global(
        self, xp: Any, x: Any, y: Any, mean: Any, variance: Any, factor: Any, inverse: Any
    ) -> None:
        scale = xp.where(factor == 0, 0, 1 / xp.where(factor == 0, 1, factor))
        inverse[...] = 1 / xp.sqrt(variance * scale + self.p.eps)
        xp.subtract(x, along(mean * scale, 1, x.ndim), out=y)
        y *= along(inverse, 1, x.ndim)

    def _backward_global(self, xp: Any, inverse: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, along(inverse, 1, dy.ndim), out=dx)
