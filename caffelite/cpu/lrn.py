"""LRN through oneDNN."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import (
    Call,
    OneDnnKernel,
    described,
    layer_of,
    without_kernel,
    workspace,
    workspace_memory,
)
from caffelite.cpu.onednn import Memory, MemoryDesc, PrimitiveDesc
from caffelite.cpu.onednn_types import Algorithm, Arg
from caffelite.layers.base import Layer, SavedSpec
from caffelite.plan.kernel import MIXED, Site, common_layout

SIZES = (3, 5)
"""Windows that oneDNN 3.2 gets right: with 1 it crashes, from 7 on it gives wrong gradients for some C."""


class OneDnnLRN(OneDnnKernel):
    """Across channels and within them; oneDNN divides alpha by the size of the window, as Caffe does."""

    def __init__(self, site: Site):
        super().__init__(site)
        self._desc = self._make(site)

    @classmethod
    def refuses(cls, site: Site) -> str:
        if objection := super().refuses(site):
            return objection
        if common_layout(site) is None:
            return MIXED
        if layer_of(site).p.local_size not in SIZES:
            return "oneDNN's gradient is wrong for this local_size"
        if objection := without_kernel(partial(cls._make, site)):
            return objection
        return without_kernel(partial(cls._gradient, site, cls._make(site))) if site.backward else ""

    @classmethod
    def _make(cls, site: Site) -> PrimitiveDesc:
        blob = cls._blob_desc(site)
        return primitives.lrn(cls._algorithm(site), blob, blob, *cls._constants(site), site.backward)

    @classmethod
    def _gradient(cls, site: Site, hint: PrimitiveDesc) -> PrimitiveDesc:
        blob = cls._blob_desc(site)
        kind, constants = cls._algorithm(site), cls._constants(site)
        return primitives.lrn_backward(kind, blob, blob, blob, *constants, hint)

    @staticmethod
    def _blob_desc(site: Site) -> MemoryDesc:
        return described(site.one("x"), common_layout(site))

    @staticmethod
    def _algorithm(site: Site) -> Algorithm:
        across = layer_of(site).axes == (1,)
        return Algorithm.LRN_ACROSS_CHANNELS if across else Algorithm.LRN_WITHIN_CHANNEL

    @staticmethod
    def _constants(site: Site) -> tuple[int, float, float, float]:
        layer = layer_of(site)
        return layer.p.local_size, layer.p.alpha, layer.beta, layer.k

    def saved(self) -> Sequence[SavedSpec]:
        return workspace(self._desc)

    def reads(self) -> frozenset[str]:
        return frozenset(["x", *(spec.name for spec in self.saved())])

    def compile_forward(self, post: Layer | None) -> list[Call]:
        memories = {Arg.SRC: self._blob("x"), Arg.DST: self._blob("y")}
        memories |= workspace_memory(self._desc, self.arrays)
        return [self._desc.bind(memories, self.scratch).run]

    def compile_backward(self) -> list[Call]:
        if self.arrays["dx"] is None:
            return []
        desc = self._gradient(self.site, self._desc)
        memories = {Arg.SRC: self._blob("x"), Arg.DIFF_SRC: self._blob("dx"), Arg.DIFF_DST: self._blob("dy")}
        memories |= workspace_memory(self._desc, self.arrays)
        return [desc.bind(memories, self.scratch).run]

    def _blob(self, name: str) -> Memory:
        return Memory(self._blob_desc(self.site), self.arrays[name])


KERNELS = (OneDnnLRN,)
