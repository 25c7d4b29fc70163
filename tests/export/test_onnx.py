"""The file as a whole: names, sizes, what is left out, what is refused, and that a wrong model is never written."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import pytest

import caffelite
from caffelite import export
from caffelite.errors import ExportError, SnapshotError, UsageError
from caffelite.export.check import Session
from caffelite.export.forms import form_types
from caffelite.export.writer import Writer
from caffelite.layers.base import Layer
from caffelite.layers.registry import layer_types, register
from caffelite.prototxt.source import parse_net

from .conftest import one_layer
from .nets import CONV, DEPLOY, INPUT, model


def sizes(info: onnx.ValueInfoProto) -> tuple[object, ...]:
    return tuple(
        d.dim_param or (d.dim_value if d.HasField("dim_value") else None)
        for d in info.type.tensor_type.shape.dim
    )


# -- the file ---------------------------------------------------------------------------------------------------


def test_names_sizes_and_metadata(path):
    report = export.onnx(model(), None, path)
    made = onnx.load(path)
    assert [(node.op_type, node.name, node.output[0]) for node in made.graph.node] == [
        ("Conv", "conv", "conv@0"),
        ("Relu", "relu", "conv"),
        ("Flatten", "fc/Flatten", "fc/Flatten"),
        ("Gemm", "fc", "fc"),
        ("Softmax", "prob", "prob"),
    ]
    assert [tensor.name for tensor in made.graph.initializer] == ["conv.0", "conv.1", "fc.0", "fc.1"]
    assert {info.name: sizes(info) for info in made.graph.value_info} == {
        "conv@0": (2, 4, 4, 3), "conv": (2, 4, 4, 3), "fc": (2, 5),
    }  # fmt: skip
    assert made.graph.name == "small" and made.opset_import[0].version == 17
    assert (made.producer_name, made.producer_version) == ("caffelite", caffelite.__version__)
    assert {prop.key: prop.value for prop in made.metadata_props} == {
        "caffe.net": "small",
        "caffe.blobs": "{}",
    }
    assert report.operators == 5 and report.files == [path] and report.ok


def test_a_blob_that_is_another_ones_tensor_is_told(path):
    text = DEPLOY.replace(
        'name: "drop" type: "Dropout" bottom: "fc" top: "fc"',
        'name: "drop" type: "Dropout" bottom: "fc" top: "drop"',
    )
    export.onnx(model(text.replace('bottom: "fc" top: "prob"', 'bottom: "drop" top: "prob"')), None, path)
    props = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert json.loads(props["caffe.blobs"]) == {"drop": "fc"}


def test_outputs_in_caffes_order_with_their_names(path):
    text = INPUT + 'layer { name: "cut" type: "Slice" bottom: "data" top: "z" top: "a" top: "m" }\n'
    text += 'layer { name: "same" type: "Dropout" bottom: "m" top: "k" }'
    report = export.onnx(model(text), None, path)
    assert list(report.outputs) == [output.name for output in onnx.load(path).graph.output] == ["a", "k", "z"]


def test_an_input_that_is_written_in_place_keeps_its_name(path):
    text = "".join(
        f'layer {{ name: "{type_}" type: "{type_}" bottom: "data" top: "data" }}\n'
        for type_ in ("ReLU", "Sigmoid", "Dropout")
    )
    report = export.onnx(model(INPUT + text + CONV), None, path)
    assert list(report.inputs) == ["data"] and list(report.outputs) == ["conv"] and report.ok
    made = onnx.load(path)
    assert [node.output[0] for node in made.graph.node][:2] == ["data@1", "data@2"]
    props = {prop.key: prop.value for prop in made.metadata_props}
    assert json.loads(props["caffe.blobs"]) == {"data": "data@2"}
    assert not report.notes


def test_an_input_that_is_written_in_place_is_no_output(path):
    text = INPUT + 'layer { name: "in" type: "Input" top: "b" input_param { shape { dim: 2 } } }\n'
    text += 'layer { name: "r" type: "ReLU" bottom: "b" top: "b" }\n'
    report = export.onnx(model(text + CONV), None, path)
    assert list(report.outputs) == ["conv"]
    assert (
        "'b' is an input, and no output as well: give the last layer that writes it a top of its own"
        in report.notes
    )


def test_shared_weights_are_stored_once(path):
    twin = 'layer { name: "%s" type: "InnerProduct" bottom: "data" top: "%s" param { name: "w" } param { name: "b" } inner_product_param { num_output: 5 } }\n'
    export.onnx(model(INPUT + twin % ("p", "p") + twin % ("q", "q")), None, path)
    assert [tensor.name for tensor in onnx.load(path).graph.initializer] == ["p.0", "p.1"]


def test_what_leads_to_no_output_is_not_written(path):
    text = (
        DEPLOY
        + 'layer { name: "side" type: "Power" bottom: "data" top: "side" } layer { name: "hush" type: "Silence" bottom: "side" }'
    )
    text += 'layer { name: "more" type: "Input" top: "more" input_param { shape { dim: 1 } } }'
    report = export.onnx(model(text), None, path)
    assert report.operators == 5 and list(report.inputs) == ["data"]
    assert report.notes == ["input 'more' is left out: nothing reads it"]


@pytest.mark.parametrize("opset", [13, 15, 18, 21])
def test_opsets(path, opset):
    pool = 'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }\n'
    mvn = 'layer { name: "mvn" type: "MVN" bottom: "pool" top: "mvn" }\n'
    cut = 'layer { name: "cut" type: "Slice" bottom: "mvn" top: "c" top: "d" }\n'
    best = 'layer { name: "best" type: "ArgMax" bottom: "c" top: "best" argmax_param { top_k: 2 out_max_val: true } }\n'
    large = (
        'layer { name: "large" type: "Interp" bottom: "d" top: "large" interp_param { zoom_factor: 2 } }\n'
    )
    export.onnx(model(INPUT + CONV + pool + mvn + cut + best + large), None, path, opset=opset)
    assert onnx.load(path).opset_import[0].version == opset


def test_an_unknown_opset(path):
    with pytest.raises(UsageError, match="opset: expected 13 to 21, got 9"):
        export.onnx(model(), None, path, opset=9)


def test_large_weights_go_to_a_file_of_their_own(path):
    report = export.onnx(model(DEPLOY.replace("num_output: 5", "num_output: 50")), None, path, external=True)
    data = path.with_name("net.onnx.data")
    assert report.files == [path, data] and data.stat().st_size == 48 * 50 * 4
    assert Session(path).run({"data": np.zeros((2, 3, 6, 5), np.float32)})["prob"].shape == (2, 50)
    assert sorted(file.name for file in path.parent.iterdir()) == ["net.onnx", "net.onnx.data"]


def test_weights_that_no_message_could_hold(path, monkeypatch):
    monkeypatch.setattr("caffelite.export.proto.LIMIT", 5000)
    assert len(export.onnx(model(DEPLOY.replace("num_output: 5", "num_output: 50")), None, path).files) == 2
    assert len(export.onnx(model(), None, path).files) == 1


# -- batch ------------------------------------------------------------------------------------------------------


def test_a_batch_of_any_size(path):
    report = export.onnx(model(), None, path, batch="N")
    assert report.inputs == {"data": ("N", 3, 6, 5)} and report.outputs == {"prob": ("N", 5)}
    assert [difference.shape for difference in report.differences] == [(2, 5), (3, 5)]
    assert Session(path).run({"data": np.zeros((7, 3, 6, 5), np.float32)})["prob"].shape == (7, 5)


def test_sizes_with_a_factor_and_a_fixed_batch(path):
    text = (
        INPUT
        + 'layer { name: "r" type: "Reshape" bottom: "data" top: "r" reshape_param { shape { dim: -1 dim: 30 } } }'
    )
    assert export.onnx(model(text), None, path, batch="N").outputs == {"r": ("N_x_3", 30)}
    assert export.onnx(model(text), None, path, batch=5).outputs == {"r": (15, 30)}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            'type: "Reshape" reshape_param { shape { dim: 2 dim: 90 } }',
            "expected x with 180 elements",
        ),
        ('type: "InnerProduct" inner_product_param { num_output: 2 axis: 0 }', "the weights of layer 'l'"),
        (
            'type: "Slice" top: "m" slice_param { axis: 0 }',
            "the batch must be fixed: with another number of items",
        ),
        *(
            (
                f'type: "Permute" permute_param {{ order: 1 order: 2 order: 3 order: 0 }} }} '
                f'layer {{ name: "m" bottom: "l" top: "m" {layer}',
                "it counts places along the batch, which must therefore be fixed",
            )
            for layer in (
                'type: "Pooling" pooling_param { kernel_size: 2 }',
                'type: "SPP" spp_param { pyramid_height: 1 }',
                'type: "Interp" interp_param { zoom_factor: 2 }',
                'type: "ArgMax"',
                'type: "ArgMax" argmax_param { axis: 3 out_max_val: true }',
            )
        ),
    ],
)
def test_nets_that_fix_their_batch(path, layer, words):
    text = INPUT + f'layer {{ name: "l" bottom: "data" top: "l" {layer} }}'
    with pytest.raises(ExportError) as caught:
        export.onnx(model(text), None, path, batch="N")
    assert words in str(caught.value)


@pytest.mark.parametrize("batch", [0, -1, "1N", "a b"])
def test_bad_batches(path, batch):
    with pytest.raises(UsageError, match="batch: expected a number from 1 up or a word"):
        export.onnx(model(), None, path, batch=batch)


def test_an_input_without_a_size(path):
    net = parse_net(
        'layer { name: "d" type: "Input" top: "d" } layer { name: "s" type: "Power" bottom: "d" top: "s" }'
    )
    with pytest.raises(ExportError, match=r"input 'd' of layer 'd' has no size\n.*--shape d=1,3,224,224"):
        export.onnx(net, None, path)
    assert export.onnx(net, None, path, shapes={"d": (4, 2)}).outputs == {"s": (4, 2)}


# -- refusals ---------------------------------------------------------------------------------------------------


class Odd(Layer):
    """A user's layer, y = 2 x."""

    def infer(self, shapes):
        return [shapes[0]]

    def forward(self, xp, x, y):
        y[...] = 2 * x


