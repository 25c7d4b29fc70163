"""Small nets of Fast and Faster R-CNN with random weights, and detectors of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import caffelite
from caffelite.detection.card import Card

CLASSES = ("circle", "square", "triangle")
_RANDOM = "weight_filler { type: 'gaussian' std: %g } bias_filler { type: 'gaussian' std: %g }"


def layer(name: str, type_: str, bottoms: str, tops: str, rest: str = "") -> str:
    ends = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "{name}" type: "{type_}" {" ".join(ends)} {rest} }}\n'


def conv(name: str, bottom: str, outputs: int, rest: str) -> str:
    random = _RANDOM % (0.02 if name == "conv" else 0.1, 0.1)
    return layer(
        name, "Convolution", bottom, name, f"convolution_param {{ num_output: {outputs} {rest} {random} }}"
    )


def fc(name: str, bottom: str, outputs: int, std: float) -> str:
    random = _RANDOM % (std, 0.1)
    return layer(
        name, "InnerProduct", bottom, name, f"inner_product_param {{ num_output: {outputs} {random} }}"
    )


INPUT = 'input: "%s" input_shape { %s }\n'
BODY = conv("conv", "data", 6, "kernel_size: 5 pad: 2 stride: 4") + layer("relu", "ReLU", "conv", "conv")
HEAD = (
    layer("pool5", "ROIPooling", "conv rois", "pool5", "roi_pooling_param { pooled_w: 3 pooled_h: 3 spatial_scale: 0.25 }")
    + fc("fc6", "pool5", 16, 0.1) + layer("relu6", "ReLU", "fc6", "fc6")
    + fc("cls_score", "fc6", 4, 0.5) + fc("bbox_pred", "fc6", 16, 0.05)
    + layer("cls_prob", "Softmax", "cls_score", "cls_prob")
)  # fmt: skip
RPN = (
    conv("rpn_cls_score", "conv", 8, "kernel_size: 1") + conv("rpn_bbox_pred", "conv", 16, "kernel_size: 1")
    + layer("shape", "Reshape", "rpn_cls_score", "rpn_cls_score_reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }")
    + layer("rpn_prob", "Softmax", "rpn_cls_score_reshape", "rpn_cls_prob")
    + layer("back", "Reshape", "rpn_cls_prob", "rpn_cls_prob_reshape", "reshape_param { shape { dim: 0 dim: 8 dim: -1 dim: 0 } }")
)  # fmt: skip
_PROPOSED = "rpn_cls_prob_reshape rpn_bbox_pred im_info"
NATIVE = layer(
    "proposal", "Proposal", _PROPOSED, "rois",
    "proposal_param { feat_stride: 4 ratio: 0.5 ratio: 1 scale: 1 scale: 2 pre_nms_topn: 120 post_nms_topn: 30 nms_thresh: 0.6 min_size: 3 }",
)  # fmt: skip
MODULE = layer(
    "proposal", "Python", _PROPOSED, "rois",
    "python_param { module: 'rpn.proposal_layer' layer: 'ProposalLayer' "
    "param_str: \"{'feat_stride': 4, 'scales': [1, 2], 'ratios': [0.5, 1]}\" }",
)  # fmt: skip
MODULE_SETTINGS = {
    "RPN_PRE_NMS_TOP_N": 120,
    "RPN_POST_NMS_TOP_N": 30,
    "RPN_NMS_THRESH": 0.6,
    "RPN_MIN_SIZE": 3,
}

_DATA = INPUT % ("data", "dim: 1 dim: 3 dim: 32 dim: 32")
FASTER = 'name: "faster"\n' + _DATA + INPUT % ("im_info", "dim: 1 dim: 3") + BODY + RPN + NATIVE + HEAD
FASTER_MODULE = FASTER.replace(NATIVE, MODULE)
FAST = 'name: "fast"\n' + _DATA + INPUT % ("rois", "dim: 1 dim: 5") + BODY + HEAD


def net_of(folder: Path, text: str, seed: int = 3) -> caffelite.Net:
    """A net with random weights."""
    path = folder / f"net{len(list(folder.glob('net*')))}.prototxt"
    path.write_text(text)
    return caffelite.Net(str(path), caffelite.TEST, seed=seed)


def folder_of(folder: Path, text: str = FASTER, method: str = "faster", **card) -> Path:
    """A detector's folder, with random weights."""
    folder.mkdir(parents=True)
    (folder / "test.prototxt").write_text(text)
    caffelite.Net(str(folder / "test.prototxt"), caffelite.TEST, seed=3).save(
        str(folder / "detector.caffemodel")
    )
    values = {"classes": CLASSES, "scales": (48,), "max_size": 80, "proposals": "sliding"} | card
    Card(method, "tiny", **values).write(folder)
    return folder


def image(height: int = 40, width: int = 52, seed: int = 0) -> np.ndarray:
    """Noise (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def boxes(count: int = 25, height: int = 40, width: int = 52, seed: int = 1) -> np.ndarray:
    """Boxes (K, 4) float32 in an image, whole pixels."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(0, (width, height), (count, 2, 2)), axis=1)
    return corners.reshape(count, 4).astype(np.float32)
