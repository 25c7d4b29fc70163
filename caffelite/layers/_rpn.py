"""What the layers of Faster R-CNN share: reading their parameters, and whose errors they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from caffelite.boxes.blobs import Anchors
from caffelite.errors import CaffeliteError, DataError, NotFiniteError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape


def decimal(value: float) -> float:
    """The number that the prototxt says: 0.3 is no float32, and overlaps of exactly 0.3 are compared with it."""
    return float(str(np.float32(value)))


def decimals(values: Iterable[float]) -> list[float]:
    return [decimal(value) for value in values]


def read_anchors(layer: Layer) -> Anchors:
    """The anchors of ``feat_stride``, ``base_size``, ``ratio`` and ``scale``. Raises NetError for what is not positive."""
    p = layer.p
    for field in ("feat_stride", "base_size"):
        if getattr(p, field) < 1:
            raise layer.error(f"{field} >= 1", getattr(p, field), field=field)
    for field in ("ratio", "scale"):
        if not all(value > 0 for value in getattr(p, field)):
            raise layer.error(f"{field}s above 0", list(getattr(p, field)), field=field)
    return Anchors.made(p.feat_stride, p.base_size, decimals(p.ratio), decimals(p.scale))


def four(layer: Layer, field: str, default: float) -> list[float]:
    """A field of four numbers. Raises NetError for another number of them."""
    values = decimals(getattr(layer.p, field)) or [default] * 4
    if len(values) != 4:
        raise layer.error(f"four times {field}", len(values), field=field)
    return values


def check_share(layer: Layer, *fields: str) -> None:
    """Raises NetError for a field that is no number from 0 to 1."""
    for field in fields:
        if not 0 <= getattr(layer.p, field) <= 1:
            raise layer.error(f"{field} from 0 to 1", decimal(getattr(layer.p, field)), field=field)


def check_map(layer: Layer, what: str, shape: Shape, channels: int, anchors: Anchors) -> None:
    """Raises ShapeError for a map that has not so many channels for each anchor."""
    if len(shape) != 4 or shape[1] != channels * len(anchors):
        expected = f"{what} (N, {channels * len(anchors)}, H, W), {channels} channels for each of {len(anchors)} anchors"
        raise layer.shape_error(expected, f"{what}={shape}", "let ratio and scale say the anchors of the net")


def check_info(layer: Layer, im_info: Shape, items: int) -> None:
    """Raises ShapeError unless im_info has a row of at least two numbers for each image."""
    if len(im_info) < 2 or im_info[0] != items or im_info[1] < 2:
        raise layer.shape_error(f"im_info ({items}, 3), rows of height, width, scale", f"im_info={im_info}")


def check_gt(layer: Layer, gt: Shape) -> None:
    """Raises ShapeError for boxes that are no rows of 5 or 6 numbers."""
    if len(gt) < 2 or gt[1] not in (5, 6):
        expected = "gt (G, 5), rows of x1, y1, x2, y2, label, or (G, 6) with the image's number first"
        raise layer.shape_error(expected, f"gt={gt}")


@contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Puts the layer before the message of an error about its bottoms' values."""
    try:
        yield
    except (DataError, NotFiniteError) as error:
        named: type[CaffeliteError] = type(error)
        raise named(layer_message(layer.name, layer.type, layer.location(), str(error))) from error
