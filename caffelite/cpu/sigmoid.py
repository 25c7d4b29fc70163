"""Sigmoid through oneDNN."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cpu.activation import OneDnnActivation
from caffelite.cpu.onednn_types import Algorithm


class OneDnnSigmoid(OneDnnActivation):
    """oneDNN's function of that name."""

    algorithm: ClassVar[Algorithm] = Algorithm.LOGISTIC
    from_dst: ClassVar[Algorithm] = Algorithm.LOGISTIC_FROM_DST


KERNELS = (OneDnnSigmoid,)
