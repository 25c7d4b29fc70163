"""A net that lives: shapes that change, memory that stays flat, words for what there is not."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import NetError, ShapeError, UsageError
from caffelite.executor import Executor
from caffelite.model import MAX_PLANS, Model
from caffelite.types import Phase

from .conftest import ANY_SIZE, INPUT, ONE_SIZE, model, run, same

# -- shapes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("observe", [True, False])
def test_any_shape_and_back(engine, observe: bool) -> None:
    shapes = [(2, 3, 6, 5), (1, 3, 6, 5), (5, 3, 9, 4), (2, 3, 6, 5), (3, 3, 3, 3), (5, 3, 9, 4)]
    fresh = [run(model(engine=engine, observe=observe), shape) for shape in shapes]
    net = model(engine=engine, observe=observe)
    for shape, want in zip(shapes, fresh, strict=True):
        same(run(net, shape), want, 1e-6)
    assert net.graph.blobs["conv"].shape == (5, 4, 7, 2)


def test_an_empty_batch(engine) -> None:
    net = model(engine=engine)
    result = run(net, (0, 3, 6, 5))
    assert result["fc"].shape == (0, 5) and result["loss"] == 0
    assert not result["conv[0]"].any()
    same(run(net, (2, 3, 6, 5)), run(model(engine=engine), (2, 3, 6, 5)), 1e-6)


def test_a_shape_that_the_weights_refuse(engine) -> None:
    net = model(ONE_SIZE, engine)
    want = run(net, (2, 3, 6, 5))
    with pytest.raises(ShapeError) as caught:
        net.reshape({"x": (2, 3, 8, 8)})
    assert str(caught.value) == (
        "layer 'fc' (InnerProduct) at net.prototxt:5:1: expected the new input shapes to keep param 0 ('W') at 5 48 (240), "
        "got 5 144 (720)\n  Fix: this layer's weights fix the size of its bottom; only sizes that do not reach it may change"
    )
    assert net.graph.blobs["x"].shape == (2, 3, 6, 5)
    same(run(net, (2, 3, 6, 5)), want)
    run(net, (7, 3, 6, 5))  # the batch may change


def test_a_shape_that_a_layer_refuses(engine) -> None:
    net = model(engine=engine)
    want = run(net, (2, 3, 6, 5))
    with pytest.raises(NetError, match="layer 'conv'"):
        net.reshape({"x": (2, 3, 2, 2)})
    with pytest.raises(NetError):
        net.reshape({"x": (2, 3, -1, 2)})
    same(run(net, (2, 3, 6, 5)), want)


def test_inputs_are_reshaped_one_by_one() -> None:
    text = 'layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 } } }'
    net = model(text)
    net.reshape({"x": (5, 3)})
    net.reshape({"y": (4, 3)})
    assert [net.blob(name).shape for name in "xy"] == [(5, 3), (4, 3)]


def test_only_inputs_are_free() -> None:
    with pytest.raises(
        UsageError, match=r"cannot reshape blob 'conv': its shape follows from the net's inputs \(x\)"
    ):
        model().reshape({"conv": (1, 2, 3, 4)})


def test_a_shape_that_this_machine_cannot_hold(monkeypatch) -> None:
    net = model()
    monkeypatch.setattr("caffelite.reference.engine.memory_limit", lambda: 2**30)
    with pytest.raises(
        NetError,
        match=r"needs 2.\d GiB for its blobs, this machine has 1.0 GiB; the largest is 'conv' \(1, 4, ",
    ):
        net.reshape({"x": (1, 3, 8000, 8000)})
    run(net, (2, 3, 6, 5))


def test_params_that_this_machine_cannot_hold(monkeypatch) -> None:
    wide = INPUT.replace("dim: 6 dim: 5", "dim: 100 dim: 100")
    many = "".join(
        f'layer {{ name: "fc{i}" type: "InnerProduct" bottom: "x" top: "fc{i}" inner_product_param {{ num_output: 70000 }} }}\n'
        for i in range(200)
    )
    monkeypatch.setattr("caffelite.cpu.engine.memory_limit", lambda: 2**40)
    with pytest.raises(
        NetError,
        match=r"net 'wide' needs 1,564.\d GiB for its params.*layer 'fc0', 70000 30000 \(2100000000\), with 7.8 GiB",
    ):
        model('name: "wide"\n' + wide + many)


# -- memory ----------------------------------------------------------------------------------------------------


def test_memory_stays_flat_over_a_thousand_sizes() -> None:
    net = model(backward=False, observe=False)
    rng = np.random.default_rng(0)
    run_forward(net, (4, 3, 24, 24))
    most = net.storage.nbytes
    for _ in range(1000):
        n, h, w = rng.integers(1, 5), *rng.integers(3, 25, 2)
        run_forward(net, (int(n), 3, int(h), int(w)))
    assert net.storage.nbytes <= most
    gc.collect()
    alive = [
        thing for thing in gc.get_objects() if isinstance(thing, Executor) and thing.storage is net.storage
    ]
    assert len(alive) <= MAX_PLANS


def run_forward(net: Model, shape: tuple[int, ...]) -> None:
    net.reshape({"x": shape})
    net.forward()


def test_known_shapes_keep_their_plan() -> None:
    net = model()
    first = net.executor
    run(net, (2, 3, 6, 5))  # as in the prototxt
    assert net.executor is first
    run(net, (4, 3, 6, 5))
    large = net.executor
    run(net, (1, 3, 6, 5))
    small = net.executor
    run(net, (4, 3, 6, 5))
    assert net.executor is large
    run(net, (1, 3, 6, 5))
    assert net.executor is small


def test_memory_that_was_outgrown_is_given_back(engine) -> None:
    """Plans for smaller shapes must not keep the arrays that larger ones have replaced."""
    net = model(engine=engine)
    run(net, (1, 3, 6, 5))
    old = weakref.ref(owner(net.blob("conv")))
    for size in (8, 10, 12):
        run(net, (1, 3, size, size))
    gc.collect()
    assert old() is None


def owner(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_gradients_take_no_memory_until_asked_for() -> None:
    net = model()
    net.forward()
    before = net.storage.nbytes
    net.backward()
    assert net.storage.nbytes > before


# -- what it says of itself ------------------------------------------------------------------------------------


def test_unknown_names(engine) -> None:
    net = model(engine=engine)
    with pytest.raises(UsageError, match="net 'any' has no blob 'y'"):
        net.blob("y")
    with pytest.raises(UsageError, match="net 'any' has no input 'conv', only x"):
        net.input("conv")


def test_the_nets_own_stages_count() -> None:
    text = (
        'state { stage: "deploy" }'
        + ANY_SIZE
        + 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "p" include { stage: "deploy" } }'
    )
    assert model(text).nodes[-1].name == "prob"


def test_outputs_are_copies(engine) -> None:
    net = model(engine=engine)
    run(net, (2, 3, 6, 5))
    outputs = net.outputs()
    net.input("x")[...] = 5
    before = {name: value.copy() for name, value in outputs.items()}
    net.forward()
    same(outputs, before)
    assert all(value.flags.c_contiguous for value in outputs.values())


def test_the_state_goes_round() -> None:
    net, other = model(ANY_SIZE.replace("ReLU", "Dropout")), model(ANY_SIZE.replace("ReLU", "Dropout"))
    for _ in range(3):
        run(net, (2, 3, 6, 5))
    other.restore(net.state_dict())
    same(run(net, (2, 3, 6, 5)), run(other, (2, 3, 6, 5)))
    other.restore({})
    assert other.passes.number == 0


def test_an_empty_net() -> None:
    with pytest.raises(NetError, match="the net has no layers"):
        model('name: "nothing"')


def test_an_unknown_engine() -> None:
    from caffelite.errors import DeviceError

    with pytest.raises(DeviceError, match="engine 'tpu': expected one of cpu, cuda, reference"):
        model(engine="tpu")
    with pytest.raises(DeviceError, match="engine 'cpu:1': expected one of"):
        model(engine="cpu:1")
    with pytest.raises(DeviceError, match="expected precision float32 or float64, got 'bf16'"):
        model(precision="bf16")


def test_a_model_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('name: "n" layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } }')
    assert Model(path).name == Model(str(path)).name == "n"


def test_a_phase_may_be_pycaffes_number(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }')
    assert Model(str(path), 1, engine="reference").phase is Phase.TEST
