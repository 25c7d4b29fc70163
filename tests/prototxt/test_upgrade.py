"""Nets of all generations become the current form, and their layers keep their places."""

from __future__ import annotations

import pytest

from caffelite.errors import NetError, PrototxtError
from caffelite.prototxt.schema import enum_values, message
from caffelite.prototxt.source import net_from_message, parse_net, parse_solver, read_net, read_solver
from caffelite.prototxt.text import parse_text
from caffelite.prototxt.upgrade import _SOLVERS
from caffelite.prototxt.upgrade_v0 import _FIELDS, _MESSAGES, _TYPES
from caffelite.prototxt.upgrade_v1 import _TYPES as V1_TYPES


def upgraded(text):
    return parse_net(text, "net.prototxt")


def same_net(source, text):
    assert source.message == parse_text(text, "NetParameter")[0]


def lines(source):
    return [origin.at().line for origin in source.origins]


V0 = """name: "old"
input: "data"
input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers {
  layer { name: "pad1" type: "padding" pad: 2 }
  bottom: "data" top: "pad1"
}
layers {
  layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 5 stride: 2 group: 1 biasterm: false
          weight_filler { type: "xavier" } blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 }
  bottom: "pad1" top: "conv1"
}
layers {
  layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1 alpha: 5 }
  bottom: "conv1" top: "pool1"
}
layers {
  layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 k: 2 }
  bottom: "pool1" top: "norm1"
}
layers {
  layer { name: "drop" type: "dropout" dropout_ratio: 0.3 }
  bottom: "norm1" top: "norm1"
}
"""


def test_v0():
    source = upgraded(V0)
    same_net(
        source,
        """name: "old"
        layer { name: "input" type: "Input" top: "data"
                input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
                param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
                convolution_param { num_output: 4 pad: 2 kernel_size: 5 stride: 2 group: 1 bias_term: false
                                    weight_filler { type: "xavier" } } }
        layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
                pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
        layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1"
                lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 k: 2 } }
        layer { name: "drop" type: "Dropout" bottom: "norm1" top: "norm1"
                dropout_param { dropout_ratio: 0.3 } }""",
    )
    assert lines(source) == [2, 8, 13, 17, 21]
    assert source.notes == [
        "4 layers upgraded from the form of 2013 ('layer' inside 'layers')",
        "1 padding layers folded into the layers that read them",
        "layer 'pool1': alpha means nothing for type 'pool'; dropped",
        "4 layers upgraded from the form of 2014 ('layers') to the current one ('layer')",
        "the input fields became an Input layer named 'input'",
    ]