register("OddLayer", Odd)
register("EvenLayer", Odd)


@export.form("EvenLayer")
def even(to: Writer, x):
    return to.op("Mul", x, 2.0)


@pytest.fixture
def wrong_form():
    """OddLayer with a form that computes something else."""
    from caffelite.export import forms

    forms.form("OddLayer")(lambda to, x: to.op("Mul", x, 2.5))
    yield
    del forms._forms["OddLayer"]


def test_all_layers_without_a_form_at_once_and_no_file(path):
    text = DEPLOY + 'layer { name: "a" type: "OddLayer" bottom: "prob" top: "a" }\n'
    text += 'layer { name: "b" type: "Exp" bottom: "a" top: "b" exp_param { shift: 1000 } }\n'
    text += 'layer { name: "c" type: "OddLayer" bottom: "b" top: "c" }\n'
    with pytest.raises(ExportError) as caught:
        export.onnx(model(text), None, path)
    assert str(caught.value).splitlines() == [
        "net 'small' cannot be expressed in ONNX, because of 3 layers:",
        "layer 'a' (OddLayer) at net.prototxt:8:1: caffelite has no ONNX form of this type",
        "layer 'b' (Exp) at net.prototxt:9:1: base^shift is inf in float32",
        "layer 'c' (OddLayer) at net.prototxt:10:1: caffelite has no ONNX form of this type",
    ]
    assert list(path.parent.iterdir()) == []


