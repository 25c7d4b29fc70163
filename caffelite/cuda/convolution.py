"""Convolution on the GPU: patches and matrix products."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from caffelite.cuda.kernel import Call
from caffelite.cuda.patches import Patches, objection, unmixed
from caffelite.cuda.products import ProductKernel
from caffelite.plan.kernel import Site


class CudaConvolution(ProductKernel):
    """y = x correlated with W, plus b, for each bottom."""

    def __init__(self, site: Site, device: Any):
        super().__init__(site, device)
        self.patches = Patches(self, self.layer.geometry, site.many("x")[0], site.many("y")[0])

    @classmethod
    def refuses(cls, site: Site) -> str:
        layer: Any = site.layer
        if layer.p.relu:
            return "the layer ends with a ReLU of its own"
        return objection(layer.geometry, site.many("y")[0]) or unmixed(super().refuses(site))

    def compile_forward(self) -> list[Call]:
        W = self.packed("W", *self.patches.order)
        bias = self.value("b") if "b" in self.values else None
        pairs = zip(self.arrays["x"], self.arrays["y"], strict=True)
        return [call for x, y in pairs for call in self.patches.correlate(x, W, y, bias)]

    def compile_backward(self) -> list[Call]:
        calls: list[Call] = []
        for x, dx, dy in zip_longest(self.arrays["x"], self.arrays["dx"], self.arrays["dy"]):
            if dy is None:
                calls += [] if dx is None else [self.clear(dx)]
            else:
                calls += self._backward_of(x, dx, dy)
        return calls

    def _backward_of(self, x: Any, dx: Any, dy: Any) -> list[Call]:
        patches, calls = self.patches, []
        if dx is not None:
            calls += patches.data(dy, self.packed("W", *patches.order), dx)
        if self.site.learn.get("W", True):
            calls.append(self.weight_gradient("W", patches.weight_products(x, dy), *patches.order[1:]))
        if "b" in self.values and self.site.learn.get("b", True):
            calls.append(self.bias_gradient("b", dy, patches.items * patches.places, patches.outputs))
        return calls


KERNELS = (CudaConvolution,)
