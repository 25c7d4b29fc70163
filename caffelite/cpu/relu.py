"""ReLU through oneDNN."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cpu.activation import OneDnnActivation
from caffelite.cpu.onednn_types import Algorithm


class OneDnnReLU(OneDnnActivation):
    """max(x, 0) + negative_slope min(x, 0). A negative slope hides x's sign in y: the gradient reads x.

    With slope 0 oneDNN's maximum of NaN and 0 is 0, where Caffe and the array body keep the NaN.
    """

    algorithm: ClassVar[Algorithm] = Algorithm.RELU
    from_dst: ClassVar[Algorithm] = Algorithm.RELU_FROM_DST

    def alpha(self) -> float:
        return float(self.layer.slope)

    def reads(self) -> frozenset[str]:
        return frozenset(["y" if self.alpha() >= 0 else "x"])


KERNELS = (OneDnnReLU,)
