"""A small R-CNN with random weights, in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import caffelite
from caffelite.detection.card import Card

CLASSES = ("circle", "square", "triangle")
SIZE = 16
MEANS = (100.0, 110.0, 120.0)
_FILL = "weight_filler { type: 'gaussian' std: %g } bias_filler { type: 'gaussian' std: 0.1 }"
_BODY = f"""
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 5 stride: 3 {_FILL % 0.01} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param {{ num_output: 8 {_FILL % 0.1} }} }}
layer {{ name: "relu_fc" type: "ReLU" bottom: "fc" top: "fc" }}
layer {{ name: "score" type: "InnerProduct" bottom: "fc" top: "score" inner_product_param {{ num_output: 4 {_FILL % 0.5} }} }}
"""
TEST = (
    f'input: "data" input_shape {{ dim: 1 dim: 3 dim: {SIZE} dim: {SIZE} }}'
    + _BODY
    + 'layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }'
)
TRAIN = (
    f"""
layer {{ name: "data" type: "WindowData" top: "data" top: "label"
  transform_param {{ mirror: true crop_size: {SIZE} {" ".join(f"mean_value: {m}" for m in MEANS)} }}
  window_data_param {{ source: "windows_train.txt" batch_size: 8 fg_threshold: 0.5 bg_threshold: 0.5 fg_fraction: 0.25
    context_pad: 2 crop_mode: "warp" scale: 0.5 }} }}
"""
    + _BODY
    + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }'
)


def rcnn_folder(folder: Path, classes=CLASSES) -> Card:
    """Writes nets, weights and card."""
    folder.mkdir()
    (folder / "train.prototxt").write_text(TRAIN)
    (folder / "test.prototxt").write_text(TEST)
    caffelite.Net(str(folder / "test.prototxt"), caffelite.TEST, seed=3).save(
        str(folder / "detector.caffemodel")
    )
    card = Card("rcnn", "", classes, proposals="sliding", score=0.1)
    card.write(folder)
    return card


def image(seed: int = 0, height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def boxes(count: int = 12, seed: int = 1, height: int = 60, width: int = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, y = (np.sort(rng.integers(0, side, (count, 2)), axis=1) for side in (width, height))
    return np.column_stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]]).astype(np.float32)
