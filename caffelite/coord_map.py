"""How the coordinates of two blobs of a NetSpec relate, and the Crop layer that aligns them.

A map is ``(axis, scale, shift)``: position ``i`` of a layer's bottom is position ``scale * i + shift`` of its top,
along all axes after ``axis``. Pointwise layers have the identity ``(None, 1, 0)``. Scales and shifts are numbers,
or arrays with one value for all axes or one for each.

Source: ``coord_map.py`` of BVLC Caffe; Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
Segmentation" (2015), which crops its scores by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from caffelite.errors import NetError
from caffelite.net_spec import Function, Top, layers, param_name_dict

Map = tuple[int | None, Any, Any]

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power",
    "ReLU", "PReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold",
]  # fmt: skip

_CONVOLUTIONS = ("Convolution", "Deconvolution", "Im2col")
_IDENTITY: Map = (None, 1, 0)


class UndefinedMapException(NetError):
    """A layer's tops have no fixed place in its bottoms' coordinates."""


class AxisMismatchException(NetError):
    """Two maps move different axes."""


class UnconnectedError(NetError, RuntimeError):
    """Two tops have no ancestor in common that spatial layers lead to."""


class CropError(NetError, AssertionError):
    """One top cannot be cropped to another. Also an ``AssertionError``, which is what pycaffe raises."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Channel axis, stride, kernel size (as dilation widens it) and pad of a layer with a moving window.

    Raises CropError for ``kernel_h`` and the like, and where there is no kernel size.
    """
    params = _params(fn)
    legacy = sorted({f"{what}_{side}" for what in ("pad", "kernel", "stride") for side in "hw"} & set(params))
    if legacy:
        fix = "kernel_size=[h, w], stride=[h, w], pad=[h, w]"
        raise CropError(
            f"{fn.type_name} layer: cropping does not support legacy _h/_w params ({', '.join(legacy)})\n  Fix: {fix}"
        )
    if "kernel_size" not in params:
        raise CropError(f"{fn.type_name} layer: cropping needs its kernel_size")
    kernel, dilation = _array(params["kernel_size"]), _array(params.get("dilation", 1))
    stride, pad = _array(params.get("stride", 1)), _array(params.get("pad", 0))
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """First axis (2 if none is given) and offsets of a Crop layer."""
    params = _params(fn)
    return params.get("axis", 2), _array(params.get("offset", 0))


def coord_map(fn: Function) -> Map:
    """The map of a layer, from its bottoms to its tops. Raises UndefinedMapException where there is none."""
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset  # maps count from the axis before the first that moves
    raise UndefinedMapException(
        f"{fn.type_name} layer: its coordinates are unrelated to those of its bottoms"
    )


def compose(base_map: Map, next_map: Map) -> Map:
    """The map of going through ``next_map`` and then ``base_map``. Raises AxisMismatchException."""
    (axis1, scale1, shift1), (axis2, scale2, shift2) = base_map, next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"cannot join maps along axis {axis1} and along axis {axis2}")
    axis = axis2 if axis1 is None else axis1
    return axis, scale1 * scale2, scale1 * shift2 + shift1


def inverse(coord_map: Map) -> Map:
    """The map of the way back, from tops to bottoms."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map between two tops of one net: up from the first to a common ancestor and down to the second.

    All ways up are taken to agree. Raises UnconnectedError if no spatial layers lead to a common ancestor.
    """
    from_maps = dict(_maps_up(top_from))
    for ancestor, to_map in _maps_up(top_to):
        if ancestor in from_maps:
            return compose(to_map, inverse(from_maps[ancestor]))
    raise UnconnectedError(
        "Could not compute map between tops; are they connected by spatial layers? "
        f"({top_from.fn.type_name} and {top_to.fn.type_name})"
    )


def crop(top_from: Top, top_to: Top) -> Any:
    """A Crop layer that cuts the first top to the size of the second, with the offset at which both align.

    Raises CropError where their scales differ, or where the offset is negative or no whole number.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    offset = -_array(shift)
    if np.any(scale != 1):
        raise CropError(f"scale mismatch on crop (a = {scale})")
    if np.any(offset < 0):
        raise CropError(f"cannot crop negative offset (b = {shift})")
    if np.any(np.round(offset) != offset):
        raise CropError(f"cannot crop noninteger offset (b = {shift})")
    first = 2 if axis is None else axis + 1
    return layers.Crop(top_from, top_to, crop_param={"axis": first, "offset": [int(i) for i in offset]})


def _maps_up(top: Top) -> Iterator[tuple[Top, Map]]:
    """Each ancestor that spatial layers lead to, with the map from it to ``top``; nearest first."""
    seen: set[Top] = {top}
    frontier: deque[tuple[Top, Map]] = deque([(top, _IDENTITY)])
    while frontier:
        found, map_ = frontier.popleft()
        yield found, map_
        bottoms = [bottom for bottom in _mapped_bottoms(found.fn) if bottom not in seen]
        with suppress(UndefinedMapException):
            frontier.extend((bottom, compose(map_, coord_map(found.fn))) for bottom in bottoms)
        seen.update(bottoms)


def _mapped_bottoms(fn: Function) -> Sequence[Top]:
    """All bottoms of a layer lie alike, but for Crop, whose second one only tells a size."""
    return fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs


def _params(fn: Function) -> Mapping[str, Any]:
    """The parameters of a layer's own message, given as keywords or as ``convolution_param=dict(...)``."""
    own = "convolution" if fn.type_name in _CONVOLUTIONS else param_name_dict().get(fn.type_name)
    nested = fn.params.get(f"{own}_param", {})
    return {**fn.params, **nested}


def _array(value: Any) -> np.ndarray:
    return np.array(value, ndmin=1)
