"""Split through oneDNN: the gradients of a blob's readers added up."""

from __future__ import annotations

from functools import partial

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import Call, OneDnnKernel, copy, flat
from caffelite.cpu.onednn import Array, Memory
from caffelite.cpu.onednn_types import Arg
from caffelite.layers.base import Layer
from caffelite.plan.kernel import MIXED, Site, common_layout


class OneDnnSplit(OneDnnKernel):
    """Each top is x; dx is the sum of those gradients of tops that exist."""

    def __init__(self, site: Site):
        super().__init__(site)
        self._desc = flat(site)

    @classmethod
    def refuses(cls, site: Site) -> str:
        return super().refuses(site) or ("" if common_layout(site) else MIXED)

    def reads(self) -> frozenset[str]:
        return frozenset()

    def compile_forward(self, post: Layer | None) -> list[Call]:
        x = self._blob(self.arrays["x"])
        return [copy(x, self._blob(y)) for y in self.arrays["y"]]

    def compile_backward(self) -> list[Call]:
        dx, dys = self.arrays["dx"], [dy for dy in self.arrays["dy"] if dy is not None]
        if dx is None:
            return []
        if not dys:
            return [partial(dx.fill, 0)]
        if len(dys) == 1:
            return [copy(self._blob(dys[0]), self._blob(dx))]
        desc = primitives.weighted_sum([self._desc] * len(dys), self._desc, [1.0] * len(dys))
        memories: dict[int, Memory] = {Arg.MULTIPLE_SRC + i: self._blob(dy) for i, dy in enumerate(dys)}
        return [desc.bind({**memories, Arg.DST: self._blob(dx)}, self.scratch).run]

    def _blob(self, array: Array) -> Memory:
        return Memory(self._desc, array)


KERNELS = (OneDnnSplit,)
