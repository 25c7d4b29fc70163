"""Eltwise sums through oneDNN; products and maxima stay with the array body."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import ACTIVATIONS, Call, OneDnnKernel, flat, layer_of, post_attributes
from caffelite.cpu.onednn import Array, Memory
from caffelite.cpu.onednn_types import Algorithm, Arg
from caffelite.layers.base import Layer
from caffelite.plan.kernel import MIXED, Site, common_layout


class OneDnnSum(OneDnnKernel):
    """y = sum of coeff * x. The plain sum of two bottoms can take the activation that follows along."""

    def __init__(self, site: Site):
        super().__init__(site)
        self._desc = flat(site)

    posts: ClassVar[tuple[str, ...]] = ACTIVATIONS

    @classmethod
    def refuses(cls, site: Site) -> str:
        if layer_of(site).operation != "SUM":
            return f"it has no {layer_of(site).operation}"
        return super().refuses(site) or ("" if common_layout(site) else MIXED)

    @classmethod
    def accepts_post(cls, site: Site, post: Layer) -> bool:
        return super().accepts_post(site, post) and cls._is_plain_pair(site)

    @staticmethod
    def _is_plain_pair(site: Site) -> bool:
        return list(layer_of(site).coeffs) == [1.0, 1.0]

    def reads(self) -> frozenset[str]:
        return frozenset()

    def compile_forward(self, post: Layer | None) -> list[Call]:
        x, y = [self._blob(xi) for xi in self.arrays["x"]], self._blob(self.arrays["y"])
        if self._is_plain_pair(self.site):
            blob = self._desc
            desc = primitives.binary(Algorithm.BINARY_ADD, blob, blob, blob, post_attributes(post))
            memories: dict[int, Memory] = {Arg.SRC: x[0], Arg.SRC_1: x[1]}
        else:
            desc = primitives.weighted_sum([self._desc] * len(x), self._desc, self.layer.coeffs)
            memories = {Arg.MULTIPLE_SRC + i: xi for i, xi in enumerate(x)}
        return [desc.bind({**memories, Arg.DST: y}, self.scratch).run]

    def compile_backward(self) -> list[Call]:
        dy = self._blob(self.arrays["dy"])
        calls: list[Call] = []
        for dx, coeff in zip(self.arrays["dx"], self.layer.coeffs, strict=True):
            if dx is not None:
                desc = primitives.eltwise(Algorithm.LINEAR, self._desc, self._desc, coeff, 0.0, False)
                calls.append(desc.bind({Arg.SRC: dy, Arg.DST: self._blob(dx)}, self.scratch).run)
        return calls

    def _blob(self, array: Array) -> Memory:
        return Memory(self._desc, array)


KERNELS = (OneDnnSum,)
