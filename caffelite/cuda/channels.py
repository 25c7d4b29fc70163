"""What layers share that have numbers along some axes of a blob: where these lie in memory, and sums over the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from caffelite.cuda.device import Device
from caffelite.cuda.kernel import Call, CudaKernel
from caffelite.cuda.scratch import scratch
from caffelite.plan.kernel import CHANNELS_LAST, Operand, Site
from caffelite.types import Shape

_PARTS = 1 << 17  # sums in the first of two launches: threads enough for a GPU
_VALUES = 16, 512  # the least and the most values of one such sum
_FEW = 16  # parts that one thread may add up instead of a block
_LANES = 32  # neighbours in memory that go to neighbouring threads


@dataclass(frozen=True)
class Along:
    """A blob's memory as (items, outer, C, inner), and numbers (items, C) along it."""

    items: int
    outer: int
    C: int
    inner: int

    @property
    def channels(self) -> int:
        """How many numbers lie along the blob."""
        return self.items * self.C

    @property
    def values(self) -> int:
        """How many values of the blob each number has."""
        return self.outer * self.inner

    @property
    def sizes(self) -> tuple[Any, ...]:
        """Arguments of kernels."""
        return np.int32(self.items), np.int64(self.outer), np.int32(self.C), np.int64(self.inner)

    @property
    def lanes(self) -> int:
        """How many threads share a chunk of a channel's values in a sum."""
        return min(self.inner, _LANES)

    @property
    def chunk(self) -> int:
        """The values of a channel that these threads add up."""
        least, most = _VALUES
        return self.lanes * min(max(-(-self.channels * self.values // _PARTS), least), most)

    @property
    def chunks(self) -> int:
        """How many chunks a channel has."""
        return -(-self.values // self.chunk)

    @property
    def parts(self) -> int:
        """Partial sums of all channels."""
        return self.chunks * self.channels * self.lanes


def along(x: Operand, shape: Shape, start: int) -> Along | None:
    """How numbers of a shape, C-ordered and on x's axes from ``start`` on, lie in x's memory; None if not together."""
    order = [0, 2, 3, 1] if x.layout == CHANNELS_LAST else list(range(len(x.shape)))
    order = [axis for axis in order if x.shape[axis] > 1]
    axes = [axis for axis in range(start, start + len(shape)) if axis in order]
    places = [order.index(axis) for axis in axes]
    sizes = [x.shape[axis] for axis in order]
    if not places:
        return Along(1, 1, 1, prod(sizes))
    if places == list(range(places[0], places[-1] + 1)):
        return Along(1, prod(sizes[: places[0]]), prod(shape), prod(sizes[places[-1] + 1 :]))
    if axes == [0, 1]:  # of a channels-last blob
        return Along(sizes[0], prod(sizes[1:-1]), sizes[-1], 1)
    return None


APART = "the axes that it has numbers for do not lie together in memory"


class ChannelKernel(CudaKernel):
    """A kernel with numbers along the blob x."""

    source = "channels"
    inplace = True

    def __init__(self, site: Site, device: Device):
        super().__init__(site, device)
        found = along(site.one("x"), *self.place(site))
        if found is None:
            raise ValueError(APART)
        self.along: Along = found

    @classmethod
    def place(cls, site: Site) -> tuple[Shape, int]:
        """The shape of the numbers, and x's axis that they start on."""
        raise NotImplementedError

    @classmethod
    def refuses(cls, site: Site) -> str:
        if objection := super().refuses(site):
            return objection
        return "" if along(site.one("x"), *cls.place(site)) else APART

    def over(self, name: str, size: int, *arguments: Any) -> Call:
        """A launch over all elements; the kernel's last arguments say how numbers lie along them."""
        return self.each(name, size, *arguments, *self.along.sizes)

    def parts(self, name: str, *arguments: Any) -> Call:
        """The first launch of a sum."""
        at = self.along
        return self.each(name, at.parts, *arguments, *at.sizes, np.int32(at.lanes), np.int64(at.chunk))

    def gather(self, name: str, *arguments: Any) -> Call:
        """The second launch of a sum: a block a channel."""
        threads = 256 if self.along.chunks * self.along.lanes > 128 else 32
        return self.launch(name, self.along.channels, threads, *arguments)

    def room(self) -> tuple[Any, Any]:
        """Memory for two sums of each part."""
        n = self.along.parts
        memory = scratch(self.device, "parts", 2 * n)
        return memory[:n], memory[n : 2 * n]

    def total(self, parts: Any, sums: Any, add: np.int32, factor: float = 1.0) -> Call:
        """The launch that puts partial sums together, each times ``factor``."""
        at = self.along
        lanes, chunks = np.int32(at.lanes), np.int64(at.chunks)
        constants = add, np.float32(factor), lanes, chunks
        if lanes * chunks <= _FEW:
            return self.each("add_few_parts", at.channels, parts, sums, *constants)
        return self.gather("add_parts", parts, sums, *constants)

    def sums(self, x: Any, dy: Any, into: Sequence[Any], *normal: Any, negative: int = 0) -> Call:
        """Partial sums of dy times x and of dy, ``into`` two arrays; None for one that is not wanted.

        ``normal``: mean and 1 / deviation that x is normalized with first.
        """
        center, inverse = normal or (None, None)
        return self.parts("sum_parts", x, center, inverse, dy, *into, np.int32(negative))

    def learn(self, name: str, parts: Any) -> Call:
        """A parameter's gradient from partial sums."""
        return self.adding(name, lambda array, add: self.total(parts, array, add))

    def learns(self, name: str) -> bool:
        """Whether the layer has a parameter and its gradient is wanted."""
        return name in self.values and self.site.learn.get(name, True)

    def optional(self, name: str) -> Any:
        """A parameter, or None if the layer is without it."""
        return self.value(name) if name in self.values else None
