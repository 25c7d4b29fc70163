"""A small net with two inputs, and its pycaffe view on each engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.net import Net

NET = """
name: "net"
layer { name: "input" type: "Input" top: "data" top: "info" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } shape { dim: 2 dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "add" type: "Eltwise" bottom: "fc" bottom: "info" top: "add" }
layer { name: "prob" type: "Softmax" bottom: "add" top: "prob" }
"""
RNG = np.random.default_rng(0)
DATA, INFO = RNG.normal(size=(2, 3, 4, 5)).astype("float32"), RNG.normal(size=(2, 3)).astype("float32")


@pytest.fixture(params=["reference", "cpu"])
def engine(request) -> str:
    return request.param


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text("force_backward: true\n" + NET)
    return str(path)


@pytest.fixture
def net(file: str, engine: str) -> Net:
    return Net(file, 1, engine=engine, seed=3)
