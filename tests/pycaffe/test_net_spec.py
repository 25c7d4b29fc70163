"""NetSpec: ``from caffe import layers as L, params as P`` and what it writes."""

# ruff: noqa: C408  (dict(...) is how such nets are written)
from __future__ import annotations

import copy
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import caffelite as caffe
from caffelite import layers as L
from caffelite import params as P
from caffelite.errors import FieldError, NetError, UsageError
from caffelite.net_spec import (
    Function,
    Layers,
    NetSpec,
    Parameters,
    Top,
    assign_proto,
    layers,
    param_name_dict,
    params,
    to_proto,
)
from caffelite.proto import caffe_pb2
from caffelite.prototxt.schema import message_names
from caffelite.prototxt.source import parse_net


def lenet(batch_size: int = 5) -> NetSpec:
    n = NetSpec()
    shapes = [dict(dim=[batch_size, 1, 28, 28]), dict(dim=[batch_size, 1, 1, 1])]
    n.data, n.label = L.DummyData(shape=shapes, transform_param=dict(scale=1.0 / 255), ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=50, param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)])
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n


LENET = """layer {
  name: "data"
  type: "DummyData"
  top: "data"
  top: "label"
  transform_param {
    scale: 0.00392156886
  }
  dummy_data_param {
    shape {
      dim: 5
      dim: 1
      dim: 28
      dim: 28
    }
    shape {
      dim: 5
      dim: 1
      dim: 1
      dim: 1
    }
  }
}
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  convolution_param {
    num_output: 20
    kernel_size: 5
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "pool1"
  type: "Pooling"
  bottom: "conv1"
  top: "pool1"
  pooling_param {
    pool: MAX
    kernel_size: 2
    stride: 2
  }
}
layer {
  name: "ip1"
  type: "InnerProduct"
  bottom: "pool1"
  top: "ip1"
  param {
    lr_mult: 1
  }
  param {
    lr_mult: 2
    decay_mult: 0
  }
  inner_product_param {
    num_output: 50
  }
}
layer {
  name: "relu1"
  type: "ReLU"
  bottom: "ip1"
  top: "ip1"
}
layer {
  name: "ip2"
  type: "InnerProduct"
  bottom: "ip1"
  top: "ip2"
  inner_product_param {
    num_output: 10
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "loss"
  type: "SoftmaxWithLoss"
  bottom: "ip2"
  bottom: "label"
  top: "loss"
}
"""


def floats_as_read(text: str) -> str:
    """protobuf's versions print 0.00392156886 with more or fewer digits."""
    return re.sub(r"scale: [\d.]+", lambda found: f"scale: {np.float32(found[0][7:])}", text)


def test_text_of_a_net() -> None:
    assert floats_as_read(str(lenet().to_proto())) == floats_as_read(LENET)
    assert parse_net(str(lenet().to_proto())).message == parse_net(LENET).message


def test_the_net_runs(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('name: "LeNet"\n' + str(lenet().to_proto()))
    net = caffe.Net(str(path), caffe.TEST)
    assert np.isfinite(net.forward()["loss"])
    assert net.params["ip1"][0].shape == (50, 20 * 12 * 12)


def names(net: object) -> list[tuple[str, list[str], list[str]]]:
    return [(layer.name, list(layer.bottom), list(layer.top)) for layer in net.layer]


def test_automatic_names() -> None:
    data, label = L.DummyData(shape=dict(dim=[2]), ntop=2)
    conv = L.Convolution(data, num_output=1, kernel_size=1)
    loss = L.SoftmaxWithLoss(L.Convolution(L.ReLU(conv, in_place=True), num_output=1, kernel_size=1), label)
    expected = [
        ("DummyData1", [], ["DummyData1", "DummyData2"]),
        ("Convolution1", ["DummyData1"], ["Convolution1"]),
        ("ReLU1", ["Convolution1"], ["Convolution1"]),
        ("Convolution2", ["Convolution1"], ["Convolution2"]),
        ("SoftmaxWithLoss1", ["Convolution2", "DummyData2"], ["SoftmaxWithLoss1"]),
    ]
    assert names(loss.to_proto()) == names(to_proto(loss)) == expected
    silence = L.Silence(label, ntop=0)
    assert isinstance(silence, Function)
    assert names(caffe.to_proto(loss, silence))[-1] == ("Silence1", ["DummyData2"], [])


def test_unnamed_layers_between_named_ones() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1]))
    n.score = L.InnerProduct(L.ReLU(L.InnerProduct(n.data, num_output=3)), num_output=2)
    assert [name for name, _, _ in names(n.to_proto())] == ["data", "InnerProduct1", "ReLU1", "score"]


def test_layers_without_tops() -> None:
    n = NetSpec()
    n.data, n.data2 = L.DummyData(shape=dict(dim=3), ntop=2)
    n.silence_data = L.Silence(n.data, ntop=0)
    n["silence_data2"] = L.Silence(n.data2, ntop=0)
    assert names(n.to_proto())[1:] == [("silence_data", ["data"], []), ("silence_data2", ["data2"], [])]


