"""TanH through oneDNN."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cpu.activation import OneDnnActivation
from caffelite.cpu.onednn_types import Algorithm


class OneDnnTanH(OneDnnActivation):
    """oneDNN's function of that name."""

    algorithm: ClassVar[Algorithm] = Algorithm.TANH
    from_dst: ClassVar[Algorithm] = Algorithm.TANH_FROM_DST


KERNELS = (OneDnnTanH,)
