"""coord_map: offsets are those of the published FCN nets."""

# ruff: noqa: C408  (dict(...) is how such nets are written)
from __future__ import annotations

import numpy as np
import pytest

from caffelite import layers as L
from caffelite import params as P
from caffelite.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    conv_params,
    coord_map,
    coord_map_from_to,
    crop,
    crop_params,
    inverse,
)
from caffelite.net_spec import NetSpec, Top


def spec(ks=3, stride=1, pad=0, pool=2, dstride=2, dpad=0) -> NetSpec:
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 1, 100, 100]))
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=ks, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool, pad=0)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=2 * dstride, stride=dstride, pad=dpad)
    return n


def values(map_) -> tuple:
    axis, scale, shift = map_
    return axis, np.atleast_1d(scale).tolist(), np.atleast_1d(shift).tolist()


def test_maps_of_layers() -> None:
    data = L.Input()
    conv = L.Convolution(data, kernel_size=5, stride=2, pad=1, dilation=2)
    assert values(coord_map(conv.fn)) == (1, [0.5], [-1.5])
    assert values(coord_map(L.Pooling(data, kernel_size=3, stride=2).fn)) == (1, [0.5], [-0.5])
    assert values(coord_map(L.Im2col(data, convolution_param=dict(kernel_size=3, pad=1)).fn)) == (1, [1], [0])
    deconv = L.Deconvolution(data, convolution_param=dict(kernel_size=4, stride=2, pad=1))
    assert values(coord_map(deconv.fn)) == (1, [2], [0.5])
    for type_ in ("ReLU", "Dropout", "Power", "Sigmoid", "AbsVal", "Eltwise", "BatchNorm", "Clip", "Swish"):
        assert coord_map(getattr(L, type_)(data).fn) == (None, 1, 0)
    assert values(coord_map(L.Crop(data, data, axis=2, offset=7).fn)) == (1, [1], [-7])
    with pytest.raises(UndefinedMapException, match="InnerProduct layer: its coordinates are unrelated"):
        coord_map(L.InnerProduct(data).fn)


def test_conv_params() -> None:
    data = L.Input()
    axis, stride, kernel, pad = conv_params(
        L.Convolution(data, kernel_size=[3, 5], dilation=2, pad=[0, 1], axis=2).fn
    )
    assert (axis, stride.tolist(), kernel.tolist(), pad.tolist()) == (2, [1], [5, 9], [0, 1])
    _, _, kernel, _ = conv_params(L.Pooling(data, pooling_param=dict(kernel_size=3)).fn)
    assert kernel.tolist() == [3]
    with pytest.raises(
        AssertionError, match=r"does not support legacy _h/_w params \(kernel_h, kernel_w\)\n  Fix"
    ):
        conv_params(L.Convolution(data, kernel_h=3, kernel_w=5).fn)
    with pytest.raises(AssertionError, match="cropping needs its kernel_size"):
        conv_params(L.Pooling(data, global_pooling=True).fn)


def test_crop_params() -> None:
    data = L.Input()
    axis, offset = crop_params(L.Crop(data, data).fn)
    assert (axis, offset.tolist()) == (2, [0])
    axis, offset = crop_params(L.Crop(data, data, crop_param=dict(axis=1, offset=[4, 5])).fn)
    assert (axis, offset.tolist()) == (1, [4, 5])


def test_compose_and_inverse() -> None:
    assert compose((1, 2, 3), (1, 5, 7)) == (1, 10, 17)
    assert compose((None, 1, 0), (1, 5, 7)) == (1, 5, 7) == compose((1, 5, 7), (None, 1, 0))
    assert inverse((1, 4, 6)) == (1, 0.25, -1.5)
    assert compose((1, 4.0, 6.0), inverse((1, 4.0, 6.0))) == (1, 1, 0)
    with pytest.raises(AxisMismatchException, match="along axis 1 and along axis 2"):
        compose((1, 1, 0), (2, 1, 0))


def test_conv_pool_deconv() -> None:
    n = spec()
    assert values(coord_map_from_to(n.deconv, n.data)) == (1, [1], [0])
    n = spec(pool=4, dstride=4)
    assert values(coord_map_from_to(n.deconv, n.data)) == (1, [1], [-1])


