"""Plans of one net share the kernels of layers that see the same shapes, and bind them where the memory is."""

import gc

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import parse_net

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 3 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "t" top: "f" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "a" type: "Reduction" bottom: "p" top: "a" loss_weight: 1 }
layer { name: "b" type: "Reduction" bottom: "f" top: "b" loss_weight: 1 }
"""


def step(net, x, t):
    """Loss and gradients of one pass over inputs of these shapes."""
    rng = np.random.default_rng(1)
    net.reshape({"x": x, "t": t})
    net.blob("x")[...], net.blob("t")[...] = rng.normal(size=x), rng.normal(size=t)
    net.clear_grads()
    loss = net.forward()
    net.backward()
    return loss, [param.grad.copy() for params in net.params.values() for param in params]


def kernels(net):
    return {step.node.name: step.kernel for step in net.executor.plan.steps}


def fresh(x, t):
    return step(Model(parse_net(NET), phase=0, seed=3), x, t)


def assert_same(got, wanted):
    assert got[0] == wanted[0]
    for a, b in zip(got[1], wanted[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_plan_for_other_shapes_makes_only_what_is_new():
    net = Model(parse_net(NET), phase=0, seed=3)
    step(net, (1, 2, 8, 8), (3, 4))
    before = kernels(net)
    step(net, (1, 2, 8, 8), (2, 4))
    after = kernels(net)
    assert {name for name in before if before[name] is not after[name]} == {"t", "fc", "b"}


@pytest.mark.parametrize("observe", [True, False])
def test_shared_kernels_follow_the_memory(observe):
    net = Model(parse_net(NET), phase=0, seed=3, observe=observe)
    shapes = [((1, 2, 8, 8), (3, 4)), ((1, 2, 8, 8), (5, 4)), ((1, 2, 6, 6), (5, 4)), ((2, 2, 9, 9), (1, 4))]
    for x, t in [*shapes, *shapes[::-1], *shapes]:
        assert_same(step(net, x, t), fresh(x, t))


def test_kernels_end_with_the_last_plan_that_has_them():
    net = Model(parse_net(NET), phase=0, seed=3)
    for size in range(4, 30):
        step(net, (1, 2, size, size), (3, 4))
    gc.collect()  # steps and their activations point at each other
    assert len(net._known._kernels) <= len(net._plans) * len(net.nodes)
