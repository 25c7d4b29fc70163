"""Old nets and solvers into the current form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.prototxt.schema import message
from caffelite.prototxt.source import read_net
from caffelite.weights import read_caffemodel

from .conftest import Run

V1 = """
name: "old"  # a comment
input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" blobs_lr: 1 blobs_lr: 2
         inner_product_param { num_output: 2 } }
"""
V0 = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4
layers { layer { name: "ip" type: "innerproduct" num_output: 2 } bottom: "data" top: "ip" }
"""
NEW = """name: "new"
layer {
  name: "data"
  type: "Input"
  top: "data"
}
"""


@pytest.mark.parametrize("verb", ["upgrade_net_proto_text", "upgrade"])
@pytest.mark.parametrize("old", [V0, V1])
def test_text(run: Run, verb: str, old: str) -> None:
    Path("old.prototxt").write_text(old)
    result = run(f"{verb} old.prototxt new.prototxt")
    assert result.code == 0
    assert result.lines[-1] == "Wrote upgraded NetParameter text proto to new.prototxt"
    text = Path("new.prototxt").read_text()
    assert "layers {" not in text and "input_dim" not in text
    net = read_net("new.prototxt")
    assert [(layer.name, layer.type) for layer in net.message.layer] == [
        ("input", "Input"),
        ("ip", "InnerProduct"),
    ]
    assert net.notes == []


@pytest.mark.parametrize("kind", ["net_text", "net_binary"])
def test_a_current_net_is_written_all_the_same(run: Run, kind: str) -> None:
    Path("old").write_bytes(
        NEW.encode() if kind == "net_text" else read_net(write_new()).message.SerializeToString()
    )
    result = run(f"upgrade_{kind.replace('_', '_proto_')} old new")
    assert result.code == 0
    assert result.lines[0] == "File already in latest proto format: old" and result.err.startswith("E")
    assert Path("new").read_bytes() == Path("old").read_bytes()


def write_new() -> str:
    Path("new.prototxt").write_text(NEW)
    return "new.prototxt"


def old_weights(path: str, v0: bool) -> np.ndarray:
    """A caffemodel of 2013 or 2014 with one layer."""
    weights = np.arange(6, dtype=np.float32)
    net = message("NetParameter")(name="old", input=["data"], input_dim=[1, 3, 1, 1])
    layer = net.layers.add()
    if v0:
        layer.layer.name, layer.layer.type, layer.layer.num_output = "ip", "innerproduct", 2
        blob = layer.layer.blobs.add()
    else:
        layer.name, layer.type, layer.inner_product_param.num_output = "ip", 14, 2
        blob = layer.blobs.add()
    layer.bottom.append("data"), layer.top.append("ip")
    blob.num, blob.channels, blob.height, blob.width = 1, 1, 2, 3
    blob.data.extend(weights)
    Path(path).write_bytes(net.SerializeToString())
    return weights


@pytest.mark.parametrize("verb", ["upgrade_net_proto_binary", "upgrade"])
@pytest.mark.parametrize("v0", [False, True])
def test_weights_are_kept(run: Run, verb: str, v0: bool) -> None:
    weights = old_weights("old.caffemodel", v0)
    result = run(f"{verb} old.caffemodel new.caffemodel")
    assert result.code == 0
    assert result.lines[-1] == "Wrote upgraded NetParameter binary proto to new.caffemodel"
    _, layer = read_caffemodel("new.caffemodel")
    assert (layer.name, layer.type) == ("ip", "InnerProduct")
    np.testing.assert_array_equal(np.ravel(layer.blobs[0]), weights)


@pytest.mark.parametrize("verb", ["upgrade_solver_proto_text", "upgrade"])
def test_solver(run: Run, verb: str) -> None:
    Path("old.prototxt").write_text('net: "net.prototxt"\nbase_lr: 0.5\nsolver_type: ADAGRAD\n')
    result = run(f"{verb} old.prototxt new.prototxt")
    assert result.lines[-1] == "Wrote upgraded SolverParameter text proto to new.prototxt"
    assert Path("new.prototxt").read_text() == 'base_lr: 0.5\nnet: "net.prototxt"\ntype: "AdaGrad"\n'


def test_a_current_solver_gains_nothing(run: Run) -> None:
    Path("old.prototxt").write_text('net: "net.prototxt"\n')
    assert (
        run("upgrade_solver_proto_text old.prototxt new.prototxt")
        .lines[0]
        .startswith("File already in latest")
    )
    assert Path("new.prototxt").read_text() == 'net: "net.prototxt"\n'


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("upgrade_net_proto_text absent new", 3, "net 'absent' does not exist"),
        ("upgrade_net_proto_text solver new", 2, "'solver' is a solver's file; its net is 'n'"),
        ("upgrade_solver_proto_text net new", 2, "'layer' belongs in a net; is this the file of a net?"),
        ("upgrade_net_proto_binary net new", 3, "expected a Caffe model (.caffemodel), got a text file"),
        ("upgrade archive new", 3, "expected a prototxt or a caffemodel, got a compressed archive"),
        ("upgrade bad new", 2, "bad:1:"),
        ("upgrade net", 2, "expected IN OUT"),
    ],
)
def test_files_of_another_kind(run: Run, line: str, code: int, message: str) -> None:
    Path("solver").write_text('net: "n"\nbase_lr: 1\n')
    Path("net").write_text(NEW)
    Path("bad").write_text("layer { nme: 3 }")
    Path("archive").write_bytes(b"BZh91AY&SY" + bytes(50))
    result = run(line)
    assert result.code == code and message in result.err
    assert not Path("new").exists()


def test_published_model_of_2014(run: Run, shared: Path) -> None:
    source = shared / "models/resume_v1_cifar10_full"
    old = next(source.glob("*.caffemodel"))
    assert run(f"upgrade {old} new.caffemodel").code == 0
    for before, after in zip(read_caffemodel(old), read_caffemodel("new.caffemodel"), strict=True):
        assert (before.name, before.type) == (after.name, after.type)
        for a, b in zip(before.blobs, after.blobs, strict=True):
            np.testing.assert_array_equal(a, b)
