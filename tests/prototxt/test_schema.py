"""The schema against what BVLC Caffe fixes, and the messages as Python objects."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import re
import sys
from pathlib import Path

import pytest

from caffelite.prototxt.schema import (
    enum_name,
    enum_values,
    from_foreign,
    is_ours,
    message,
    message_type,
    type_name,
)

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_committed_descriptors_are_those_of_the_proto_file():
    pytest.importorskip("grpc_tools")
    spec = importlib.util.spec_from_file_location("compile_proto", REPOSITORY / "tools" / "compile_proto.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.is_fresh(tool.compile_descriptors()), "run tools/compile_proto.py"


def test_every_field_of_bvlc_caffe_is_there(shared):
    """Names, numbers, types, labels, defaults and packing against a table of Caffe's descriptors."""
    tables = (shared / "design" / "PROTO_FIELDS.md").read_text().split("## B. Enums")[0]
    row = re.compile(r"^\| (\d+) \| (\w+) \| ([\w.]+) \| (\w+) \| (.*?) \| ?(\w*) ?\|$", re.MULTILINE)
    count = 0
    for name, table in re.findall(r"^### (\w+) \(.*?\n(.*?)(?=^### |\Z)", tables, re.MULTILINE | re.DOTALL):
        descriptor = message(name).DESCRIPTOR
        for number, field, type_, label, default, packed in row.findall(table):
            found, ours = descriptor.fields_by_name[field], message_type(name).fields[field]
            assert found.number == int(number), (name, field)
            assert type_ in (ours.kind, ours.type), (name, field)
            assert label == ("repeated" if ours.repeated else "required" if ours.required else "optional")
            assert bool(packed) == bool(found.GetOptions().packed), (name, field)
            if default != "-":
                assert _default_text(name, field) == default.strip("`").strip('"'), (name, field)
            else:
                assert not found.has_default_value
            count += 1
    assert count == 423


def _default_text(name, field):
    value, info = getattr(message(name)(), field), message_type(name).fields[field]
    if info.kind == "enum":
        return enum_name(info.type, value)
    if info.kind == "float":
        return f"{value:.6g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_enum_value_of_bvlc_caffe_is_there(shared):
    section = (shared / "design" / "PROTO_FIELDS.md").read_text().split("## B. Enums")[1].split("Traps:")[0]
    count = 0
    for name, values in re.findall(r"^\| ([\w.]+) \| (\w+ = .*?) \|$", section, re.MULTILINE):
        for word, number in re.findall(r"(\w+) = (\d+)", values):
            assert enum_values(name)[word] == int(number), (name, word)
            count += 1
    assert count == 111


def test_defaults_of_a_message():
    pooling = message("LayerParameter")().pooling_param
    assert (pooling.pool, pooling.stride, pooling.round_mode) == (0, 1, 0)
    assert not pooling.HasField("stride")


def test_fork_fields_are_there_by_name():
    fields = message_type("LayerParameter").fields
    for name in (
        "roi_pooling_param",
        "prior_box_param",
        "norm_param",
        "interp_param",
        "shuffle_channel_param",
    ):
        assert name in fields
    assert list(fields)[0] == "name"
    assert message_type("DropoutParameter").fields["scale_train"].kind == "bool"


def test_fork_fields_take_no_number_that_bvlc_uses():
    descriptor = message("LayerParameter").DESCRIPTOR
    assert descriptor.fields_by_number[147].name == "swish_param"
    assert descriptor.fields_by_number[148].name == "clip_param"
    assert descriptor.fields_by_name["roi_pooling_param"].number == 8266711


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_messages_copy_and_pickle(duplicate):
    layer = message("LayerParameter")(name="ip", type="InnerProduct")
    layer.inner_product_param.num_output = 10
    layer.clip_param.min = 1  # a required field is missing: still no reason to fail
    again = duplicate(layer)
    assert again == layer and again is not layer
    assert duplicate(layer.inner_product_param).num_output == 10


def test_enum_helpers():
    assert enum_values("Phase") == {"TRAIN": 0, "TEST": 1}
    assert enum_name("PoolingParameter.PoolMethod", 1) == "AVE"


def foreign_schema():
    """A stand-in for somebody's caffe_pb2: package caffe, a number of its own, an enum with other numbers."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="foreign.proto", package="caffe", syntax="proto2")
    phase = file.enum_type.add(name="Phase")
    phase.value.add(name="TEST", number=0)
    phase.value.add(name="TRAIN", number=1)
    layer = file.message_type.add(name="LayerParameter")
    layer.field.add(name="name", number=1, type=9, label=1)
    layer.field.add(name="top", number=77, type=9, label=3)
    layer.field.add(name="phase", number=78, type=14, label=1, type_name=".caffe.Phase")
    layer.field.add(name="shoe_size", number=79, type=5, label=1)
    net = file.message_type.add(name="NetParameter")
    net.field.add(name="layer", number=100, type=11, label=3, type_name=".caffe.LayerParameter")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def test_messages_of_another_schema_are_copied_by_name():
    foreign = foreign_schema()()
    foreign.layer.add(name="data", top=["a", "b"], phase=1)
    assert not is_ours(foreign) and type_name(foreign) == "NetParameter"
    net = from_foreign(foreign, "NetParameter")
    assert is_ours(net)
    assert (net.layer[0].name, list(net.layer[0].top)) == ("data", ["a", "b"])
    assert net.layer[0].phase == enum_values("Phase")["TRAIN"]


def test_a_field_of_another_schema_that_ours_lacks_is_an_error():
    from caffelite.errors import NetError

    foreign = foreign_schema()()
    foreign.layer.add(shoe_size=43)
    with pytest.raises(NetError, match="LayerParameter has no field 'shoe_size'"):
        from_foreign(foreign, "NetParameter")


def test_importing_the_package_loads_no_protobuf():
    import subprocess

    code = "import sys, caffelite.prototxt.source; sys.exit('google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
