"""Whole nets of Faster R-CNN: the published ones build, and a small one computes what its parts say, with right gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from caffelite.boxes.config import cfg
from caffelite.model import Model
from caffelite.prototxt.source import parse_net


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    before = cfg.copied()
    cfg.TRAIN.IMS_PER_BATCH = 1
    yield
    cfg.restore(before)


# -- prototxts, written compactly ----------------------------------------------------------------------


def layer(kind: str, name: str, bottoms: str = "", tops: str | None = None, rest: str = "") -> str:
    blobs = [f'bottom: "{b}"' for b in bottoms.split()]
    blobs += [f'top: "{t}"' for t in (name if tops is None else tops).split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} {rest} }}\n'


def python(name: str, module: str, cls: str, text: str, bottoms: str, tops: str) -> str:
    return layer(
        "Python",
        name,
        bottoms,
        tops,
        f'python_param {{ module: "{module}" layer: "{cls}" param_str: "{text}" }}',
    )


def conv(
    name: str, bottom: str, outputs: int, kernel: int, stride: int = 1, pad: int = 0, std: float = 0.01
) -> str:
    filler = f'weight_filler {{ type: "gaussian" std: {std} }}'
    p = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} {filler}"
    return layer("Convolution", name, bottom, None, f"convolution_param {{ {p} }}")


def relu(blob: str) -> str:
    return layer("ReLU", f"relu_{blob}", blob, blob)


def fc(name: str, bottom: str, outputs: int, rest: str = "", std: float = 0.01) -> str:
    p = f'num_output: {outputs} weight_filler {{ type: "gaussian" std: {std} }}'
    return layer("InnerProduct", name, bottom, None, f"inner_product_param {{ {p} }} {rest}")


def zf() -> str:
    """Stride 16: conv 7/2, pool /2, conv 5/2, pool /2, three convolutions; conv5 has 256 channels."""
    text = ""
    last = "data"
    for i, (outputs, kernel) in enumerate([(96, 7), (256, 5)], 1):
        text += conv(f"conv{i}", last, outputs, kernel, 2, kernel // 2) + relu(f"conv{i}")
        lrn = "lrn_param { local_size: 3 alpha: 0.00005 beta: 0.75 norm_region: WITHIN_CHANNEL }"
        text += layer("LRN", f"norm{i}", f"conv{i}", None, lrn)
        text += layer(
            "Pooling",
            f"pool{i}",
            f"norm{i}",
            None,
            "pooling_param { kernel_size: 3 stride: 2 pad: 1 pool: MAX }",
        )
        last = f"pool{i}"
    for i, outputs in ((3, 384), (4, 384), (5, 256)):
        text += conv(f"conv{i}", last, outputs, 3, 1, 1) + relu(f"conv{i}")
        last = f"conv{i}"
    return text


def vgg16() -> str:
    text, last = "", "data"
    for block, (outputs, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        for i in range(1, depth + 1):
            text += conv(f"conv{block}_{i}", last, outputs, 3, 1, 1) + relu(f"conv{block}_{i}")
            last = f"conv{block}_{i}"
        if block < 5:
            text += layer(
                "Pooling", f"pool{block}", last, None, "pooling_param { kernel_size: 2 stride: 2 pool: MAX }"
            )
            last = f"pool{block}"
    return text


BACKBONES = {"ZF": (zf, "conv5", 256, 6, (15, 21)), "VGG16": (vgg16, "conv5_3", 512, 7, (14, 20))}


def data(rpn: bool, classes: int = 21) -> str:
    weights = "bbox_targets bbox_inside_weights bbox_outside_weights"
    tops = "data im_info gt_boxes" if rpn else f"data rois labels {weights}"
    return python("input-data", "roi_data_layer.layer", "RoIDataLayer", f"'num_classes': {classes}", "", tops)


def inputs(**shapes: tuple[int, ...]) -> str:
    return "".join(
        layer(
            "Input", name, "", None, f"input_param {{ shape {{ {' '.join(f'dim: {d}' for d in shape)} }} }}"
        )
        for name, shape in shapes.items()
    )


def rpn(conv5: str, width: int, anchors: int = 9, std: float = 0.01) -> str:
    text = conv("rpn_conv", conv5, width, 3, 1, 1, std) + relu("rpn_conv")
    text += conv("rpn_cls_score", "rpn_conv", 2 * anchors, 1, std=std)
    text += conv("rpn_bbox_pred", "rpn_conv", 4 * anchors, 1, std=std)
    shape = "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }"
    return text + layer("Reshape", "rpn_cls_score_reshape", "rpn_cls_score", None, shape)


def rpn_losses(text: str = "'feat_stride': 16") -> str:
    targets = "rpn_labels rpn_bbox_targets rpn_bbox_inside_weights rpn_bbox_outside_weights"
    made = python(
        "rpn-data",
        "rpn.anchor_target_layer",
        "AnchorTargetLayer",
        text,
        "rpn_cls_score gt_boxes im_info data",
        targets,
    )
    loss = "propagate_down: true propagate_down: false loss_weight: 1 loss_param { ignore_label: -1 normalize: true }"
    made += layer("SoftmaxWithLoss", "rpn_loss_cls", "rpn_cls_score_reshape rpn_labels", "rpn_cls_loss", loss)
    bottoms = "rpn_bbox_pred rpn_bbox_targets rpn_bbox_inside_weights rpn_bbox_outside_weights"
    return made + layer(
        "SmoothL1Loss", "rpn_loss_bbox", bottoms, None, "loss_weight: 1 smooth_l1_loss_param { sigma: 3 }"
    )


def proposal(top: str, text: str = "'feat_stride': 16", anchors: int = 9, scores: str = "") -> str:
    made = layer("Softmax", "rpn_cls_prob", "rpn_cls_score_reshape")
    shape = f"reshape_param {{ shape {{ dim: 0 dim: {2 * anchors} dim: -1 dim: 0 }} }}"
    made += layer("Reshape", "rpn_cls_prob_reshape", "rpn_cls_prob", None, shape)
    bottoms = "rpn_cls_prob_reshape rpn_bbox_pred im_info"
    return made + python("proposal", "rpn.proposal_layer", "ProposalLayer", text, bottoms, f"{top} {scores}")


def proposal_targets(classes: int = 21) -> str:
    tops = "rois labels bbox_targets bbox_inside_weights bbox_outside_weights"
    text = f"'num_classes': {classes}"
    return python(
        "roi-data", "rpn.proposal_target_layer", "ProposalTargetLayer", text, "rpn_rois gt_boxes", tops
    )


def head(conv5: str, pooled: int, classes: int = 21, width: int = 4096, std: float = 0.01) -> str:
    p = f"roi_pooling_param {{ pooled_w: {pooled} pooled_h: {pooled} spatial_scale: 0.0625 }}"
    text = layer("ROIPooling", "roi_pool_conv5", f"{conv5} rois", "pool5", p)
    last = "pool5"
    for name in ("fc6", "fc7"):
        text += fc(name, last, width, std=std) + relu(name)
        text += layer(
            "Dropout", f"drop_{name}", name, name, "dropout_param { dropout_ratio: 0.5 scale_train: false }"
        )
        last = name
    return text + fc("cls_score", last, classes, std=std) + fc("bbox_pred", last, 4 * classes, std=std)


LOSSES = layer(
    "SoftmaxWithLoss",
    "loss_cls",
    "cls_score labels",
    None,
    "propagate_down: true propagate_down: false loss_weight: 1",
) + layer(
    "SmoothL1Loss",
    "loss_bbox",
    "bbox_pred bbox_targets bbox_inside_weights bbox_outside_weights",
    None,
    "loss_weight: 1",
)


def dummy(pooled: int, channels: int) -> str:
    """What keeps the head's weights in the file of the first stage."""
    shape = f"shape {{ dim: 1 dim: {pooled * pooled * channels} }}"
    filler = 'data_filler { type: "gaussian" std: 0.01 }'
    text = layer("DummyData", "dummy_roi_pool_conv5", "", None, f"dummy_data_param {{ {shape} {filler} }}")
    still = "param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 decay_mult: 0 }"
    text += fc("fc6", "dummy_roi_pool_conv5", 4096, still) + relu("fc6") + fc("fc7", "fc6", 4096, still)
    return text + layer("Silence", "silence_fc7", "fc7", "")


