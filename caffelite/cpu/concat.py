"""Concat through oneDNN."""

from __future__ import annotations

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import Call, OneDnnKernel, copy, described
from caffelite.cpu.onednn import Array, Memory, MemoryDesc
from caffelite.cpu.onednn_types import Arg
from caffelite.layers._joints import parts
from caffelite.layers.base import Layer
from caffelite.plan.kernel import MIXED, Site, common_layout


class OneDnnConcat(OneDnnKernel):
    """Bottoms one after another along an axis; the gradient is cut into their parts."""

    @classmethod
    def refuses(cls, site: Site) -> str:
        return super().refuses(site) or ("" if common_layout(site) else MIXED)

    def reads(self) -> frozenset[str]:
        return frozenset()

    def compile_forward(self, post: Layer | None) -> list[Call]:
        x, y = self._xs(self.arrays["x"]), self._y(self.arrays["y"])
        desc = primitives.concat([xi.desc for xi in x if xi], y.desc, self.layer.along)
        memories: dict[int, Memory] = {Arg.MULTIPLE_SRC + i: xi for i, xi in enumerate(x) if xi}
        return [desc.bind({**memories, Arg.DST: y}, self.scratch).run]

    def compile_backward(self) -> list[Call]:
        layer, dy = self.layer, self.arrays["dy"]
        pieces = parts(dy, layer.sizes, layer.along)
        dxs = self._xs(self.arrays["dx"])
        return [copy(Memory.of(piece), dx) for piece, dx in zip(pieces, dxs, strict=True) if dx]

    def _xs(self, arrays: list[Array | None]) -> list[Memory | None]:
        descs = [described(operand, common_layout(self.site)) for operand in self.site.many("x")]
        return [
            None if array is None else Memory(desc, array) for desc, array in zip(descs, arrays, strict=True)
        ]

    def _y(self, array: Array) -> Memory:
        desc: MemoryDesc = described(self.site.one("y"), common_layout(self.site))
        return Memory(desc, array)


KERNELS = (OneDnnConcat,)
