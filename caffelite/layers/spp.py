"""SPP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from caffelite.layers._pooling import average, drawn, expected, largest, to_all, to_expected, to_winner
from caffelite.layers._windows import Windows
from caffelite.layers.base import Layer, argument_names
from caffelite.types import Phase, Shape

_HIGHEST = 15  # more levels than this no blob of 2^31 - 1 elements holds


class SPP(Layer):
    """Spatial pyramid pooling: as many numbers for an image of any size.

    Level i of ``pyramid_height`` levels pools into 2^i bins an axis. As in Caffe a bin is ceil(S / 2^i) long, and
    what 2^i bins cover beyond the image is padding, half of it on the left; an average counts it. Where Caffe fails
    because a bin would lie in the padding alone, bin b of B takes floor(b S / B) to ceil((b + 1) S / B), as the paper
    has it. ``pool`` as in Pooling.

    Bottoms: x (N, C, *S).
    Tops:    y (N, C K), the levels one after the other, each in C order; K bins in all. (N, C, 1, ...) with a single level.
    Gradient: as in Pooling, added up over the levels.
    Raises:  ShapeError if x is empty in a spatial axis; NetError for a pyramid_height outside 1 to 15.
    Example: x (1, 2, 8, 8); spp_param { pyramid_height: 3 }
    Source:  BVLC Caffe, spp_layer.cpp (two spatial axes only). He, Zhang, Ren and Sun, "Spatial pyramid pooling in
             deep convolutional networks for visual recognition", 2014.
    """

    message: ClassVar[str] = "spp_param"

    forward: Callable[..., None]
    backward: Callable[..., None]

    def setup(self) -> None:
        if not 1 <= self.p.pyramid_height <= _HIGHEST:
            raise self.error(
                f"pyramid_height from 1 to {_HIGHEST}", self.p.pyramid_height, field="pyramid_height"
            )
        method = self.choice("pool", "MAX", "AVE", "STOCHASTIC")
        if method == "MAX":
            self.forward, self.backward = self._forward_max, self._backward_winner
        elif method == "AVE":
            self.forward, self.backward = self._forward_ave, self._backward_ave
        elif self.phase == Phase.TRAIN:
            self.forward, self.backward = self._forward_drawn, self._backward_winner
        else:
            self.forward, self.backward = self._forward_expected, self._backward_expected

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 3 or not all(x[1:]):
            raise self.shape_error(
                "x (N, C, *S) with at least 3 axes, none but the first of size 0", f"x={x}"
            )
        self.levels = [_bins(x[2:], 2**i) for i in range(self.p.pyramid_height)]
        width = x[1] * sum(prod(w.out) for w in self.levels)
        if "winner" in argument_names(self.forward):
            self.save("winner", (x[0], width), "int32")
        return [(*x[:2], *self.levels[0].out) if len(self.levels) == 1 else (x[0], width)]

    def _forward_max(self, xp: Any, x: Any, y: Any, winner: Any) -> None:
        for w, yi, best in self._parts(y, winner, channels=x.shape[1]):
            largest(xp, w, x, yi, best)

    def _forward_drawn(self, xp: Any, x: Any, y: Any, winner: Any, rng: Any) -> None:
        for w, yi, best in self._parts(y, winner, channels=x.shape[1]):
            drawn(xp, w, x, yi, best, rng)

    def _backward_winner(self, xp: Any, winner: Any, dy: Any, dx: Any) -> None:
        self._add_up(xp, to_winner, dx, winner, dy)

    def _forward_ave(self, xp: Any, x: Any, y: Any) -> None:
        for w, yi in self._parts(y, channels=x.shape[1]):
            average(xp, w, x, yi)

    def _backward_ave(self, xp: Any, dy: Any, dx: Any) -> None:
        self._add_up(xp, to_all, dx, dy)

    def _forward_expected(self, xp: Any, x: Any, y: Any) -> None:
        for w, yi in self._parts(y, channels=x.shape[1]):
            expected(xp, w, x, yi)

    def _backward_expected(self, xp: Any, x: Any, y: Any, dy: Any, dx: Any) -> None:
        def gradient(xp: Any, w: Windows, yi: Any, dyi: Any, part: Any) -> None:
            to_expected(xp, w, x, yi, dyi, part)

        self._add_up(xp, gradient, dx, y, dy)

    def _add_up(self, xp: Any, gradient: Callable[..., None], dx: Any, *arrays: Any) -> None:
        """dx: the sum of the levels' gradients, each computed from its part of the arrays."""
        if dx is None:
            return
        part = xp.empty_like(dx)
        dx[...] = 0
        for w, *own in self._parts(*arrays, channels=dx.shape[1]):
            gradient(xp, w, *own, part)
            dx += part

    def _parts(self, *arrays: Any, channels: int) -> Iterator[tuple[Any, ...]]:
        """Each level's windows, and its part of each array (N, C K) as (N, C, *w.out): views, since rows are cut up."""
        end = 0
        for w in self.levels:
            start, end = end, end + channels * prod(w.out)
            shape = (channels, *w.out)
            yield w, *(a if a.ndim > 2 else a[:, start:end].reshape(len(a), *shape) for a in arrays)