# -- the published nets ---------------------------------------------------------------------------------


def shape_of(text: str, blob: str, phase: int) -> tuple[int, ...]:
    return Model(parse_net(text), phase).graph.blobs[blob].shape


@pytest.mark.parametrize("name", BACKBONES)
def test_published_nets_build(name: str) -> None:
    backbone, conv5, channels, pooled, positions = BACKBONES[name]
    body = backbone()
    regions = body + rpn(conv5, channels)
    image = inputs(data=(1, 3, 224, 320), im_info=(1, 3))
    softmax = layer("Softmax", "cls_prob", "cls_score")
    end_to_end = (
        regions + rpn_losses() + proposal("rpn_rois") + proposal_targets() + head(conv5, pooled) + LOSSES
    )
    assert shape_of(data(True) + end_to_end, "bbox_pred", 0) == (1, 84)
    assert shape_of(data(True) + regions + rpn_losses() + dummy(pooled, channels), "fc7", 0) == (1, 4096)
    test = regions + proposal("rois") + head(conv5, pooled) + softmax
    assert shape_of(image + test, "pool5", 1) == (1, channels, pooled, pooled)
    assert shape_of(image + test, "rpn_bbox_pred", 1) == (1, 36, *positions)
    assert shape_of(image + regions + proposal("rois", scores="scores"), "scores", 1) == (1, 1, 1, 1)
    fast = body + head(conv5, pooled)
    assert shape_of(inputs(data=(1, 3, 224, 224), rois=(7, 5)) + fast + softmax, "cls_prob", 1) == (7, 21)
    assert shape_of(data(False) + fast + LOSSES, "cls_score", 0) == (1, 21)


