"""Whole nets on the CUDA engine: training, what users see and write, snapshots, layers on the host."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from caffelite.engine import get_engine
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

INPUT = 'name: "net" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }\n'
BODY = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "pool" type: "Pooling" bottom: "bn" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
DATA = """
layer { name: "data" type: "DummyData" top: "x" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 dim: 6 dim: 5 } shape { dim: 4 } data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 2 } } }
"""
LOSS = """
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def model(text, engine, **options):
    return Model(parse_net(text), engine=engine, seed=3, **options)


@pytest.fixture(params=[True, False], ids=["observed", "unobserved"])
def observe(request):
    return request.param


def steps(net, number):
    """Losses of plain gradient descent."""
    losses = []
    for _ in range(number):
        net.clear_grads()
        losses.append(net.forward())
        net.backward()
        for use, param in net.learnables:
            if use.spec.learnable:
                param.data[...] -= 0.1 * param.grad
                param.touch()
    return losses


def test_training_equals_the_cpus(engine, observe):
    ours, cpu = (
        model(DATA + BODY + LOSS, e, observe=observe, phase=Phase.TRAIN) for e in (engine, get_engine("cpu"))
    )
    np.testing.assert_allclose(steps(ours, 6), steps(cpu, 6), rtol=1e-5)
    for (_, mine), (_, its) in zip(ours.learnables, cpu.learnables, strict=True):
        np.testing.assert_allclose(mine.data, its.data, atol=1e-5)


def test_inputs_and_outputs(engine, observe):
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    results = []
    for one in (engine, get_engine("cpu")):
        net = model(INPUT + BODY, one, observe=observe, backward=False)
        net.input("x")[...] = x
        net.forward()
        results.append(net.outputs()["ip"])
    np.testing.assert_allclose(*results, atol=1e-5, rtol=1e-5)


def net(engine, **options):
    return Net.of(model(INPUT + BODY, engine, **options))


def test_a_view_of_a_blob_follows_the_net(engine):
    n = net(engine)
    view = n.blobs["ip"].data
    for value in (1.0, 2.0):
        n.blobs["x"].data[...] = value * np.arange(30).reshape(6, 5)
        n.forward()
        assert view.any()
        np.testing.assert_array_equal(view, n.blobs["ip"].data)


def test_what_users_write_between_layers_is_read(engine):
    n = net(engine)
    n.blobs["x"].data[...] = 1
    n.forward()
    n.blobs["pool"].data[...] = 0
    n.forward(start="ip")
    assert not n.blobs["ip"].data.any()  # the bias is 0


def test_gradients_that_users_write_and_read(engine):
    n = net(engine, force_backward=True)
    n.blobs["x"].data[...] = np.arange(30).reshape(6, 5)
    n.forward()
    n.blobs["ip"].diff[...] = 1
    n.backward()
    assert n.blobs["x"].diff.any()
    assert n.params["ip"][1].diff.tolist() == [2, 2, 2]
    n.backward()
    assert n.params["ip"][1].diff.tolist() == [4, 4, 4], "gradients add up until they are cleared"
    n.params["ip"][1].diff[...] = 1
    n.backward()
    assert n.params["ip"][1].diff.tolist() == [3, 3, 3]
    n.clear_param_diffs()
    n.backward()
    assert n.params["ip"][1].diff.tolist() == [2, 2, 2]


def test_weights_that_users_write(engine):
    n = net(engine)
    bias = n.params["ip"][1].data  # kept
    n.blobs["x"].data[...] = 0
    for value in (1, 2):
        bias[...] = value
        n.forward()
        first = n.blobs["ip"].data[0].copy()
        n.params["ip"][1].data[...] += 1  # not kept
        n.forward()
        np.testing.assert_allclose(n.blobs["ip"].data[0], first + 1, atol=1e-5)


def test_statistics_come_back(engine):
    nets = [Net.of(model(INPUT + BODY, one, phase=Phase.TRAIN)) for one in (engine, get_engine("cpu"))]
    for n in nets:
        n.blobs["x"].data[...] = np.arange(30).reshape(6, 5)
        for _ in range(3):
            n.forward()
    for mine, its in zip(nets[0].params["bn"], nets[1].params["bn"], strict=True):
        np.testing.assert_allclose(mine.data, its.data, rtol=1e-5)


def test_another_batch_size(engine):
    n = net(engine)
    n.blobs["x"].reshape(5, 3, 6, 5)
    n.blobs["x"].data[...] = 7
    n.forward()
    assert n.blobs["ip"].data.shape == (5, 3)
    assert (n.blobs["x"].data == 7).all()


def test_two_nets_share_weights(engine):
    a, b = (model(INPUT + BODY, engine) for _ in range(2))
    b.share_params(a)
    a.params["ip"][1].data[...] = 5
    a.params["ip"][1].touch()
    for one in (a, b):
        one.input("x")[...] = 0
        one.forward()
    np.testing.assert_array_equal(a.blob("ip"), b.blob("ip"))


PYTHON = """
import caffe
class Doubled(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = 2 * top[0].diff
"""


def test_a_python_layer_runs_on_the_host_and_the_plan_says_so(engine, tmp_path, monkeypatch):
    (tmp_path / "doubling.py").write_text(PYTHON)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = 'layer { name: "py" type: "Python" bottom: "ip" top: "py" python_param { module: "doubling" layer: "Doubled" } }'
    n = Net.of(model(INPUT + BODY + text, engine, force_backward=True))
    n.blobs["x"].data[...] = np.arange(30).reshape(6, 5)
    n.forward()
    np.testing.assert_array_equal(n.blobs["py"].data, 2 * n.blobs["ip"].data)
    n.blobs["py"].diff[...] = 1
    n.backward()
    assert (n.blobs["ip"].diff == 2).all()
    kernels = {step.node.name: step.kernel for step in n.model.executor.plan.steps}
    assert (kernels["py"].name, kernels["ip"].name) == ("host", "cuda")
    assert "on the host" in kernels["py"].note()


def test_a_net_that_decides_shapes(engine):
    text = """
    layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 2 } } }
    layer { name: "f" type: "Filter" bottom: "ip" bottom: "s" top: "f" }"""
    n = Net.of(model(INPUT + BODY + text, engine))
    n.blobs["x"].data[...] = 1
    for selector, items in (([0, 1], 1), ([1, 1], 2), ([0, 1], 1)):
        n.blobs["s"].data[...] = selector
        n.forward()
        assert n.blobs["f"].data.shape == (items, 3)


def test_numbers_that_are_none_are_named(engine):
    n = model(INPUT + BODY, engine)
    n.input("x")[...] = 3e38
    n.forward()
    assert n.executor.first_not_finite().startswith("blob 'conv' (layer 'conv', Convolution)")


def test_memory_is_freed(engine):
    n = model(INPUT + BODY, engine)
    n.forward()
    del n
    gc.collect()
    from caffelite.cuda import params

    assert not params._values.get(engine.device)
