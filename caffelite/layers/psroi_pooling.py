"""PSROIPooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from caffelite.layers._rois import Floats, Ints, check_rois, read_rois, rounded
from caffelite.layers.base import Layer
from caffelite.types import Shape

_Corner = tuple[Any, Any, Any, Any]  # item, channel, row, column: each broadcasts to y's shape


class PSROIPooling(Layer):
    """Average of each cell of a G x G grid laid over each region, every cell over channels of its own.

    Output channel d of cell (i, j) averages input channel (d G + i) G + j, G being ``group_size``. A region goes
    from round(x1) * spatial_scale to (round(x2) + 1) * spatial_scale, fractions kept, and is at least 0.1 wide; halves
    round away from zero. Cell p covers floor(start + p size / G) to ceil(start + (p + 1) size / G), cut at the map's
    edges. An empty cell gives 0.

    Bottoms: x (N, output_dim * G * G, H, W); rois (R, 5) with any R, rows of batch index, x1, y1, x2, y2.
    Tops:    y (R, output_dim, G, G).
    Gradient: evenly to the elements of a cell; none to rois.
    Raises:  ShapeError; NetError for bad parameters; DataError for a batch index outside x.
    Example: x (1, 8, 8, 8), rois [[0, 0, 0, 7, 7]]; psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 2 }
    Source:  R-FCN, psroi_pooling_layer.cu (no CPU version). Dai et al., "R-FCN", 2016.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "rois")
    message: ClassVar[str] = "psroi_pooling_param"
    unforced: ClassVar[tuple[str, ...]] = ("rois",)

    def setup(self) -> None:
        for field in ("spatial_scale", "output_dim", "group_size"):
            if not getattr(self.p, field) > 0:
                raise self.error(f"{field} > 0", getattr(self.p, field), f"set {self.message}.{field}", field)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, rois = shapes
        check_rois(self, x, rois)
        group, dim = self.p.group_size, self.p.output_dim
        if x[1] != dim * group * group:
            expected = f"x with output_dim * group_size^2 = {dim * group * group} channels"
            raise self.shape_error(expected, f"x={x}")
        return [(rois[0], dim, group, group)]

    def forward(self, xp: Any, x: Any, rois: Any, y: Any) -> None:
        corners, area = self._cells(xp, rois, x.shape)
        finite = xp.isfinite(x)
        total = _window_sums(_summed(xp, xp.where(finite, x, 0)), corners)
        if not finite.all():  # in a table of sums they would spread to every cell to their right and below
            total[_window_sums(_summed(xp, ~finite), corners) > 0] = xp.nan
        y[...] = total / area

    def backward(self, xp: Any, x: Any, rois: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        corners, area = self._cells(xp, rois, dx.shape)
        items, channels, height, width = dx.shape
        steps = xp.zeros((items, channels, height + 1, width + 1), "float64")
        share = dy / area
        for corner, sign in zip(corners, (1, -1, -1, 1), strict=True):
            xp.add.at(steps, corner, sign * share)
        dx[...] = steps.cumsum(axis=2).cumsum(axis=3)[:, :, :-1, :-1]

    def _cells(self, xp: Any, rois: Any, x: Shape) -> tuple[list[_Corner], Any]:
        """Four corners of every cell (top left, top right, bottom left, bottom right) and its area, 1 if empty."""
        group, scale = self.p.group_size, np.float32(self.p.spatial_scale)
        items, corners = read_rois(self, rois, x[0])
        corners = rounded(corners)
        top, bottom = _edges(corners[:, 1] * scale, (corners[:, 3] + 1) * scale, group, x[2])
        left, right = _edges(corners[:, 0] * scale, (corners[:, 2] + 1) * scale, group, x[3])
        area = np.maximum((bottom - top)[:, None, :, None] * (right - left)[:, None, None, :], 1)
        item = xp.asarray(items)[:, None, None, None]
        channel = xp.arange(x[1]).reshape(self.p.output_dim, group, group)
        rows = [xp.asarray(edge)[:, None, :, None] for edge in (top, bottom)]
        cols = [xp.asarray(edge)[:, None, None, :] for edge in (left, right)]
        return [(item, channel, row, col) for row in rows for col in cols], xp.asarray(area)


def _edges(start: Floats, end: Floats, cells: int, limit: int) -> tuple[Ints, Ints]:
    """First place of each cell and the one after its last, (R, cells); equal for an empty cell.

    The GPU adds and multiplies in one step with one rounding; so does float64 that is rounded at the end.
    """
    size = (np.maximum(end - start, np.float32(0.1)) / np.float32(cells)).astype(np.float64)[:, None]
    at = (np.arange(cells + 1) * size + start[:, None]).astype(np.float32)
    first = np.clip(np.floor(at[:, :-1]), 0, limit).astype(np.int64)
    after = np.clip(np.ceil(at[:, 1:]), 0, limit).astype(np.int64)
    return first, np.maximum(first, after)


def _summed(xp: Any, x: Any) -> Any:
    """(N, C, H + 1, W + 1): at [h, w] the sum of all that lies above h and left of w, in float64."""
    table = xp.zeros((*x.shape[:2], x.shape[2] + 1, x.shape[3] + 1), "float64")
    table[:, :, 1:, 1:] = x
    return table.cumsum(axis=2, out=table).cumsum(axis=3, out=table)


def _window_sums(table: Any, corners: list[_Corner]) -> Any:
    above_left, above_right, below_left, below_right = (table[corner] for corner in corners)
    return (below_right - below_left) - (above_right - above_left)  # exactly 0 for empty windows
