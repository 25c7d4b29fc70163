"""Python layers: passes, parameters, shapes, training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import parse_net, read_solver
from caffelite.solver.solver import Solver

from .python_layers import CONV, SUM, blob, net, python

pytestmark = pytest.mark.usefixtures("my_layers")


@pytest.fixture(params=["cpu", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def test_forward_and_backward(engine: str) -> None:
    """Between layers whose blobs are channels-last in memory."""
    model = net(blob() + CONV + python("Double", "c") + SUM, engine)
    loss = model.forward()
    np.testing.assert_allclose(model.blob("y"), 2 * model.blob("c"))
    assert loss == pytest.approx(2 * float(model.blob("c").sum()), rel=1e-5)
    model.backward()
    assert (model.executor.diff(model.graph.blobs["c"]) == 2).all()


def test_setup_once_reshape_before_each_forward() -> None:
    model = net(blob() + python("Double") + SUM)
    user = Net.of(model).layers[1]
    assert user.calls == ["setup", "reshape"]
    model.forward()
    model.forward()
    assert user.calls == ["setup", "reshape", "reshape", "reshape"]
    model.reshape({"x": (2, 2, 3, 3)})
    assert user.calls[4:] == ["reshape"]
    model.forward()
    assert model.blob("y").shape == (2, 2, 3, 3)


def test_parameters_of_its_own(engine: str, tmp_path: Path) -> None:
    model = net(blob() + python("Linear", extra='param_str: "2.5"') + SUM, engine)
    x = model.blob("x").copy()
    assert model.params["linear"][0].data == pytest.approx([2.5])
    model.forward()
    np.testing.assert_allclose(model.blob("y"), 2.5 * x, rtol=1e-6)
    model.backward()
    model.backward()
    assert model.params["linear"][0].grad[0] == pytest.approx(2 * x.sum(), rel=1e-4)
    model.params["linear"][0].load(np.array([4], np.float32))
    model.save(tmp_path / "w.caffemodel")
    other = net(blob() + python("Linear", extra='param_str: "0"') + SUM, engine)
    other.load_weights(tmp_path / "w.caffemodel")
    other.forward()
    np.testing.assert_allclose(other.blob("y"), 4 * x, rtol=1e-6)
    assert Net.of(other).layers[1].blobs[0].data[0] == 4


def test_a_loss(engine: str) -> None:
    loss = python("Euclidean", "c t", "loss").replace("python_param", "loss_weight: 1 python_param", 1)
    model = net(blob() + CONV + blob("t", "dim: 4 dim: 3 dim: 3 dim: 3") + loss, engine)
    value = model.forward()
    difference = model.blob("c") - model.blob("t")
    assert value == pytest.approx((difference**2).sum() / 8, rel=1e-5)
    model.backward()
    np.testing.assert_allclose(model.executor.diff(model.graph.blobs["c"]), difference / 4, rtol=1e-5)
    np.testing.assert_allclose(model.executor.diff(model.graph.blobs["t"]), -difference / 4, rtol=1e-5)


def test_a_data_layer_shapes_its_tops_in_forward(engine: str) -> None:
    ip = 'layer { name: "ip" type: "InnerProduct" bottom: "y" top: "ip" inner_product_param { num_output: 2 } }\n'
    model = net(python("Source", "") + ip, engine)
    assert model.blob("y").shape == (1, 3)
    for number in (1, 2, 3):
        model.forward()
        assert model.blob("y").shape == (number, 3)
        assert (model.blob("y") == number).all()
        assert model.blob("ip").shape == (number, 2)


def test_in_place(engine: str) -> None:
    model = net(blob() + CONV + python("InPlace", "c", "c") + SUM.replace('"y"', '"c"'), engine)
    model.forward(0, 1)
    before = model.blob("c").copy()
    model.forward()
    np.testing.assert_allclose(model.blob("c"), 3 * before, rtol=1e-6)
    model.clear_grads()
    model.backward()
    assert model.params["conv"][1].grad == pytest.approx([4 * 9 * 3] * 3)


@pytest.mark.parametrize("phase", [0, 1])
def test_what_setup_finds(phase: int) -> None:
    model = net(blob() + python("Seen", extra='param_str: "{a: 1}"'), phase=phase)
    user = Net.of(model).layers[1]
    assert user.seen == ("{a: 1}", "{a: 1}", phase, ("TRAIN", "TEST")[phase])
    assert isinstance(user, caffelite.Layer)


def test_scalars_stay_scalars(engine: str) -> None:
    """As losses are."""
    total = 'layer { name: "all" type: "Reduction" bottom: "x" top: "t" }\n'
    model = net(blob() + total + python("Double", "t"), engine)
    assert model.blob("y").shape == ()
    model.forward()
    assert model.blob("y").shape == () and model.blob("y") == 2 * model.blob("t")


def test_hooks_come_before_the_layer_computes() -> None:
    model = net(blob() + python("Double") + SUM)
    model.hooks.before_forward.append(lambda layer: model.blob("x").fill(layer))
    model.forward()
    assert (model.blob("y") == 2).all()
    model.forward(1)
    assert (model.blob("y") == 2).all()


def test_a_blob_that_the_first_reshape_adds() -> None:
    model = net(blob() + python("Late") + SUM)
    assert model.params["late"][0].data.tolist() == [7, 7]


def test_what_it_writes_to_a_shared_blob_reaches_the_other_layer() -> None:
    """A convolution keeps its weights in a form of its own, too."""
    shared = 'param { name: "w" }'
    conv = CONV.replace("convolution_param {", f"{shared} convolution_param {{ bias_term: false")
    model = net(blob() + conv + python("Counter").replace("python_param", f"{shared} python_param"))
    for _ in range(3):
        model.forward()
        weights = model.params["conv"][0].data - 1  # the convolution ran before 1 was added
        expected = np.einsum("oi,nihw->nohw", weights[:, :, 0, 0], model.blob("x"))
        np.testing.assert_allclose(model.blob("c"), expected, rtol=1e-4, atol=1e-5)


def test_training_through_it(tmp_path: Path) -> None:
    """y = w x learns w = 3."""
    data = 'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 8 dim: 4 } data_filler { type: "gaussian" } } }\n'
    target = 'layer { name: "t" type: "Power" bottom: "x" top: "t" power_param { scale: 3 } }\n'
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }\n'
    (tmp_path / "net.prototxt").write_text(data + target + python("Linear", extra='param_str: "0"') + loss)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.2 lr_policy: "fixed" random_seed: 1 max_iter: 60 snapshot_after_train: false'
    )
    solver = Solver(read_solver(tmp_path / "solver.prototxt"))
    solver.step(60)
    assert solver.net.params["linear"][0].data[0] == pytest.approx(3, abs=1e-2)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    """Blobs of a Python layer are in the snapshot, shapes that change in mid-pass do no harm."""
    data = 'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 8 dim: 1 } data_filler { type: "gaussian" } } }\n'
    select = (
        'layer { name: "s" type: "Threshold" bottom: "x" top: "s" }\n'
        'layer { name: "f" type: "Filter" bottom: "x" bottom: "s" top: "f" propagate_down: false propagate_down: false }\n'
    )
    ends = python("Linear", "f", extra='param_str: "2"') + (
        'layer { name: "loss" type: "Reduction" bottom: "y" top: "l" loss_weight: 1 reduction_param { operation: SUMSQ } }\n'
    )
    (tmp_path / "net.prototxt").write_text(data + select + ends)
    text = 'base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 1 max_iter: 6 snapshot: 3 snapshot_prefix:'
    (tmp_path / "s.prototxt").write_text(f'net: "{tmp_path}/net.prototxt" {text} "{tmp_path}/s"')
    whole, resumed = (Solver(read_solver(tmp_path / "s.prototxt")) for _ in range(2))
    whole.solve()
    resumed.solve(tmp_path / "s_iter_3.solverstate")
    first, second = (solver.net.params["linear"][0].data for solver in (whole, resumed))
    assert first == second != 2


def test_float64_stays(tmp_path: Path) -> None:
    model = Model(parse_net(blob() + python("Double")), 0, engine="reference", precision="float64")
    model.blob("x")[...] = 1 + 1e-12
    model.forward()
    assert (model.blob("y") == 2 * (1 + 1e-12)).all()


def test_blobs_keep_what_has_room() -> None:
    from caffelite.python_layer import ArrayBlob

    b = ArrayBlob((2, 3))
    b.data[...] = np.arange(6).reshape(2, 3)
    b.reshape(4)
    assert b.data.tolist() == [0, 1, 2, 3]
    b.reshape(2, 4)
    assert b.data.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert (b.num, b.channels, b.height, b.width, b.count) == (2, 4, 1, 1, 8)
    assert not b.diff.any()
