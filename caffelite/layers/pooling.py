"""Pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from caffelite.layers._pooling import (
    average,
    drawn,
    expected,
    largest,
    to_all,
    to_expected,
    to_winner,
    winner_dtype,
)
from caffelite.layers._windows import Windows
from caffelite.layers.base import Layer, argument_names, enum_name
from caffelite.types import Phase, Shape


class Pooling(Layer):
    """Reduces windows: the largest element (MAX), the average (AVE), or one drawn by its size (STOCHASTIC).

    Output size: ceil((S + 2 pad - K) / stride) + 1 an axis (``round_mode: FLOOR`` rounds down), less one
    where padding would let the last window start beyond the image. ``kernel_size``, ``stride`` and ``pad`` hold for
    all spatial axes; with two of them ``kernel_h`` and ``kernel_w`` and so on may stand instead, and with any number
    ``kernel_size_3d``, ``stride_3d`` and ``pad_3d`` (Intel's), once for each axis. ``global_pooling`` takes all of S.

    MAX starts at -FLT_MAX and keeps the first strictly greater element: ties go to the first in scan order,
    NaN never wins. AVE divides by the part of the window inside the padded image: zeros of the padding count,
    an overhang does not. STOCHASTIC draws an element with probability x / sum(x) in TRAIN and gives the
    expectation sum(x^2) / sum(x) in TEST.

    Bottoms: x (N, C, *S), at least one spatial axis.
    Tops:    y (N, C, *T); with MAX also mask (N, C, *T), the winner's index within S in C order, -1 for none.
    Gradient: to the winner (MAX, STOCHASTIC), evenly (AVE). None to x from mask.
    Raises:  ShapeError if no window fits; NetError for bad parameters.
    Example: x (1, 2, 6, 6); pooling_param { pool: MAX kernel_size: 3 stride: 2 }
    Source:  BVLC Caffe, pooling_layer.cpp (two spatial axes only). Zeiler and Fergus,
             "Stochastic pooling", 2013.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x",)
    tops: ClassVar[tuple[str, ...]] = ("y", "mask?")
    message: ClassVar[str] = "pooling_param"
    extensions: ClassVar[tuple[str, ...]] = ("kernel_size_3d", "stride_3d", "pad_3d")

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
            self.save("winner", top, winner_dtype(w))
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
        if self._forms("kernel_size"):
            raise self.error("no kernel size with global_pooling: true", "one", field="global_pooling")
        if any(pad) or set(stride) != {1}:
            raise self.error(
                "pad 0 and stride 1 with global_pooling",
                f"pad {pad}, stride {stride}",
                field="global_pooling",
            )
        if not min(sizes):
            raise self.shape_error("at least 1 element in each spatial axis", f"sizes {sizes}")
        return sizes

    def _sizes(self, field: str, spatial: int, low: int) -> Shape:
        """One size a spatial axis: one for all, _h and _w, or one for each in the field that ends in _3d."""
        forms = self._forms(field)
        if len(forms) > 1:
            raise self.error(f"either {' or '.join(forms)}", "both", field=field)
        if field == "kernel_size" and not forms:
            raise self.error("a kernel size", "none", "set kernel_size, or kernel_h and kernel_w", field)
        values = next(iter(forms.values()), (getattr(self.p, field),))
        if len(values) == 1 and f"{field}_3d" not in forms:
            values *= spatial
        if len(values) != spatial:
            raise self.error(
                f"{next(iter(forms))} only with {len(values)} spatial axes", f"{spatial} axes", field=field
            )
        if min(values) < low:
            raise self.error(f"{field} >= {low}", values, field=field)
        return values

    def _forms(self, field: str) -> dict[str, Shape]:
        """What the prototxt says of a size, by the way in which it says it."""
        p, stem = self.p, field.removesuffix("_size")
        pair, each = (f"{stem}_h", f"{stem}_w"), tuple(getattr(p, f"{field}_3d"))
        forms = {field: (getattr(p, field),)} if p.HasField(field) else {}
        given = [p.HasField(name) for name in pair]
        if any(given) and not all(given):
            raise self.error(f"both {pair[0]} and {pair[1]}", "one", field=pair[given.index(True)])
        if any(given):
            forms[f"{pair[0]} and {pair[1]}"] = tuple(getattr(p, name) for name in pair)
        return forms | ({f"{field}_3d": each} if each else {})

    # -- arithmetic -------------------------------------------------------------------------------------

    def _forward_max(self, xp: Any, x: Any, y: Any, mask: Any, winner: Any) -> None:
        largest(xp, self.windows, x, y, winner)
        if mask is not None:
            mask[...] = self.windows.plane_index(xp, winner)

    def _forward_drawn(self, xp: Any, x: Any, y: Any, winner: Any, rng: Any) -> None:
        drawn(xp, self.windows, x, y, winner, rng)

    def _backward_winner(self, xp: Any, winner: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            to_winner(xp, self.windows, winner, dy, dx)

    def _forward_ave(self, xp: Any, x: Any, y: Any) -> None:
        average(xp, self.windows, x, y)

    def _backward_ave(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            to_all(xp, self.windows, dy, dx)

    def _forward_expected(self, xp: Any, x: Any, y: Any) -> None:
        expected(xp, self.windows, x, y)

    def _backward_expected(self, xp: Any, x: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            to_expected(xp, self.windows, x, y, dy, dx)