def test_a_name_of_its_own() -> None:
    n = NetSpec()
    n.top = L.Input(name="input layer", shape=dict(dim=[1]))
    assert names(n.to_proto()) == [("input layer", [], ["top"])]


def test_a_net_spec_is_a_table() -> None:
    n = lenet()
    assert n.keys() == ["data", "label", "conv1", "pool1", "ip1", "relu1", "ip2", "loss"] == list(n.tops)
    assert n["conv1"] is n.conv1 is n.vals()[2] and "conv1" in n
    n.update("conv1", dict(num_output=30))
    assert n.to_proto().layer[1].convolution_param.num_output == 30
    del n["loss"]
    assert "loss" not in n and len(n.to_proto().layer) == 6
    assert hasattr(n, "ip2") and not hasattr(n, "loss")
    assert copy.copy(n).keys() == n.keys()


def test_deep_nets_need_no_recursion() -> None:
    top = L.Input(shape=dict(dim=[1]))
    for _ in range(3000):
        top = L.ReLU(top)
    assert names(top.to_proto())[-1] == ("ReLU3000", ["ReLU2999"], ["ReLU3000"])


def only(top: Top) -> object:
    return top.to_proto().layer[-1]


def test_fields_of_the_layer() -> None:
    layer = only(
        L.Data(
            source="db", backend=P.Data.LMDB, batch_size=8, transform_param=dict(mean_value=[104, 117], mirror=True),
            include=dict(phase=caffe.TEST), loss_weight=2, propagate_down=[True, False], phase=caffe.TRAIN,
        )
    )  # fmt: skip
    assert (layer.data_param.source, layer.data_param.backend, layer.data_param.batch_size) == ("db", 1, 8)
    assert list(layer.transform_param.mean_value) == [104, 117] and layer.transform_param.mirror
    assert [rule.phase for rule in layer.include] == [caffe.TEST] and layer.phase == caffe.TRAIN
    assert list(layer.loss_weight) == [2] and list(layer.propagate_down) == [True, False]


def test_python_layers() -> None:
    layer = only(L.Python(L.Input(), module="pascal", layer="Seg", param_str=str(dict(split="val"))))
    assert (layer.python_param.module, layer.python_param.layer) == ("pascal", "Seg")
    assert layer.python_param.param_str == "{'split': 'val'}"


def test_parameters_in_the_message_that_is_named() -> None:
    layer = only(L.Deconvolution(L.Input(), convolution_param=dict(num_output=21, kernel_size=64, stride=32)))
    assert (layer.convolution_param.num_output, list(layer.convolution_param.kernel_size)) == (21, [64])
    layer = only(L.SoftmaxWithLoss(L.Input(), loss_param=dict(ignore_label=255, normalize=False)))
    assert layer.loss_param.ignore_label == 255 and not layer.loss_param.normalize


def test_values_of_other_kinds() -> None:
    layer = only(
        L.Convolution(
            L.Input(), kernel_size=(3, 5), stride=np.array([2, 1]), num_output=np.int64(8), pad=6 / 2, bias_term=np.bool_(False),
            weight_filler=caffe_pb2.FillerParameter(type="xavier"), param=[caffe_pb2.ParamSpec(lr_mult=3)], engine="CAFFE",
        )
    )  # fmt: skip
    p = layer.convolution_param
    assert (list(p.kernel_size), list(p.stride), list(p.pad), p.num_output) == ([3, 5], [2, 1], [3], 8)
    assert not p.bias_term and p.weight_filler.type == "xavier" and layer.param[0].lr_mult == 3
    assert p.engine == P.Convolution.CAFFE
    assert not only(L.Convolution(L.Input(), kernel_size=[])).convolution_param.kernel_size


def test_types_of_forks() -> None:
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 8, 8]))
    n.prior = L.PriorBox(n.data, n.data, min_size=30, aspect_ratio=[2, 3], flip=True, variance=[0.1] * 4)
    n.norm = L.Normalize(
        n.data, across_spatial=False, scale_filler=dict(type="constant", value=20), channel_shared=False
    )
    n.roi = L.ROIPooling(n.data, n.data, pooled_w=7, pooled_h=7, spatial_scale=0.0625)
    n.relu6 = L.ReLU6(n.data)
    layers_ = {layer.name: layer for layer in n.to_proto().layer}
    assert list(layers_["prior"].prior_box_param.aspect_ratio) == [2, 3]
    assert layers_["norm"].norm_param.scale_filler.value == 20
    assert layers_["roi"].roi_pooling_param.spatial_scale == 0.0625


def test_the_package_of_layers_is_still_one() -> None:
    from caffelite.layers.base import Layer

    assert inspect.ismodule(L) and issubclass(L.base.Layer, Layer)
    assert L.Foo.__name__ == "Foo"
    with pytest.raises(AttributeError, match="module 'caffelite.layers' has no attribute 'convolutio'"):
        _ = L.convolutio