def test_a_form_of_a_users_layer(path):
    assert export.onnx(parse_net(one_layer("EvenLayer", "", [(2, 3)], 1)), None, path).ok


def test_a_wrong_model_is_not_written_and_the_layer_is_named(path, wrong_form):
    text = DEPLOY.replace('bottom: "conv" top: "fc"', 'bottom: "odd" top: "fc"')
    text = text.replace(
        'layer { name: "fc"',
        'layer { name: "odd" type: "OddLayer" bottom: "conv" top: "odd" }\nlayer { name: "fc"',
    )
    path.write_text("as it was")
    with pytest.raises(ExportError) as caught:
        export.onnx(model(text), None, path)
    lines = str(caught.value).splitlines()
    assert (
        lines[0]
        == "the exported model computes something else than net 'small' (tolerance 0.0001 of each output's scale):"
    )
    assert lines[-1] == "the first to differ is layer 'odd' (OddLayer), by 2.50e-01"
    assert path.read_text() == "as it was" and list(path.parent.iterdir()) == [path]
    report = export.onnx(model(text), None, path, check=False)
    assert report.differences == [] and str(report).endswith("not checked")


def test_given_inputs(path, wrong_form):
    net = parse_net(one_layer("OddLayer", "", [(2, 3)], 1))
    assert export.onnx(net, None, path, inputs={"x0": np.zeros((2, 3))}).ok
    assert export.onnx(net, None, path, inputs={"x0": np.zeros((4, 3))}, batch="N").differences[0].shape == (
        4,
        3,
    )
    with pytest.raises(ExportError):
        export.onnx(net, None, path, inputs={"x0": np.ones((2, 3))})
    with pytest.raises(UsageError, match="inputs: the net has x0, not 'y'"):
        export.onnx(net, None, path, inputs={"y": np.ones((2, 3))})
    with pytest.raises(UsageError, match=r"inputs: expected 'x0' \(2, 3\), got \(4, 3\)"):
        export.onnx(net, None, path, inputs={"x0": np.zeros((4, 3))})
    for values, got in ((np.full((2, 3), "a"), "<U1"), (np.ones((2, 3), complex), "complex128")):
        with pytest.raises(UsageError, match=f"inputs: expected real numbers for 'x0', got {got}"):
            export.onnx(net, None, path, inputs={"x0": values})


