"""Caffe's layers and its forks' as plain loops over the places of a top, in float64: slow, and read off their sources.

``run(message, params, inputs, phase)`` computes a net layer by layer; params are by layer name, in Caffe's order.
"""

from __future__ import annotations

import math

import numpy as np

TEST = 1
PLANES = (0, 2, 3)


def run(net, params, inputs, phase, stop=()):
    """All blobs by name, as they are when the net has run. Layers named in ``stop`` are left out."""
    blobs = dict(inputs)
    for layer in net.layer:
        ruled_out = any(rule.HasField("phase") and rule.phase != phase for rule in layer.include)
        if layer.type in ("Input", "Silence") or layer.name in stop or ruled_out:
            continue
        bottoms = [blobs[name] for name in layer.bottom]
        weights = [np.asarray(param, np.float64) for param in params.get(layer.name, ())]
        tops = LAYERS[layer.type](layer, bottoms, weights, phase)
        blobs.update(zip(layer.top, tops if isinstance(tops, tuple) else (tops,), strict=True))
    return blobs


def along(values):
    return np.reshape(values, (1, -1, 1, 1))


def convolution(layer, bottoms, weights, phase):
    p, (x,), W = layer.convolution_param, bottoms, weights[0]
    (stride,), (pad,), (hole,) = list(p.stride) or [1], list(p.pad) or [0], list(p.dilation) or [1]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    reach = hole * (W.shape[2] - 1) + 1
    sizes = [(size - reach) // stride + 1 for size in padded.shape[2:]]
    y = np.zeros((len(x), len(W), *sizes))
    groups = x.shape[1] // W.shape[1]
    each = len(W) // groups
    for o, i, j in np.ndindex(*y.shape[1:]):
        first = o // each * W.shape[1]
        rows, columns = (slice(at * stride, at * stride + reach, hole) for at in (i, j))
        y[:, o, i, j] = (padded[:, first : first + W.shape[1], rows, columns] * W[o]).sum(axis=(1, 2, 3))
    return y + along(weights[1]) if len(weights) > 1 else y


def batch_norm(layer, bottoms, weights, phase):
    (x,), eps = bottoms, layer.batch_norm_param.eps
    if phase == TEST:
        mean, variance = weights[0] / weights[2], weights[1] / weights[2]
    else:
        mean, variance = x.mean(axis=PLANES), x.var(axis=PLANES)
    return (x - along(mean)) / np.sqrt(along(variance) + eps)


def bn(layer, bottoms, weights, phase):
    p, (x,) = layer.bn_param, bottoms
    scale, shift = along(weights[0]), along(weights[1])
    if p.HasField("bn_mode"):  # SegNet
        if p.bn_mode == 1:
            return x * scale + shift
        mean, variance, eps = x.mean(axis=PLANES), x.var(axis=PLANES), 1e-9
    elif p.frozen or phase == TEST:
        mean, variance, eps = weights[2], weights[3], p.eps
    else:
        mean, variance, eps = x.mean(axis=PLANES), x.var(axis=PLANES), p.eps
    return (x - along(mean)) / np.sqrt(along(variance) + eps) * scale + shift


def scale(layer, bottoms, weights, phase):
    return bottoms[0] * along(weights[0]) + along(weights[1])


def relu(layer, bottoms, weights, phase):
    return np.where(bottoms[0] > 0, bottoms[0], layer.relu_param.negative_slope * bottoms[0])


def relu6(layer, bottoms, weights, phase):
    return np.clip(bottoms[0], 0, 6)


def pooling(layer, bottoms, weights, phase):
    p, (x,) = layer.pooling_param, bottoms
    if p.global_pooling:
        return x.mean(axis=(2, 3), keepdims=True)
    k, s = p.kernel_size, p.stride
    sizes = [math.ceil((size - k) / s) + 1 for size in x.shape[2:]]
    y, mask = np.empty((*x.shape[:2], *sizes)), np.empty((*x.shape[:2], *sizes))
    for n, c, i, j in np.ndindex(*y.shape):
        window = x[n, c, i * s : i * s + k, j * s : j * s + k]
        row, column = divmod(int(window.argmax()), window.shape[1])
        mask[n, c, i, j] = (i * s + row) * x.shape[3] + j * s + column
        y[n, c, i, j] = window.mean() if p.pool == 1 else window.max()
    return (y, mask) if len(layer.top) > 1 else y


def eltwise(layer, bottoms, weights, phase):
    return sum(bottoms)


def concat(layer, bottoms, weights, phase):
    return np.concatenate(bottoms, axis=1)


def shuffle_channel(layer, bottoms, weights, phase):
    (x,), group = bottoms, layer.shuffle_channel_param.group
    y, each = np.empty_like(x), x.shape[1] // group
    for i, j in np.ndindex(group, each):
        y[:, j * group + i] = x[:, i * each + j]
    return y


def axpy(layer, bottoms, weights, phase):
    a, x, shift = bottoms
    y = shift.copy()
    for n, c in np.ndindex(*x.shape[:2]):
        y[n, c] += a[n, c, 0, 0] * x[n, c]
    return y


def sigmoid(layer, bottoms, weights, phase):
    return 1 / (1 + np.exp(-bottoms[0]))


def upsample(layer, bottoms, weights, phase):
    p, x = layer.upsample_param, bottoms[0]
    if len(bottoms) == 1:
        return x.repeat(p.scale, axis=2).repeat(p.scale, axis=3)
    sizes = [p.upsample_h or 2 * x.shape[2] - p.pad_out_h, p.upsample_w or 2 * x.shape[3] - p.pad_out_w]
    y = np.zeros((*x.shape[:2], *sizes))
    for n, c, i, j in np.ndindex(*x.shape):
        y[(n, c, *divmod(int(bottoms[1][n, c, i, j]), sizes[1]))] = x[n, c, i, j]
    return y


def interp(layer, bottoms, weights, phase):
    p, (x,) = layer.interp_param, bottoms
    if p.HasField("zoom_factor"):
        sizes = [size + (size - 1) * (p.zoom_factor - 1) for size in x.shape[2:]]
    elif p.HasField("shrink_factor"):
        sizes = [(size - 1) // p.shrink_factor + 1 for size in x.shape[2:]]
    else:
        sizes = [p.height, p.width]
    y = np.empty((*x.shape[:2], *sizes))
    for i, j in np.ndindex(*sizes):
        h, w = (at * (old - 1) / (new - 1) for at, old, new in zip((i, j), x.shape[2:], sizes, strict=True))
        row, column = int(h), int(w)
        below, right = min(row + 1, x.shape[2] - 1), min(column + 1, x.shape[3] - 1)
        h, w = h - row, w - column
        upper = (1 - w) * x[:, :, row, column] + w * x[:, :, row, right]
        lower = (1 - w) * x[:, :, below, column] + w * x[:, :, below, right]
        y[:, :, i, j] = (1 - h) * upper + h * lower
    return y


def reorg(layer, bottoms, weights, phase):
    (x,), s = bottoms, layer.reorg_param.stride
    n, c, h, w = x.shape
    flat, y = x.reshape(n, -1), np.empty((n, x[0].size))
    for k, j, i in np.ndindex(c, h, w):
        row, column = divmod(k // (c // s**2), s)
        place = i * s + column + w * s * (j * s + row + h * s * (k % (c // s**2)))
        y[:, i + w * (j + h * k)] = flat[:, place]
    return y.reshape(n, c * s**2, h // s, w // s)


def inner_product(layer, bottoms, weights, phase):
    return bottoms[0].reshape(len(bottoms[0]), -1) @ weights[0].T + weights[1]


def softmax(layer, bottoms, weights, phase):
    powers = np.exp(bottoms[0])
    return powers / powers.sum(axis=1, keepdims=True)


def softmax_with_loss(layer, bottoms, weights, phase):
    """SegNet's class weights: each pixel's loss times its class's, over the number of pixels that count."""
    p, probabilities, labels = layer.loss_param, softmax(layer, bottoms, weights, phase), bottoms[1]
    factors = list(p.class_weighting) or [1.0] * probabilities.shape[1]
    total = counted = 0.0
    for n, _, i, j in np.ndindex(*labels.shape):
        label = int(labels[n, 0, i, j])
        if label != p.ignore_label:
            total -= factors[label] * math.log(probabilities[n, label, i, j])
            counted += 1
    return np.float64(total / counted)


def dropout(layer, bottoms, weights, phase):
    return bottoms[0]  # in TEST


LAYERS = {
    "Axpy": axpy, "BN": bn, "BatchNorm": batch_norm, "Concat": concat, "Convolution": convolution,
    "ConvolutionDepthwise": convolution, "DepthwiseConvolution": convolution, "Dropout": dropout, "Eltwise": eltwise,
    "InnerProduct": inner_product, "Interp": interp, "Pooling": pooling, "ReLU": relu, "ReLU6": relu6, "Reorg": reorg,
    "Scale": scale, "ShuffleChannel": shuffle_channel, "Sigmoid": sigmoid, "Softmax": softmax,
    "SoftmaxWithLoss": softmax_with_loss, "Upsample": upsample,
}  # fmt: skip
