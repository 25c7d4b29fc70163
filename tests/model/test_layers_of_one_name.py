"""Nets whose layers with params share a name build as in Caffe, and keep all their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.errors import SnapshotError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net

IP = 'layer { name: "fc" type: "InnerProduct" bottom: "%s" top: "%s" inner_product_param { num_output: %d %s } }\n'
FILLER = 'weight_filler { type: "gaussian" }'
NET = (
    'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
    'layer { name: "fc" type: "ReLU" bottom: "x" top: "r" }\n'
    + IP % ("r", "a", 4, FILLER)
    + IP % ("a", "b", 5, FILLER)
)


def model(seed: int = 1) -> Model:
    return Model(parse_net(NET), seed=seed)


def test_each_has_its_own_weights() -> None:
    net = model()
    assert [(use.layer, use.index, use.spec.shape) for use, _ in net.learnables] == [
        ("fc", 0, (4, 3)), ("fc", 1, (4,)), ("fc#2", 0, (5, 4)), ("fc#2", 1, (5,)),
    ]  # fmt: skip
    net.input("x")[...] = x = np.array([[1, 2, 3], [4, 5, 6]], "float32")
    net.forward()
    first, second = (net.params[name][0].data for name in ("fc", "fc#2"))
    np.testing.assert_allclose(net.blob("b"), x @ first.T @ second.T, rtol=1e-5)


def test_a_file_gives_each_its_own(tmp_path: Path) -> None:
    net, other = model(1), model(2)
    net.save(tmp_path / "net.caffemodel")
    report = other.load_weights(tmp_path / "net.caffemodel")
    assert report.loaded == ["fc", "fc#2"]
    for (_, mine), (_, theirs) in zip(net.learnables, other.learnables, strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)


def test_hdf5_cannot_hold_both(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="layer 'fc'"):
        model().save(tmp_path / "net.caffemodel.h5", hdf5=True)


def test_weights_can_be_shared() -> None:
    net, other = model(1), model(2)
    other.share_params(net)
    assert all(a.shares_with(b) for (_, a), (_, b) in zip(net.learnables, other.learnables, strict=True))


def test_pycaffe_shows_the_last_by_name_and_all_by_place(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    net = caffelite.Net(str(path), caffelite.TEST)
    assert list(net.params) == ["fc"]
    assert net.params["fc"][0].data.shape == (5, 4)
    assert [blob.data.shape for layer in net.layers for blob in layer.blobs] == [(4, 3), (4,), (5, 4), (5,)]


def test_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = 'layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 1 } } }\n'
    loss = 'layer { name: "loss" type: "Reduction" bottom: "b" top: "l" reduction_param { operation: SUMSQ } loss_weight: 1 }'
    (tmp_path / "net.prototxt").write_text(NET.replace(NET.splitlines()[0] + "\n", data) + loss)
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 9 snapshot_prefix: "s"'
    )
    run = caffelite.get_solver(str(solver))
    run.step(2)
    run.snapshot()
    again = caffelite.get_solver(str(solver))
    again.restore(str(next(tmp_path.glob("*_iter_2.solverstate"))))
    run.step(1)
    again.step(1)
    for mine, theirs in zip(run.net.layers[3].blobs, again.net.layers[3].blobs, strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)