def test_the_module_of_params_is_still_one() -> None:
    from caffelite.params import Param

    assert P.Param is Param
    for name in message_names():
        short = name.removesuffix("Parameter")
        assert short == name or "." in name or not hasattr(vars(P).get(short), "data"), f"P.{short} is taken"
    with pytest.raises(AttributeError, match="module 'caffelite.params' has no attribute 'pooling'"):
        _ = P.pooling


def test_pseudo_modules_of_net_spec() -> None:
    assert isinstance(layers, Layers) and isinstance(params, Parameters)
    assert (params.Pooling.MAX, params.Pooling.AVE, params.Eltwise.SUM, params.LRN.WITHIN_CHANNEL) == (
        0,
        1,
        1,
        1,
    )
    assert Layers().Silence(Layers().Input(), ntop=0).ntop == 0
    assert isinstance(layers.Split(layers.Input(), ntop=2), tuple)
    with pytest.raises(AttributeError, match="there is no message PoolinParameter; did you mean 'Pooling'"):
        _ = P.Poolin
    with pytest.raises(AttributeError, match="PoolingParameter has no value 'MAXX'; did you mean 'MAX'"):
        _ = P.Pooling.MAXX


def test_param_name_dict() -> None:
    found = param_name_dict()
    for type_, field in (
        ("InnerProduct", "inner_product"),
        ("ReLU", "relu"),
        ("Python", "python"),
        ("LRN", "lrn"),
    ):
        assert found[type_] == field
    assert "Deconvolution" not in found


def test_top_and_function() -> None:
    fn = Function("Split", [L.Input()], dict(ntop=2, other=1))
    assert (fn.type_name, fn.ntop, fn.in_place, fn.params) == ("Split", 2, False, {"other": 1})
    assert [top.n for top in fn.tops] == [0, 1] and all(top.fn is fn for top in fn.tops)
    assert Top(fn, 1).n == 1


def test_assign_proto() -> None:
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "bottom", "data")
    assign_proto(layer, "param", [dict(lr_mult=1), dict(name="w")])
    assign_proto(layer, "convolution_param", dict(weight_filler=dict(std=0.5), kernel_size=3))
    assert list(layer.bottom) == ["data"] and layer.param[1].name == "w"
    assert layer.convolution_param.weight_filler.std == 0.5
    with pytest.raises(AttributeError, match="LayerParameter has no field 'botom'; did you mean 'bottom'"):
        assign_proto(layer, "botom", "data")


def test_an_input_that_is_no_top() -> None:
    data = L.DummyData(ntop=2)
    with pytest.raises(TypeError) as error:
        L.Silence(data, ntop=0)
    assert str(error.value) == "Silence input 0 is not a Top (type is <class 'tuple'>)"
    assert "pass one of it, or all by *" in error.value.__notes__[0]
    with pytest.raises(TypeError, match=r"^Foo input 0 is not a Top \(type is <class 'int'>\)$"):
        L.Foo(3)
    with pytest.raises(UsageError, match="ReLU in place has 1 tops and 0 inputs"):
        L.ReLU(in_place=True)
    with pytest.raises(TypeError, match="NetSpec 'data' is not a Top") as error:
        NetSpec().data = data
    assert "n.data, n.other = " in error.value.__notes__[0]


HERE = re.escape(__file__)


@pytest.mark.parametrize(
    ("type_", "given", "text"),
    [
        ("Convolution", dict(kernel=3), "there is no parameter 'kernel'; did you mean 'kernel_size'"),
        (
            "Deconvolution",
            dict(num_output=3),
            r"there is no parameter 'num_output'\n  Fix: .* convolution_param=dict",
        ),
        ("Convlution", dict(num_output=3), r"'num_output'; did you mean type 'Convolution'\?"),
        ("FC", dict(num_output=3), r"'num_output'; did you mean type 'InnerProduct'\?"),
        ("ReLU", dict(blobs_lr=[1, 2]), r"there is no parameter 'blobs_lr'\n  Fix: write param"),
        (
            "Convolution",
            dict(weight_filler=dict(typ="x")),
            "FillerParameter has no field 'typ'; did you mean 'type'",
        ),
        ("Pooling", dict(pool="MAXX"), "PoolingParameter field 'pool' cannot be 'MAXX'"),
        ("Convolution", dict(num_output=2.5), "field 'num_output' cannot be 2.5"),
        ("Convolution", dict(num_output=-1), "field 'num_output' cannot be -1"),
        ("Data", dict(transform_param=3), "LayerParameter field 'transform_param' cannot be 3"),
    ],
)
def test_wrong_parameters(type_, given, text) -> None:
    top = getattr(L, type_)(L.Input(), **given)
    with pytest.raises(AttributeError, match=text) as error:
        top.to_proto()
    assert isinstance(error.value, FieldError | NetError | TypeError)
    assert re.match(rf"layer '{type_}1' \({type_}\) at {HERE}:\d+: ", str(error.value))


def test_names_that_a_net_spec_lacks() -> None:
    n = lenet()
    with pytest.raises(AttributeError, match="the NetSpec has no top 'conv'; did you mean 'conv1'"):
        _ = n.conv
    with pytest.raises(KeyError, match="the NetSpec has no top 'los'; did you mean 'loss'"):
        _ = n["los"]
