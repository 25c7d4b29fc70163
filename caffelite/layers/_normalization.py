"""Normalization by the mean and variance of each channel, for BatchNorm and the forks' BN.

Statistics have the shape of the axes that they are kept along, starting at axis 1: (C,), or (C, *S).
"""

from __future__ import annotations

from typing import Any

from caffelite.layers._affine import along, sum_to


def normalize_batch(xp: Any, x: Any, y: Any, eps: float, center: Any, inverse: Any) -> Any:
    """Leaves (x - mean) / deviation in y, the mean in ``center`` and 1 / deviation in ``inverse``.

    y may be x. Returns the (biased) variance.
    """
    axes = others(center, x.ndim)
    center[...] = x.mean(axis=axes)
    xp.subtract(x, along(center, 1, x.ndim), out=y)
    variance = (y * y).mean(axis=axes)
    inverse[...] = 1 / xp.sqrt(variance + eps)
    y *= along(inverse, 1, x.ndim)
    return variance


def normalize_by(
    xp: Any, x: Any, y: Any, eps: float, mean: Any, variance: Any, center: Any, inverse: Any
) -> None:
    """The same with given statistics."""
    center[...] = mean
    inverse[...] = 1 / xp.sqrt(variance + eps)
    xp.subtract(x, along(center, 1, x.ndim), out=y)
    y *= along(inverse, 1, x.ndim)


def scale_and_shift(y: Any, scale: Any, shift: Any) -> None:
    """y * scale + shift in place; None leaves that part out."""
    if scale is not None:
        y *= along(scale, 1, y.ndim)
    if shift is not None:
        y += along(shift, 1, y.ndim)


def scale_gradients(xp: Any, x: Any, center: Any, inverse: Any, dy: Any, dscale: Any, dshift: Any) -> None:
    """Adds the gradients of ``scale_and_shift`` behind a normalization of x to those that are not None."""
    if dscale is not None:
        dscale += sum_to(dscale, dy * normalized(xp, x, center, inverse), 1)
    if dshift is not None:
        dshift += sum_to(dshift, dy, 1)


def batch_gradient(xp: Any, y: Any, inverse: Any, dy: Any, dx: Any) -> None:
    """dx from the normalized y: the mean and the variance depend on x too. dx may be dy."""
    axes = others(inverse, dy.ndim)
    mean_dy = along(dy.mean(axis=axes), 1, dy.ndim)
    mean_ydy = along((y * dy).mean(axis=axes), 1, dy.ndim)
    xp.subtract(dy, mean_dy + y * mean_ydy, out=dx)
    dx *= along(inverse, 1, dy.ndim)


def normalized(xp: Any, x: Any, center: Any, inverse: Any) -> Any:
    """(x - center) * inverse, in a new array."""
    y = xp.subtract(x, along(center, 1, x.ndim))
    y *= along(inverse, 1, x.ndim)
    return y


def others(kept: Any, ndim: int) -> tuple[int, ...]:
    """The axes that statistics of this shape run over."""
    return (0, *range(1 + kept.ndim, ndim))
