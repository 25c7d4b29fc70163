"""Softmax through oneDNN."""

from __future__ import annotations

from functools import partial

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import Call, OneDnnKernel, described, layer_of, without_kernel
from caffelite.cpu.onednn import Memory, PrimitiveDesc
from caffelite.cpu.onednn_types import Arg
from caffelite.layers.base import Layer
from caffelite.plan.kernel import MIXED, Site, common_layout


class OneDnnSoftmax(OneDnnKernel):
    """Probabilities along any axis."""

    inplace = True

    @classmethod
    def refuses(cls, site: Site) -> str:
        if objection := super().refuses(site):
            return objection
        if common_layout(site) is None:
            return MIXED
        return without_kernel(partial(cls._make, site))

    @staticmethod
    def _make(site: Site) -> PrimitiveDesc:
        blob = described(site.one("x"), common_layout(site))
        return primitives.softmax(blob, blob, layer_of(site).over, site.backward)

    def reads(self) -> frozenset[str]:
        return frozenset(["y"])

    def compile_forward(self, post: Layer | None) -> list[Call]:
        desc = self._make(self.site)
        return [desc.bind({Arg.SRC: self._blob("x"), Arg.DST: self._blob("y")}, self.scratch).run]

    def compile_backward(self) -> list[Call]:
        if self.arrays["dx"] is None:
            return []
        y, dx, dy = self._blob("y"), self._blob("dx"), self._blob("dy")
        over, hint = self.layer.over, self._make(self.site)
        desc = primitives.softmax_backward(dx.desc, dy.desc, y.desc, over, hint)
        return [desc.bind({Arg.DST: y, Arg.DIFF_SRC: dx, Arg.DIFF_DST: dy}, self.scratch).run]

    def _blob(self, name: str) -> Memory:
        return Memory(described(self.site.one("x"), common_layout(self.site)), self.arrays[name])


KERNELS = (OneDnnSoftmax,)
