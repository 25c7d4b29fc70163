"""Normalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along, sum_to
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Normalize(Layer):
    """y = W x / sqrt(sum of x^2 + eps): divides by the L2 norm, then scales by a learned factor.

    The sum runs over each item (``across_spatial``, the default) or over the channels at each place.

    Bottoms: x (N, C, *S).
    Tops:    y, as x.
    Params:  W (), or (C,) with ``channel_shared: false``; 1 without a ``scale_filler`` (SSD starts at 20).
    Raises:  ShapeError if x has fewer than 2 axes; NetError for fields of other forks' layers of this name.
    Example: x (1, 4, 2, 2); norm_param { across_spatial: false scale_filler { type: "constant" value: 20 } }
    Source:  SSD, normalize_layer.cpp. Liu et al., "ParseNet", 2015.
    """

    message: ClassVar[str] = "norm_param"

    def setup(self) -> None:
        if self.spec.HasField("normalize_param"):
            raise self._foreign("normalize_param", "drop it, or write norm_param")
        for field in ("normalize_type", "fix_gradient", "bp_norm", "fix_scale"):
            if self.p.HasField(field) and (field == "fix_scale" or self._differs(field)):
                raise self._foreign(field, f"drop {field} if the net can do without what it does", field)
        if self.p.eps < 0:
            raise self.error("eps >= 0", self.p.eps, field="eps")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2:
            raise self.shape_error("x (N, C, *S) with at least 2 axes", f"x={x}")
        self.over = tuple(range(1, len(x))) if self.p.across_spatial else (1,)
        self.param("W", () if self.p.channel_shared else (x[1],), self.filler("scale_filler"), value=1.0)
        return [x]

    def forward(self, xp: Any, x: Any, y: Any, W: Any) -> None:
        xp.divide(x, self._norm(xp, x), out=y)
        y *= along(W, 1, x.ndim)

    def backward(self, xp: Any, x: Any, W: Any, dy: Any, dx: Any, dW: Any) -> None:
        norm = self._norm(xp, x)
        unit = x / norm
        if dW is not None:
            dW += sum_to(dW, dy * unit, 1)
        if dx is not None:
            scaled = dy * along(W, 1, dy.ndim)
            dx[...] = (scaled - unit * (scaled * unit).sum(axis=self.over, keepdims=True)) / norm

    def _norm(self, xp: Any, x: Any) -> Any:
        return xp.sqrt((x * x).sum(axis=self.over, keepdims=True) + self.p.eps)

    def _differs(self, field: str) -> bool:
        default = self.p.DESCRIPTOR.fields_by_name[field].default_value
        return bool(getattr(self.p, field) != default)

    def _foreign(self, got: str, fix: str, field: str = "") -> Exception:
        expected = "fields of SSD's Normalize (across_spatial, scale_filler, channel_shared, eps)"
        return self.error(expected, f"{got} of another fork of Caffe", fix, field)
