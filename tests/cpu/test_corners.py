"""What leads oneDNN kernels into their rarer branches, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.cpu import onednn
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer
from caffelite.types import Phase

pytestmark = pytest.mark.skipif(onednn.available() is not None, reason="oneDNN is not installed")

INPUT = 'layer { name: "d" type: "Input" top: "d" top: "e" input_param { shape { dim: 2 dim: 8 dim: 5 dim: 4 } } }'
WEIGHTS = 'weight_filler { type: "xavier" }'
LOSS = 'layer { name: "loss" type: "Reduction" bottom: "a" top: "loss" loss_weight: 1 }'
CONVOLUTION = f"convolution_param {{ num_output: 8 kernel_size: 3 {WEIGHTS} }}"
TWO = f'layer {{ name: "c" type: "Convolution" bottom: "d" bottom: "e" top: "a" top: "b" {CONVOLUTION} }}'
FIXED = f'layer {{ name: "c" type: "Convolution" bottom: "d" top: "a" param {{ lr_mult: 0 }} {CONVOLUTION} }}'


def model(body: str, engine: str) -> Model:
    net = Model(parse_net(f"{INPUT}\n{body}"), Phase.TRAIN, engine=engine, seed=1)
    for i, name in enumerate("de"):
        net.input(name)[...] = np.random.default_rng(i).normal(size=(2, 8, 5, 4))
    return net


def gradients(body: str, engine: str, passes: int) -> list[np.ndarray]:
    net = model(body, engine)
    net.clear_grads()
    for _ in range(passes):
        net.forward()
        net.backward()
    return [param.grad.copy() for param in net.params["c"]]


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize(
    "convolution", [TWO, FIXED], ids=["a top without a gradient", "a learned bias alone"]
)
def test_gradients_add_up(convolution, passes):
    # Two passes: what a bias adds to must be what the first one left.
    for got, want in zip(
        *(gradients(convolution + LOSS, e, passes) for e in ("cpu", "reference")), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_statistics_of_factor_zero_count_as_zero():
    check_layer("BatchNorm", "", [(2, 8, 3, 4)], phase=Phase.TEST, params={"factor": [0.0]})
