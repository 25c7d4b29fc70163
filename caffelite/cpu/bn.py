"""BN through oneDNN."""

from __future__ import annotations

from caffelite.cpu.kernel import layer_of
from caffelite.cpu.normalization import OneDnnScaledNorm
from caffelite.cpu.onednn import Array
from caffelite.plan.kernel import Site


class OneDnnBN(OneDnnScaledNorm):
    """BN of PSPNet, SegNet and ParseNet, with one pair of statistics a channel."""

    @classmethod
    def refuses(cls, site: Site) -> str:
        layer = layer_of(site)
        if layer.affine:
            return "it has no statistics"
        if layer.each_place:
            return "its statistics are kept for each place"
        if len(layer.spec.top) > 1:
            return "its statistics are tops"
        if layer.frozen and site.backward:
            return "it is frozen, and its gradient one product"
        return super().refuses(site)

    @property
    def fixed(self) -> bool:
        return bool(self.layer.fixed)

    def running(self) -> tuple[Array, Array]:
        return self.params["mean"].data, self.params["variance"].data

    def update(self, mean: Array, variance: Array) -> None:
        if self.layer.averages:
            stored = [self.params[name].data for name in ("mean", "variance")]
            self.layer.update(list(zip(stored, (mean, variance), strict=True)))


KERNELS = (OneDnnBN,)
