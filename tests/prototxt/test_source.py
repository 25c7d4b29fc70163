"""Nets and solvers from files, texts and messages."""

from __future__ import annotations

import pickle

import pytest

from caffelite.errors import (
    DataError,
    IgnoredFieldWarning,
    MissingFileError,
    NetError,
    PrototxtError,
    UsageError,
)
from caffelite.prototxt.binary import read_binary
from caffelite.prototxt.schema import message
from caffelite.prototxt.source import (
    NO_SOURCE,
    Where,
    net_from_message,
    parse_net,
    parse_solver,
    read_net,
    read_solver,
    solver_from_message,
)
from caffelite.types import NOWHERE, Location


def test_a_net_from_a_file(tmp_path):
    file = tmp_path / "net.prototxt"
    file.write_text('name: "n"\nlayer {\n  name: "a"\n}')
    source = read_net(file)
    assert (source.message.name, source.file, source.notes) == ("n", str(file), [])
    assert source.origins[0].at("name") == Location(str(file), 3, 3)


def test_a_solver_from_a_file(tmp_path):
    file = tmp_path / "solver.prototxt"
    file.write_text("\nbase_lr: 0.1")
    source = read_solver(file)
    assert source.where.at("base_lr") == Location(str(file), 2, 1)
    assert source.where.at("max_iter") == Location(str(file), 1, 1)


@pytest.mark.parametrize(("read", "what"), [(read_net, "net"), (read_solver, "solver")])
def test_missing_files(read, what, tmp_path):
    with pytest.raises(MissingFileError, match=f"^{what} '.*nowhere' does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"^{what} '.*' cannot be read: Is a directory"):
        read(tmp_path)


def test_problems_name_the_file(tmp_path):
    file = tmp_path / "net.prototxt"
    file.write_text("layer { nam: 1 }")
    with pytest.raises(PrototxtError) as caught:
        read_net(file)
    assert str(caught.value) == f"{file}:1:9: layer has no field 'nam'; did you mean 'name'?"


def test_lenient_nets_tell_what_they_ignored():
    with pytest.warns(IgnoredFieldWarning, match="^f:1:12: the net has no field 'shoe_size'; ignored$"):
        source = parse_net('input: "x" shoe_size: 43', "f", lenient=True)
    assert source.notes == [
        "f:1:12: the net has no field 'shoe_size'; ignored",
        "input fields without input_shape or input_dim were dropped",
    ]


def test_a_net_from_a_message_is_a_copy_without_places():
    net = message("NetParameter")(name="n", input=["x"])
    net.layer.add(name="a")
    source = net_from_message(net)
    assert source.origins == [Where(None, ("layer", 0))]
    assert source.origins[0].at("name") is NOWHERE and not source.origins[0].at()
    assert list(net.input) == ["x"] and not source.message.input
    source.message.layer[0].name = "b"
    assert net.layer[0].name == "a"


def test_a_net_from_bytes():
    net = message("NetParameter")()
    net.layers.add(name="a", type=18)
    assert net_from_message(net.SerializeToString()).message.layer[0].type == "ReLU"
    with pytest.raises(DataError, match="the 3 bytes cannot be read as a binary NetParameter"):
        net_from_message(b"\xff\xff\xff")


def test_other_things_are_refused():
    with pytest.raises(UsageError, match="expected a NetParameter, got dict"):
        net_from_message({"name": "n"})
    with pytest.raises(UsageError, match="expected a NetParameter, got LayerParameter"):
        net_from_message(message("LayerParameter")())


def test_a_net_inside_a_solver_knows_its_place():
    solver = parse_solver('net_param {\n  layers { type: RELU }\n  layers {\n    name: "b" } }', "s")
    source = net_from_message(solver.message.net_param, solver.file, solver.where.inside("net_param"))
    assert [layer.type for layer in source.message.layer] == ["ReLU", ""]
    assert source.origins[1].at("name") == Location("s", 4, 5)


def test_a_solver_from_a_message_is_a_copy():
    solver = message("SolverParameter")(solver_type=1)
    source = solver_from_message(solver)
    assert source.message.type == "Nesterov" and source.where is NO_SOURCE
    assert solver.HasField("solver_type")
    assert solver_from_message(solver.SerializeToString()).message == source.message


def test_sources_pickle():
    source = parse_net('layer {\n  name: "a" }', "f")
    again = pickle.loads(pickle.dumps(source))
    assert again.message == source.message
    assert again.origins[0].at("name") == Location("f", 2, 3)


def test_where_follows_fields():
    where = parse_net("layer {\n relu_param {\n  negative_slope: 1 } }", "f").origins[0]
    assert where.inside("relu_param").at("negative_slope") == Location("f", 3, 3)
    assert where.at("relu_param", "engine") == Location("f", 2, 2)
    assert where.at("bottom", 1) == Location("f", 1, 1)


def test_binary_messages(tmp_path):
    blob = message("BlobProto")(num=1, channels=3, height=1, width=1, data=[1, 2, 3])
    file = tmp_path / "mean.binaryproto"
    file.write_bytes(blob.SerializeToString())
    assert read_binary(file, "BlobProto") == blob
    assert read_binary(blob.SerializeToString(), "BlobProto") == blob
    file.write_bytes(blob.SerializeToString()[:-2])
    with pytest.raises(DataError, match=f"^'{file}' cannot be read as a binary BlobProto"):
        read_binary(file, "BlobProto")
    with pytest.raises(MissingFileError):
        read_binary(tmp_path / "none", "BlobProto")


def test_the_mean_file_that_caffe_wrote(shared):
    mean = read_binary(shared / "golden" / "data" / "mean.binaryproto", "BlobProto")
    assert len(mean.data) == mean.num * mean.channels * mean.height * mean.width > 0


def test_a_net_of_another_schema_that_does_not_fit_is_refused():
    class Foreign:
        class DESCRIPTOR:
            full_name = "caffe.NetParameter"

        def ListFields(self):
            return [(type("D", (), {"name": "shoe_size"}), 43)]

    with pytest.raises(NetError, match="NetParameter has no field 'shoe_size'"):
        net_from_message(Foreign())
