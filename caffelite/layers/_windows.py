"""Sliding windows over spatial axes, for pooling: where they start, what they cover, position by position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from caffelite.types import Shape


@dataclass(frozen=True)
class Windows:
    """Windows over (N, C, *S): along an axis window o covers ``kernel`` places from o * stride - pad on."""

    kernel: Shape
    stride: Shape
    pad: Shape
    sizes: Shape  # S
    out: Shape  # windows an axis

    @property
    def positions(self) -> int:
        """Elements of a window."""
        return prod(self.kernel)

    @property
    def spans(self) -> Shape:
        """Sizes of the padded array that holds all windows whole, padding on the left included."""
        return tuple(
            max(stride * (out - 1) + kernel, size + pad)
            for stride, out, kernel, size, pad in zip(
                self.stride, self.out, self.kernel, self.sizes, self.pad, strict=True
            )
        )

    def slices(self) -> Iterator[tuple[slice, ...]]:
        """For each position in scan order: the elements that it has in all windows of the padded array."""
        for position in product(*map(range, self.kernel)):
            axes = zip(position, self.stride, self.out, strict=True)
            yield (slice(None), slice(None), *(slice(k, k + s * (n - 1) + 1, s) for k, s, n in axes))

    def pad_with(self, xp: Any, x: Any, value: float) -> Any:
        """x in an array of ``spans`` in its layout, the rest ``value``; x itself if there is no rest."""
        if self.spans == self.sizes and not any(self.pad):
            return x
        padded = xp.full_like(x, value, shape=(*x.shape[:2], *self.spans))
        padded[self._inside()] = x
        return padded

    def padded_zeros(self, xp: Any, x: Any) -> Any:
        """Zeros of ``spans`` in x's layout, to add up gradients in."""
        return xp.zeros_like(x, shape=(*x.shape[:2], *self.spans))

    def crop(self, xp: Any, padded: Any) -> Any:
        """The part of a padded array that is x."""
        return padded[self._inside()]

    def counts(self, xp: Any, dtype: Any) -> Any:
        """Elements of each window up to the right padding's end: Caffe's divisor for averages.

        A window's overhang beyond the padding does not count, padding does. At least 1; of shape ``out``.
        """
        total = xp.ones((1,) * len(self.out), dtype)
        for axis in range(len(self.out)):
            start = xp.arange(self.out[axis]) * self.stride[axis]
            length = xp.minimum(start + self.kernel[axis], self.sizes[axis] + 2 * self.pad[axis]) - start
            total = total * self._along(xp.maximum(length, 1), axis)
        return total.astype(dtype)

    def plane_index(self, xp: Any, position: Any) -> Any:
        """From positions within windows, counted from 1, to indices within x's flat plane; from 0 to -1."""
        base = xp.zeros((1,) * len(self.out), int)
        for axis in range(len(self.out)):
            start = xp.arange(self.out[axis]) * self.stride[axis] - self.pad[axis]
            base = base + self._along(start, axis) * prod(self.sizes[axis + 1 :])
        offsets = [
            sum(k * prod(self.sizes[axis + 1 :]) for axis, k in enumerate(where))
            for where in product(*map(range, self.kernel))
        ]
        index = base + xp.take(xp.asarray([0, *offsets]), position)
        return xp.where(position == 0, -1, index)

    def _inside(self) -> tuple[slice, ...]:
        axes = zip(self.pad, self.sizes, strict=True)
        return (slice(None), slice(None), *(slice(pad, pad + size) for pad, size in axes))

    def _along(self, values: Any, axis: int) -> Any:
        return values.reshape(*(-1 if i == axis else 1 for i in range(len(self.out))))