def test_the_published_coco_parameters_build() -> None:
    """Twelve anchors, 81 classes."""
    anchors = r"'feat_stride': 16 \n'scales': !!python/tuple [4, 8, 16, 32]"
    text = data(True, 81) + zf() + rpn("conv5", 256, 12) + rpn_losses(anchors)
    text += proposal("rpn_rois", anchors, 12) + proposal_targets(81) + head("conv5", 6, 81) + LOSSES
    assert shape_of(text, "bbox_pred", 0) == (1, 324)


# -- a small one, computed ------------------------------------------------------------------------------

SMALL = "{feat_stride: 16, ratios: [1], scales: [1, 2]}"
CHOSEN = {"rpn": ("rpn_labels", "rpn_bbox_targets", "rpn_bbox_inside_weights", "rpn_bbox_outside_weights")}
CHOSEN["head"] = ("rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights")
GT = [[10, 12, 40, 39, 2], [60, 30, 100, 80, 1]]


def small(text: str, gt: bool = True) -> str:
    shapes = {"data": (1, 3, 96, 128), "im_info": (1, 3)} | ({"gt_boxes": (2, 5)} if gt else {})
    body = (
        conv("conv1", "data", 8, 7, 4, 3, 0.1)
        + relu("conv1")
        + conv("conv2", "conv1", 8, 5, 4, 2, 0.1)
        + relu("conv2")
    )
    return inputs(**shapes) + body + rpn("conv2", 8, 2, 0.2) + text


def natively(text: str) -> str:
    """The layer types in place of the Python layers."""
    for cls, param in (
        (
            "ProposalLayer",
            "proposal_param { ratio: 1 scale: 1 scale: 2 pre_nms_topn: 60 post_nms_topn: 30 min_size: 4 }",
        ),
        ("AnchorTargetLayer", "anchor_target_param { ratio: 1 scale: 1 scale: 2 batch_size: 40 }"),
        ("ProposalTargetLayer", "proposal_target_param { num_classes: 3 batch_size: 16 }"),
    ):
        lines = text.splitlines()
        at = next(i for i, line in enumerate(lines) if f'layer: "{cls}"' in line)
        line = lines[at].replace('type: "Python"', f'type: "{cls.removesuffix("Layer")}"')
        lines[at] = f"{line[: line.index('python_param')]} {param} }}"
        text = "\n".join(lines)
    return text


def filled(text: str) -> Model:
    model = Model(parse_net(text), 0, engine="reference", precision="float64", seed=7)
    model.input("data")[...] = np.random.default_rng(0).normal(0, 1, (1, 3, 96, 128))
    return model


def gradients(model: Model) -> tuple[float, dict[str, list[np.ndarray]]]:
    loss = model.forward()
    model.clear_grads()
    model.backward()
    learned = {name: params for name, params in model.params.items() if params}
    return loss, {name: [param.grad.copy() for param in params] for name, params in learned.items()}


