"""What pooling does with windows: one number of each, and the gradient back. Pooling and SPP share it.

``w`` tells the windows of x (N, C, *S), and with it of dx; y and dy are (N, C, *w.out). ``winner`` says of each
window 1 + the winner's position in scan order, 0 for none. Gradients overwrite dx.
"""

from __future__ import annotations

from typing import Any

from caffelite.layers._windows import Windows

LOWEST = -3.4028234663852886e38  # -FLT_MAX, where Caffe starts a maximum


def winner_dtype(w: Windows) -> str:
    """The smallest type that holds ``winner``."""
    return "uint8" if w.positions < 256 else "int32"


def largest(xp: Any, w: Windows, x: Any, y: Any, winner: Any) -> None:
    """y: the largest element, from -FLT_MAX on; the first of equal ones wins, NaN never."""
    padded = w.pad_with(xp, x, LOWEST)
    y[...] = LOWEST
    best = xp.zeros_like(y, dtype=winner.dtype)  # in y's layout
    for i, where in enumerate(w.slices(), start=1):
        better = padded[where] > y
        xp.fmax(y, padded[where], out=y)  # leaves NaN out
        xp.maximum(best, better * best.dtype.type(i), out=best)  # positions rise: the last better one stays
    winner[...] = best


def to_winner(xp: Any, w: Windows, winner: Any, dy: Any, dx: Any) -> None:
    """The gradient of ``largest`` and ``drawn``: all of it to the winner."""
    padded = w.padded_zeros(xp, dx)
    best = xp.empty_like(dy, dtype=winner.dtype)  # in dy's layout
    best[...] = winner
    for i, where in enumerate(w.slices(), start=1):
        padded[where] += dy * (best == i)
    dx[...] = w.crop(xp, padded)


def average(xp: Any, w: Windows, x: Any, y: Any) -> None:
    """y: the sum over the elements that ``w.counts`` counts."""
    padded = w.pad_with(xp, x, 0)
    y[...] = 0
    for where in w.slices():
        y += padded[where]
    y /= w.counts(xp, y.dtype)


def to_all(xp: Any, w: Windows, dy: Any, dx: Any) -> None:
    """The gradient of ``average``: an equal share to each element."""
    _spread(xp, w, dy / w.counts(xp, dy.dtype), dx)


def drawn(xp: Any, w: Windows, x: Any, y: Any, winner: Any, rng: Any) -> None:
    """y: an element drawn with probability x / sum(x)."""
    padded = w.pad_with(xp, x, 0)
    threshold = _sum(w, padded) * xp.asarray(rng.random(y.shape, dtype="float32"))
    y[...] = 0
    winner[...] = 0
    reached = xp.zeros_like(y)
    for i, where in enumerate(w.slices(), start=1):
        reached += padded[where]
        now = (reached >= threshold) & (winner == 0)
        xp.copyto(y, padded[where], where=now)
        xp.copyto(winner, i, where=now)


def expected(xp: Any, w: Windows, x: Any, y: Any) -> None:
    """y: what ``drawn`` gives on average, sum(x^2) / sum(x); 0 where the sum is not above 0."""
    padded = w.pad_with(xp, x, 0)
    total = _sum(w, padded)
    y[...] = _sum(w, padded * padded) / xp.where(total > 0, total, 1)
    y *= total > 0


def to_expected(xp: Any, w: Windows, x: Any, y: Any, dy: Any, dx: Any) -> None:
    """The gradient of ``expected``: (2 x - y) / sum(x)."""
    total = _sum(w, w.pad_with(xp, x, 0))
    share = dy * (total > 0) / xp.where(total > 0, total, 1)
    mean = xp.empty_like(dx)
    _spread(xp, w, share * y, mean)
    _spread(xp, w, share, dx)
    dx *= 2 * x
    dx -= mean


def _sum(w: Windows, padded: Any) -> Any:
    total = None
    for where in w.slices():
        total = padded[where].copy() if total is None else total + padded[where]
    return total


def _spread(xp: Any, w: Windows, share: Any, dx: Any) -> None:
    padded = w.padded_zeros(xp, dx)
    for where in w.slices():
        padded[where] += share
    dx[...] = w.crop(xp, padded)
