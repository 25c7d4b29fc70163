"""Backbones: what makes a map of an image, and what reads a region of it.

Layers have the names of the published classifiers and detectors, because weights are matched by name. ``crop`` asks for
the form that the classifier was trained in, for R-CNN's windows: its paddings, and all of it learns. The detectors pad so
that maps of whole images keep in step with the stride, and leave the first layers as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from caffelite.detection.recipes.writer import MSRA, XAVIER, NetText, gaussian
from caffelite.prototxt.compose import Enum, Fields


@dataclass(frozen=True)
class Arch:
    """A backbone. ``body``: (net, image, crop) -> map; ``head``: (net, region) -> features."""

    title: str
    body: Callable[[NetText, str, bool], str]
    head: Callable[[NetText, str], str]
    channels: int  # of the map
    stride: int  # pixels of the image from one position of the map to the next
    pooled: int  # positions of a side of a pooled region
    rpn: int  # channels of the region proposal network
    crop: int  # pixels of a side of R-CNN's windows
    pad: int  # pixels of context in them
    crop_pool: int = 0  # kernel of the pooling between map and head of R-CNN; its stride is 2
    weights: str = ""  # the published weights to start from
    rpn_layers: tuple[str, str, str] = (
        "rpn_conv/3x3",
        "rpn_relu/3x3",
        "rpn/output",
    )  # convolution, ReLU, their blob


def _tiny_body(net: NetText, x: str, crop: bool) -> str:
    x = net.layer("unit", "Power", x, fields={"power_param": {"scale": 1 / 64}})  # pixels to about -2 .. 2
    for i, channels in enumerate((16, 32, 64, 64), 1):
        x = net.conv(f"conv{i}", x, {"num_output": channels, "kernel_size": 3, "pad": 1}, MSRA)
        x = net.relu(f"relu{i}", x)
        if i < 4:
            x = net.pool(f"pool{i}", x, 2, 2)
    return x


def _tiny_head(net: NetText, x: str) -> str:
    return net.relu("relu6", net.fc("fc6", x, 128, MSRA))


def _fc_head(fc7: int = 4096, **dropout: object) -> Callable[[NetText, str], str]:
    def head(net: NetText, x: str) -> str:
        for i, outputs in ((6, 4096), (7, fc7)):
            x = net.relu(f"relu{i}", net.fc(f"fc{i}", x, outputs, gaussian(0.005), 0.1))
            x = net.dropout(f"drop{i}", x, **dropout)
        return x

    return head


def _conv(net: NetText, i: int, x: str, channels: int, kernel: int = 3, **fields: int) -> str:
    fields = {"num_output": channels, "kernel_size": kernel, **fields}
    return net.relu(f"relu{i}", net.conv(f"conv{i}", x, fields, gaussian(0.01)))


def _lrn(net: NetText, name: str, x: str, size: int, alpha: float, **fields: object) -> str:
    message = {"local_size": size, "alpha": alpha, "beta": 0.75, **fields}
    return net.layer(name, "LRN", x, fields={"lrn_param": message})


def _caffenet_body(net: NetText, x: str, crop: bool) -> str:
    pad = 0 if crop else 1
    with net.frozen(not crop):
        x = _conv(net, 1, x, 96, 11, pad=5 * pad, stride=4)
    x = _lrn(net, "norm1", net.pool("pool1", x, 3, 2, pad), 5, 0.0001)
    x = _conv(net, 2, x, 256, 5, pad=2, group=2)
    x = _lrn(net, "norm2", net.pool("pool2", x, 3, 2, pad), 5, 0.0001)
    x = _conv(net, 3, x, 384, pad=1)
    x = _conv(net, 4, x, 384, pad=1, group=2)
    return _conv(net, 5, x, 256, pad=1, group=2)


def _vgg_cnn_m_body(net: NetText, x: str, crop: bool) -> str:
    with net.frozen(not crop):
        x = _conv(net, 1, x, 96, 7, stride=2)
    x = net.pool("pool1", _lrn(net, "norm1", x, 5, 0.0005, k=2), 3, 2)
    x = _conv(net, 2, x, 256, 5, pad=1, stride=2)
    x = net.pool("pool2", _lrn(net, "norm2", x, 5, 0.0005, k=2), 3, 2)
    for i in (3, 4, 5):
        x = _conv(net, i, x, 512, pad=1)
    return x


def _zf_body(net: NetText, x: str, crop: bool) -> str:
    within = {"norm_region": Enum("WITHIN_CHANNEL")}
    x = _conv(net, 1, x, 96, 7, pad=1 if crop else 3, stride=2)
    x = net.pool("pool1", _lrn(net, "norm1", x, 3, 0.00005, **within), 3, 2, 0 if crop else 1)
    x = _conv(net, 2, x, 256, 5, pad=0 if crop else 2, stride=2)
    x = net.pool("pool2", _lrn(net, "norm2", x, 3, 0.00005, **within), 3, 2, 0 if crop else 1)
    for i, channels in ((3, 384), (4, 384), (5, 256)):
        x = _conv(net, i, x, channels, pad=1)
    return x


def _vgg16_body(net: NetText, x: str, crop: bool) -> str:
    for block, (convs, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        with net.frozen(block <= 2 and not crop):
            for i in range(1, convs + 1):
                fields = {"num_output": channels, "kernel_size": 3, "pad": 1}
                x = net.relu(f"relu{block}_{i}", net.conv(f"conv{block}_{i}", x, fields, XAVIER))
        if block < 5:
            x = net.pool(f"pool{block}", x, 2, 2)
    return x


def _conv_bn(net: NetText, name: str, suffix: str, x: str, fields: Fields, bias: float | None = None) -> str:
    """A convolution, and a normalisation by fixed statistics."""
    x = net.conv(name, x, fields, MSRA, bias)
    x = net.layer(f"bn{suffix}", "BatchNorm", x, x, {"batch_norm_param": {"use_global_stats": True}})
    return net.scale(f"scale{suffix}", x)


def _bottleneck(net: NetText, block: str, x: str, channels: int, stride: int, project: bool) -> str:
    """x + f(x), f being 1x1, 3x3 and 1x1, of which the first strides."""

    def branch(which: str, x: str, outputs: int, kernel: int, **fields: int) -> str:
        message = {"num_output": outputs, "kernel_size": kernel, **fields}
        return _conv_bn(net, f"res{block}_branch{which}", f"{block}_branch{which}", x, message)

    down = {"stride": stride} if stride > 1 else {}
    shortcut = branch("1", x, 4 * channels, 1, **down) if project else x
    y = net.relu(f"res{block}_branch2a_relu", branch("2a", x, channels, 1, **down))
    y = net.relu(f"res{block}_branch2b_relu", branch("2b", y, channels, 3, pad=1))
    y = branch("2c", y, 4 * channels, 1)
    return net.relu(f"res{block}_relu", net.layer(f"res{block}", "Eltwise", [shortcut, y]))


def _stage(net: NetText, stage: int, x: str, blocks: int) -> str:
    for i in range(blocks):
        stride = 2 if i == 0 and stage > 2 else 1
        x = _bottleneck(net, f"{stage}{'abcdef'[i]}", x, 64 * 2 ** (stage - 2), stride, project=i == 0)
    return x


def _resnet50_body(net: NetText, x: str, crop: bool) -> str:
    stem = {"num_output": 64, "kernel_size": 7, "stride": 2, "pad": 3}
    with net.frozen(not crop):
        x = net.relu("conv1_relu", _conv_bn(net, "conv1", "_conv1", x, stem, bias=0))
        x = _stage(net, 2, net.pool("pool1", x, 3, 2), 3)
    return _stage(net, 4, _stage(net, 3, x, 4), 6)


def _resnet50_head(net: NetText, x: str) -> str:
    return net.pool("pool5", _stage(net, 5, x, 3), 7, 1, method="AVE")


ARCHS: dict[str, Arch] = {
    "tiny": Arch("a small net that learns from scratch", _tiny_body, _tiny_head, 64, 8, 6, 64, 32, 3),
    "caffenet": Arch(
        "CaffeNet",
        _caffenet_body,
        _fc_head(),
        256,
        16,
        6,
        256,
        227,
        16,
        3,
        "bvlc_reference_caffenet.caffemodel",
    ),
    "vgg_cnn_m": Arch(
        "VGG_CNN_M_1024",
        _vgg_cnn_m_body,
        _fc_head(1024),
        512,
        16,
        6,
        256,
        224,
        16,
        3,
        "VGG_CNN_M_1024.caffemodel",
    ),
    "zf": Arch(
        "ZF",
        _zf_body,
        _fc_head(scale_train=False),
        256,
        16,
        6,
        256,
        224,
        16,
        3,
        "ZF.v2.caffemodel",
        ("rpn_conv1", "rpn_relu1", "rpn_conv1"),
    ),
    "vgg16": Arch(
        "VGG16", _vgg16_body, _fc_head(), 512, 16, 7, 512, 224, 16, 2, "VGG_ILSVRC_16_layers.caffemodel"
    ),
    "resnet50": Arch(
        "ResNet-50",
        _resnet50_body,
        _resnet50_head,
        1024,
        16,
        14,
        512,
        224,
        16,
        weights="ResNet-50-model.caffemodel",
    ),
}
