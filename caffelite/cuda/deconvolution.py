"""Deconvolution on the GPU: a convolution's gradient run forward, as matrix products and patches."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import numpy as np

from caffelite.cuda.kernel import Call
from caffelite.cuda.patches import Patches, objection, unmixed
from caffelite.cuda.products import ProductKernel
from caffelite.plan.kernel import Site


class CudaDeconvolution(ProductKernel):
    """y = what each x spreads over it through W, plus b."""

    def __init__(self, site: Site, device: Any):
        super().__init__(site, device)
        self.patches = Patches(self, self.layer.geometry, site.many("y")[0], site.many("x")[0])

    @classmethod
    def refuses(cls, site: Site) -> str:
        layer: Any = site.layer
        sides = site.many("x")[0], site.many("y")[0]
        found = [objection(layer.geometry, side) for side in sides]
        return found[0] or found[1] or unmixed(super().refuses(site))

    def compile_forward(self) -> list[Call]:
        calls: list[Call] = []
        for x, y in zip(self.arrays["x"], self.arrays["y"], strict=True):
            calls += self.patches.data(x, self.packed("W", *self.patches.order), y)
            if "b" in self.values:
                calls.append(self.each("add_columns", y.size, y, self.value("b"), np.int32(y.shape[1])))
        return calls

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
            calls += patches.correlate(dy, self.packed("W", *patches.order), dx)
        if self.site.learn.get("W", True):
            calls.append(self.weight_gradient("W", patches.weight_products(dy, x), *patches.order[1:]))
        if "b" in self.values and self.site.learn.get("b", True):
            channels = dy.shape[1]
            calls.append(self.bias_gradient("b", dy, dy.size // channels, channels))
        return calls


KERNELS = (CudaDeconvolution,)
