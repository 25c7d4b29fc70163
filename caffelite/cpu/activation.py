"""What ReLU, Sigmoid and TanH share: one oneDNN primitive over all elements, in place if the plan wants."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import Call, OneDnnKernel, flat
from caffelite.cpu.onednn import Memory
from caffelite.cpu.onednn_types import Algorithm, Arg
from caffelite.layers.base import Layer
from caffelite.plan.kernel import MIXED, Site, common_layout


class OneDnnActivation(OneDnnKernel):
    """y = f(x) element by element; the gradient reads y."""

    inplace = True
    algorithm: ClassVar[Algorithm]
    from_dst: ClassVar[Algorithm]

    def __init__(self, site: Site):
        super().__init__(site)
        self._desc = flat(site)

    @classmethod
    def refuses(cls, site: Site) -> str:
        return super().refuses(site) or ("" if common_layout(site) else MIXED)

    def alpha(self) -> float:
        """The function's constant."""
        return 0.0

    def beta(self) -> float:
        """The function's second constant."""
        return 0.0

    def forward_alpha(self) -> float:
        """The constant to give to the forward pass."""
        return self.alpha()

    def reads(self) -> frozenset[str]:
        return frozenset(["y"])

    def compile_forward(self, post: Layer | None) -> list[Call]:
        desc = primitives.eltwise(
            self.algorithm, self._desc, self._desc, self.forward_alpha(), self.beta(), False
        )
        return [desc.bind({Arg.SRC: self._blob("x"), Arg.DST: self._blob("y")}, self.scratch).run]

    def compile_backward(self) -> list[Call]:
        if self.arrays["dx"] is None:
            return []
        reads_y = "y" in self.reads()
        kind, blob = (self.from_dst if reads_y else self.algorithm), self._desc
        hint = primitives.eltwise(kind, blob, blob, self.alpha(), self.beta(), True)
        desc = primitives.eltwise_backward(kind, blob, blob, blob, self.alpha(), self.beta(), hint)
        data = {Arg.DST: self._blob("y")} if reads_y else {Arg.SRC: self._blob("x")}
        memories = {**data, Arg.DIFF_SRC: self._blob("dx"), Arg.DIFF_DST: self._blob("dy")}
        return [desc.bind(memories, self.scratch).run]

    def _blob(self, name: str) -> Memory:
        return Memory(self._desc, self.arrays[name])