def test_v0_data_layers():
    source = upgraded("""
        layers { top: "d" top: "l" layer { name: "d" type: "data" source: "db" batchsize: 4 scale: 0.5
                 meanfile: "m" cropsize: 7 mirror: true rand_skip: 3 } }
        layers { top: "i" top: "j" layer { name: "i" type: "images" source: "list" batchsize: 2
                 shuffle_images: true new_height: 5 new_width: 6 } }
        layers { top: "w" top: "x" layer { name: "w" type: "window_data" source: "win" det_fg_threshold: 0.4
                 det_bg_threshold: 0.3 det_fg_fraction: 0.2 det_context_pad: 16 det_crop_mode: "square" } }
        layers { bottom: "d" bottom: "i"
                 layer { type: "hdf5_output" hdf5_output_param { file_name: "f" } } }""")
    same_net(
        source,
        """layer { name: "d" type: "Data" top: "d" top: "l"
                   transform_param { scale: 0.5 mirror: true crop_size: 7 mean_file: "m" }
                   data_param { source: "db" batch_size: 4 rand_skip: 3 } }
           layer { name: "i" type: "ImageData" top: "i" top: "j" image_data_param {
                   source: "list" batch_size: 2 shuffle: true new_height: 5 new_width: 6 } }
           layer { name: "w" type: "WindowData" top: "w" top: "x" window_data_param {
                   source: "win" fg_threshold: 0.4 bg_threshold: 0.3 fg_fraction: 0.2 context_pad: 16
                   crop_mode: "square" } }
           layer { type: "HDF5Output" bottom: "d" bottom: "i" hdf5_output_param { file_name: "f" } }""",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'layers { layer { name: "c" type: "convv" } }',
            "net.prototxt:1:28: layer 'c': unknown type 'convv'; did you mean 'conv'?",
        ),
        (
            'layers { layer { name: "a" type: "relu" }\n bottom: "x" }',
            "net.prototxt:2:2: layer 'a': unknown bottom 'x'",
        ),
        (
            'input: "x" layers { layer { name: "p" type: "padding" } bottom: "x" top: "p" }\n'
            'layers { layer { name: "a" type: "relu" } bottom: "p" }',
            "net.prototxt:2:43: layer 'a': only conv and pool can read the padding layer 'p'",
        ),
        (
            'input: "x" layers { layer { name: "p" type: "padding" } bottom: "x" top: "p" top: "q" }\n'
            'layers { layer { name: "a" type: "conv" } bottom: "p" }',
            "net.prototxt:2:43: layers 'p' and 'a': padding is from one blob to one blob",
        ),
        (
            'layers { layer { name: "a" type: "relu" } }\nlayers { name: "b" type: RELU }',
            "net.prototxt:2:1: layer 'b' is in the form of 2014, others of this net are in that of 2013\n"
            "  Fix: write all layers in one form",
        ),
    ],
)
def test_v0_that_has_no_later_form(text, expected):
    with pytest.raises(PrototxtError) as caught:
        upgraded(text)
    assert str(caught.value) == expected


def test_v0_tables_name_real_fields():
    v1 = message("V1LayerParameter")()
    assert set(_TYPES.values()) <= set(enum_values("V1LayerParameter.LayerType"))
    for types, field in _FIELDS.values():
        for type_ in types:
            assert hasattr(getattr(v1, _MESSAGES[type_]), field)


def test_v1():
    source = upgraded("""name: "v1"
layers { name: "data" type: DATA top: "data" top: "label" include { phase: TRAIN }
         data_param { source: "db" scale: 0.5 mirror: false batch_size: 3 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" blobs_lr: 1 blobs_lr: 2 weight_decay: 3
         param: "w" param: "b" blob_share_mode: PERMISSIVE inner_product_param { num_output: 2 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" loss_weight: 0.5
         exclude { stage: "x" } }
""")
    same_net(
        source,
        """name: "v1"
        layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
                transform_param { scale: 0.5 mirror: false } data_param { source: "db" batch_size: 3 } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
                param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 3 }
                param { name: "b" lr_mult: 2 }
                inner_product_param { num_output: 2 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" loss_weight: 0.5
                exclude { stage: "x" } }""",
    )
    assert lines(source) == [2, 4, 6]
    assert source.origins[1].at("inner_product_param", "num_output").line == 5
    assert source.origins[1].at("param", 0, "lr_mult").line == 5  # the names of the parameters
    assert source.notes == [
        "layer 'data': scale, mean, crop_size and mirror moved into transform_param",
        "3 layers upgraded from the form of 2014 ('layers') to the current one ('layer')",
    ]


def test_v1_blobs_travel():
    net = message("NetParameter")()
    net.layers.add(name="ip", type=14).blobs.add(num=1, data=[1, 2])
    blob = net_from_message(net).message.layer[0].blobs[0]
    assert (blob.num, list(blob.data)) == (1, [1, 2])


def test_every_v1_type_has_a_current_one():
    assert set(V1_TYPES) == set(enum_values("V1LayerParameter.LayerType"))
    assert set(_SOLVERS) == set(enum_values("SolverParameter.SolverType"))


