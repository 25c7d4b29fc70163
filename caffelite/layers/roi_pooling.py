"""ROIPooling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from caffelite.layers._rois import Floats, Ints, check_rois, read_rois, rounded
from caffelite.layers.base import Layer
from caffelite.types import Shape

LOWEST = -3.4028234663852886e38  # -FLT_MAX, where Caffe starts a maximum


class ROIPooling(Layer):
    """Largest element of each cell of a grid laid over each region.

    A region covers the pixels from round(x1 * spatial_scale) to round(x2 * spatial_scale), both inclusive, and
    at least one; halves round away from zero. Cell p of P covers floor(p size / P) to ceil((p + 1) size / P) from
    there, cut at the map's edges: neighbours may overlap. An empty cell gives 0. Ties go to the first in scan
    order, NaN never wins.

    Bottoms: x (N, C, H, W); rois (R, 5) with any R, rows of batch index, x1, y1, x2, y2.
    Tops:    y (R, C, pooled_h, pooled_w); ``pooled_size`` (Intel's fork) may stand for both.
    Gradient: to the winner, if it lies between the region's corners (one with x2 < x1 or y2 < y1 passes none back);
             none to rois.
    Raises:  ShapeError; NetError without a pooled size; DataError for a batch index outside x.
    Example: x (1, 2, 8, 8), rois [[0, 0, 0, 7, 7], [0, 2, 2, 5, 5]]; roi_pooling_param { pooled_h: 2 pooled_w: 2
             spatial_scale: 1 }
    Source:  Fast R-CNN, roi_pooling_layer.cu (its backward pass has no CPU version). Girshick, "Fast R-CNN", 2015.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "rois")
    message: ClassVar[str] = "roi_pooling_param"
    host: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("rois",)

    def setup(self) -> None:
        p = self.p
        sizes = list(p.pooled_size)
        if sizes and (p.pooled_h or p.pooled_w):
            raise self.error("either pooled_size, or pooled_h and pooled_w", "both", field="pooled_size")
        if len(sizes) > 2:
            raise self.error("pooled_size once or twice (height, width)", sizes, field="pooled_size")
        self.pooled = (sizes[0], sizes[-1]) if sizes else (p.pooled_h, p.pooled_w)
        if min(self.pooled) < 1:
            raise self.error("pooled_h and pooled_w >= 1", self.pooled, "set both in roi_pooling_param")
        if not p.spatial_scale > 0:
            raise self.error("spatial_scale > 0", p.spatial_scale, field="spatial_scale")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, rois = shapes
        check_rois(self, x, rois)
        return [(rois[0], x[1], *self.pooled)]

    def forward(self, xp: Any, x: Any, rois: Any, y: Any) -> None:
        y[...] = 0
        image, out = _channels_last(xp, x), y.transpose(0, 2, 3, 1)
        for i, region in enumerate(self._regions(rois, x.shape)):
            rows, cols = region.rows, region.cols
            if rows.reach and cols.reach:
                strip = image[region.item, rows.span][:, cols.places].max(axis=2)
                out[i] = strip[rows.places - rows.span.start].max(axis=1)
                out[i][rows.empty] = 0
                out[i][:, cols.empty] = 0

    def backward(self, xp: Any, x: Any, rois: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        image, gradient = _channels_last(xp, x), dy.transpose(0, 2, 3, 1)
        total = xp.zeros_like(image)
        for i, region in enumerate(self._regions(rois, x.shape)):
            if region.rows.reach and region.cols.reach:
                at, won = _winners(xp, image[region.item], region)
                flat = total[region.item].reshape(-1)  # NumPy is fast on flat arrays alone
                xp.add.at(flat, at.reshape(-1), (gradient[i] * won).reshape(-1))
        dx[...] = total.transpose(0, 3, 1, 2)

    def grid(self, rois: Any, x: Shape) -> tuple[Ints, Edges, Edges]:
        """The item (R,) of each region of ``rois``, and its cells along the rows and the columns of a map of shape x."""
        items, corners = read_rois(self, rois, x[0])
        corners = rounded(corners * np.float32(self.p.spatial_scale))
        rows = _edges(corners[:, 1], corners[:, 3], self.pooled[0], x[2])
        return items, rows, _edges(corners[:, 0], corners[:, 2], self.pooled[1], x[3])

    def _regions(self, rois: Any, x: Shape) -> Iterator[_Region]:
        items, rows, cols = self.grid(rois, x)
        for item, row, col in zip(items.tolist(), _bins(rows), _bins(cols), strict=True):
            yield _Region(item, row, col)


@dataclass(frozen=True)
class Edges:
    """The cells of R regions along one axis of the map, P of each."""

    first: Ints  # (R, P), from 0 to limit
    after: Ints  # (R, P), the place behind the cell; one that is not above ``first`` is empty
    last: Floats  # (R,) the region's last coordinate, before the map's edge cuts it
    limit: int  # places that the axis has


@dataclass(frozen=True)
class _Bins:
    """The cells of one region along one axis of the map."""

    places: Ints  # (P, K) the coordinates of each cell; short cells repeat their last one
    empty: Any  # (P,) bool; the places of an empty cell are somewhere inside the map
    last: int  # the region's last coordinate, before the map's edge cuts it

    @property
    def reach(self) -> int:
        """The size of the largest cell."""
        return int(self.places.shape[1])

    @property
    def span(self) -> slice:
        """The part of the axis that holds all places."""
        return slice(int(self.places.min()), int(self.places.max()) + 1)


@dataclass(frozen=True)
class _Region:
    item: int
    rows: _Bins
    cols: _Bins


def _edges(start: Floats, end: Floats, cells: int, limit: int) -> Edges:
    """The cells of every region along an axis with ``limit`` places, in float32 as on the GPU."""
    size = np.maximum(end - start + 1, 1) / np.float32(cells)
    number = np.arange(cells + 1, dtype=np.float32)
    first = np.clip(np.floor(number[:-1] * size[:, None]) + start[:, None], 0, limit).astype(np.int64)
    after = np.clip(np.ceil(number[1:] * size[:, None]) + start[:, None], 0, limit).astype(np.int64)
    return Edges(first, after, end, limit)


def _bins(edges: Edges) -> Iterator[_Bins]:
    """The cells of one region after the other."""
    lengths = np.maximum(edges.after - edges.first, 0)
    for begin, length, last in zip(edges.first, lengths, edges.last.tolist(), strict=True):
        steps = np.minimum(np.arange(length.max()), np.maximum(length, 1)[:, None] - 1)
        yield _Bins(np.minimum(begin[:, None] + steps, edges.limit - 1), length == 0, int(last))


def _channels_last(xp: Any, x: Any) -> Any:
    """x as (N, H, W, C), contiguous, with NaN and -infinity turned into -FLT_MAX, which wins nothing."""
    return xp.fmax(xp.ascontiguousarray(x.transpose(0, 2, 3, 1)), LOWEST)


def _winners(xp: Any, image: Any, region: _Region) -> tuple[Any, Any]:
    """For each cell and channel (P, Q, C): where in the flat item its winner lies, and whether there is one.

    Columns go first: the winner of the rows that follow is then the first in scan order.
    """
    rows, cols = region.rows, region.cols
    _, width, channels = image.shape
    best, at = _reduce(
        xp, image[rows.span][:, cols.places], xp.asarray(cols.places)[None, :, :, None], axis=2
    )
    at += xp.arange(rows.span.start, rows.span.stop)[:, None, None] * width
    places = rows.places - rows.span.start
    best, at = _reduce(xp, best[places], at[places], axis=1)
    won = (best > LOWEST) & ~xp.asarray(rows.empty[:, None] | cols.empty)[:, :, None]
    won &= at < (rows.last + 1) * width
    if cols.span.stop > cols.last + 1:
        won &= at % width <= cols.last
    return at * channels + xp.arange(channels), won


def _reduce(xp: Any, values: Any, places: Any, axis: int) -> tuple[Any, Any]:
    """The maximum along an axis and the place of the first that has it. Places rise and are not negative."""
    values, places = xp.moveaxis(values, axis, 0), xp.moveaxis(places, axis, 0)
    best = values[0].copy()
    at = xp.zeros(best.shape, places.dtype) + places[0]
    for value, place in zip(values[1:], places[1:], strict=True):
        better = value > best
        xp.maximum(best, value, out=best)
        xp.maximum(at, better * place, out=at)
    return best, at
