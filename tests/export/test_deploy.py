"""Training files as their authors would write them for deployment: inputs for data, answers for losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import caffelite
from caffelite import export
from caffelite.errors import DataError, ExportError
from caffelite.prototxt.source import parse_net

from .nets import CONV, DEPLOY, FC, INPUT, TRAIN_VAL, model


def test_a_training_file(path):
    report = export.onnx(parse_net(TRAIN_VAL), None, path, shapes={"data": (3, 3, 6, 5)})
    assert report.inputs == {"data": (3, 3, 6, 5)} and report.outputs == {"prob": (3, 5)}
    assert report.notes == [
        "layer 'db' (Data) became inputs: 'data', 'label'",
        "layer 'accuracy' (Accuracy) is left out",
        "layer 'loss' (SoftmaxWithLoss) became a Softmax with output 'prob'",
        "no weights were given: they have their initial values",
        "input 'label' is left out: nothing reads it",
    ]


def test_a_training_file_without_its_data(path):
    with pytest.raises(
        DataError, match=r"'none' does not exist(.|\n)*; or tell the sizes of the data \(--shape"
    ):
        export.onnx(parse_net(TRAIN_VAL), None, path)


def test_a_living_training_net_gives_its_weights(path):
    text = TRAIN_VAL.replace('"Data"', '"DummyData"').replace(
        'data_param { source: "none" batch_size: 2 backend: LMDB }',
        "dummy_data_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } shape { dim: 2 } }",
    )
    living = model(text, engine="reference", precision="float64")
    export.onnx(living, None, path)
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer
    }
    np.testing.assert_array_equal(weights["fc.0"], living.params["fc"][0].data.astype(np.float32))


def test_a_pycaffe_net(path):
    net = caffelite.Net(str(write(path.with_name("net.prototxt"), DEPLOY)), caffelite.TEST)
    assert export.onnx(net, None, path).ok


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [
        ('type: "EuclideanLoss" bottom: "fc" bottom: "label"', ["fc"]),
        ('type: "SigmoidCrossEntropyLoss" bottom: "fc" bottom: "label"', ["prob"]),
        ('type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "p"', ["p"]),
        ('type: "HingeLoss" bottom: "fc" bottom: "label"', ["fc"]),
        (
            'type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" loss_param { weight_by_label_freqs: true '
            "class_weighting: 1 class_weighting: 2 class_weighting: 1 class_weighting: 1 class_weighting: 1 }",
            ["prob"],
        ),
        (
            'type: "SoftmaxWithLossOHEM" bottom: "fc" bottom: "label" top: "p" top: "each" '
            "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 4 }",
            ["p"],
        ),
    ],
)
def test_losses_leave_what_they_judge(path, loss, outputs):
    label = 'layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 2 dim: 5 } } }\n'
    if "Softmax" in loss or "Hinge" in loss:
        label = label.replace(" dim: 5", "")
    kind, _, rest = loss.partition(" bottom")
    text = INPUT + label + CONV + FC + f'layer {{ name: "loss" {kind} top: "loss" bottom{rest} }}'
    assert list(export.onnx(model(text), None, path).outputs) == outputs


def test_two_losses(path):
    heads = "".join(
        f'layer {{ name: "loss{i}" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss{i}" }}\n'
        for i in "12"
    )
    label = 'layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'
    report = export.onnx(model(INPUT + label + CONV + FC + heads), None, path)
    assert list(report.outputs) == ["loss1_prob", "loss2_prob"]


def test_a_layer_that_reads_a_loss(path):
    label = 'layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 2 dim: 5 } } }\n'
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    twice = 'layer { name: "twice" type: "Power" bottom: "loss" top: "twice" power_param { scale: 2 } }'
    with pytest.raises(
        ExportError, match=r"layer 'twice' \(Power\) .*reads 'loss' of layer 'loss' \(EuclideanLoss\)"
    ):
        export.onnx(model(INPUT + label + CONV + FC + loss + twice), None, path)


def test_nothing_left(path):
    net = parse_net(INPUT + 'layer { name: "hush" type: "Silence" bottom: "data" }')
    with pytest.raises(ExportError, match="nothing is left to export"):
        export.onnx(net, None, path)
