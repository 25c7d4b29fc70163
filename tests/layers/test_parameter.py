"""Parameter."""

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer


@pytest.mark.parametrize("dims", [(), (3,), (2, 3, 2, 4)])
def test_checks(dims):
    shape = " ".join(f"dim: {dim}" for dim in dims)
    check_layer("Parameter", f"parameter_param {{ shape {{ {shape} }} }}", [])


NET = """
layer { name: "in" type: "Input" top: "t" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 1 dim: 3 } %s } }
layer { name: "loss" type: "EuclideanLoss" bottom: "p" bottom: "t" }
"""


def test_in_a_net_its_gradient_adds_up():
    net = Model(parse_net(NET % ""), 0)
    net.input("t")[...] = [[1, 2, 3]]
    assert net.forward() == 7
    net.clear_grads()
    net.backward()
    net.backward()  # as with iter_size: 2
    np.testing.assert_array_equal(net.params["p"][0].data, np.zeros((1, 3)))
    np.testing.assert_array_equal(net.params["p"][0].grad, [[-2, -4, -6]])


def test_a_filler():
    net = Model(parse_net(NET % 'blob_filler { type: "constant" value: 5 }'), 0)
    net.forward()
    np.testing.assert_array_equal(net.blob("p"), [[5, 5, 5]])


def test_bad_shape(message):
    text = message("Parameter", "parameter_param { shape { dim: 0 } }", [])
    assert text == "layer 'layer' (Parameter): expected sizes >= 1, got (0,)"
