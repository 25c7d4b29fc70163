"""Pooling through oneDNN: maxima, and those averages whose divisor it can count as Caffe does.

Caffe divides by the part of a window that lies inside the padded image. oneDNN divides either by the whole
window, which is the same if no window reaches beyond the padding, or by the part inside the image, which is
the same if there is no padding.
"""

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
from caffelite.cpu.onednn import Memory, PrimitiveDesc
from caffelite.cpu.onednn_types import Algorithm, Arg
from caffelite.layers._windows import Windows
from caffelite.layers.base import Layer, SavedSpec
from caffelite.plan.kernel import MIXED, Site, common_layout


def padding_after(windows: Windows) -> tuple[int, ...]:
    """Places beyond the image that the last window of an axis needs; negative if it ends before."""
    axes = zip(windows.out, windows.stride, windows.kernel, windows.sizes, windows.pad, strict=True)
    return tuple((out - 1) * stride + kernel - size - pad for out, stride, kernel, size, pad in axes)


def averages_as_caffe(windows: Windows) -> bool:
    """Whether one of oneDNN's two divisors is Caffe's."""
    return _inside_padding(windows) or not any(windows.pad)


def _inside_padding(windows: Windows) -> bool:
    return all(after <= pad for after, pad in zip(padding_after(windows), windows.pad, strict=True))


def algorithm(site: Site) -> Algorithm:
    """oneDNN's algorithm for a Pooling layer."""
    layer = layer_of(site)
    if layer.method == "MAX":
        return Algorithm.POOLING_MAX
    if _inside_padding(layer.windows):
        return Algorithm.POOLING_AVERAGE_WITH_PADDING
    return Algorithm.POOLING_AVERAGE_WITHOUT_PADDING


class OneDnnPooling(OneDnnKernel):
    """MAX and AVE over (N, C, *S); the winners of MAX are kept as one byte a window."""

    def __init__(self, site: Site):
        super().__init__(site)
        self._desc = self._make(site)

    @classmethod
    def refuses(cls, site: Site) -> str:
        layer = layer_of(site)
        if layer.method == "STOCHASTIC" or site.many("mask"):
            return "it has no STOCHASTIC and no mask"
        if objection := super().refuses(site):
            return objection
        windows = layer.windows
        if len(windows.kernel) > 3:
            return "oneDNN pools at most 3 spatial axes"
        if any(after >= k for after, k in zip(padding_after(windows), windows.kernel, strict=True)):
            return "a window lies outside the image"
        if layer.method == "AVE" and not averages_as_caffe(windows):
            return "windows reach beyond the padding, where Caffe's divisor differs"
        if common_layout(site) is None:
            return MIXED
        return without_kernel(partial(cls._make, site))

    @staticmethod
    def _window(site: Site) -> primitives.Window:
        w = layer_of(site).windows
        return primitives.Window(w.kernel, w.stride, (1,) * len(w.kernel), w.pad, padding_after(w))

    @classmethod
    def _make(cls, site: Site) -> PrimitiveDesc:
        x, y = (described(site.one(name), common_layout(site)) for name in "xy")
        return primitives.pooling(algorithm(site), x, y, cls._window(site), site.backward)

    def saved(self) -> Sequence[SavedSpec]:
        return workspace(self._desc)

    def reads(self) -> frozenset[str]:
        return frozenset(spec.name for spec in self.saved())

    def compile_forward(self, post: Layer | None) -> list[Call]:
        memories = {Arg.SRC: self._blob("x"), Arg.DST: self._blob("y")}
        memories |= workspace_memory(self._desc, self.arrays)
        return [self._desc.bind(memories, self.scratch).run]

    def compile_backward(self) -> list[Call]:
        if self.arrays["dx"] is None:
            return []
        dx, dy = self._blob("dx"), self._blob("dy")
        window, kind = self._window(self.site), algorithm(self.site)
        desc = primitives.pooling_backward(kind, dx.desc, dy.desc, window, self._desc)
        memories = {Arg.DIFF_SRC: dx, Arg.DIFF_DST: dy, **workspace_memory(self._desc, self.arrays)}
        return [desc.bind(memories, self.scratch).run]

    def _blob(self, name: str) -> Memory:
        operand = self.site.one(name.removeprefix("d"))  # dx lies as x does
        desc = described(operand, common_layout(self.site))
        return Memory(desc, self.arrays[name])


KERNELS = (OneDnnPooling,)
