"""Passes as graphs: what is captured, what is not, and that a replay is what an eager pass is."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.cuda.capture import CapturedPass, _Captured
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

from .emulated import COMPILER

pytestmark = pytest.mark.skipif(COMPILER is None, reason="kernels are emulated with g++, which is not here")

NET = """
layer { name: "in" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } shape { dim: 2 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
%s
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""
BETWEEN = 'layer { name: "abs" type: "AbsVal" bottom: "ip" top: "ip" } layer { name: "s" type: "Sigmoid" bottom: "ip" top: "ip" }'


def model(engine, between="", **options):
    net = Model(parse_net(NET % between), Phase.TRAIN, engine=engine, seed=3, **options)
    rng = np.random.default_rng(0)
    net.input("x")[...] = rng.normal(size=(2, 3, 6, 5))
    net.input("t")[...] = 1
    return net


class Eager:
    """The engine without graphs."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def compile(self, calls):
        return lambda: [call() for call in calls]


def train(net, steps, rate=0.1, batches=1):
    """Losses and the last gradients; gradients add up over ``batches``."""
    losses = []
    for _ in range(steps):
        net.clear_grads()
        for _ in range(batches):
            losses.append(net.forward())
            net.backward()
        for _, param in net.learnables:
            param.data[...] -= rate * param.grad
            param.touch()
    return [np.array(losses), *(param.grad.copy() for _, param in net.learnables)]


def pieces(net):
    """The captured and the eager pieces of the forward pass."""
    (whole,) = net.executor._whole_forward.values()
    return [isinstance(piece, _Captured) for piece in whole._pieces]


@pytest.mark.parametrize("observe", [True, False])
@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("between", ["", BETWEEN])
def test_replays_equal_eager_passes_bit_for_bit(engine, observe, batches, between):
    captured = train(model(engine, between, observe=observe), 5, batches=batches)
    eager = train(model(Eager(engine), between, observe=observe), 5, batches=batches)
    for one, other in zip(captured, eager, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_captured_stands_between_graphs(engine):
    net = model(engine, BETWEEN)
    train(net, 3)
    # conv, relu and ip; then an array body; then Sigmoid; then the loss, an array body too. Input launches nothing.
    assert pieces(net) == [False, True, False, True, False]


def test_the_second_pass_is_captured_and_later_ones_are_replayed(engine, monkeypatch):
    net = model(engine)
    captures = []
    own = engine.device.capture
    monkeypatch.setattr(
        engine.device, "capture", lambda launch: captures.append(1) or own(launch), raising=False
    )
    counts = []
    for _ in range(4):
        net.forward()
        counts.append(len(captures))
    assert counts == [0, 1, 1, 1]


def test_weights_that_change_are_seen_by_replays(engine):
    net = model(engine)
    for value in (0, 1, 2, 3):
        net.params["ip"][1].data[...] = value
        net.params["ip"][1].touch()
        net.forward()
        net.params["ip"][1].data[...] = value + 1
        net.params["ip"][1].touch()
        before = net.blob("ip").copy()
        net.forward()
        np.testing.assert_allclose(net.blob("ip"), before + 1, rtol=1e-5)


def test_other_shapes_have_graphs_of_their_own(engine):
    net = model(engine)
    for items in (2, 5, 2, 5, 2):
        net.reshape({"x": (items, 3, 6, 5), "t": (items, 4)})
        for _ in range(3):
            net.input("x")[...] = items
            net.input("t")[...] = 0
            net.forward()
        row = net.blob("ip")[0]
        assert (net.blob("ip") == row).all() and net.blob("ip").shape == (items, 4)


def test_a_pass_with_nothing_to_capture():
    calls = []
    run = CapturedPass([lambda: calls.append(1)] * 2, None)  # type: ignore[arg-type]
    run()
    assert calls == [1, 1] and run.eager == 2


def test_what_a_capture_must_not_do_is_noticed_by_the_emulator(engine):
    net = model(engine)
    net.forward()
    array = net.executor.data(net.graph.blobs["ip"])
    with pytest.raises(RuntimeError, match="the host looked at an array while a graph is captured"):
        engine.device.capture(lambda: engine.to_host(array))
    with pytest.raises(RuntimeError, match="an array body ran"):
        engine.device.capture(lambda: array.sum())
