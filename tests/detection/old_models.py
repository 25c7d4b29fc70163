"""A small model laid out and written as py-faster-rcnn's are: modules in Python layers, a solver, settings, a devkit."""

from __future__ import annotations

from pathlib import Path

from .small_detectors import BODY, INPUT, MODULE, RPN, fc, layer

FOLDER = Path("models/pascal_voc/small/faster_rcnn_end2end")
SETTINGS = Path("experiments/cfgs/faster_rcnn_end2end.yml")
VOC2007 = Path("data/VOCdevkit2007/VOC2007")

_ANCHORS = "{'feat_stride': 4, 'scales': [1, 2], 'ratios': [0.5, 1]}"
_WEIGHTED = "bbox_targets bbox_inside_weights bbox_outside_weights"
_RPN_WEIGHTED = "rpn_bbox_targets rpn_bbox_inside_weights rpn_bbox_outside_weights"

_SOLVER = f"""train_net: "{FOLDER.as_posix()}/train.prototxt"
base_lr: 0.001
lr_policy: "step"
gamma: 0.1
stepsize: 50000
display: 1
average_loss: 100
momentum: 0.9
weight_decay: 0.0005
snapshot: 0
snapshot_prefix: "small_faster_rcnn"
"""

_SETTINGS = """EXP_DIR: faster_rcnn_end2end
TRAIN:
  HAS_RPN: True
  IMS_PER_BATCH: 1
  BBOX_NORMALIZE_TARGETS_PRECOMPUTED: True
  RPN_POSITIVE_OVERLAP: 0.7
  RPN_BATCHSIZE: 256
  PROPOSAL_METHOD: gt
  BG_THRESH_LO: 0.0
  SCALES: [64]
  MAX_SIZE: 100
TEST:
  HAS_RPN: True
  SCALES: [64]
  MAX_SIZE: 100
"""


def _module(name: str, module: str, kind: str, text: str, bottoms: str, tops: str) -> str:
    p = f'python_param {{ module: "{module}" layer: "{kind}" param_str: "{text}" }}'
    return layer(name, "Python", bottoms, tops, p)


def _head(classes: int) -> str:
    pooling = "roi_pooling_param { pooled_w: 3 pooled_h: 3 spatial_scale: 0.25 }"
    text = layer("pool5", "ROIPooling", "conv rois", "pool5", pooling) + fc("fc6", "pool5", 16, 0.1)
    text += layer("relu6", "ReLU", "fc6", "fc6")
    return text + fc("cls_score", "fc6", classes, 0.01) + fc("bbox_pred", "fc6", 4 * classes, 0.001)


def train_net(classes: int, said: int = 0) -> str:
    """The net for training. ``said``: the number of classes that the data layers are told, if it is another one."""
    said = said or classes
    text = _module(
        "input-data",
        "roi_data_layer.layer",
        "RoIDataLayer",
        f"'num_classes': {said}",
        "",
        "data im_info gt_boxes",
    )
    text += BODY + RPN
    text += _module(
        "rpn-data",
        "rpn.anchor_target_layer",
        "AnchorTargetLayer",
        _ANCHORS,
        "rpn_cls_score gt_boxes im_info data",
        f"rpn_labels {_RPN_WEIGHTED}",
    )
    text += layer(
        "rpn_loss_cls",
        "SoftmaxWithLoss",
        "rpn_cls_score_reshape rpn_labels",
        "rpn_cls_loss",
        "loss_weight: 1 loss_param { ignore_label: -1 normalize: true }",
    )
    text += layer(
        "rpn_loss_bbox",
        "SmoothL1Loss",
        f"rpn_bbox_pred {_RPN_WEIGHTED}",
        "rpn_loss_bbox",
        "loss_weight: 1 smooth_l1_loss_param { sigma: 3.0 }",
    )
    text += MODULE.replace('top: "rois"', 'top: "rpn_rois"')
    text += _module(
        "roi-data",
        "rpn.proposal_target_layer",
        "ProposalTargetLayer",
        f"'num_classes': {said}",
        "rpn_rois gt_boxes",
        f"rois labels {_WEIGHTED}",
    )
    text += _head(classes)
    text += layer("loss_cls", "SoftmaxWithLoss", "cls_score labels", "loss_cls", "loss_weight: 1")
    return 'name: "small"\n' + text + layer("loss_bbox", "SmoothL1Loss", f"bbox_pred {_WEIGHTED}", "loss_bbox", "loss_weight: 1")  # fmt: skip


def net_to_test(classes: int) -> str:
    """The net for testing."""
    data = INPUT % ("data", "dim: 1 dim: 3 dim: 64 dim: 64") + INPUT % ("im_info", "dim: 1 dim: 3")
    probabilities = layer("cls_prob", "Softmax", "cls_score", "cls_prob")
    return 'name: "small"\n' + data + BODY + RPN + MODULE + _head(classes) + probabilities


def lay_out(place: Path, classes: int) -> None:
    """Nets, solver and settings below a folder, at the original's paths."""
    files = {"train": train_net(classes), "test": net_to_test(classes), "solver": _SOLVER}
    (place / FOLDER).mkdir(parents=True, exist_ok=True)
    (place / SETTINGS).parent.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / FOLDER / f"{name}.prototxt").write_text(text)
    (place / SETTINGS).write_text(_SETTINGS)
