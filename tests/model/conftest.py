"""Small nets, and what a pass over them gives."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }\n'
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 4 kernel_size: 3 '
    'weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }\n'
    'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
)
POOL = 'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }\n'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "%s" top: "fc" %s inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }\n'
ANY_SIZE = 'name: "any"\n' + INPUT + CONV + POOL + FC % ("pool", "loss_weight: 1")
ONE_SIZE = 'name: "one"\n' + INPUT + CONV + FC % ("conv", "loss_weight: 1")


@pytest.fixture(params=["reference", "cpu"])
def engine(request) -> str:
    return request.param


def model(text: str = ANY_SIZE, engine: str = "reference", seed: int = 1, **options: object) -> Model:
    return Model(parse_net(text, "net.prototxt"), Phase.TRAIN, engine=engine, seed=seed, **options)  # type: ignore[arg-type]


def run(net: Model, shape: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Outputs and parameter gradients on random images of a shape."""
    net.reshape({"x": shape})
    net.input("x")[...] = np.random.default_rng(seed).normal(size=shape)
    net.clear_grads()
    result = {"loss": np.asarray(net.forward()), **net.outputs()}
    net.backward()
    return result | {
        f"{name}[{i}]": p.grad.copy() for name, ps in net.params.items() for i, p in enumerate(ps)
    }


def same(got: dict[str, np.ndarray], want: dict[str, np.ndarray], tolerance: float = 0) -> None:
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
