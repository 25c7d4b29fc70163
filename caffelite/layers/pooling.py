"""Pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from caffelite.layers._windows import Windows
from caffelite.layers.base import Layer, argument_names, enum_name
from caffelite.types import Phase, Shape

_LOWEST = -3.4028234663852886e38  # -FLT_MAX, where Caffe starts a maximum


class Pooling(Layer):
    """Reduces windows: the largest element (MAX), the average (AVE), or one drawn by its size (STOCHASTIC).

    Output size: ceil((S + 2 pad - K) / stride) + 1 an axis (``round_mode: FLOOR`` rounds down), less one
    where padding would let the last window start beyond the image. ``pad`` and ``stride`` as in Convolution;
    ``global_pooling`` takes the whole plane.

    MAX starts at -FLT_MAX and keeps the first strictly greater element: ties go to the first in scan order,
    NaN never wins. AVE divides by the part of the window inside the padded image: zeros of the padding count,
    an overhang does not. STOCHASTIC draws an element with probability x / sum(x) in TRAIN and gives the
    expectation sum(x^2) / sum(x) in TEST.

    Bottoms: x (N, C, *S).
    Tops:    y (N, C, *T); with MAX also mask (N, C, *T), the winner's index within its plane, -1 for none.
    Gradient: to the winner (MAX, STOCHASTIC), evenly (AVE). None to x from mask.
    Raises:  ShapeError if no window fits; NetError for bad parameters.
    Source:  BVLC Caffe, pooling_layer.cpp (one and three spatial axes are an addition). Zeiler and Fergus,
             "Stochastic pooling", 2013.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x",)
    tops: ClassVar[tuple[str, ...]] = ("y", "mask?")
    message: ClassVar[str] = "pooling_param"

    forward: Callable[..., None]
    backward: Callable[..., None]
    windows: Windows

    def setup(self) -> None:
        self.method = self.choice("pool", "MAX", "AVE", "STOCHASTIC")
        if len(self.spec.top) > 1 and self.method != "MAX":
            raise self.error("pool: MAX for a second top (the mask)", self.method, field="pool")
        if self.method == "MAX":
            self.forward, self.backward = self._forward_max, self._backward_winner
        elif self.method == "AVE":
            self.forward, self.backward = self._forward_ave, self._backward_ave
        elif self.phase == Phase.TRAIN:
            self.forward, self.backward = self._forward_drawn, self._backward_winner
        else:
            self.forward, self.backward = self._forward_expected, self._backward_expected

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 3:
            raise self.shape_error("x (N, C, *S) with at least 3 axes", f"x={x}")
        self.windows = w = self._windows(x[2:])
        top = (*x[:2], *w.out)
        if "winner" in argument_names(self.forward):
            # Of each window: 1 + the winner's position in scan order, 0 for none.
            self.save("winner", top, "uint8" if w.positions < 256 else "int32")
        return [top] * len(self.spec.top)

    # -- parameters -------------------------------------------------------------------------------------

    def _windows(self, sizes: Shape) -> Windows:
        p = self.p
        stride = self._sizes("stride", len(sizes), 1)
        pad = self._sizes("pad", len(sizes), 0)
        kernel = (
            self._global(sizes, stride, pad)
            if p.global_pooling
            else self._sizes("kernel_size", len(sizes), 1)
        )
        if any(pad) and self.method == "STOCHASTIC":
            raise self.error("pad: 0 with STOCHASTIC", pad, field="pad")
        if any(a >= k for a, k in zip(pad, kernel, strict=True) if a):
            raise self.error("pad smaller than the kernel", f"pad {pad}, kernel {kernel}", field="pad")
        out = tuple(self._count(*axis) for axis in zip(sizes, kernel, stride, pad, strict=True))
        if any(pad):  # without padding Caffe does not look where the last window starts
            out = tuple(
                n - ((n - 1) * s >= size + a) for n, size, s, a in zip(out, sizes, stride, pad, strict=True)
            )
        if min(out) < 1:
            raise self.shape_error(
                "a kernel that fits the padded input",
                f"kernel {kernel}, stride {stride}, pad {pad}, x (N, C, {', '.join(map(str, sizes))})",
                "use a smaller kernel_size, a larger image, or global_pooling: true",
            )
        reach = tuple(min(k, size + 2 * a) for k, size, a in zip(kernel, sizes, pad, strict=True))
        return Windows(reach, stride, pad, sizes, out)  # what lies beyond the padding counts nowhere

    def _count(self, size: int, kernel: int, stride: int, pad: int) -> int:
        span = size + 2 * pad - kernel
        return (span // stride if enum_name(self.p, "round_mode") == "FLOOR" else -(-span // stride)) + 1

    def _global(self, sizes: Shape, stride: Shape, pad: Shape) -> Shape:
        if any(self.p.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
            raise self.error("no kernel size with global_pooling: true", "one", field="global_pooling")
        if any(pad) or set(stride) != {1}:
            raise self.error(
                "pad 0 and stride 1 with global_pooling",
                f"pad {pad}, stride {stride}",
                field="global_pooling",
            )
        return sizes

    def _sizes(self, field: str, spatial: int, low: int) -> Shape:
        p, stem = self.p, field.removesuffix("_size")
        pair = (f"{stem}_h", f"{stem}_w")
        given = [p.HasField(name) for name in pair]
        if any(given) and p.HasField(field):
            raise self.error(f"either {field} or {stem}_h and {stem}_w", "both", field=field)
        if any(given) and not (all(given) and spatial == 2):
            raise self.error(
                f"both {pair[0]} and {pair[1]}, with 2 spatial axes", f"{spatial} axes", field=pair[0]
            )
        if field == "kernel_size" and not any(given) and not p.HasField(field):
            raise self.error("a kernel size", "none", "set kernel_size, or kernel_h and kernel_w", field)
        values = tuple(getattr(p, name) for name in pair) if any(given) else (getattr(p, field),) * spatial
        if min(values) < low:
            raise self.error(f"{field} >= {low}", values, field=field)
        return values

    # -- MAX --------------------------------------------------------------------------------------------

    def _forward_max(self, xp: Any, x: Any, y: Any, mask: Any, winner: Any) -> None:
        w = self.windows
        padded = w.pad_with(xp, x, _LOWEST)
        y[...] = _LOWEST
        best = xp.zeros_like(y, dtype=winner.dtype)  # in y's layout
        for i, where in enumerate(w.slices(), start=1):
            better = padded[where] > y
            xp.fmax(y, padded[where], out=y)  # leaves NaN out
            xp.maximum(
                best, better * best.dtype.type(i), out=best
            )  # positions rise: the last better one stays
        winner[...] = best
        if mask is not None:
            mask[...] = w.plane_index(xp, winner)

    def _backward_winner(self, xp: Any, winner: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        padded = self.windows.padded_zeros(xp, dx)
        best = xp.empty_like(dy, dtype=winner.dtype)  # in dy's layout
        best[...] = winner
        for i, where in enumerate(self.windows.slices(), start=1):
            padded[where] += dy * (best == i)
        dx[...] = self.windows.crop(padded)

    # -- AVE --------------------------------------------------------------------------------------------

    def _forward_ave(self, xp: Any, x: Any, y: Any) -> None:
        padded = self.windows.pad_with(xp, x, 0)
        y[...] = 0
        for where in self.windows.slices():
            y += padded[where]
        y /= self.windows.counts(xp, y.dtype)

    def _backward_ave(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        self._spread(xp, dy / self.windows.counts(xp, dy.dtype), dx)

    # -- STOCHASTIC -------------------------------------------------------------------------------------

    def _forward_drawn(self, xp: Any, x: Any, y: Any, winner: Any, rng: Any) -> None:
        w = self.windows
        padded = w.pad_with(xp, x, 0)
        threshold = self._sum(xp, padded) * xp.asarray(rng.random(y.shape, dtype="float32"))
        y[...] = 0
        winner[...] = 0
        reached = xp.zeros_like(y)
        for i, where in enumerate(w.slices(), start=1):
            reached += padded[where]
            drawn = (reached >= threshold) & (winner == 0)
            xp.copyto(y, padded[where], where=drawn)
            xp.copyto(winner, i, where=drawn)

    def _forward_expected(self, xp: Any, x: Any, y: Any) -> None:
        padded = self.windows.pad_with(xp, x, 0)
        total = self._sum(xp, padded)
        y[...] = self._sum(xp, padded * padded) / xp.where(total > 0, total, 1)
        y *= total > 0

    def _backward_expected(self, xp: Any, x: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        total = self._sum(xp, self.windows.pad_with(xp, x, 0))
        share = (
            dy * (total > 0) / xp.where(total > 0, total, 1)
        )  # d/dx of sum(x^2) / sum(x): (2 x - y) / sum(x)
        mean = xp.empty_like(dx)
        self._spread(xp, share * y, mean)
        self._spread(xp, share, dx)
        dx *= 2 * x
        dx -= mean

    # -- shared -----------------------------------------------------------------------------------------

    def _sum(self, xp: Any, padded: Any) -> Any:
        total = None
        for where in self.windows.slices():
            total = padded[where].copy() if total is None else total + padded[where]
        return total

    def _spread(self, xp: Any, share: Any, dx: Any) -> None:
        padded = self.windows.padded_zeros(xp, dx)
        for where in self.windows.slices():
            padded[where] += share
        dx[...] = self.windows.crop(padded)
