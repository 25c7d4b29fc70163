"""ReLU through oneDNN."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cpu.activation import OneDnnActivation
from caffelite.cpu.kernel import layer_slope, relu_alpha
from caffelite.cpu.onednn_types import Algorithm


class OneDnnReLU(OneDnnActivation):
    """max(x, 0) + negative_slope min(x, 0). A negative slope hides x's sign in y: the gradient reads x.

    NaN stays NaN where the platform flushes denormal numbers (see :func:`caffelite.cpu.kernel.relu_alpha`).
    """

    algorithm: ClassVar[Algorithm] = Algorithm.RELU
    from_dst: ClassVar[Algorithm] = Algorithm.RELU_FROM_DST

    def alpha(self) -> float:
        return layer_slope(self.layer)

    def forward_alpha(self) -> float:
        return relu_alpha(self.alpha())

    def reads(self) -> frozenset[str]:
        return frozenset(["y" if self.alpha() >= 0 else "x"])


KERNELS = (OneDnnReLU,)