def test_both_generations_in_one_net():
    with pytest.raises(PrototxtError) as caught:
        upgraded('layer { name: "a" }\nlayers { name: "b" }')
    assert str(caught.value) == (
        "net.prototxt:2:1: the net has both 'layer' (current form) and 'layers' (form of 2014) fields\n"
        '  Fix: write all layers in the current form: layer { type: "Convolution" ... }'
    )
    net = message("NetParameter")()
    net.layer.add()
    net.layers.add()
    with pytest.raises(NetError, match="^the net has both"):
        net_from_message(net)


def test_input_shapes():
    source = upgraded("""layer { name: "a" type: "ReLU" bottom: "x" top: "y" }
input: "x" input_shape { dim: 2 dim: 3 }
input: "z" input_shape { dim: 1 }""")
    same_net(
        source,
        """layer { name: "input" type: "Input" top: "x" top: "z"
                   input_param { shape { dim: 2 dim: 3 } shape { dim: 1 } } }
           layer { name: "a" type: "ReLU" bottom: "x" top: "y" }""",
    )
    assert lines(source) == [2, 1]


def test_inputs_without_shapes_are_dropped():
    source = upgraded('input: "x"')
    same_net(source, "")
    assert source.notes == ["input fields without input_shape or input_dim were dropped"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'input: "x" input: "y"\ninput_shape { dim: 1 }',
            "net.prototxt:2:1: expected one input_shape for each input, got 1 for 2",
        ),
        (
            'input: "x"\ninput_dim: 1 input_dim: 2',
            "net.prototxt:2:1: expected four input_dim for each input, got 2 for 1\n"
            "  Fix: give input_shape { dim: ... } for inputs that have not four axes",
        ),
    ],
)
def test_input_fields_that_do_not_fit(text, expected):
    with pytest.raises(PrototxtError) as caught:
        upgraded(text)
    assert str(caught.value) == expected


def test_batch_norm_statistics_are_not_trained():
    source = upgraded("""layer { name: "a" type: "BatchNorm" param { lr_mult: 1 name: "m" } param {} param {}}
layer { name: "two" type: "BatchNorm" param { lr_mult: 1 } param { lr_mult: 1 } }""")
    assert [(p.lr_mult, p.decay_mult) for p in source.message.layer[0].param] == [(0, 0)] * 3
    assert source.message.layer[0].param[0].name == "m"
    assert [p.lr_mult for p in source.message.layer[1].param] == [1, 1]


def test_solver_type():
    source = parse_solver("solver_type: ADAGRAD")
    assert source.message.type == "AdaGrad" and not source.message.HasField("solver_type")
    assert source.notes == ['solver_type became type: "AdaGrad"']
    with pytest.raises(PrototxtError) as caught:
        parse_solver('type: "SGD"\nsolver_type: ADAM', "s")
    assert str(caught.value) == (
        "s:2:1: both solver_type and type are given, of which solver_type is the old form\n"
        "  Fix: remove solver_type"
    )


def test_snapshot_prefix(tmp_path):
    file = tmp_path / "solver.v2.prototxt"

    def prefix(text):
        file.write_text(text)
        return read_solver(file).message.snapshot_prefix

    assert prefix("") == str(tmp_path / "solver.v2")
    assert prefix('snapshot_prefix: "models/x"') == "models/x"
    assert prefix(f'snapshot_prefix: "{tmp_path}"') == str(tmp_path / "solver.v2")
    assert prefix(f'snapshot_prefix: "{tmp_path}/"') == str(tmp_path / "solver.v2")
    assert not parse_solver("").message.HasField("snapshot_prefix")


def test_a_current_net_is_left_alone():
    source = upgraded('layer { name: "a" type: "ReLU" }')
    assert source.notes == []
    same_net(source, 'layer { name: "a" type: "ReLU" }')


def test_published_nets_have_an_origin_for_each_layer(shared):
    for file in sorted(shared.glob("models/*/deploy.prototxt")):
        source = read_net(file)
        assert len(source.origins) == len(source.message.layer) > 0
        for layer, origin in zip(source.message.layer, source.origins, strict=True):
            line = file.read_text().splitlines()[origin.at().line - 1]
            assert line.lstrip().startswith("input" if layer.name == "input" else "layer"), file