@pytest.mark.parametrize("scale", ["0", "nan"])
def test_an_output_that_says_nothing_is_told(path, scale):
    text = f'layer {{ name: "s" type: "Power" bottom: "conv" top: "s" power_param {{ scale: {scale} }} }}'
    report = export.onnx(model(INPUT + CONV + text), None, path, batch="N")
    assert report.ok
    assert report.notes == ["output 's' was never but 0 or not finite: compare on inputs of your own"]


def test_nan_beside_a_number_differs():
    from caffelite.export.report import compare

    nan, one = np.array([np.nan, 2.0]), np.array([1.0, 2.0])
    assert compare("y", nan, nan).absolute == 0
    assert compare("y", nan, one).absolute == compare("y", one, nan).relative == np.inf
    assert compare("y", one, one[:1]).absolute == np.inf
    assert compare("y", np.array([np.inf]), np.array([np.inf])).absolute == 0


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SnapshotError, match="create the directory"):
        export.onnx(model(), None, tmp_path / "none" / "net.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_packages_that_are_not_installed(path, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"package {package}(.|\n)*pip install 'caffelite\[onnx\]'"):
        export.onnx(model(), None, path)
    assert not path.exists()


def test_the_report_as_text(path):
    lines = str(export.onnx(model(), None, path, batch="N")).splitlines()
    assert lines[:3] == [
        f"{path}: ONNX opset 17, 5 operators",
        "input   data (N x 3 x 6 x 5)",
        "output  prob (N x 5)",
    ]
    assert lines[4].split() == ["output", "shape", "scale", "largest", "difference", "relative"]
    assert lines[5].startswith("prob    2x5    ") and lines[6].startswith("prob    3x5    ")
    assert lines[7].startswith("agrees with the net in onnxruntime ")


def test_state_that_caffe_carries_on_is_told(path):
    text = one_layer("LSTM", "recurrent_param { num_output: 2 }", [(2, 1, 3), (2, 1)], 1)
    notes = export.onnx(model(text), None, path).notes
    assert notes == ["layer 'layer' (LSTM): each run starts from zeros; Caffe goes on from the pass before"]


def test_time_steps_of_any_number(path):
    text = one_layer("RNN", "recurrent_param { num_output: 2 }", [(2, 1, 3), (2, 1)], 1)
    with pytest.raises(ExportError, match="its time steps are written out"):
        export.onnx(parse_net(text), None, path, batch="T")


def test_forms_are_those_of_layers_that_there_are():
    assert set(form_types()) <= set(layer_types())
