"""The weights of one batch normalization in the orders and forms in which Caffe and its forks store them.

    BVLC, NVCaffe           mean, variance, factor
    Intel without bias      mean, variance, factor, scale
    Intel, NVCaffe          mean, variance, factor, scale, bias
    files of old DIGITS     scale, bias, mean, variance, factor
    BN of PSPNet, yjxiong   scale, bias, mean, variance

Mean and variance are to be divided by the factor, which NVCaffe's are already: its factor is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.weights.blob import Blob

_MEAN, _VARIANCE, _FACTOR, _SCALE, _BIAS = "mean", "variance", "factor", "scale", "bias"
_OLD_DIGITS = (_SCALE, _BIAS, _MEAN, _VARIANCE, _FACTOR)
_ORDERS = {
    3: (_MEAN, _VARIANCE, _FACTOR),
    4: (_MEAN, _VARIANCE, _FACTOR, _SCALE),
    5: (_MEAN, _VARIANCE, _FACTOR, _SCALE, _BIAS),
}
_BN = (_SCALE, _BIAS, _MEAN, _VARIANCE)


@dataclass(frozen=True)
class Normalization:
    """Flat arrays of one number a channel, and the factor. ``order`` is that of the file."""

    mean: Blob
    variance: Blob
    factor: float
    scale: Blob | None
    bias: Blob | None
    order: tuple[str, ...]

    @property
    def old_order(self) -> bool:
        """Whether the blobs stood as old DIGITS wrote them."""
        return self.order == _OLD_DIGITS

    @property
    def trivial(self) -> bool:
        """Whether scale and bias change nothing."""
        ones = self.scale is None or bool(np.all(self.scale == 1))
        return ones and (self.bias is None or not np.any(self.bias))

    def averages(self) -> Normalization:
        """The same with mean and variance divided by the factor, which then is 1 (or 0, never trained)."""
        if self.factor in (0, 1):
            return self
        share = np.float32(1 / self.factor)
        return Normalization(self.mean * share, self.variance * share, 1.0, self.scale, self.bias, self.order)


def read_normalization(type_: str, blobs: Sequence[Blob | None]) -> Normalization | None:
    """What the blobs of a layer mean; None if they are not those of a batch normalization with statistics.

    ``type_`` is the layer's in the file, empty if the file has none.
    """
    found = [blob.reshape(-1) for blob in blobs if blob is not None]
    order = _order(type_, [blob.size for blob in found])
    if len(found) != len(blobs) or order is None:
        return None
    parts = dict(zip(order, found, strict=True))
    factor = float(parts[_FACTOR][0]) if _FACTOR in parts else 1.0
    return Normalization(parts[_MEAN], parts[_VARIANCE], factor, parts.get(_SCALE), parts.get(_BIAS), order)


def _order(type_: str, sizes: list[int]) -> tuple[str, ...] | None:
    """With a single channel all blobs are of one size; the order is then today's, or told by the type."""
    if not sizes:
        return None
    channels = sizes[0]
    order: tuple[str, ...] = _ORDERS.get(len(sizes), ())
    if len(sizes) == 4 and (type_ == "BN" or sizes[2] == channels != 1):
        order = _BN
    elif len(sizes) == 5 and sizes[4] == 1 != sizes[2]:
        order = _OLD_DIGITS
    expected = [1 if name == _FACTOR else channels for name in order]
    return order if order and expected == sizes else None
