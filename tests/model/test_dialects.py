"""Weights of batch normalization go from any fork's form into any other's: what a net computes stays the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import NetError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 4 } } }\n'
LAYER = 'layer { name: "%s" type: "%s" bottom: "%s" top: "%s" %s }\n'
BVLC = LAYER % ("bn", "BatchNorm", "x", "y", "") + LAYER % (
    "scale",
    "Scale",
    "y",
    "y",
    "scale_param { bias_term: true }",
)
APART = BVLC.replace('bottom: "y" top: "y"', 'bottom: "y" top: "z"')
NVIDIA = LAYER % ("bn", "BatchNorm", "x", "y", "batch_norm_param { scale_bias: true }")
INTEL = LAYER % ("bn", "BatchNorm", "x", "y", "batch_norm_param { use_weight_bias: true }")
PSPNET = LAYER % ("bn", "BN", "x", "y", "bn_param { eps: 1e-5 }")
FORMS = {"bvlc": BVLC, "apart": APART, "nvidia": NVIDIA, "intel": INTEL, "pspnet": PSPNET}


def build(text: str, phase: Phase = Phase.TEST) -> Model:
    return Model(parse_net(INPUT + text, "net.prototxt"), phase, engine="reference", seed=1)


def draw(model: Model, seed: int = 1) -> Model:
    """Random weights as training would leave them."""
    rng = np.random.default_rng(seed)
    for node in model.nodes:
        for use, param in zip(node.params, model.params_of(node), strict=True):
            name, shape = use.spec.name, param.shape
            summed = node.type == "BatchNorm" and not node.layer.averages
            factor = 20.0 if summed else 1.0
            values = {
                "factor": np.full(shape, factor),
                "mean": factor * rng.normal(size=shape),
                "variance": factor * rng.uniform(1, 2, shape),
            }.get(name, rng.uniform(0.5, 1.5, shape))
            param.load(values.astype("float32"))
    return model


def output(model: Model) -> np.ndarray:
    model.input("x")[...] = np.random.default_rng(9).normal(size=(4, 3, 5, 4))
    model.forward()
    return np.array(model.blob(model.graph.outputs[0]))


@pytest.mark.parametrize("target", FORMS)
@pytest.mark.parametrize("source", FORMS)
def test_from_each_form_into_each(tmp_path: Path, source: str, target: str) -> None:
    path = tmp_path / "net.caffemodel"
    one, two = draw(build(FORMS[source])), build(FORMS[target])
    one.save(path)
    report = two.load_weights(path)
    np.testing.assert_allclose(output(two), output(one), rtol=1e-4, atol=1e-5)
    assert (report.skipped, report.initial) == ([], [])
    alike = (
        source == target or {source, target} == {"bvlc", "apart"} or (source, target) == ("nvidia", "intel")
    )
    assert bool(report.converted) is not alike


def test_the_report_says_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    draw(build(NVIDIA)).save(path)
    report = build(BVLC).load_weights(path)
    assert report.converted == ["bn: scale and bias given to Scale layer 'scale'"]
    assert str(report) == (
        f"{path}: 2 layers loaded, 1 converted (bn: scale and bias given to Scale layer 'scale')"
    )
    draw(build(BVLC)).save(path)
    assert build(NVIDIA).load_weights(path).converted == [
        "bn: scale and bias taken from Scale layer 'scale', averages divided by their factor"
    ]
    assert build(INTEL).load_weights(path).converted == ["bn: scale and bias taken from Scale layer 'scale'"]


def test_what_nvcaffe_reads_again_has_factor_1(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    draw(build(INTEL)).save(path)
    net = build(NVIDIA)
    net.load_weights(path)
    assert net.params["bn"][2].data.tolist() == [1]


def test_the_order_of_old_digits(tmp_path: Path) -> None:
    """scale, bias, mean, variance, factor; here each of 1 x C x 1 x 1, as cuDNN's layer had them."""
    from caffelite.weights import LayerRecord, wire, write_caffemodel

    net = draw(build(NVIDIA))
    want, (mean, variance, factor, scale, bias) = output(net), [param.data for param in net.params["bn"]]
    blobs = [blob.reshape(1, -1, 1, 1) for blob in (scale, bias, mean, variance, factor)]
    message = wire.string(1, "bn") + wire.string(2, "BatchNorm") + wire.string(3, "x") + wire.string(4, "y")
    write_caffemodel(tmp_path / "old", "old", [LayerRecord("bn", message, blobs)])
    for text in (NVIDIA, BVLC):
        other = build(text)
        report = other.load_weights(tmp_path / "old")
        assert report.converted[0].startswith("bn: blobs brought into the order of BatchNorm")
        np.testing.assert_allclose(output(other), want, rtol=1e-4, atol=1e-5)