@pytest.fixture
def joint(_settings: None, request: pytest.FixtureRequest) -> Model:
    c = cfg.TRAIN
    c.RPN_PRE_NMS_TOP_N, c.RPN_POST_NMS_TOP_N, c.RPN_MIN_SIZE, c.RPN_BATCHSIZE = 60, 30, 4, 40
    c.BATCH_SIZE, c.BG_THRESH_LO = 16, 0.0
    text = rpn_losses(SMALL) + proposal("rpn_rois", SMALL, 2) + proposal_targets(3)
    text += head("conv2", 3, 3, 12, 0.2).replace("Dropout", "Split") + LOSSES
    text = "\n".join(line for line in small(text).splitlines() if 'type: "Split"' not in line)
    model = filled(natively(text) if request.param == "types" else text)
    model.input("gt_boxes")[...], model.input("im_info")[...] = GT, [[96, 128, 1]]
    return model


@pytest.mark.parametrize("joint", ["modules", "types"], indirect=True)
def test_gradients_are_those_of_constant_regions(joint: Model) -> None:
    """With what was drawn as inputs the losses are functions of the weights: their gradients are the net's."""
    loss, got = gradients(joint)
    assert (joint.blob("labels") > 0).any() and (joint.blob("rpn_labels") > 0).any()
    assert all(np.isfinite(grad).all() and grad.any() for grads in got.values() for grad in grads)
    drawn = {name: joint.blob(name).copy() for names in CHOSEN.values() for name in names}
    given = inputs(**{name: values.shape for name, values in drawn.items()})
    made = rpn_losses(SMALL).splitlines()[1:]  # without rpn-data
    parts = head("conv2", 3, 3, 12, 0.2).splitlines()
    text = "\n".join([*made, *(part for part in parts if "Dropout" not in part), LOSSES])
    fixed = filled(small(given + text, gt=False))
    for name, values in drawn.items():
        fixed.input(name)[...] = values
    same, want = gradients(fixed)
    assert same == pytest.approx(loss, rel=1e-12)
    for name, grads in want.items():
        for a, b in zip(got[name], grads, strict=True):
            assert a == pytest.approx(b, rel=1e-9, abs=1e-12), name
    rng = np.random.default_rng(1)
    for name, grads in want.items():
        params = fixed.params[name]
        direction = rng.normal(size=params[0].data.shape)
        slope = (grads[0] * direction).sum()
        losses = []
        for step in (1e-6, -2e-6):
            params[0].data[...] += step * direction
            losses.append(fixed.forward())
        params[0].data[...] += 1e-6 * direction
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-7), name


def test_images_of_many_sizes_in_one_training_net() -> None:
    c = cfg.TRAIN
    c.SCALES, c.MAX_SIZE, c.RPN_MIN_SIZE, c.BATCH_SIZE, c.BG_THRESH_LO = (96,), 160, 4, 16, 0.0
    body = (
        conv("conv1", "data", 8, 7, 4, 3, 0.1)
        + relu("conv1")
        + conv("conv2", "conv1", 8, 5, 4, 2, 0.1)
        + relu("conv2")
    )
    text = data(True, 3) + body + rpn("conv2", 8, 2, 0.2) + rpn_losses(SMALL) + proposal("rpn_rois", SMALL, 2)
    model = Model(parse_net(text + proposal_targets(3) + head("conv2", 3, 3, 12, 0.2) + LOSSES), 0)
    images = [
        np.full((height, width, 3), 99, np.uint8)
        for height, width in ((96, 128), (120, 96), (60, 100), (96, 96))
    ]
    boxes = np.array([[10, 10, 50, 50]])
    layers = model.nodes[0].layer
    layers.user.set_roidb([{"image": image, "boxes": boxes, "gt_classes": np.array([1])} for image in images])
    shapes = set()
    for images_in_batch in (1, 2, 1):
        c.IMS_PER_BATCH = images_in_batch
        for _ in range(4):
            assert np.isfinite(model.forward())
            model.clear_grads()
            model.backward()
            shapes.add(model.blob("data").shape)
    assert len(shapes) > 4


@pytest.mark.parametrize("joint", ["modules"], indirect=True)
def test_modules_and_types_train_alike(joint: Model) -> None:
    """Same names, same seed: the same draws, the same losses."""
    text = rpn_losses(SMALL) + proposal("rpn_rois", SMALL, 2) + proposal_targets(3)
    other = filled(small(natively(text) + "\n" + "\n".join(
        line for line in head("conv2", 3, 3, 12, 0.2).splitlines() if "Dropout" not in line
    ) + "\n" + LOSSES))  # fmt: skip
    other.input("gt_boxes")[...], other.input("im_info")[...] = GT, [[96, 128, 1]]
    for _ in range(3):
        assert joint.forward() == other.forward()
        for name in ("rpn_labels", "rpn_rois", "rois", "labels"):
            assert (joint.blob(name) == other.blob(name)).all()
