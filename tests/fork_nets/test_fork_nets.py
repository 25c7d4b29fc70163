"""Parts of published nets of Caffe's forks: built as their prototxts say, and computed as plain loops compute them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import read_net
from caffelite.types import Phase

from . import loops

FOLDER = Path(__file__).parent
NETS = sorted(path.stem for path in FOLDER.glob("*.prototxt"))
RANDOM = {"pspnet": ("conv5_4/dropout", "conv6", "conv6_interp")}  # what dropout makes random in TRAIN


def build(name: str, phase: Phase, engine: str = "reference", precision: str = "float32") -> Model:
    net = Model(
        read_net(FOLDER / f"{name}.prototxt"),
        phase,
        engine=engine,
        precision=precision,
        seed=1,
        force_backward=True,
    )
    rng = np.random.default_rng(7)
    for node in net.nodes:
        for use, param in zip(node.params, net.params_of(node), strict=True):
            values = rng.uniform(0.5, 1.5, param.shape) if use.spec.name != "W" else param.data.copy()
            param.load(np.asarray(values, param.data.dtype))
    return net


def feed(net: Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    given = {}
    for name in net.graph.inputs:
        shape = net.input(name).shape
        given[name] = rng.normal(size=shape) if name == "data" else rng.integers(0, 3, shape).astype(float)
        net.input(name)[...] = given[name]
    return given


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("name", NETS)
def test_blobs_are_those_of_the_loops(name: str, phase: Phase, engine: str) -> None:
    net = build(name, phase, engine)
    stop = RANDOM.get(name, ()) if phase == Phase.TRAIN else ()
    params = {layer: [param.data.copy() for param in params] for layer, params in net.params.items()}
    want = loops.run(net.source.message, params, feed(net), phase, stop)
    net.forward()
    checked = set(want) & {name for name, value in net.graph.blobs.items() if value.visible}
    assert len(checked) > 5
    for blob in checked - {"conv5_4"}:
        tolerance = 1e-4 * max(1.0, float(np.abs(want[blob]).max()))
        np.testing.assert_allclose(net.blob(blob), want[blob], rtol=1e-4, atol=tolerance, err_msg=blob)


def backward(net: Model) -> dict[str, np.ndarray]:
    """A pass back from fixed numbers on all outputs, which it returns; a loss keeps its weight."""
    rng = np.random.default_rng(5)
    weights = {}
    for name in net.graph.outputs:
        value = net.graph.blobs[name]
        weights[name] = np.float64(1) if value.loss_weight else rng.normal(size=value.shape)
        if not value.loss_weight:
            net.executor.diff(value)[...] = weights[name]
    net.clear_grads()
    net.backward()
    return weights


@pytest.mark.parametrize("name", NETS)
def test_gradients_are_slopes(name: str) -> None:
    """In float64, along one random direction of all that is learned and of the data."""
    net = build(name, Phase.TEST if name in RANDOM else Phase.TRAIN, precision="float64")
    feed(net)
    statistics = [(param, param.data.copy()) for use, param in net.learnables if not use.spec.learnable]
    net.forward()
    weights = backward(net)
    moving = [
        (param.data, param.grad.copy()) for use, param in net.learnables if use.learn and use.spec.learnable
    ]
    moving.append((net.input("data"), np.array(net.executor.diff(net.graph.blobs["data"]))))
    rng = np.random.default_rng(6)
    steps = [rng.normal(size=array.shape) for array, _ in moving]
    slope = sum(float((grad * step).sum()) for (_, grad), step in zip(moving, steps, strict=True))

    def value(by: float) -> float:
        for param, data in statistics:
            param.data[...] = data
        for (array, _), step in zip(moving, steps, strict=True):
            array += by * step
        net.forward()
        for (array, _), step in zip(moving, steps, strict=True):
            array -= by * step
        return sum(float((net.blob(blob) * weight).sum()) for blob, weight in weights.items())

    tiny = 1e-7
    assert slope == pytest.approx((value(tiny) - value(-tiny)) / (2 * tiny), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", sorted(set(NETS) - set(RANDOM)))
def test_engines_agree_on_gradients(name: str) -> None:
    grads = []
    for engine in ("cpu", "reference"):
        net = build(name, Phase.TRAIN, engine)
        feed(net)
        net.forward()
        backward(net)
        grads.append(
            {f"{use.layer}[{use.index}]": param.grad.copy() for use, param in net.learnables if use.learn}
        )
    for key, want in grads[1].items():
        tolerance = 1e-3 * max(1.0, float(np.abs(want).max()))
        np.testing.assert_allclose(grads[0][key], want, rtol=1e-3, atol=tolerance, err_msg=key)
