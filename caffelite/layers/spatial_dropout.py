"""SpatialDropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along
from caffelite.layers.dropout import Dropout
from caffelite.types import Phase, Shape


class SpatialDropout(Dropout):
    """Dropout of whole channels: in TRAIN each plane x[n, c] is zeroed or scaled as one. In TEST y = x.

    The ratio may stand in ``dropout_param`` as well.

    Bottoms: x (N, C, *S).
    Tops:    y, as x.
    Raises:  NetError unless 0 <= dropout_ratio < 1; ShapeError if x has fewer than 2 axes.
    Source:  spatial_dropout_layer.cpp of Intel's Caffe. Tompson et al., "Efficient object localization using
             convolutional networks", 2015.
    Example: x (2, 3, 2, 2); spatial_dropout_param { dropout_ratio: 0.5 }
    """

    message: ClassVar[str] = "spatial_dropout_param"
    extensions: ClassVar[tuple[str, ...]] = ()

    def setup(self) -> None:
        if self.spec.HasField("dropout_param") and not self.spec.HasField(self.message):
            self.message, self.p = "dropout_param", self.spec.dropout_param  # type: ignore[misc]
        self._set_up(active=self.phase == Phase.TRAIN)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2:
            raise self.shape_error("x (N, C, *S) with at least 2 axes", f"x={x}")
        return self._infer(x, mask=x[:2])

    def _spread(self, mask: Any, x: Any) -> Any:
        return along(mask, 0, x.ndim)
