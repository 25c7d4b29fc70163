"""The nets of models/ at work: one training step each, and published weights in our files."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import NetSource
from caffelite.types import Phase

# First and last layer with weights; the objective of a net that knows nothing, with auxiliary heads where it has some.
STEPS = {
    "lenet": ("conv1", "ip2", log(10)),
    "digits": ("conv1", "ip2", log(10)),
    "alexnet": ("conv1", "fc8", log(1000)),
    "vgg16": ("conv1_1", "fc8", log(1000)),
    "googlenet": ("conv1/7x7_s2", "loss3/classifier", 1.6 * log(1000)),
    "resnet50": ("conv1", "fc1000", log(1000)),
}


@pytest.mark.parametrize("net", STEPS)
def test_one_training_step(read_model: Callable[..., NetSource], net: str) -> None:
    first, last, expected = STEPS[net]
    model = Model(read_model(net, "train_val", batch=2), Phase.TRAIN, seed=1, observe=False)
    rng = np.random.default_rng(0)
    scale = 1 / 256 if net in ("lenet", "digits") else 1
    model.blob("data")[...] = rng.uniform(-16, 16, model.blob("data").shape) * scale
    model.blob("label")[...] = [3, 7]
    assert model.forward() == pytest.approx(expected, rel=0.35)
    model.backward()
    for name in (first, last):
        gradient = model.params[name][0].grad
        assert np.isfinite(gradient).all() and gradient.any(), name


@pytest.mark.parametrize("published", ["lenet_ethereon", "lenet_everpeace_10000"])
def test_published_lenet_weights_give_caffes_output(
    read_model: Callable[..., NetSource], shared: Path, published: str
) -> None:
    folder = shared / "models" / published
    reference = np.load(folder / "reference.npz")
    model = Model(read_model("lenet", "deploy"), Phase.TEST, backward=False)
    report = model.load_weights(folder / "weights.caffemodel")
    model.blob("data")[...] = reference["input_data"]
    model.forward()
    np.testing.assert_allclose(model.blob("prob"), reference["out_prob"], atol=1e-5)
    assert (report.skipped, report.initial) == ([], [])
