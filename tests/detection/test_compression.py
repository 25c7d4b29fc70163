"""Fully connected layers as two, by truncated SVD."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.detection import Card, Detector
from caffelite.detection.compression import compress, fill, svd_net
from caffelite.detection.one_image import im_detect
from caffelite.errors import DataError, MissingFileError, NetError, UsageError, WeightsError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net

from .small_detectors import FAST, boxes, folder_of, image


def weights(net, layer):
    return [param.data for param in net.params_of(net.graph.node(layer))]


def net_and_thin(text=FAST, **ranks):
    net = Model(parse_net(text), seed=1)
    thin = Model(svd_net(net.source, ranks), seed=2)
    return net, thin, fill(thin, net)


def test_two_layers_in_the_place_of_one():
    _, thin, _ = net_and_thin(fc6=5)
    lower, upper = thin.graph.node("fc6_L"), thin.graph.node("fc6_U")
    assert thin.graph.node("fc6") is None
    assert [value.name for value in (*lower.bottoms, *lower.tops, *upper.tops)] == ["pool5", "fc6_L", "fc6"]
    assert [array.shape for array in weights(thin, "fc6_L")] == [(5, 54)], "no bias"
    assert [array.shape for array in weights(thin, "fc6_U")] == [(16, 5), (16,)]


def test_the_product_is_the_best_of_its_rank_and_the_bias_stays():
    net, thin, (report,) = net_and_thin(fc6=5)
    w, b = weights(net, "fc6")
    (lower,), (upper, bias) = weights(thin, "fc6_L"), weights(thin, "fc6_U")
    s = np.linalg.svd(w, compute_uv=False)
    assert np.linalg.norm(upper @ lower - w) == pytest.approx(np.sqrt((s[5:] ** 2).sum()), rel=1e-4)
    np.testing.assert_array_equal(bias, b)
    assert report.lost == pytest.approx((s[5:] ** 2).sum() / (s**2).sum(), rel=1e-4)
    assert (report.before, report.after) == (16 * 54, 5 * (16 + 54))
    np.testing.assert_allclose(upper.T @ upper, np.eye(5), atol=1e-5)


def test_the_other_layers_have_their_weights():
    net, thin, _ = net_and_thin(fc6=5)
    for layer in ("conv", "cls_score", "bbox_pred"):
        for mine, other in zip(weights(thin, layer), weights(net, layer), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_at_full_rank_nothing_changes():
    net, thin, _ = net_and_thin(fc6=16, cls_score=4)
    for mine, other in zip(*(im_detect(one, image(), boxes()) for one in (net, thin)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


def test_transposed_weights():
    net, thin, _ = net_and_thin(
        FAST.replace("inner_product_param {", "inner_product_param { transpose: true", 1), fc6=16
    )
    w = weights(net, "fc6")[0]
    assert w.shape == (54, 16)
    np.testing.assert_allclose(weights(thin, "fc6_L")[0] @ weights(thin, "fc6_U")[0], w, atol=1e-5)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ({"fc7": 4}, "there is no InnerProduct layer 'fc7'; did you mean 'fc6'"),
        ({"conv": 4}, "there is no InnerProduct layer 'conv'"),
        ({"fc6": 0}, "expected a rank from 1 to its 16 outputs, got 0"),
        ({"fc6": 17}, "expected a rank from 1 to its 16 outputs, got 17"),
    ],
)
def test_ranks_that_cannot_be(ranks, message):
    with pytest.raises(NetError, match=message):
        svd_net(parse_net(FAST), ranks)


def test_no_ranks():
    with pytest.raises(UsageError, match="expected layers and their ranks"):
        svd_net(parse_net(FAST), {})


def test_shared_weights():
    text = FAST.replace('type: "InnerProduct"', 'type: "InnerProduct" param { name: "w" }', 1)
    with pytest.raises(NetError, match="shares its weights"):
        svd_net(parse_net(text), {"fc6": 4})


def test_weights_that_are_not_finite():
    net = Model(parse_net(FAST), seed=1)
    weights(net, "fc6")[0][0, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        fill(Model(svd_net(net.source, {"fc6": 4})), net)


def test_weights_that_lack_a_layer(tmp_path):
    run = folder_of(tmp_path / "run", FAST, "fast", scales=(30,))
    file = run / "test.prototxt"
    file.write_text(file.read_text().replace('name: "fc6"', 'name: "fc7"'))
    with pytest.raises(WeightsError, match="expected weights of all layers of .*, got none for fc7"):
        compress(run, tmp_path / "thin", {"fc7": 5})
    assert not (tmp_path / "thin").exists()


def test_a_folder_is_used_as_the_old_one(tmp_path):
    run = folder_of(tmp_path / "run", FAST, "fast", scales=(30,))
    (report,) = compress(run, tmp_path / "new" / "thin", {"fc6": 16})
    assert "fc6: rank 16, 864 weights -> 1120" in report.text()
    assert Card.read(tmp_path / "new" / "thin") == Card.read(run)
    old, new = (Detector.load(f).detect(image(), boxes()) for f in (run, tmp_path / "new/thin"))
    np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-3)


def test_a_prototxt_with_a_card_beside_it(tmp_path):
    run = folder_of(tmp_path / "run", FAST, "fast")
    compress(run / "test.prototxt", tmp_path / "thin", {"fc6": 4})
    assert Detector.load(tmp_path / "thin").card == Card.read(run)


def test_an_rcnn_keeps_its_svms_and_how_it_cuts(tmp_path):
    run = folder_of(tmp_path / "run", FAST, "rcnn")
    (run / "train.prototxt").write_text("how to cut")
    (run / "rcnn.npz").write_bytes(b"SVMs")
    compress(run, tmp_path / "thin", {"fc6": 4})
    for name in ("train.prototxt", "rcnn.npz"):
        assert (tmp_path / "thin" / name).read_bytes() == (run / name).read_bytes()


def test_a_folder_is_not_written_over(tmp_path):
    run = folder_of(tmp_path / "run", FAST, "fast")
    before = (run / "test.prototxt").read_bytes()
    with pytest.raises(UsageError, match="would be written over"):
        compress(run, run, {"fc6": 4})
    assert (run / "test.prototxt").read_bytes() == before
    with pytest.raises(MissingFileError):
        compress(run, tmp_path / "x", {"fc6": 4}, weights=tmp_path / "none")


def test_an_earlier_result_is_written_over_by_force_only(tmp_path):
    run = folder_of(tmp_path / "run", FAST, "fast")
    compress(run, tmp_path / "thin", {"fc6": 4})
    before = (tmp_path / "thin" / "detector.caffemodel").read_bytes()
    with pytest.raises(UsageError, match="holds a detector already"):
        compress(run, tmp_path / "thin", {"fc6": 3})
    assert (tmp_path / "thin" / "detector.caffemodel").read_bytes() == before
    compress(run, tmp_path / "thin", {"fc6": 3}, force=True)
    assert (tmp_path / "thin" / "detector.caffemodel").read_bytes() != before
