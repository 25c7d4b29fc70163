"""Filter."""

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer, run_layer

X = np.arange(8.0).reshape(4, 2)


def test_worked_example():
    run = run_layer("Filter", "", [X, X[:, 0], [0, -2, float("nan"), 0]], tops=2, dy=[[[1], [2]], 3])
    np.testing.assert_array_equal(run.y[0], X[1:3])
    np.testing.assert_array_equal(run.y[1], X[1:3, 0])
    np.testing.assert_array_equal(run.dx[0], [[0, 0], [1, 1], [2, 2], [0, 0]])
    np.testing.assert_array_equal(run.dx[1], [0, 3, 3, 0])
    assert run.dx[2] is None


@pytest.mark.parametrize("selector", [[1, 0, 1], [1, 1, 1], [0, 0, 0]])
def test_checks(selector):
    check_layer("Filter", "", [(3, 2, 3, 4), (3,)], values={1: selector})
    check_layer(
        "Filter",
        "",
        [(3, 2), (3, 1, 2, 2), (3, 1, 1, 1)],
        values={2: np.reshape(selector, (3, 1, 1, 1))},
        tops=2,
    )


NET = """
layer { name: "in" type: "Input" top: "x" top: "t" top: "s" input_param { shape { dim: 4 dim: 2 } shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "f" type: "Filter" bottom: "ip" bottom: "t" bottom: "s" top: "a" top: "b" }
layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "loss" }
"""


def test_in_a_net_whose_selection_changes_and_may_be_empty():
    net = Model(parse_net(NET), 0)
    assert net.blob("a").shape == (4, 3)  # all, before the first pass
    net.input("x")[...], net.input("t")[...] = X, 0
    for selector in ([1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]):
        chosen = np.flatnonzero(selector)
        net.input("s")[...] = selector
        loss = net.forward()
        net.clear_grads()
        net.backward()
        y = net.blob("ip")[chosen]
        np.testing.assert_array_equal(net.blob("a"), y)
        np.testing.assert_allclose(loss, (y**2).sum() / 2 / max(1, len(chosen)), rtol=1e-5)
        np.testing.assert_allclose(net.params["ip"][1].grad, y.sum(axis=0) / max(1, len(chosen)), rtol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "tops", "text"),
    [
        ([(3, 2), (3,)], 2, "one top for each bottom but the last, the selector, got 2 bottoms, 2 tops"),
        ([(3, 2), (3, 2)], 1, "selector (N,) or (N, 1, ...), got selector=(3, 2)"),
        ([(3, 2), ()], 1, "selector (N,) or (N, 1, ...), got selector=()"),
        ([(3, 2), (4, 2), (3,)], 2, "as many items in each x as in selector, got x[1]=(4, 2), selector=(3,)"),
    ],
)
def test_bad_shapes(message, shapes, tops, text):
    assert message("Filter", "", shapes, tops=tops) == f"layer 'layer' (Filter): expected {text}"


def test_where_memory_is_shared_a_pass_is_the_same():
    seen, arena = Model(parse_net(NET), 0, seed=1), Model(parse_net(NET), 0, seed=1, observe=False)
    for selector in ([1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]):
        for net in (seen, arena):
            net.input("x")[...], net.input("t")[...], net.input("s")[...] = X, 1, selector
            net.clear_grads()
        assert seen.forward() == arena.forward()
        seen.backward(), arena.backward()
        np.testing.assert_array_equal(seen.params["ip"][0].grad, arena.params["ip"][0].grad)
