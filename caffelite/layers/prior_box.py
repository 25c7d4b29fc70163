"""PriorBox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite, sqrt
from typing import Any, ClassVar

import numpy as np

from caffelite.layers.base import Layer
from caffelite.types import Shape

_SAME = 1e-6  # aspect ratios that are closer than this are one


class PriorBox(Layer):
    """Default boxes of SSD: some of each size and shape around the centre of each cell of a feature map.

    For each ``min_size``: a square of that size; with ``max_size`` one of sqrt(min_size * max_size); then
    min_size * sqrt(a) by min_size / sqrt(a) for each aspect ratio a that is not 1, and for 1 / a after it unless
    ``flip: false``. Sizes are cut to whole pixels, as in Caffe. Centres lie at (place + ``offset``) * step; the step is
    image size / map size if none is given. ``offset_h`` and ``offset_w``, as often as each other, put every box at several
    places of a cell (TextBoxes as OpenCV reads it). Coordinates are shares of the image, cut to 0 ... 1 with ``clip``.

    Bottoms: x (N, C, H, W), the feature map; data (M, K, h, w), the image. Only their shapes count.
    Tops:    y (1, 2, H * W * boxes * 4): x1, y1, x2, y2 of each box, boxes of a cell together, cells row by row;
             below them their variances (0.1).
    Raises:  NetError for bad parameters; ShapeError unless the bottoms have four axes.
    Example: x (1, 2, 2, 2), data (1, 3, 32, 32); prior_box_param { min_size: 8 aspect_ratio: 2 variance: 0.1 }
    Source:  SSD, prior_box_layer.cpp. Liu et al., "SSD: Single Shot MultiBox Detector", 2016.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "data")
    message: ClassVar[str] = "prior_box_param"
    unforced: ClassVar[tuple[str, ...]] = ("x", "data")

    def setup(self) -> None:
        if self.p.reduce_boxes:
            fix = "drop it: the net then makes all boxes"
            raise self.error(
                "reduce_boxes: false (true is of chuanqi305's fork)", "true", fix, "reduce_boxes"
            )
        self.boxes = np.array(self._boxes(), np.float32)
        self.offsets = self._offsets()
        self.variance = self._variance()
        self.image = self._pair("img_size", "img_h", "img_w")
        self.step = self._pair("step", "step_h", "step_w")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, data = shapes
        if len(x) != 4 or not (self.image or len(data) == 4):
            raise self.shape_error("x and data with 4 axes", f"x={x}, data={data}")
        self.cells = x[2:]
        self.size = self.image or data[2:]
        if not all(self.cells + self.size):
            raise self.shape_error("x and data with at least one pixel", f"x={x}, data={data}")
        return [(1, 2, x[2] * x[3] * len(self.boxes) * len(self.offsets) * 4)]

    def forward(self, xp: Any, y: Any) -> None:
        y[0, 0] = xp.asarray(self._coordinates().reshape(-1))
        y[0, 1].reshape(-1, 4)[...] = xp.asarray(self.variance)

    def _coordinates(self) -> Any:
        """(H, W, boxes, offsets, 4) in float64 from float32 centres and sizes, which is Caffe's arithmetic."""
        y, x = self._centres(0)[:, None, None], self._centres(1)[:, None]
        half = self.boxes.astype(np.float64)[:, None] / 2
        at = np.empty((*self.cells, len(half), len(self.offsets), 4))
        at[..., 0] = (x - half[..., 0]) / self.size[1]
        at[..., 1] = (y - half[..., 1]) / self.size[0]
        at[..., 2] = (x + half[..., 0]) / self.size[1]
        at[..., 3] = (y + half[..., 1]) / self.size[0]
        return at.clip(0, 1) if self.p.clip else at

    def _centres(self, axis: int) -> Any:
        """(cells, offsets) of an axis, in pixels."""
        size, cells = np.float32(self.size[axis]), np.float32(self.cells[axis])
        step = np.float32(self.step[axis]) if self.step else size / cells
        return (np.arange(self.cells[axis], dtype=np.float32)[:, None] + self.offsets[:, axis]) * step

    # -- parameters -------------------------------------------------------------------------------------

    def _boxes(self) -> list[tuple[float, float]]:
        """Width and height of each box of a cell, in Caffe's order."""
        small, large = list(self.p.min_size), list(self.p.max_size)
        if not small or not _positive(small):
            raise self.error("min_size > 0", small or "none", "set prior_box_param.min_size", "min_size")
        larger = all(a < b < inf for a, b in zip(small, large, strict=False))
        if large and (len(large) != len(small) or not larger):
            raise self.error("as many max_size as min_size, each larger", large, field="max_size")
        ratios, boxes = self._ratios(), []
        for i, size in enumerate(int(size) for size in small):
            boxes.append((float(size), float(size)))
            if large:
                boxes.append((sqrt(size * int(large[i])),) * 2)
            boxes += [(size * sqrt(ratio), size / sqrt(ratio)) for ratio in ratios]
        return boxes

    def _ratios(self) -> list[float]:
        """The aspect ratios besides 1, each once, in float32."""
        ratios = [1.0]
        for ratio in self.p.aspect_ratio:
            if not _positive([ratio]):
                raise self.error("aspect_ratio > 0", ratio, field="aspect_ratio")
            if all(abs(ratio - known) >= _SAME for known in ratios):
                ratios += [ratio, float(np.float32(1 / ratio))] if self.p.flip else [ratio]
        return [ratio for ratio in ratios if abs(ratio - 1) >= _SAME]

    def _offsets(self) -> Any:
        """Places in a cell, down and across: (offsets, 2)."""
        high, wide = list(self.p.offset_h), list(self.p.offset_w)
        if len(high) != len(wide):
            expected = "as many offset_h as offset_w"
            raise self.error(expected, f"{len(high)} and {len(wide)}", field="offset_h")
        pairs = list(zip(high, wide, strict=True)) or [(self.p.offset, self.p.offset)]
        if not all(isfinite(offset) for pair in pairs for offset in pair):
            raise self.error("finite offsets", pairs, field="offset_h" if high else "offset")
        return np.array(pairs, np.float32)

    def _variance(self) -> Any:
        given = list(self.p.variance) or [0.1]
        if len(given) not in (1, 4) or not _positive(given):
            raise self.error("variance > 0, once or four times", given, field="variance")
        return np.array(given if len(given) == 4 else given * 4, np.float32)

    def _pair(self, both: str, high: str, wide: str) -> tuple[float, ...]:
        """Height and width from one field for both, or from one for each; nothing if none is given."""
        one, two = self.p.HasField(both), [name for name in (high, wide) if self.p.HasField(name)]
        if one and two:
            raise self.error(f"either {both}, or {high} and {wide}", "both", field=both)
        if not one and not two:
            return ()
        values = tuple(getattr(self.p, name) for name in ((both, both) if one else (high, wide)))
        if not _positive(values):
            fields = both if one else f"both {high} and {wide}"
            raise self.error(f"{fields} > 0", values, field=both if one else two[0])
        return values


def _positive(values: Iterable[float]) -> bool:
    return all(0 < value < inf for value in values)
