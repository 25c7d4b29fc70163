"""Convolution (and, by one flag, Deconvolution) through oneDNN.

Activations stay channels-last; weights and their gradients are packed as each pass likes best (the layouts of
forward, data gradient and weight gradient differ almost always). A blob in C order is copied to channels-last
first, and to bfloat16 where the plan multiplies in it; the copy of x is kept for the weight gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import (
    ACTIVATIONS,
    Call,
    OneDnnKernel,
    copy,
    described,
    layer_of,
    packed_gradient,
    packed_param,
    post_attributes,
    relu_alpha,
    without_kernel,
)
from caffelite.cpu.onednn import Array, Attributes, Memory, MemoryDesc, PrimitiveDesc
from caffelite.cpu.onednn_primitives import Window
from caffelite.cpu.onednn_types import Algorithm, Arg, DataType, Query
from caffelite.layers.base import Layer, SavedSpec
from caffelite.params import Param
from caffelite.plan.kernel import Site
from caffelite.types import count


class Filter:
    """The memories of a convolution or deconvolution, and its primitives.

    ``x`` and ``y`` are what the blobs are, ``x_read`` and ``dy_read`` what the products read (channels-last,
    float32 or bfloat16), ``y_written`` and ``dx_written`` what they write (channels-last, float32).
    """

    def __init__(self, site: Site, transposed: bool):
        x, y = site.many("x")[0], site.many("y")[0]
        self.transposed = transposed
        self.dtype = DataType.BF16 if site.precision == "bf16" else DataType.F32
        self.x, self.y = described(x), described(y)
        self.x_read = MemoryDesc.channels_last(x.shape, self.dtype)
        self.dy_read = MemoryDesc.channels_last(y.shape, self.dtype)
        self.y_written = MemoryDesc.channels_last(y.shape)
        self.dx_written = MemoryDesc.channels_last(x.shape)
        layer = layer_of(site)
        g = layer.geometry
        self.window = Window(g.kernel, g.stride, g.dilation, g.pad, g.pad)
        self.W = self._weights(layer.params[0].shape, g.group)
        self.b = None if "b" in layer.absent else MemoryDesc.of((y.shape[1],))

    def _weights(self, shape: tuple[int, ...], group: int) -> MemoryDesc:
        """Caffe's weights in oneDNN's axes ([G,] O, I, *K); a deconvolution's are stored ([G,] I, O, *K)."""
        desc = MemoryDesc.of(shape)
        if group > 1:
            desc = desc.reshape((group, shape[0] // group, *shape[1:]))
        if self.transposed:
            first = int(group > 1)
            axes = list(range(len(desc.shape)))
            axes[first], axes[first + 1] = first + 1, first
            desc = desc.transpose(axes)
        return desc

    def forward(self, attributes: Attributes | None = None) -> PrimitiveDesc:
        """y from x, W and b."""
        weights = MemoryDesc.any(self.W.shape, self.dtype)
        return primitives.convolution(
            *(self.x_read, weights, self.b, self.y_written, self.window, True),
            attributes=attributes,
            transposed=self.transposed,
        )

    def data(self) -> PrimitiveDesc:
        """dx from dy and W."""
        weights = MemoryDesc.any(self.W.shape, self.dtype)
        return primitives.convolution_data(self.dx_written, weights, self.dy_read, self.window, self._hint())

    def weights(self, bias: bool) -> PrimitiveDesc:
        """dW and db from x and dy."""
        weights, db = MemoryDesc.any(self.W.shape), self.b if bias else None
        return primitives.convolution_weights(
            self.x_read, weights, db, self.dy_read, self.window, self._hint()
        )

    def _hint(self) -> PrimitiveDesc:
        return self.forward()

    def objection(self, site: Site) -> str:
        """Which pass has no fast kernel."""
        passes: dict[str, Callable[[], PrimitiveDesc]] = {"forward": self.forward}
        if site.backward:
            passes |= {"data gradient": self.data} if any(site.propagate) else {}
            passes |= {"weight gradient": partial(self.weights, False)} if site.learn.get("W") else {}
        for name, make in passes.items():
            if objection := without_kernel(make):
                return f"{objection} ({name})"
        return ""


class OneDnnConvolution(OneDnnKernel):
    """Any number of bottoms (N, C, *S) with one to three spatial axes, grouped, dilated, strided, padded."""

    posts: ClassVar[tuple[str, ...]] = ACTIVATIONS
    transposed: ClassVar[bool] = False

    def __init__(self, site: Site):
        super().__init__(site)
        self._filter = Filter(site, self.transposed)
        self._staged = self._filter.x != self._filter.x_read
        self._learn_b = site.learn.get("b", False) and self._filter.b is not None

    @classmethod
    def refuses(cls, site: Site) -> str:
        geometry = layer_of(site).geometry
        if geometry.axis != 1 or len(geometry.kernel) not in (1, 2, 3):
            return "it takes (N, C, *S) with 1 to 3 spatial axes"
        if objection := super().refuses(site):
            return objection
        if site.backward and _fused_slope(site.layer) is not None:
            return "it has no gradient for relu: true"
        return Filter(site, cls.transposed).objection(site)

    def note(self) -> str:
        return "copies x" if self._staged else ""

    def saved(self) -> Sequence[SavedSpec]:
        if not self._staged:
            return ()
        dtype = "uint16" if self._filter.dtype is DataType.BF16 else "float"
        xs = self.site.many("x")
        return [SavedSpec(f"staged{i}", (count(x.shape),), dtype) for i, x in enumerate(xs)]

    def reads(self) -> frozenset[str]:
        if not self.site.learn.get("W", False):
            return frozenset()
        return frozenset(spec.name for spec in self.saved()) or frozenset(["x"])

    # -- forward ----------------------------------------------------------------------------------------

    def compile_forward(self, post: Layer | None) -> list[Call]:
        f = self._filter
        slope = _fused_slope(self.layer)
        own = None if slope is None else Attributes().add_eltwise(Algorithm.RELU, relu_alpha(slope))
        desc = f.forward(post_attributes(post, own))
        W = packed_param(self.params["W"], f.W, desc.desc(Query.WEIGHTS))
        memories = {Arg.WEIGHTS: W.memory}
        if f.b is not None:
            memories[Arg.BIAS] = Memory(f.b, self.params["b"].data)
        calls: list[Call] = [W.refresh]
        for i, (xi, yi) in enumerate(zip(self.arrays["x"], self.arrays["y"], strict=True)):
            x = self._x(i, xi)
            calls += [copy(Memory(f.x, xi), x)] if self._staged else []
            y, after = self._out(f.y, f.y_written, yi)
            calls.append(desc.bind(memories | {Arg.SRC: x, Arg.DST: y}, self.scratch).run)
            calls += after
        return calls

    def _x(self, i: int, xi: Array) -> Memory:
        """Bottom i as the products read it."""
        return Memory(self._filter.x_read, self.arrays[f"staged{i}"] if self._staged else xi)

    def _out(self, blob: MemoryDesc, written: MemoryDesc, array: Array) -> tuple[Memory, list[Call]]:
        """Where to write a blob, and what is to do afterwards if that is not the blob itself."""
        target = Memory(blob, array)
        if blob == written:
            return target, []
        temporary = written.empty()
        return temporary, [copy(temporary, target)]

    # -- backward ---------------------------------------------------------------------------------------

    def compile_backward(self) -> list[Call]:
        f = self._filter
        calls: list[Call] = []
        for i, (xi, dyi, dxi) in enumerate(
            zip(self.arrays["x"], self.arrays["dy"], self.arrays["dx"], strict=True)
        ):
            if dyi is None:
                calls += [] if dxi is None else [partial(dxi.fill, 0)]
                continue
            dy = Memory(f.y, dyi)
            if f.y != f.dy_read:
                dy = f.dy_read.empty()
                calls.append(copy(Memory(f.y, dyi), dy))
            calls += [] if dxi is None else self._data(dy, dxi)
            calls += self._weights(self._x(i, xi), dy, dyi)
        return calls

    def _data(self, dy: Memory, dx: Array) -> list[Call]:
        f = self._filter
        desc = f.data()
        W = packed_param(self.params["W"], f.W, desc.desc(Query.WEIGHTS))
        target, after = self._out(f.x, f.dx_written, dx)
        memories = {Arg.WEIGHTS: W.memory, Arg.DIFF_DST: dy, Arg.DIFF_SRC: target}
        return [W.refresh, desc.bind(memories, self.scratch).run, *after]

    def _weights(self, x: Memory, dy: Memory, dy_array: Array) -> list[Call]:
        if not self.site.learn.get("W", False):
            return [partial(_add_sums, self.params["b"], dy_array)] if self._learn_b else []
        f = self._filter
        desc = f.weights(self._learn_b)
        dW = packed_gradient(self.params["W"], f.W, desc.desc(Query.DIFF_WEIGHTS))
        memories = {Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_WEIGHTS: dW.memory}
        after: list[Call] = [dW.deliver]
        if self._learn_b and f.b is not None:
            db = packed_gradient(self.params["b"], f.b, f.b)
            memories[Arg.DIFF_BIAS] = db.memory
            after.append(db.deliver)
        return [desc.bind(memories, self.scratch).run, *after]


def _fused_slope(layer: Layer) -> float | None:
    """The negative slope of the ReLU that is a part of the layer itself, in Intel's fork; None if there is none."""
    return float(layer.p.negative_slope) if layer.type != "Deconvolution" and layer.p.relu else None


def _add_sums(b: Param, dy: Array) -> None:
    """The gradient of a bias alone, its weights being fixed."""
    b.grad[...] += dy.sum(axis=tuple(axis for axis in range(dy.ndim) if axis != 1))


KERNELS = (OneDnnConvolution,)
