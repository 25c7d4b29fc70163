"""Layers that move, cut, join and repeat elements."""

from __future__ import annotations

from caffelite.export.forms import form
from caffelite.export.tensors import Tensor
from caffelite.export.writer import Writer


@form("Split")
def split(to: Writer, x: Tensor) -> list[Tensor]:
    return [x] * len(to.tops)


@form("Silence")
def silence(to: Writer, x: list[Tensor]) -> list[Tensor]:
    return []


@form("Reshape")
def reshape(to: Writer, x: Tensor) -> Tensor:
    """A dim of 0 means the same to both. Axes behind the replaced ones are written out, they may have moved."""
    dims, ndim = tuple(to.p.shape.dim), len(x.known)
    start = to.p.axis if to.p.axis >= 0 else ndim + to.p.axis + 1
    end = ndim if to.p.num_axes == -1 else start + to.p.num_axes
    return to.reshape(x, (*(0,) * start, *dims, *x.dims[end:]))


@form("Flatten")
def flatten(to: Writer, x: Tensor) -> Tensor:
    start, end = to.p.axis % len(x.known), to.p.end_axis % len(x.known)
    if start > end:
        return to.op("Unsqueeze", x, (start,))
    return to.reshape(x, (*(0,) * start, -1, *x.dims[end + 1 :]))


@form("Concat")
def concat(to: Writer, x: list[Tensor]) -> Tensor:
    return to.op("Concat", *x, axis=to.layer.along) if len(x) > 1 else x[0]


@form("Slice")
def slice_(to: Writer, x: Tensor) -> list[Tensor]:
    if len(to.tops) == 1:
        return [x]
    to.fixed(x, [to.layer.along], "cuts")
    return to.ops("Split", len(to.tops), x, to.layer.sizes, axis=to.layer.along)


@form("Crop")
def crop(to: Writer, x: Tensor, like: Tensor) -> Tensor:
    cut = [i for i, part in enumerate(to.layer.window) if (part.start, part.stop) != (0, x.known[i])]
    to.fixed(x, cut, "crops")
    if not cut:
        return x
    starts, ends = [to.layer.window[i].start for i in cut], [to.layer.window[i].stop for i in cut]
    return to.op("Slice", x, starts, ends, cut)


@form("Tile")
def tile(to: Writer, x: Tensor) -> Tensor:
    repeats = [to.p.tiles if axis == to.layer.along else 1 for axis in range(len(x.known))]
    return to.op("Tile", x, repeats)


@form("ArgMax")
def arg_max(to: Writer, x: Tensor) -> Tensor:
    if to.p.HasField("axis"):
        axis = to.p.axis % len(x.known)
        if to.p.top_k == 1 and not to.p.out_max_val:
            index = to.op("ArgMax", x, axis=axis, keepdims=1, select_last_index=1)
            return to.cast(index, "float32")
        to.fixed(x, [axis])
        values, index = _largest(to, x, axis, x.known[axis])
        return values if to.p.out_max_val else index
    to.fixed(x, range(1, len(x.known)))
    flat = to.op("Flatten", x, axis=1)
    values, index = _largest(to, flat, 1, _items(x))
    rows = to.op("Unsqueeze", index, (1,))
    if to.p.out_max_val:
        rows = to.op("Concat", rows, to.op("Unsqueeze", values, (1,)), axis=1)
    return to.like_top(rows)


def _largest(to: Writer, x: Tensor, axis: int, size: int) -> list[Tensor]:
    """Values and indices of the top_k largest. Of equal ones Caffe takes the last first, TopK the first: turn x round."""
    turned = to.op("Slice", x, (-1,), (-size - 1,), (axis,), (-1,))
    values, index = to.ops("TopK", 2, turned, (to.p.top_k,), axis=axis)
    return [values, to.op("Sub", float(size - 1), to.cast(index, "float32"))]


def _items(x: Tensor) -> int:
    size = 1
    for dim in x.known[1:]:
        size *= dim
    return size


@form("Permute")
def permute(to: Writer, x: Tensor) -> Tensor:
    return to.op("Transpose", x, perm=list(to.layer.order))


@form("ShuffleChannel")
def shuffle_channel(to: Writer, x: Tensor) -> Tensor:
    group = to.p.group
    to.fixed(x, [1])
    dealt = to.reshape(x, (0, group, x.known[1] // group, -1))
    return to.like_top(to.op("Transpose", dealt, perm=[0, 2, 1, 3]))


@form("Reorg")
def reorg(to: Writer, x: Tensor) -> Tensor:
    to.fixed(x, (1, 2, 3))
    inner = to.reshape(x, (0, *to.layer.inner[1:]))
    return to.like_top(to.op("Transpose", inner, perm=list(to.layer.order)))


@form("BatchReindex")
def batch_reindex(to: Writer, x: Tensor, index: Tensor) -> Tensor:
    return to.op("Gather", x, to.cast(index, "int64"), axis=0)


@form("Filter")
def filter_(to: Writer, x: list[Tensor], selector: Tensor) -> list[Tensor]:
    keep = to.cast(to.reshape(selector, (-1,)), "bool")
    return [to.op("Compress", xi, keep, axis=0) for xi in x]
