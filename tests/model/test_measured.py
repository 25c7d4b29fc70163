"""Nets in which a layer decides the shapes of its tops by values, in the middle of a pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from caffelite.errors import ShapeError
from caffelite.executor import Times
from caffelite.layers import registry
from caffelite.layers.base import Layer
from caffelite.model import Model
from caffelite.prototxt.source import parse_net


class Positive(Layer):
    """The items of x whose first number is above 0."""

    def infer(self, shapes: Any) -> Any:
        return [shapes[0]]

    def measure(self, xp: Any, x: Any) -> Any:
        self.session["kept"] = xp.flatnonzero(x.reshape(len(x), -1)[:, 0] > 0)
        return [(len(self.session["kept"]), *x.shape[1:])]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x[self.session["kept"]]

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = 0
            dx[self.session["kept"]] = dy


class Twice(Layer):
    """Each item twice; measures although it need not."""

    bottoms: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, shapes: Any) -> Any:
        return [(2, *shapes[0][1:])]

    def measure(self, xp: Any, x: Any) -> Any:
        return [(2 * len(x), *x.shape[1:])]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[: len(x)], y[len(x) :] = x, x

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        dx[...] = dy[: len(dx)] + dy[len(dx) :]


@pytest.fixture(autouse=True)
def _types() -> Iterator[None]:
    for cls in (Positive, Twice):
        registry.register(cls.__name__, cls)
    yield
    for cls in (Positive, Twice):
        del registry._users[cls.__name__]


NET = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 6 dim: 2 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" dropout_param { dropout_ratio: 0.3 } }
layer { name: "keep" type: "Positive" bottom: "conv" top: "kept" }
layer { name: "twice" type: "Twice" bottom: "kept" top: "both" }
layer { name: "ip" type: "InnerProduct" bottom: "both" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 reduction_param { operation: SUMSQ } }
"""


@pytest.fixture(params=["cpu", "reference"])
def net(request: pytest.FixtureRequest) -> Model:
    return Model(parse_net(NET), 0, engine=request.param, seed=3)


def feed(net: Model, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(net.blob("x").shape).astype(np.float32)
    net.blob("x")[...] = x
    return x


def check(net: Model) -> None:
    """What a pass left, against NumPy on the blobs before the layer that measures."""
    conv, ip = net.blob("conv"), net.params["ip"]
    kept = conv[conv[:, 0, 0, 0] > 0]
    assert net.blob("kept").shape == kept.shape
    both = np.concatenate([kept, kept]).reshape(2 * len(kept), -1)
    np.testing.assert_allclose(net.blob("ip"), both @ ip[0].data.T + ip[1].data, rtol=1e-4, atol=1e-5)
    net.clear_grads()
    net.backward()
    dip = 2 * net.blob("ip")
    np.testing.assert_allclose(ip[0].grad, dip.T @ both, rtol=1e-3, atol=1e-4)
    dkept = (dip @ ip[0].data).reshape(2, *kept.shape).sum(axis=0)
    dconv = net.executor.diff(net.graph.blobs["kept"])
    np.testing.assert_allclose(dconv, dkept, rtol=1e-3, atol=1e-4)


def test_shapes_follow_values(net: Model) -> None:
    counts = set()
    for seed in range(6):
        feed(net, seed)
        loss = net.forward()
        check(net)
        assert loss == pytest.approx(float((net.blob("ip") ** 2).sum()), rel=1e-5)
        counts.add(len(net.blob("kept")))
    assert len(counts) > 1


def test_gradients_reach_what_ran_before_the_change(net: Model) -> None:
    """The convolution ran under another plan than the one whose backward pass it gets."""
    feed(net, 0)
    net.forward()
    net.clear_grads()
    net.backward()
    first = net.params["conv"][0].grad.copy()
    passes = net.passes.number
    for seed in (1, 2, 3):  # other counts
        feed(net, seed)
        net.forward()
    feed(net, 0)
    net.passes.number = passes - 1  # the same dropout
    net.forward()
    net.clear_grads()
    net.backward()
    np.testing.assert_array_equal(net.params["conv"][0].grad, first)
    assert np.abs(first).max() > 0


def test_nothing_kept(net: Model) -> None:
    net.params["conv"][1].load(np.full(4, -100, np.float32))
    net.params["conv"][0].load(np.zeros((4, 2, 3, 3), np.float32))
    feed(net, 0)
    assert net.forward() == 0
    assert net.blob("ip").shape == (0, 3)
    net.clear_grads()
    net.backward()
    assert not net.params["conv"][0].grad.any()


def test_another_batch_size(net: Model) -> None:
    feed(net, 0)
    net.forward()
    net.reshape({"x": (9, 2, 5, 5)})
    feed(net, 1)
    net.forward()
    assert len(net.blob("conv")) == 9
    check(net)


def test_one_pass_is_one_draw(net: Model) -> None:
    feed(net, 0)
    net.forward()
    assert net.passes.number == 1


def test_a_pass_in_parts(net: Model) -> None:
    feed(net, 0)
    whole = net.forward()
    net.passes.number = 0
    net.forward(0, 3)
    net.passes.number = 0
    assert net.forward(4) == pytest.approx(whole, rel=1e-6)


def test_hooks_and_times_come_for_each_layer_once(net: Model) -> None:
    seen: list[int] = []
    net.hooks.after_forward.append(seen.append)
    net.executor.times = Times([0.0] * 8, [0.0] * 8)
    feed(net, 0)
    net.forward()
    feed(net, 1)
    net.forward()
    assert seen == [*range(8), *range(8)]
    times = net.executor.times
    assert times is not None
    assert all(seconds > 0 for seconds in times.forward)


def test_plans_are_kept_by_shape(net: Model) -> None:
    """Once memory has grown to the largest count, each count finds its plan."""
    rounds: list[list[int]] = []
    for _ in range(3):
        net.passes.number = 0
        rounds.append([])
        for seed in range(5):
            feed(net, seed)
            net.forward()
            rounds[-1].append(id(net.executor))
    assert rounds[1] == rounds[2]


def test_memory_is_kept_and_the_plan_says_why() -> None:
    net = Model(parse_net(NET), 0, seed=3, observe=False)
    assert net.observe
    assert "keep: decides the shapes of its tops during a pass" in str(net.executor.plan)
    feed(net, 0)
    net.forward()
    check(net)


def test_a_layer_behind_may_refuse_the_shape(tmp_path: Path) -> None:
    text = NET.replace('bottom: "both" top: "ip"', 'bottom: "flat" top: "ip"').replace(
        'layer { name: "ip"', 'layer { name: "flat" type: "Flatten" bottom: "both" top: "flat" flatten_param { axis: 0 } }\nlayer { name: "ip"'
    ).replace("num_output: 3", "num_output: 3 axis: 0")  # fmt: skip
    net = Model(parse_net(text), 0, seed=3)
    feed(net, 0)
    with pytest.raises(ShapeError, match="keep param 0"):
        net.forward()
    feed(net, 1)
    with pytest.raises(ShapeError, match="layer 'ip'"):
        net.forward()
