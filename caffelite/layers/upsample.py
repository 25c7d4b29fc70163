"""Upsample."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape

_UNPOOLING = ("scale_h", "scale_w", "upsample_h", "upsample_w", "pad_out_h", "pad_out_w")


class Upsample(Layer):
    """Enlarges images, in either of two ways that forks gave one name.

    With a mask (SegNet): undoes max pooling. Each x goes to the place in y that the mask, the second top of a
    Pooling layer, names as an index within the plane; all else is 0. Where two go to one place the later one
    in scan order stays. Sizes: ``upsample_h`` and ``upsample_w``; else those of x times ``scale_h`` and ``scale_w``,
    or times ``scale`` (2), less 1 with ``pad_out_h`` and ``pad_out_w``.

    Without (MobileNet-YOLO): repeats each x ``scale`` (1) times in both spatial axes, the last two.

    Bottoms: x (N, C, H, W), without a mask any shape of at least 2 axes; mask, as x.
    Tops:    y (N, C, H', W').
    Gradient: with a mask that of the place where x went; without the sum over its copies.
    Raises:  NetError for sizes that say too little or too much; ShapeError for a mask of another shape;
             DataError for an index outside the plane.
    Source:  upsample_layer.cpp of caffe-segnet and of MobileNet-YOLO. Badrinarayanan et al., "SegNet", 2017.
    Example: x [[[[1.0, 2.0]]]], mask [[[[0, 7]]]]; upsample_param { scale: 2 }
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "mask?")
    message: ClassVar[str] = "upsample_param"
    unforced: ClassVar[tuple[str, ...]] = ("mask",)

    def setup(self) -> None:
        if len(self.spec.bottom) > 1:
            self._check_unpooling()
            return
        self.scale = int(self.p.scale) if self.p.HasField("scale") else 1
        if self.scale < 1:
            raise self.error("scale >= 1", self.scale, field="scale")
        for field in _UNPOOLING:
            if self.p.HasField(field):
                raise self.error("scale alone with one bottom", field, "give the pooling mask too", field)
        self.forward = self._forward_repeat  # type: ignore[method-assign,assignment]
        self.backward = self._backward_repeat  # type: ignore[method-assign,assignment]

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(shapes) == 1:
            if len(x) < 2:
                raise self.shape_error("x with at least 2 axes", f"x={x}")
            return [(*x[:-2], x[-2] * self.scale, x[-1] * self.scale)]
        if len(x) != 4 or shapes[1] != x:
            raise self.shape_error("x (N, C, H, W) and a mask of its shape", f"x={x}, mask={shapes[1]}")
        sizes = tuple(self._size(axis, size) for axis, size in zip("hw", x[2:], strict=True))
        if min(sizes) < 1:
            raise self.shape_error("a top with at least one place", f"x={x}")
        return [(*x[:2], *sizes)]

    def forward(self, xp: Any, x: Any, mask: Any, y: Any) -> None:
        planes = xp.zeros(y.size, y.dtype)
        planes[self._places(xp, mask, y.shape)] = x.reshape(-1)
        y[...] = planes.reshape(y.shape)

    def backward(self, xp: Any, mask: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = dy.reshape(-1)[self._places(xp, mask, dy.shape)].reshape(dx.shape)

    def _forward_repeat(self, xp: Any, x: Any, y: Any) -> None:
        for copy in self._copies(y):
            copy[...] = x

    def _backward_repeat(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = 0
            for copy in self._copies(dy):
                dx += copy

    def _copies(self, y: Any) -> list[Any]:
        s = self.scale
        return [y[..., row::s, column::s] for row in range(s) for column in range(s)]

    def _places(self, xp: Any, mask: Any, shape: Shape) -> Any:
        """Where in the flat top each element of the flat bottom goes. Raises DataError."""
        plane = prod(shape[2:])
        index = mask.reshape(prod(shape[:2]), prod(mask.shape[2:])).astype("int64")
        bad = (index < 0) | (index >= plane)
        if bad.any():
            raise self._outside(mask.reshape(-1), int(bad.reshape(-1).argmax()), shape)
        index += plane * xp.arange(len(index)).reshape(-1, 1)
        return index.reshape(-1)

    def _outside(self, mask: Any, index: int, shape: Shape) -> DataError:
        places = f"{shape[2]} x {shape[3]}"
        expected = f"expected mask indices from 0 to {prod(shape[2:]) - 1} ({places} places)"
        fix = "the sizes here and those below the Pooling layer that made the mask must agree"
        got = f"{float(mask[index]):g} at index {index}"
        return DataError(layer_message(self.name, self.type, self.location(), expected, got, fix))

    def _check_unpooling(self) -> None:
        p = self.p
        for pair in (("upsample_h", "upsample_w"), ("scale_h", "scale_w")):
            if len({p.HasField(field) for field in pair}) > 1:
                missing = next(field for field in pair if not p.HasField(field))
                raise self.error(f"both {pair[0]} and {pair[1]}", f"no {missing}", field=pair[0])
        if p.HasField("scale") and p.HasField("scale_h"):
            raise self.error("either scale or scale_h and scale_w", "both", field="scale")
        for axis in "hw":
            self._check_axis(axis)

    def _check_axis(self, axis: str) -> None:
        p, upsample = self.p, f"upsample_{axis}"
        if p.HasField(upsample):
            if getattr(p, upsample) < 2:
                raise self.error(f"{upsample} >= 2", getattr(p, upsample), field=upsample)
            return
        scale = self._scale(axis)
        if scale < 2:
            raise self.error("a scale of at least 2", scale, field="scale")
        if getattr(p, f"pad_out_{axis}") and scale != 2:
            raise self.error(f"pad_out_{axis} only with a scale of 2", scale, field=f"pad_out_{axis}")

    def _scale(self, axis: str) -> int:
        if self.p.HasField(f"scale_{axis}"):
            return int(getattr(self.p, f"scale_{axis}"))
        return int(self.p.scale) if self.p.HasField("scale") else 2

    def _size(self, axis: str, size: int) -> int:
        if self.p.HasField(f"upsample_{axis}"):
            return int(getattr(self.p, f"upsample_{axis}"))
        return size * self._scale(axis) - int(getattr(self.p, f"pad_out_{axis}"))
