from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.errors import NetError
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import parse_net, read_solver
from caffelite.solver.solver import Solver

MODULE = '''
import caffe
import numpy as np


class Double(caffe.Layer):
    def setup(self, bottom, top):
        self.calls = ["setup"]

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        assert propagate_down == [True], propagate_down
        bottom[0].diff[...] = 2 * top[0].diff


class Linear(caffe.Layer):
    """y = w x with a parameter of its own; param_str is how w starts."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data[0] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] += (top[0].diff * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data[0] * top[0].diff


class Euclidean(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("need two inputs")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("inputs must have the same dimension")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.diff / bottom[i].num


class Source(caffe.Layer):
    """A data layer that gives one more item each time, shaped in forward."""

    def setup(self, bottom, top):
        self.number = 0
        top[0].reshape(1, 3)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.number += 1
        top[0].reshape(self.number, 3)
        top[0].data[...] = self.number

    def backward(self, top, propagate_down, bottom):
        pass


class InPlace(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        top[0].data[...] *= 3

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] *= 3


class Seen(caffe.Layer):
    def setup(self, bottom, top):
        self.seen = (self.param_str, self.param_str_, self.phase, str(self.phase))

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        raise ValueError(42)


class NoForward(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        pass


class Forwards(NoForward):
    def forward(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        top[0].data[...] = bottom[0].data


class NoLayer:
    pass


class Late(Forwards):
    """A blob that the first reshape adds."""

    def reshape(self, bottom, top):
        if not self.blobs:
            self.blobs.add_blob(2)
            self.blobs[0].data[...] = 7


class Counter(Forwards):
    """Adds 1 to its blob in each forward pass."""

    def setup(self, bottom, top):
        self.blobs.add_blob(3, 2, 1, 1)

    def forward(self, bottom, top):
        super().forward(bottom, top)
        self.blobs[0].data[...] += 1


class Moody(Forwards):
    """Fails where its class says, and has a top of the size that it says."""

    fails, size = "", 0

    def __init__(self, param):
        self.mind("__init__")

    def mind(self, what):
        if Moody.fails == what:
            raise RuntimeError(what)

    def reshape(self, bottom, top):
        self.mind("reshape")
        top[0].reshape(Moody.size or len(bottom[0].data), *bottom[0].shape[1:])

    def forward(self, bottom, top):
        self.mind("forward")
        top[0].data[...] = Moody.size

    def backward(self, top, propagate_down, bottom):
        self.mind("backward")
        bottom[0].diff[...] = 5
'''


@pytest.fixture(autouse=True)
def _my_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_layers", None)


def python(
    layer: str, bottoms: str = "x", tops: str = "y", extra: str = "", module: str = "my_layers"
) -> str:
    names = "".join(f'bottom: "{b}" ' for b in bottoms.split()) + "".join(
        f'top: "{t}" ' for t in tops.split()
    )
    return (
        f'layer {{ name: "{layer.lower()}" type: "Python" {names}'
        f'python_param {{ module: "{module}" layer: "{layer}" {extra} }} }}\n'
    )


def blob(name: str = "x", shape: str = "dim: 4 dim: 2 dim: 3 dim: 3") -> str:
    return (
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}\n'
    )


CONV = 'layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }\n'
SUM = 'layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }\n'


@pytest.fixture(params=["cpu", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def net(text: str, engine: str = "cpu", phase: int = 0) -> Model:
    model = Model(parse_net(text), phase, engine=engine, seed=1, force_backward=True)
    for name in model.graph.inputs:
        model.blob(name)[...] = np.random.default_rng(5).standard_normal(model.blob(name).shape)
    return model


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


def test_its_own_exception_comes_through_with_a_note() -> None:
    model = net(blob() + python("Seen"))
    with pytest.raises(ValueError, match="42") as caught:
        model.forward()
    assert any("layer 'seen' (Python)" in note for note in caught.value.__notes__)


def test_an_exception_of_setup_names_the_layer() -> None:
    with pytest.raises(Exception, match="need two inputs") as caught:
        net(blob() + python("Euclidean"))
    assert any("setup of layer 'euclidean' (Python)" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("layer", "module", "message"),
    [
        ("Double", "no_such_module", "expected a module 'no_such_module'.*PYTHONPATH"),
        ("Duoble", "my_layers", "expected a class 'Duoble' in module 'my_layers'.*did you mean 'Double'"),
        ("NoLayer", "my_layers", "subclass of caffe.Layer"),
        ("NoForward", "my_layers", r"a method forward\(bottom, top\) in class 'NoForward'"),
    ],
)
def test_what_is_not_there(layer: str, module: str, message: str) -> None:
    with pytest.raises(NetError, match=f"(?s)layer '{layer.lower()}'.*{message}"):
        net(blob() + python(layer, module=module))


def test_a_module_that_imports_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text("import caffe\nimport nowhere_to_be_found\n")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        net(blob() + python("X", module="half"))


@pytest.mark.parametrize("name", ["", ".relative", ".."])
def test_a_module_without_a_name(name: str) -> None:
    with pytest.raises(NetError, match="(?s)layer 'double'.*expected the name of a module, got"):
        net(blob() + python("Double", module=name))


def test_an_exception_of_the_module_names_the_layer(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("print 'Python 2'\n")
    with pytest.raises(SyntaxError) as caught:
        net(blob() + python("X", module="old"))
    assert any("importing module 'old' of layer 'x' (Python)" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("method", ["__init__", "reshape", "forward", "backward"])
def test_an_exception_names_the_method_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(blob() + CONV + python("Moody", "c") + SUM)
    monkeypatch.setattr(sys.modules["my_layers"].Moody, "fails", method)
    with pytest.raises(RuntimeError, match=method) as caught:
        net(blob() + python("Moody")) if method == "__init__" else model.forward()
        model.backward()
    assert [note.partition(" at ")[0] for note in caught.value.__notes__] == [
        f"in {method} of layer 'moody' (Python)"
    ]


def test_a_net_goes_on_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a pass, with another shape under way; a backward pass in between does no harm."""
    model = net(blob() + CONV + python("Moody", "c") + SUM)
    model.forward()
    mood = sys.modules["my_layers"].Moody
    for fails in ("reshape", "forward"):
        monkeypatch.setattr(mood, "size", 6)
        monkeypatch.setattr(mood, "fails", fails)
        with pytest.raises(RuntimeError):
            model.forward()
        model.backward()
        monkeypatch.setattr(mood, "fails", "")
        assert model.forward() == 6 * 6 * 3 * 9
        monkeypatch.setattr(mood, "size", 2)
        assert model.forward() == 2 * 2 * 3 * 9
        model.clear_grads()
        model.backward()
        assert model.params["conv"][1].grad == pytest.approx([5 * 4 * 9] * 3)


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


def test_no_backward() -> None:
    model = net(blob() + CONV + python("Forwards", "c") + SUM)
    model.forward()
    with pytest.raises(NetError, match=r"layer 'forwards'.*a method backward\(top, propagate_down, bottom\)"):
        model.backward()


def test_a_module_beside_the_prototxt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "beside.py").write_text(MODULE)
    (folder / "net.prototxt").write_text(blob() + python("Double", module="beside"))
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    try:
        Model(folder / "net.prototxt").forward()
    finally:
        sys.modules.pop("beside", None)
    assert sys.path == path


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