def test_a_bvlc_batch_norm_without_scale(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    one, two = draw(build(BVLC.splitlines()[0])), draw(build(PSPNET), 2)
    one.save(path)
    report = two.load_weights(path)
    assert report.converted == [
        "bn: blobs brought into the order of BN, scale 1 and bias 0, as it had none, averages divided by their factor"
    ]
    np.testing.assert_allclose(output(two), output(one), rtol=1e-4, atol=1e-5)


def test_a_scale_layer_that_both_have_stays_its_own(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    one, two = draw(build(BVLC)), draw(build(NVIDIA + BVLC.splitlines()[1]), 2)
    one.save(path)
    two.load_weights(path)
    np.testing.assert_allclose(output(two), output(one), rtol=1e-4, atol=1e-5)
    back = build(BVLC)
    two.save(path)
    assert back.load_weights(path).converted == ["bn: its scale of 1 and bias of 0 left out"]
    np.testing.assert_allclose(output(back), output(one), rtol=1e-4, atol=1e-5)


def test_training_goes_on_from_another_form(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    draw(build(BVLC)).save(path)
    nets = [build(text, Phase.TRAIN) for text in (NVIDIA, PSPNET)]
    for net in nets:
        net.load_weights(path)
        output(net)
    np.testing.assert_allclose(output(nets[0]), output(nets[1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        BVLC.splitlines()[0],  # nothing behind
        BVLC.replace("bias_term: true", ""),  # no room for the bias
        NVIDIA.replace("scale_bias: true", "bias_term: false"),
        BVLC.splitlines()[0] + LAYER % ("relu", "ReLU", "y", "y", "") + BVLC.splitlines()[1],
    ],
)
def test_no_place_for_scale_or_bias(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.caffemodel"
    draw(build(NVIDIA)).save(path)
    net = build(text)
    before = [param.data.copy() for param in net.params["bn"]]
    with pytest.raises(
        NetError, match=r"layer 'bn' \(BatchNorm\) at net.prototxt:2:1: the file has .*\n  Fix: put a Scale"
    ):
        net.load_weights(path)
    for param, old in zip(net.params["bn"], before, strict=True):
        np.testing.assert_array_equal(param.data, old)


def test_a_scale_of_another_branch_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    draw(
        build(
            BVLC.splitlines()[0]
            + BVLC.splitlines()[1].replace('bottom: "y" top: "y"', 'bottom: "x" top: "z"')
        )
    ).save(path)
    report = build(NVIDIA).load_weights(path)
    assert report.skipped == ["scale"] and "scale 1 and bias 0" in report.converted[0]


def test_hdf5_does_not_say_what_reads_what(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel.h5"
    one = draw(build(BVLC))
    one.save(path)
    with pytest.raises(NetError, match="does not say which layer's scale belongs to it"):
        build(NVIDIA).load_weights(path)
    draw(build(NVIDIA)).save(path)
    net = build(BVLC)
    net.load_weights(path)
    np.testing.assert_allclose(output(net), output(draw(build(NVIDIA))), rtol=1e-4, atol=1e-5)


def test_segnets_blobs_of_other_axes(tmp_path: Path) -> None:
    from caffelite.weights import LayerRecord, wire, write_caffemodel

    blobs = [np.float32([1, 2, 3]), np.float32([4, 5, 6])]
    write_caffemodel(
        tmp_path / "w", "w", [LayerRecord("bn", wire.string(1, "bn") + wire.string(2, "BN"), blobs)]
    )
    net = build(LAYER % ("bn", "BN", "x", "y", "bn_param { bn_mode: INFERENCE }"))
    net.load_weights(tmp_path / "w")
    assert [param.data.ravel().tolist() for param in net.params["bn"]] == [[1, 2, 3], [4, 5, 6]]


def test_other_blobs_are_told_as_always(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    draw(build(LAYER % ("bn", "BN", "x", "y", "bn_param { bn_mode: INFERENCE }"))).save(path)
    with pytest.raises(NetError, match="2 blobs in the file, 3 in the net"):
        build(BVLC).load_weights(path)


def test_rates_of_nvcaffes_params() -> None:
    """As written; statistics have none, whatever is written."""
    rates = "".join(f"param {{ lr_mult: {rate} decay_mult: 3 }} " for rate in (1, 1, 1, 0, 2))
    net = build(NVIDIA.replace("batch_norm_param", f"{rates} batch_norm_param"), Phase.TRAIN)
    assert [use.lr_mult for use, _ in net.learnables] == [0, 0, 0, 0, 2]


def test_a_frozen_bn_has_no_rate() -> None:
    net = build(
        LAYER % ("bn", "BN", "x", "y", "bn_param { frozen: true } " + "param { lr_mult: 1 } " * 4),
        Phase.TRAIN,
    )
    assert [use.lr_mult for use, _ in net.learnables] == [0, 0, 0, 0]


def test_unpooling_follows_the_size_of_the_image() -> None:
    pool = 'layer { name: "p" type: "Pooling" bottom: "x" top: "p" top: "m" pooling_param { kernel_size: 2 stride: 2 } }\n'
    net = build(pool + 'layer { name: "u" type: "Upsample" bottom: "p" bottom: "m" top: "u" }\n')
    for size in (6, 8):
        net.reshape({"x": (1, 1, size, size)})
        net.input("x")[...] = np.arange(float(size * size)).reshape(1, 1, size, size)
        net.forward()
        assert net.blob("u").shape == (1, 1, size, size)
        assert net.blob("u").max() == size * size - 1