@pytest.mark.parametrize(("pad", "dpad", "shift"), [(7, 0, -7), (0, 7, 7), (7, 7, 0)])
def test_padding(pad: int, dpad: int, shift: int) -> None:
    n = spec(pad=pad, dpad=dpad)
    assert values(coord_map_from_to(n.deconv, n.data)) == (1, [1], [shift])


def test_pointwise_layers_pass() -> None:
    n = spec()
    n.relu = L.ReLU(n.deconv)
    n.conv1x1 = L.Convolution(n.relu, num_output=10, kernel_size=1)
    for top in (n.relu, n.conv1x1):
        assert values(coord_map_from_to(top, n.data)) == (1, [1], [0])


def test_axes_of_their_own() -> None:
    n = spec(ks=[3, 5], stride=[1, 2], pad=[0, 10])
    _, scale, shift = coord_map_from_to(n.deconv, n.data)
    for axis, options in enumerate((dict(ks=3, stride=1, pad=0), dict(ks=5, stride=2, pad=10))):
        one = spec(**options)
        assert values(coord_map_from_to(one.deconv, one.data)) == (1, [scale[axis]], [shift[axis]])


def test_several_bottoms_and_tops() -> None:
    data, aux = L.Input(), L.Input()
    one, two = L.Convolution(data, aux, ntop=2, kernel_size=5, stride=2)
    assert values(coord_map_from_to(one, data)) == values(coord_map_from_to(two, aux)) == (1, [2], [2])


def test_through_a_crop() -> None:
    n = spec()
    n.crop = L.Crop(n.deconv, n.data, axis=2, offset=4)
    assert values(coord_map_from_to(n.crop, n.data)) == (1, [1], [4])


def test_many_ways_to_one_ancestor() -> None:
    top = data = L.Input()
    for _ in range(60):  # 2**60 ways
        top = L.Eltwise(top, L.ReLU(top))
    assert coord_map_from_to(top, data)[0] is None
    assert crop(top, data).fn.params == {"crop_param": {"axis": 2, "offset": [0]}}


def test_unconnected() -> None:
    n = spec()
    with pytest.raises(
        RuntimeError, match="Could not compute map between tops; are they connected by spatial layers"
    ):
        coord_map_from_to(L.InnerProduct(n.deconv), n.data)


def test_what_cannot_be_cropped() -> None:
    for options, text in (
        (dict(pool=3), "scale mismatch on crop"),
        (dict(dpad=10), "cannot crop negative"),
        (dict(ks=4, pad=9), "cannot crop noninteger"),
    ):
        n = spec(**options)
        with pytest.raises(AssertionError, match=text):
            crop(n.deconv, n.data)


def conv(bottom: Top, kernel: int, pad: int) -> Top:
    return L.ReLU(L.Convolution(bottom, num_output=8, kernel_size=kernel, pad=pad), in_place=True)


def upsampled(bottom: Top, kernel: int, stride: int) -> Top:
    return L.Deconvolution(bottom, convolution_param=dict(num_output=21, kernel_size=kernel, stride=stride))


def test_offsets_of_fcn() -> None:
    """FCN-32s crops at 19, FCN-16s at 5 and 27, FCN-8s at 9 and 31 (fcn.berkeleyvision.org)."""
    data = top = L.Input()
    pools = []
    for block, convolutions in enumerate((2, 2, 3, 3, 3)):
        for number in range(convolutions):
            top = conv(top, 3, 100 if block == number == 0 else 1)
        top = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=2, stride=2)
        pools.append(top)
    score = conv(L.Dropout(conv(top, 7, 0), in_place=True), 1, 0)
    score2 = upsampled(score, 4, 2)
    pool4 = crop(conv(pools[3], 1, 0), score2)
    fuse4 = L.Eltwise(score2, pool4)
    score4 = upsampled(fuse4, 4, 2)
    pool3 = crop(conv(pools[2], 1, 0), score4)
    crops = [
        crop(upsampled(score, 64, 32), data), pool4, crop(upsampled(fuse4, 32, 16), data), pool3,
        crop(upsampled(L.Eltwise(score4, pool3), 16, 8), data),
    ]  # fmt: skip
    assert [top.fn.params["crop_param"]["offset"] for top in crops] == [[19], [5], [27], [9], [31]]
    layer = crops[0].to_proto().layer[-1]
    assert (layer.type, layer.crop_param.axis, list(layer.crop_param.offset)) == ("Crop", 2, [19])
