"""Regions through the net, and the cache of what it says about them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffelite.data.window_file import read_window_file
from caffelite.data.windows import WindowBatches, crop_settings
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.rcnn.crop_net import CropNet, digest, window_layer
from caffelite.detection.rcnn.features import FeatureCache
from caffelite.detection.rcnn.regions import regions_of
from caffelite.detection.rcnn.windows import write_windows
from caffelite.errors import DataError, MissingFileError, NetError, NotFiniteError, UsageError
from caffelite.prototxt.source import read_net
from caffelite.random import RandomSource

from .rcnns import SIZE, boxes, image, rcnn_folder


@pytest.fixture
def folder(tmp_path):
    rcnn_folder(tmp_path / "rcnn")
    return tmp_path / "rcnn"


def net_of(folder, **options):
    return CropNet.load(folder, folder / "detector.caffemodel", **options)


def pictures(folder, count=3):
    found = []
    for i in range(count):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), image(i))
        box = np.array([[10, 5, 40, 45]], np.float32)
        found.append(Picture(str(i), path, 80, 60, box, np.array([1 + i % 2]), np.zeros(1, bool)))
    return found


def proposals_of(some, count=9):
    return {p.key: (boxes(count, seed=int(p.key)), np.ones(count, np.float32)) for p in some}


def test_crops_are_those_of_the_data_layer(folder, tmp_path):
    some = pictures(tmp_path, 1)
    write_windows(tmp_path / "w.txt", DetectionSet("s", ("a",), some), {"0": (some[0].boxes + 0.4, None)})
    layer = window_layer(read_net(folder / "train.prototxt"))
    windows = read_window_file(str(tmp_path / "w.txt"), 0.5, 0.5)
    batches = WindowBatches(windows, 1, 1, *crop_settings(layer), RandomSource(1))
    into = {"data": np.empty((1, 3, SIZE, SIZE), np.float32), "label": np.empty(1, np.float32)}
    batches.make(0, into)
    np.testing.assert_array_equal(net_of(folder).crops(image(0), some[0].boxes), into["data"])


def test_many_regions_in_batches_are_as_one_by_one(folder):
    net, im, some = net_of(folder, threads=3), image(), boxes(150)
    together = net.run(im, some, ["fc", "prob"])
    assert [x.shape for x in together] == [(150, 8), (150, 4)]
    for i in (0, 63, 64, 149):
        for values, alone in zip(together, net.run(im, some[i : i + 1], ["fc", "prob"]), strict=True):
            np.testing.assert_allclose(values[i], alone[0], atol=1e-5)
    assert [x.shape for x in net.run(im, some[:0], ["conv", "prob"])] == [(0, 64), (0, 4)]


def test_blobs_are_found_by_what_they_are_for(folder):
    net = net_of(folder)
    assert (net.svm_blob, net.box_blob, net.probabilities) == ("fc", "conv", "prob")
    with pytest.raises(UsageError, match="has no blob 'fcc'.*fc"):
        net_of(folder, svm_blob="fcc")


def test_features_are_kept_for_what_they_are_of(folder, tmp_path):
    some = pictures(tmp_path, 3)
    regions = regions_of(some, proposals_of(some))
    wanted = [
        ("fc", [np.arange(len(one.boxes)) for one in regions]),
        ("conv", [np.array([i]) for i in range(3)]),
    ]
    net = net_of(folder)
    all_, few = FeatureCache(net, b"key", tmp_path / "f", "float32").extract(regions, wanted)
    assert len(all_) == len(few) == 3
    for i, one in enumerate(regions):
        fc, conv = net.run(image(i), one.boxes, ["fc", "conv"])
        np.testing.assert_allclose(all_[i], fc, atol=1e-5)
        np.testing.assert_allclose(few[i], conv[[i]], atol=1e-5)
    with pytest.raises(IndexError):
        all_[3]


def test_nothing_is_computed_twice_and_nothing_is_stale(folder, tmp_path, monkeypatch):
    some = pictures(tmp_path, 2)
    regions, net = regions_of(some, proposals_of(some)), net_of(folder)
    wanted = [("fc", [np.arange(len(one.boxes)) for one in regions])]
    runs = []
    run = net.run
    monkeypatch.setattr(net, "run", lambda *args: runs.append(1) or run(*args))

    def extract(key=b"key", precision="float16", some=regions):
        runs.clear()
        (found,) = FeatureCache(net, key, tmp_path / "f", precision).extract(some, wanted)
        return len(runs), found

    assert extract()[0] == 2 and extract()[0] == 0
    assert extract(key=b"other weights")[0] == 2
    assert extract(precision="float32")[0] == 2
    moved = regions_of(some, {key: (b[::-1], s) for key, (b, s) in proposals_of(some).items()})
    assert extract(some=moved)[0] == 2
    before = extract()[1][0]
    cv2.imwrite(str(some[0].path), image(7))
    count, after = extract()
    assert count == 2 and not np.array_equal(before, after[0])


def test_values_that_the_precision_does_not_hold(folder, tmp_path, monkeypatch):
    some = pictures(tmp_path, 1)
    regions, net = regions_of(some, proposals_of(some)), net_of(folder)
    wanted = [("fc", [np.arange(len(one.boxes)) for one in regions])]
    monkeypatch.setattr(net, "run", lambda im, b, blobs: [np.full((len(b), 8), 7e4, np.float32)])
    with pytest.raises(NotFiniteError, match="features 'fc' are not finite in float16: the largest is 70000"):
        FeatureCache(net, b"", tmp_path / "f").extract(regions, wanted)
    assert not list((tmp_path / "f").iterdir())
    with pytest.raises(UsageError, match="float16 or float32, got 'int8'"):
        FeatureCache(net, b"", tmp_path / "f", "int8")


def test_what_stands_for_a_net_changes_with_how_it_crops(folder):
    first = net_of(folder).identity
    text = (folder / "train.prototxt").read_text()
    (folder / "train.prototxt").write_text(text.replace("context_pad: 2", "context_pad: 3"))
    assert net_of(folder).identity != first
    assert digest(b"ab", b"c") != digest(b"a", b"bc")


def test_folders_that_are_none(folder):
    (folder / "train.prototxt").write_text((folder / "test.prototxt").read_text())
    with pytest.raises(NetError, match="expected a WindowData layer"):
        net_of(folder)
    (folder / "test.prototxt").unlink()
    with pytest.raises(MissingFileError, match="prototxt of a detector"):
        net_of(folder)


def test_windows_without_proposals(tmp_path):
    some = pictures(tmp_path, 2)
    with pytest.raises(DataError, match="1 of 2 pictures have no proposals, '1'"):
        write_windows(tmp_path / "w.txt", DetectionSet("s", ("a",), some), proposals_of(some[:1]))
    assert not (tmp_path / "w.txt").exists()
