"""Scale by one learned factor a channel, through oneDNN.

The gradient is that of a batch normalization with fixed statistics, mean 0 and variance 1: it gives dx, dW
and db in two passes over memory.
"""

from __future__ import annotations

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.batch_norm import standard
from caffelite.cpu.kernel import (
    ACTIVATIONS,
    Call,
    OneDnnKernel,
    described,
    layer_of,
    packed_gradient,
    post_attributes,
)
from caffelite.cpu.onednn import Attributes, Memory, MemoryDesc
from caffelite.cpu.onednn_types import Algorithm, Arg, Normalization, Prop
from caffelite.layers.base import Layer
from caffelite.plan.kernel import MIXED, Site, common_layout


class OneDnnScale(OneDnnKernel):
    """y = x * W + b, W and b along axis 1."""

    inplace = True
    posts = ACTIVATIONS

    def __init__(self, site: Site):
        super().__init__(site)
        x = site.one("x")
        self._desc = described(x, common_layout(site))
        self._channels = MemoryDesc.of((x.shape[1],))
        self._along = MemoryDesc.of((1, x.shape[1], *(1,) * (len(x.shape) - 2)))
        self._learned = [
            name for name, learn in site.learn.items() if learn and name not in site.layer.absent
        ]

    @classmethod
    def refuses(cls, site: Site) -> str:
        if site.many("scale"):
            return "its scale is a bottom"
        if objection := super().refuses(site):
            return objection
        layer, x = layer_of(site), site.one("x").shape
        if len(x) not in range(2, 6) or layer.start != 1 or layer.params[0].shape != (x[1],):
            return "its scale does not lie along axis 1 of 2 to 5"
        return "" if common_layout(site) else MIXED

    def reads(self) -> frozenset[str]:
        return frozenset(["x"] if "W" in self._learned else [])

    def compile_forward(self, post: Layer | None) -> list[Call]:
        attributes, memories = Attributes(), {Arg.SRC: self._blob("x"), Arg.DST: self._blob("y")}
        more: dict[int, Memory] = {Arg.SRC_1: Memory(self._along, self.params["W"].data)}
        if "b" not in self.layer.absent:
            attributes.add_binary(Algorithm.BINARY_ADD, self._along)
            more[Arg.POST_OP_BASE | Arg.SRC_1] = Memory(self._along, self.params["b"].data)
        attributes = post_attributes(post, attributes)
        desc = primitives.binary(Algorithm.BINARY_MUL, self._desc, self._along, self._desc, attributes)
        return [desc.bind({**memories, **more}, self.scratch).run]

    def compile_backward(self) -> list[Call]:
        if self._learned:
            return self._all_gradients()
        return [] if self.arrays["dx"] is None else [self._data()]

    def _data(self) -> Call:
        desc = primitives.binary(Algorithm.BINARY_MUL, self._desc, self._along, self._desc)
        memories = {Arg.SRC: self._blob("dy"), Arg.DST: self._blob("dx")}
        memories[Arg.SRC_1] = Memory(self._along, self.params["W"].data)
        return desc.bind(memories, self.scratch).run

    def _all_gradients(self) -> list[Call]:
        blob = self._desc
        flags = Normalization.SCALE | Normalization.SHIFT | Normalization.GLOBAL_STATS
        hint = primitives.batch_normalization(blob, blob, 0.0, flags, True)
        desc = primitives.batch_normalization_backward(Prop.BACKWARD, blob, blob, blob, 0.0, flags, hint)
        left = {
            name: packed_gradient(self.params[name], self._channels, self._channels) for name in self._learned
        }
        memories = {
            Arg.SRC: self._blob("x" if "W" in self._learned else "dy"),  # read for dW alone
            Arg.DIFF_DST: self._blob("dy"),
            Arg.DIFF_SRC: blob.empty() if self.arrays["dx"] is None else self._blob("dx"),
            Arg.SCALE: Memory(self._channels, self.params["W"].data),
            Arg.DIFF_SCALE: left["W"].memory if "W" in left else self._channels.empty(),
            Arg.DIFF_SHIFT: left["b"].memory if "b" in left else self._channels.empty(),
            **standard(self._channels),
        }
        return [desc.bind(memories, self.scratch).run, *(gradient.deliver for gradient in left.values())]

    def _blob(self, name: str) -> Memory:
        return Memory(self._desc, self.arrays[name])


KERNELS = (OneDnnScale,)