def _bins(sizes: Shape, bins: int) -> Windows:
    """Windows that part each axis into ``bins``."""
    kernel = tuple(-(-size // bins) for size in sizes)
    pad = tuple((bins * k - size + 1) // 2 for k, size in zip(kernel, sizes, strict=True))
    out = (bins,) * len(sizes)
    if all(a < k for a, k in zip(pad, kernel, strict=True)):
        return Windows(kernel, kernel, pad, sizes, out)
    longest = tuple(max(_lengths(size, bins)) for size in sizes)
    return SharedWindows(longest, longest, (0,) * len(sizes), sizes, out)


def _edges(size: int, bins: int) -> list[tuple[int, int]]:
    return [(b * size // bins, -(-(b + 1) * size // bins)) for b in range(bins)]


def _lengths(size: int, bins: int) -> list[int]:
    return [end - start for start, end in _edges(size, bins)]


@dataclass(frozen=True)
class SharedWindows(Windows):
    """Windows that share elements unevenly: window o of B takes floor(o S / B) to ceil((o + 1) S / B) of an axis.

    The array that holds them whole has a copy of the elements for each, filled up to ``kernel``, one window behind
    the other.
    """

    def pad_with(self, xp: Any, x: Any, value: float) -> Any:
        for axis in range(len(self.sizes)):
            place, inside = self._places(xp, axis)
            x = xp.where(self._along(inside, axis), xp.take(x, place, axis=axis + 2), x.dtype.type(value))
        return x

    def crop(self, xp: Any, padded: Any) -> Any:
        """Of each element the sum over its copies."""
        for axis, size in enumerate(self.sizes):
            place, inside = self._places(xp, axis)
            copies = ((place == xp.arange(size)[:, None]) & inside).astype(padded.dtype)
            padded = xp.moveaxis(xp.tensordot(padded, copies, axes=(axis + 2, 1)), -1, axis + 2)
        return padded

    def counts(self, xp: Any, dtype: Any) -> Any:
        total = xp.ones((1,) * len(self.out), dtype)
        for axis, (size, bins) in enumerate(zip(self.sizes, self.out, strict=True)):
            total = total * self._along(xp.asarray(_lengths(size, bins), dtype), axis)
        return total

    def _places(self, xp: Any, axis: int) -> tuple[Any, Any]:
        """For each place of the long array along an axis: which element it copies, and whether a window has it."""
        start, end = xp.asarray(_edges(self.sizes[axis], self.out[axis])).T[..., None]
        place = start + xp.arange(self.kernel[axis])
        return xp.minimum(place, end - 1).reshape(-1), (place < end).reshape(-1)
