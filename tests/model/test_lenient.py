"""``lenient=True`` in Python."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.errors import IgnoredFieldWarning, NetError, PrototxtError
from caffelite.model import Model
from caffelite.prototxt.lenience import reading
from caffelite.prototxt.source import net_from_message, parse_net, read_net

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }\n'
CONV = 'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 kernel_size: 1 %s } }\n'
UNKNOWN, FORKS = CONV % "colour: 7", CONV % "tf_pad: VALID filter_stride: 2"


def told(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    assert {warning.category for warning in caught} <= {IgnoredFieldWarning}
    return result, [str(warning.message) for warning in caught]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + UNKNOWN)
    return str(path)


@pytest.mark.parametrize("make", [Model, caffelite.Net, caffelite.load, read_net])
def test_unknown_fields(make, file: str) -> None:
    with pytest.raises(PrototxtError, match="convolution_param has no field 'colour'"):
        make(file)
    for net in (lambda: make(file, lenient=True), lambda: inside(lambda: make(file))):
        _, texts = told(net)
        assert len(texts) == 1 and texts[0].startswith(f"{file}:2:")
        assert texts[0].endswith(": convolution_param has no field 'colour'; ignored")


def inside(action):
    with reading(lenient=True):
        return action()


def test_fields_of_forks_that_change_a_result() -> None:
    source = parse_net(INPUT + FORKS, "net.prototxt")
    with pytest.raises(NetError, match="filter_stride, a field of a fork"):
        Model(source)
    net, texts = told(lambda: Model(source, lenient=True, engine="reference", seed=1))
    rest = "a field of a fork of Caffe that would change the result; ignored"
    assert sorted(text.split(": ", 1)[1] for text in texts) == [
        f"convolution_param has filter_stride, {rest}",
        f"convolution_param has tf_pad, {rest}",
    ]
    assert all(text.startswith("layer 'c' (Convolution) at net.prototxt:2:") for text in texts)
    _, texts = told(lambda: net.reshape({"x": (1, 3, 5, 5)}))
    assert texts == []  # told once
    assert (
        net.source.message.layer[1].convolution_param.filter_stride == 2
    )  # kept for those who write the net
    assert not source.lenient


def test_fields_that_the_layer_knows_are_not_ignored() -> None:
    net, texts = told(
        lambda: Model(parse_net(INPUT + CONV % "relu: true"), lenient=True, engine="reference", seed=1)
    )
    assert texts == []
    net.input("x")[...] = np.random.default_rng(1).normal(size=(1, 3, 4, 4))
    net.params["c"][0].data[...] = np.random.default_rng(2).normal(size=(2, 3, 1, 1))
    net.forward()
    assert net.blob("y").min() == 0 < net.blob("y").max()


def test_a_solver_and_its_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loss = 'layer { name: "s" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }\n'
    Path("net.prototxt").write_text(INPUT + UNKNOWN + loss)
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 speed: 2\n'
    )
    with pytest.raises(PrototxtError, match="speed"):
        caffelite.SGDSolver("solver.prototxt")
    solver, texts = told(lambda: caffelite.SGDSolver("solver.prototxt", lenient=True))
    assert [text.split(": ", 1)[1] for text in texts] == [
        "the solver has no field 'speed'; ignored",
        "convolution_param has no field 'colour'; ignored",
    ]
    solver.step(1)
    solver, texts = told(lambda: caffelite.get_solver("solver.prototxt", lenient=True))
    assert len(texts) == 2


def test_messages_of_other_schemas() -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="other.proto", package="other", syntax="proto2")
    net = file.message_type.add(name="NetParameter")
    for number, name in ((1, "name"), (999, "mood")):
        net.field.add(name=name, number=number, type="TYPE_STRING", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    foreign = message_factory.GetMessageClass(pool.FindMessageTypeByName("other.NetParameter"))(
        name="n", mood="good"
    )
    with pytest.raises(NetError, match="NetParameter has no field 'mood'"):
        net_from_message(foreign)
    source, texts = told(lambda: inside(lambda: net_from_message(foreign)))
    assert source.message.name == "n"
    assert texts == ["NetParameter has no field 'mood'; another schema's message does; ignored"]
