"""PReLU on the GPU."""

from __future__ import annotations

from caffelite.cuda.channels import ChannelKernel
from caffelite.cuda.kernel import Call
from caffelite.plan.kernel import Site
from caffelite.types import Shape


class CudaPReLU(ChannelKernel):
    """y = x where it is positive, W x elsewhere, with a slope for each channel or one for all."""

    @classmethod
    def place(cls, site: Site) -> tuple[Shape, int]:
        return site.layer.params[0].shape, 1

    def reads(self) -> frozenset[str]:
        return frozenset(["x"])

    def compile_forward(self) -> list[Call]:
        x, y = self.arrays["x"], self.arrays["y"]
        return [self.over("prelu", x.size, x, x, self.value("W"), y)]

    def compile_backward(self) -> list[Call]:
        x, dy, dx = (self.arrays[name] for name in ("x", "dy", "dx"))
        calls: list[Call] = []
        if self.learns("W"):
            parts, _ = self.room()
            calls += [self.sums(x, dy, (parts, None), negative=1), self.learn("W", parts)]
        if dx is not None:
            calls.append(self.over("prelu", dx.size, x, dy, self.value("W"), dx))
        return calls


KERNELS = (CudaPReLU,)
