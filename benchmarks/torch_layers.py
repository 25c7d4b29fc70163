"""A detection net in PyTorch, built from the same prototxt as ours: every layer that the tiny, ZF and VGG16 recipes use.

Targets and proposals are caffelite's NumPy functions on both sides; everything with a gradient is PyTorch's, ROI pooling
included, which is exact in Caffe's sense (rounded corners, float32 bins, empty bins 0, the first of equal values wins).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffelite.boxes.blobs import Anchors, anchor_target_blobs, proposal_blobs, proposal_target_blobs
from caffelite.fillers import fill

ONES, ZEROS = (1.0,) * 4, (0.0,) * 4
MAX, TRAIN, VALID = 0, 0, 1  # of the enums pool, Phase, normalization


class DetectionNet(nn.Module):
    """Walks the layers of a NetParameter by blob names. ``parts``: parameters by layer name, to be shared with another."""

    def __init__(self, message, rng: np.random.Generator, parts: nn.ModuleDict | None = None):
        super().__init__()
        self.rng = rng
        self.parts = nn.ModuleDict() if parts is None else parts
        self.layers = [layer for layer in message.layer if layer.type not in ("Silence", "Accuracy")]
        self.multipliers: dict[str, list[tuple[float, float]]] = {}

    def forward(self, blobs: dict[str, Tensor]) -> dict[str, Tensor]:
        """All blobs by name; ``losses`` are those of the tops of loss layers, already weighted."""
        blobs, self.losses = dict(blobs), {}
        for layer in self.layers:
            if layer.type in ("Python", "Input", "DummyData"):
                continue
            tops = self._run(layer, [blobs[name] for name in layer.bottom])
            blobs.update(zip(layer.top, tops if isinstance(tops, tuple) else (tops,), strict=False))
            if layer.type.endswith("Loss"):
                weight = layer.loss_weight[0] if layer.loss_weight else 1
                self.losses[layer.top[0]] = weight * blobs[layer.top[0]]
        return blobs

    def _run(self, layer, x: list[Tensor]):
        method = getattr(self, f"_{layer.type.lower()}", None)
        if method is None:
            raise SystemExit(f"layer '{layer.name}': no PyTorch counterpart of {layer.type}")
        return method(layer, *x)

    # -- layers with parameters ---------------------------------------------------------------------------

    def _part(self, layer, p, shape: tuple[int, ...]) -> nn.ParameterDict:
        """The layer's weights, filled as the prototxt says when they are first needed."""
        name = layer.name.replace(".", "_")
        if name not in self.parts:
            weights = {"weight": nn.Parameter(torch.from_numpy(fill(p.weight_filler, shape, self.rng)))}
            if p.bias_term:
                weights["bias"] = nn.Parameter(torch.from_numpy(fill(p.bias_filler, shape[:1], self.rng)))
            self.parts[name] = nn.ParameterDict(weights)
            given = [(one.lr_mult, one.decay_mult) for one in layer.param]
            self.multipliers[name] = (given + [(1.0, 1.0)] * 2)[: len(weights)]
        return self.parts[name]

    def _convolution(self, layer, x):
        p = layer.convolution_param
        (kernel,), stride, pad = p.kernel_size, [*p.stride, 1][0], [*p.pad, 0][0]
        part = self._part(layer, p, (p.num_output, x.shape[1] // p.group, kernel, kernel))
        return F.conv2d(x, part["weight"], part["bias"] if p.bias_term else None, stride, pad, groups=p.group)

    def _innerproduct(self, layer, x):
        p = layer.inner_product_param
        x = x.flatten(1)
        part = self._part(layer, p, (p.num_output, x.shape[1]))
        return F.linear(x, part["weight"], part["bias"] if p.bias_term else None)

    # -- layers without -----------------------------------------------------------------------------------

    def _relu(self, layer, x):
        return F.relu(x)

    def _power(self, layer, x):
        p = layer.power_param
        if p.power != 1:
            raise SystemExit(f"layer '{layer.name}': only a power of 1 has a counterpart here")
        return p.scale * x + p.shift

    def _dropout(self, layer, x):
        return F.dropout(x, layer.dropout_param.dropout_ratio, self.training)

    def _lrn(self, layer, x):
        p = layer.lrn_param
        return F.local_response_norm(x, p.local_size, p.alpha, p.beta, p.k)

    def _pooling(self, layer, x):
        p = layer.pooling_param
        if p.pool != MAX:
            raise SystemExit(f"layer '{layer.name}': only MAX pooling has a counterpart here")
        return F.max_pool2d(x, p.kernel_size, p.stride, p.pad, ceil_mode=True)

    def _softmax(self, layer, x):
        return F.softmax(x, layer.softmax_param.axis)

    def _reshape(self, layer, x):
        dims = [x.shape[i] if d == 0 else d for i, d in enumerate(layer.reshape_param.shape.dim)]
        return x.reshape(dims)

    def _concat(self, layer, *x):
        return torch.cat(x, layer.concat_param.axis)

    def _roipooling(self, layer, x, rois):
        p = layer.roi_pooling_param
        return RoiPool.apply(x, rois, (p.pooled_h, p.pooled_w), p.spatial_scale)

    # -- losses -------------------------------------------------------------------------------------------

    def _softmaxwithloss(self, layer, x, labels):
        p = layer.loss_param
        if p.HasField("normalize") and not p.normalize or p.normalization != VALID:
            raise SystemExit(f"layer '{layer.name}': only normalization VALID has a counterpart here")
        labels = labels.long().reshape(x.shape[0], *x.shape[2:])
        return F.cross_entropy(x, labels, ignore_index=p.ignore_label if p.HasField("ignore_label") else -100)

    def _smoothl1loss(self, layer, x, target, inside, outside):
        square = layer.smooth_l1_loss_param.sigma**2
        away = (inside * (x - target)).abs()
        values = torch.where(away < 1 / square, 0.5 * square * away * away, away - 0.5 / square)
        return (outside * values).sum() / len(x)

    # -- boxes, computed by caffelite on both sides -------------------------------------------------------

    def _anchortarget(self, layer, scores, gt, im_info, *data):
        p = layer.anchor_target_param
        options = {"batch": p.batch_size, "fg_fraction": p.fg_fraction, "allowed_border": p.allowed_border}
        options |= {"positive": round(p.positive_overlap, 6), "negative": round(p.negative_overlap, 6)}
        options |= {"clobber": p.clobber_positives, "positive_weight": p.positive_weight}
        options |= {"inside_weights": list(p.bbox_inside_weight) or ONES}
        made = anchor_target_blobs(
            tuple(scores.shape), gt.numpy(), im_info.numpy(), anchors(p), self.rng, **options
        )
        return tuple(map(torch.from_numpy, made))

    def _proposal(self, layer, scores, deltas, im_info):
        p = layer.proposal_param
        limits = {"pre": p.pre_nms_topn, "post": p.post_nms_topn, "threshold": round(p.nms_thresh, 6)}
        arrays = scores.detach().numpy(), deltas.detach().numpy(), im_info.numpy()
        return tuple(map(torch.from_numpy, proposal_blobs(*arrays, anchors(p), p.min_size, **limits)))

    def _proposaltarget(self, layer, rois, gt):
        p = layer.proposal_target_param
        options = {"classes": p.num_classes, "batch": p.batch_size, "fg_fraction": p.fg_fraction}
        options |= {"fg": p.fg_thresh, "bg": (p.bg_thresh_lo, p.bg_thresh_hi), "append_gt": p.append_gt}
        options |= {"means": list(p.bbox_mean) or ZEROS, "stds": list(p.bbox_std) or ONES}
        options |= {"inside_weights": list(p.bbox_inside_weight) or ONES}
        return tuple(
            map(torch.from_numpy, proposal_target_blobs(rois.numpy(), gt.numpy(), self.rng, **options))
        )


def anchors(p) -> Anchors:
    """Those of a proposal_param or anchor_target_param."""
    return Anchors.made(p.feat_stride, p.base_size, list(p.ratio), list(p.scale))


class RoiPool(torch.autograd.Function):
    """Caffe's ROIPooling, x (N, C, H, W) and rois (R, 5) to (R, C, P, Q), by tables of maxima over 2^j x 2^k pixels.

    The maximum of any bin is the largest of four entries of one table, so the work does not depend on the rois' sizes.
    """

    @staticmethod
    def forward(ctx, x: Tensor, rois: Tensor, pooled: tuple[int, int], scale: float) -> Tensor:
        items, channels, height, width = x.shape
        y1, y2 = bins(rois[:, 2], rois[:, 4], pooled[0], scale, height)
        x1, x2 = bins(rois[:, 1], rois[:, 3], pooled[1], scale, width)
        j, k = power(y2 - y1), power(x2 - x1)
        values, places = tables(x, int(j.max()) + 1, int(k.max()) + 1)
        level = j[:, :, None] * (int(k.max()) + 1) + k[:, None, :]
        base = (level * items + rois[:, 0].long()[:, None, None]) * height
        best, where = None, None
        for top in (y1, y2 - (1 << j)):
            for left in (x1, x2 - (1 << k)):
                at = (
                    (base + top.clamp(0, height - 1)[:, :, None]) * width
                    + left.clamp(0, width - 1)[:, None, :]
                ).flatten()
                found = values.index_select(0, at), places.index_select(0, at)
                best, where = found if best is None else larger(best, where, *found)
        empty = ((y2 <= y1)[:, :, None] | (x2 <= x1)[:, None, :]).flatten()
        best[empty], where[empty] = 0, -1
        ctx.shape = x.shape
        ctx.save_for_backward(where, rois[:, 0].long())
        return best.view(len(rois), *pooled, channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, dy: Tensor):
        where, item = ctx.saved_tensors
        items, channels, height, width = ctx.shape
        rows = dy.permute(0, 2, 3, 1).reshape(where.shape)
        at = where.long() + (item * height * width).repeat_interleave(len(where) // len(item))[:, None]
        at = at * channels + torch.arange(channels)
        dx = torch.zeros(items * height * width * channels)
        dx.scatter_add_(0, at.clamp_(min=0).flatten(), (rows * (where >= 0)).flatten())
        return dx.view(items, height, width, channels).permute(0, 3, 1, 2), None, None, None


def bins(first: Tensor, last: Tensor, count: int, scale: float, limit: int) -> tuple[Tensor, Tensor]:
    """Where the bins of each roi begin and end along one axis, (R, count) int64 each, in float32 as Caffe has them."""
    first, last = torch.floor(first * scale + 0.5), torch.floor(last * scale + 0.5)
    size = ((last - first + 1).clamp(min=1) / count)[:, None]
    index = torch.arange(count)
    starts = torch.floor(index * size) + first[:, None]
    ends = torch.ceil((index + 1) * size) + first[:, None]
    return starts.clamp(0, limit).long(), ends.clamp(0, limit).long()


def power(length: Tensor) -> Tensor:
    """The largest j with 2^j not above the length (at least 1)."""
    return torch.floor(torch.log2(length.clamp(min=1).double())).long()


def tables(x: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Maxima of all windows of 2^j x 2^k pixels by their first pixel, and where they are: (J K N H W, C) each."""
    items, channels, height, width = x.shape
    value = x.permute(0, 2, 3, 1).contiguous()
    place = torch.arange(height * width, dtype=torch.int32).view(1, height, width, 1).expand_as(value)
    values, places = [], []
    for j in range(rows):
        if j:
            value, place = doubled(value, place, 1, 1 << (j - 1))
        wide = value, place
        for k in range(columns):
            if k:
                wide = doubled(*wide, 2, 1 << (k - 1))
            values.append(wide[0])
            places.append(wide[1])
    return torch.stack(values).view(-1, channels), torch.stack(places).view(-1, channels)


def doubled(value: Tensor, place: Tensor, axis: int, step: int) -> tuple[Tensor, Tensor]:
    """Windows twice as long along an axis; those that leave the map stay as they are, nobody asks for them."""
    size = value.shape[axis] - step
    if size <= 0:
        return value, place
    value, place = value.clone(), place.clone()
    pairs = [(one.narrow(axis, 0, size), one.narrow(axis, step, size)) for one in (value, place)]
    made = larger(pairs[0][0], pairs[1][0], pairs[0][1].clone(), pairs[1][1].clone())
    pairs[0][0].copy_(made[0])
    pairs[1][0].copy_(made[1])
    return value, place


def larger(a: Tensor, a_place: Tensor, b: Tensor, b_place: Tensor) -> tuple[Tensor, Tensor]:
    """The larger of two maxima and its place; of equal ones the earlier place."""
    take = (b > a) | ((b == a) & (b_place < a_place))
    return torch.where(take, b, a), torch.where(take, b_place, a_place)
