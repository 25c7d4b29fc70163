"""ReLU6 through oneDNN."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.activation import OneDnnActivation
from caffelite.cpu.kernel import Call, layer_slope, relu_alpha
from caffelite.cpu.onednn_types import Algorithm, Arg
from caffelite.layers.base import Layer
from caffelite.plan.kernel import Site


class OneDnnReLU6(OneDnnActivation):
    """min(max(x, 0), 6). oneDNN's clipping would make 0 of NaN; NumPy's minimum keeps what ReLU keeps."""

    algorithm: ClassVar[Algorithm] = Algorithm.CLIP_V2
    from_dst: ClassVar[Algorithm] = Algorithm.CLIP_V2_FROM_DST

    @classmethod
    def refuses(cls, site: Site) -> str:
        return super().refuses(site) or ("it has no negative slope" if layer_slope(site.layer) else "")

    def beta(self) -> float:
        return 6.0

    def compile_forward(self, post: Layer | None) -> list[Call]:
        blob, y = self._desc, self.arrays["y"]
        desc = primitives.eltwise(Algorithm.RELU, blob, blob, relu_alpha(0.0), 0.0, False)
        run = desc.bind({Arg.SRC: self._blob("x"), Arg.DST: self._blob("y")}, self.scratch).run
        return [run, partial(np.minimum, y, 6, out=y)]


KERNELS = (OneDnnReLU6,)
