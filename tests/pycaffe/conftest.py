"""A net with a loss, and what is fed to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffelite as caffe

NET = """
name: "net"
force_backward: true
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "scale" type: "Power" bottom: "data" top: "data" power_param { scale: 0.5 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" loss_weight: 2 }
"""
DATA = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return str(path)


@pytest.fixture
def net(file: str) -> caffe.Net:
    net = caffe.Net(file, caffe.TRAIN, seed=1)
    net.blobs["data"].data[...] = DATA
    net.blobs["label"].data[...] = [0, 2]
    return net
