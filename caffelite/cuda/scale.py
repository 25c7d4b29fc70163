"""Scale and Bias on the GPU: learned numbers, or those of a second bottom, along some axes of the first."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from caffelite.cuda.channels import ChannelKernel
from caffelite.cuda.kernel import Call
from caffelite.plan.kernel import Site
from caffelite.types import Shape


class CudaAffine(ChannelKernel):
    """y = x * scale + shift; either may be missing."""

    names: ClassVar[dict[str, str]] = {}  # a learned parameter or a second bottom -> "scale" or "shift"
    second: ClassVar[str]  # the second bottom

    @classmethod
    def place(cls, site: Site) -> tuple[Shape, int]:
        layer: Any = site.layer
        bottoms = site.many(cls.second)
        return (bottoms[0] if bottoms else layer.params[0]).shape, layer.start

    def compile_forward(self) -> list[Call]:
        x, y = self.arrays["x"], self.arrays["y"]
        return [self.over("affine", x.size, x, None, None, self._operand("scale"), self._operand("shift"), y)]

    def compile_backward(self) -> list[Call]:
        dx, calls = self.arrays["dx"], self._sums()
        if dx is not None:
            dy, scale = self.arrays["dy"], self._operand("scale")
            calls.append(self.over("affine", dx.size, dy, None, None, scale, None, dx))
        return calls

    def _operand(self, role: str) -> Any:
        """What scales or shifts; None if nothing does."""
        for name in (name for name, known in self.names.items() if known == role):
            found = self.optional(name) if name != self.second else self.arrays.get(name)
            if found is not None:
                return found
        return None

    def _sums(self) -> list[Call]:
        """The gradients of what scales and shifts."""
        wanted = {name: role for name, role in self.names.items() if self._wanted(name)}
        if not wanted:
            return []
        parts = dict(zip(("scale", "shift"), self.room(), strict=True))
        used = [part if role in wanted.values() else None for role, part in parts.items()]
        x = None if used[0] is None else self.arrays["x"]
        calls = [self.sums(x, self.arrays["dy"], used)]
        for name, role in wanted.items():
            if name == self.second:
                calls.append(self.total(parts[role], self.arrays[f"d{name}"], np.int32(0)))
            else:
                calls.append(self.learn(name, parts[role]))
        return calls

    def _wanted(self, name: str) -> bool:
        return self.arrays.get(f"d{name}") is not None if name == self.second else self.learns(name)


class CudaScale(CudaAffine):
    """y = x * scale + b."""

    names: ClassVar[dict[str, str]] = {"W": "scale", "scale": "scale", "b": "shift"}
    second = "scale"

    def reads(self) -> frozenset[str]:
        if self.site.many("scale"):
            return frozenset(["x", "scale"])
        return frozenset(["x"] if self.site.learn.get("W", True) else [])


KERNELS = (CudaScale,)
