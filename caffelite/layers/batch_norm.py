"""BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along
from caffelite.layers._normalization import (
    batch_gradient,
    normalize_batch,
    normalize_by,
    normalized,
    scale_and_shift,
    scale_gradients,
)
from caffelite.layers.base import Layer
from caffelite.types import Phase, Shape, count

_CUDNN_EPS = 1e-5  # the least that cuDNN, and so NVCaffe, takes


class BatchNorm(Layer):
    """y = (x - mean) / sqrt(variance + eps) for each channel; no scale and shift: put a Scale layer behind.

    TRAIN uses the batch's own mean and (biased) variance and keeps running sums of them; TEST uses those.
    ``use_global_stats`` overrides the phase. The sums decay by ``moving_average_fraction`` f in every pass
    in TRAIN: factor = f * factor + 1, mean = f * mean + batch mean, likewise the unbiased variance. The
    statistics in use are mean / factor and variance / factor; a layer that was never trained has zeros there.

    Two forks learn scale and bias in this layer, y * scale + bias. Intel's, with ``use_weight_bias``,
    ``bias_term`` or ``filler`` in the text, keeps sums as above. NVCaffe's, with ``scale_bias: true``, ``scale_filler``
    or ``bias_filler``, keeps averages, mean = f * mean + (1 - f) * batch mean, the first batch's own at first, and
    factor = 1; its eps is at least 1e-5, and TEST never uses the batch's statistics.

    Bottoms: x (N, C, *S).
    Tops:    y, as x.
    Params:  mean (C,), variance (C,), factor (1,): written by forward, never by a solver; in forks' layers
             scale (C,), 1 without a filler, and bias (C,), 0 without, none with ``bias_term: false``.
    Raises:  ShapeError if x has fewer than 2 axes; NetError for a non-zero lr_mult on the statistics (which
             NVCaffe takes and sets to 0), and for fields of both forks.
    Source:  BVLC Caffe, batch_norm_layer.cpp; NVCaffe's; Intel's mkldnn_batch_norm_layer.cpp. Ioffe and
             Szegedy, "Batch normalization", 2015.
    Example: x (4, 2, 3, 3); batch_norm_param { scale_bias: true }
    """

    message: ClassVar[str] = "batch_norm_param"
    inplace: ClassVar[bool] = True
    extensions: ClassVar[tuple[str, ...]] = (
        "scale_bias", "scale_filler", "bias_filler", "use_weight_bias", "bias_term", "filler",
    )  # fmt: skip

    def setup(self) -> None:
        p = self.p
        intel = next(filter(p.HasField, ("use_weight_bias", "bias_term", "filler")), "")
        nvidia = next(filter(p.HasField, ("scale_bias", "scale_filler")), "")
        if intel and nvidia:
            raise self.error("fields of one fork's BatchNorm", f"{nvidia} and {intel}", field=intel)
        self.averages = not intel and (
            p.scale_bias or p.HasField("scale_filler") or p.HasField("bias_filler")
        )
        self.scaled: bool = self.averages or (bool(intel) and p.use_weight_bias)
        self.eps = max(p.eps, _CUDNN_EPS) if self.averages else p.eps
        self.global_stats: bool = (
            p.use_global_stats if p.HasField("use_global_stats") else self.phase == Phase.TEST
        )
        self.global_stats |= self.averages and self.phase == Phase.TEST
        if not self.averages:
            self._check_rates()
        self._choose()

    def _check_rates(self) -> None:
        for i, param in enumerate(self.spec.param[:3] if self.scaled else self.spec.param):
            if param.lr_mult != 0:
                raise self.error(
                    "lr_mult: 0 for statistics, which no solver may touch",
                    f"{param.lr_mult:g} in param {i}",
                    "drop the param entries; a Scale layer with bias_term: true learns scale and shift",
                )

    def _choose(self) -> None:
        if self.scaled:
            self.forward = self._forward_scaled  # type: ignore[method-assign,assignment]
            self.backward = self._backward_scaled  # type: ignore[method-assign,assignment]
        elif self.global_stats:
            self.backward = self._backward_global  # type: ignore[method-assign,assignment]

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2:
            raise self.shape_error("x (N, C, *S) with at least 2 axes", f"x={x}")
        for name, shape in (("mean", (x[1],)), ("variance", (x[1],)), ("factor", (1,))):
            self.param(name, shape, learnable=False)
        self.save("inverse", (x[1],))  # 1 / standard deviation
        if self.scaled:
            self.save("center", (x[1],))  # the mean
            self._declare_scale(x[1])
        return [x]

    def _declare_scale(self, channels: int) -> None:
        filler = self.filler("scale_filler" if self.averages else "filler")
        self.param("scale", (channels,), filler, value=1.0)
        if self.averages or self.p.bias_term:
            self.param("bias", (channels,), self.filler("bias_filler"))
        else:
            self.no_param("bias")

    def forward(self, xp: Any, x: Any, y: Any, mean: Any, variance: Any, factor: Any, inverse: Any) -> None:
        self._normalize(xp, x, y, mean, variance, factor, xp.empty_like(inverse), inverse)

    def _normalize(
        self, xp: Any, x: Any, y: Any, mean: Any, variance: Any, factor: Any, center: Any, inverse: Any
    ) -> None:
        if self.global_stats:
            scale = xp.where(factor == 0, 0, 1 / xp.where(factor == 0, 1, factor))
            normalize_by(xp, x, y, self.eps, mean * scale, variance * scale, center, inverse)
        elif x.size:
            new = normalize_batch(xp, x, y, self.eps, center, inverse)
            m = count(x.shape) // x.shape[1]  # values a channel
            new *= m / max(1, m - 1)
            self.update(((mean, center), (variance, new)), factor)

    def update(self, statistics: Sequence[tuple[Any, Any]], factor: Any) -> None:
        """Takes a batch's statistics, (stored, new) each, into the stored ones."""
        keep = self.p.moving_average_fraction
        if not self.averages:
            old, share, total = keep, 1.0, keep * factor + 1
        elif factor[0]:
            old, share, total = keep / factor, 1 - keep, 1.0
        else:
            old, share, total = 0.0, 1.0, 1.0
        for stored, new in statistics:
            stored *= old
            stored += share * new
        factor[...] = total

    def backward(self, xp: Any, y: Any, inverse: Any, dy: Any, dx: Any) -> None:
        if dx is not None and dy.size:
            batch_gradient(xp, y, inverse, dy, dx)

    def _backward_global(self, xp: Any, inverse: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, along(inverse, 1, dy.ndim), out=dx)

    def _forward_scaled(
        self,
        xp: Any,
        x: Any,
        y: Any,
        mean: Any,
        variance: Any,
        factor: Any,
        scale: Any,
        bias: Any,
        center: Any,
        inverse: Any,
    ) -> None:
        self._normalize(xp, x, y, mean, variance, factor, center, inverse)
        scale_and_shift(y, scale, bias)

    def _backward_scaled(
        self,
        xp: Any,
        x: Any,
        scale: Any,
        center: Any,
        inverse: Any,
        dy: Any,
        dx: Any,
        dscale: Any,
        dbias: Any,
    ) -> None:
        if not dy.size:
            return
        scale_gradients(xp, x, center, inverse, dy, dscale, dbias)
        if dx is None:
            return
        xp.multiply(dy, along(scale, 1, dy.ndim), out=dx)
        if self.global_stats:
            dx *= along(inverse, 1, dx.ndim)
        else:
            batch_gradient(xp, normalized(xp, x, center, inverse), inverse, dx, dx)
