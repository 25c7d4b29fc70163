"""BN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along, sum_to
from caffelite.layers._normalization import (
    batch_gradient,
    normalize_batch,
    normalize_by,
    normalized,
    scale_and_shift,
    scale_gradients,
)
from caffelite.layers.base import Layer, enum_name
from caffelite.types import Phase, Shape

_PARSENET = ("var_eps", "moving_average", "decay", "across_spatial")
_SEGNET = ("bn_mode", "scale_filler", "shift_filler")
_PSPNET = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine")
_SEGNET_EPS = 1e-9


class BN(Layer):
    """Normalization by channel, then y * scale + shift: three layers of this name, told apart by their fields.

    PSPNet, yjxiong (``slope_filler``, ``bias_filler``, ``momentum``, ``eps``, ``frozen``; also without any field):
    TRAIN uses the batch's statistics and keeps averages, momentum * old + (1 - momentum) * new (biased variance);
    TEST uses those. ``frozen: true`` uses them in TRAIN too and learns nothing.

    SegNet (``scale_filler``, ``shift_filler``, ``bn_mode``): LEARN uses the batch's statistics in both phases, with
    eps 1e-9; INFERENCE computes x * scale + shift alone, of weights that take in the statistics.

    ParseNet (``var_eps``, ``moving_average``, ``decay``, ``across_spatial``): the batch's statistics in both phases,
    unless ``moving_average: true`` keeps averages, (1 - decay) * old + decay * new, for TEST. ``across_spatial:
    false`` has statistics, scale and shift for each place of the image.

    Bottoms: x (N, C, *S).
    Tops:    y, as x; of SegNet's also the batch's mean (1, C, 1, 1) and variance (1, C, 1, 1).
    Params:  scale, shift (1, C, 1, 1), or (1, C, *S), 1 and 0 without fillers; with averages also mean and
             variance, which no solver touches (0; the variance of a frozen layer 1).
    Raises:  ShapeError if x has fewer than 2 axes; NetError for fields of two of the three.
    Source:  bn_layer.cpp of PSPNet, caffe-segnet and weiliu89's branch fcn.
    Example: x (2, 3, 2, 2); bn_param { slope_filler { value: 1 } bias_filler { value: 0 } momentum: 0.95 }
    """

    tops: ClassVar[tuple[str, ...]] = ("y", "batch_mean?", "batch_variance?")
    message: ClassVar[str] = "bn_param"
    inplace: ClassVar[bool] = True

    def setup(self) -> None:
        self._read()
        if len(self.spec.top) > 1 and (self.dialect != "SegNet" or self.affine):
            raise self.error("one top", len(self.spec.top), "only SegNet's BN in mode LEARN has three")
        if self.affine:
            self.forward = self._forward_affine  # type: ignore[method-assign, assignment]
            self.backward = self._backward_affine  # type: ignore[method-assign,assignment]
        elif self.fixed:
            self.forward = self._forward_fixed  # type: ignore[method-assign,assignment]
            self.backward = self._backward_fixed  # type: ignore[method-assign]
        if self.frozen:
            self.backward = self._backward_frozen  # type: ignore[method-assign,assignment]

    def _read(self) -> None:
        p = self.p
        self.dialect = self._dialect()
        self.affine = self.frozen = False
        self.averages = self.each_place = False
        if self.dialect == "PSPNet":
            self.eps, self.keep, self.averages, self.frozen = p.eps, p.momentum, True, p.frozen
        elif self.dialect == "SegNet":
            self.eps, self.affine = _SEGNET_EPS, enum_name(p, "bn_mode") == "INFERENCE"
        else:
            self.eps, self.keep, self.averages = p.var_eps, 1 - p.decay, p.moving_average
            self.each_place = not p.across_spatial
        self.fixed = self.averages and (self.frozen or self.phase == Phase.TEST)

    def _dialect(self) -> str:
        given = {
            name: next((field for field in fields if self.p.HasField(field)), "")
            for name, fields in (("PSPNet", _PSPNET), ("ParseNet", _PARSENET), ("SegNet", _SEGNET))
        }
        other = given["ParseNet"] or given["SegNet"]
        if given["PSPNet"] and other:
            raise self.error("fields of one fork's BN", f"{given['PSPNet']} and {other}", field=other)
        if given["ParseNet"] and self.p.HasField("bn_mode"):
            raise self.error("fields of one fork's BN", f"{given['ParseNet']} and bn_mode", field="bn_mode")
        return "ParseNet" if given["ParseNet"] else "SegNet" if given["SegNet"] else "PSPNet"

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2:
            raise self.shape_error("x (N, C, *S) with at least 2 axes", f"x={x}")
        kept = x[1:] if self.each_place else x[1:2]
        shape = (1, *kept, *(1,) * (4 - 1 - len(kept)))
        self.kept = kept
        fillers = (
            ("slope_filler", "bias_filler") if self.dialect == "PSPNet" else ("scale_filler", "shift_filler")
        )
        for name, field, value in zip(("scale", "shift"), fillers, (1.0, 0.0), strict=True):
            self.param(name, shape, self.filler(field), value, learnable=not self.frozen)
        for name, value in (("mean", 0.0), ("variance", float(self.frozen))):
            if self.averages:
                self.param(name, shape, value=value, learnable=False)
            else:
                self.no_param(name)
        self.save("center", kept)  # the mean in use
        self.save("inverse", kept)  # 1 / standard deviation
        return [x, *[shape] * (len(self.spec.top) - 1)]

    def forward(
        self,
        xp: Any,
        x: Any,
        y: Any,
        batch_mean: Any,
        batch_variance: Any,
        scale: Any,
        shift: Any,
        mean: Any,
        variance: Any,
        center: Any,
        inverse: Any,
    ) -> None:
        if not x.size:
            for top in (batch_mean, batch_variance):
                if top is not None:
                    top[...] = 0
            return
        new = normalize_batch(xp, x, y, self.eps, center, inverse)
        scale_and_shift(y, scale.reshape(self.kept), shift.reshape(self.kept))
        for top, value in ((batch_mean, center), (batch_variance, new)):
            if top is not None:
                top[...] = value.reshape(top.shape)
        if self.averages:
            self.update(((mean, center), (variance, new)))

    def update(self, statistics: Sequence[tuple[Any, Any]]) -> None:
        """Takes a batch's statistics, (stored, new) each, into the stored ones."""
        for stored, new in statistics:
            stored *= self.keep
            stored += (1 - self.keep) * new.reshape(stored.shape)

    def backward(
        self,
        xp: Any,
        x: Any,
        scale: Any,
        center: Any,
        inverse: Any,
        dy: Any,
        dx: Any,
        dscale: Any,
        dshift: Any,
    ) -> None:
        if not dy.size:
            return
        self._add_gradients(xp, x, center, inverse, dy, dscale, dshift)
        if dx is not None:
            xp.multiply(dy, self._along(scale, dy), out=dx)
            batch_gradient(xp, normalized(xp, x, center, inverse), inverse, dx, dx)

    def _forward_fixed(
        self,
        xp: Any,
        x: Any,
        y: Any,
        scale: Any,
        shift: Any,
        mean: Any,
        variance: Any,
        center: Any,
        inverse: Any,
    ) -> None:
        mean, variance = mean.reshape(self.kept), variance.reshape(self.kept)
        normalize_by(xp, x, y, self.eps, mean, variance, center, inverse)
        scale_and_shift(y, scale.reshape(self.kept), shift.reshape(self.kept))

    def _backward_fixed(
        self,
        xp: Any,
        x: Any,
        scale: Any,
        center: Any,
        inverse: Any,
        dy: Any,
        dx: Any,
        dscale: Any,
        dshift: Any,
    ) -> None:
        self._add_gradients(xp, x, center, inverse, dy, dscale, dshift)
        self._backward_frozen(xp, scale, inverse, dy, dx)

    def _backward_frozen(self, xp: Any, scale: Any, inverse: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, along(scale.reshape(self.kept) * inverse, 1, dy.ndim), out=dx)

    def _forward_affine(self, xp: Any, x: Any, y: Any, scale: Any, shift: Any) -> None:
        xp.multiply(x, self._along(scale, x), out=y)
        y += self._along(shift, x)

    def _backward_affine(
        self, xp: Any, x: Any, scale: Any, dy: Any, dx: Any, dscale: Any, dshift: Any
    ) -> None:
        if dscale is not None:
            dscale += sum_to(scale.reshape(self.kept), dy * x, 1).reshape(dscale.shape)
        if dshift is not None:
            dshift += sum_to(scale.reshape(self.kept), dy, 1).reshape(dshift.shape)
        if dx is not None:
            xp.multiply(dy, self._along(scale, dy), out=dx)

    def _add_gradients(
        self, xp: Any, x: Any, center: Any, inverse: Any, dy: Any, dscale: Any, dshift: Any
    ) -> None:
        flat = [None if grad is None else grad.reshape(self.kept) for grad in (dscale, dshift)]
        scale_gradients(xp, x, center, inverse, dy, *flat)

    def _along(self, param: Any, x: Any) -> Any:
        return along(param.reshape(self.kept), 1, x.ndim)
