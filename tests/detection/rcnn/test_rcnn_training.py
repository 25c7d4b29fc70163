"""R-CNN from pictures to a detector: what a run leaves, and resuming."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from caffelite.detection import Detector, load_set
from caffelite.detection.rcnn.training import FEATURES, PROPOSALS, WINDOWS
from caffelite.detection.shapes import make_shapes
from caffelite.errors import UsageError
from caffelite.weights import load_weights

from ..training import recipe, regions, short

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = make_shapes(tmp_path_factory.mktemp("shapes") / "set", 16, 2, size=64, seed=2)
    return load_set(folder, "train")


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """A run of six iterations, with given proposals."""
    folder = tmp_path_factory.mktemp("runs")
    recipe(folder / "recipe", data, "rcnn")
    short(folder / "recipe", data, folder / "run", 6, proposals=regions(data, 40), pictures=2)
    return folder


def test_what_a_run_leaves(data, straight):
    run = straight / "run"
    names = {path.name for path in run.iterdir()}
    assert {
        "detector.caffemodel",
        "rcnn.npz",
        "detector.json",
        "log.txt",
        WINDOWS,
        FEATURES,
        "train.prototxt",
    } <= names
    assert PROPOSALS not in names  # they were given
    assert len(list((run / "pictures").iterdir())) == 2
    assert 'source: "windows_train.txt"' in (run / "train.prototxt").read_text()
    assert len(load_set(run / WINDOWS).pictures) == len(data)
    rows = Detector.load(run).detect(data.pictures[0].path, regions(data)[data.pictures[0].key][0], score=0.0)
    assert rows.shape[1] == 6 and np.isfinite(rows).all()


def test_resumed_run_is_the_same(data, straight, tmp_path):
    short(straight / "recipe", data, tmp_path / "run", 3, proposals=regions(data, 40))
    (tmp_path / "run" / "rcnn.npz").unlink()
    short(straight / "recipe", data, tmp_path / "run", 6, proposals=regions(data, 40), resume="auto")
    ours, theirs = (load_weights(folder / "run" / "detector.caffemodel") for folder in (tmp_path, straight))
    for one, other in zip(ours, theirs, strict=True):
        assert one.name == other.name
        for x, y in zip(one.blobs, other.blobs, strict=True):
            np.testing.assert_array_equal(x, y)
    assert (tmp_path / "run" / "rcnn.npz").read_bytes() == (straight / "run" / "rcnn.npz").read_bytes()


def test_proposals_are_looked_for_and_kept(data, straight, tmp_path, monkeypatch):
    shutil.copytree(straight / "recipe", tmp_path / "recipe")
    few = replace(data, pictures=data.pictures[:4])
    monkeypatch.setattr(
        "caffelite.detection.proposals.propose_all", lambda *_: list(regions(few, 40).items())
    )
    short(tmp_path / "recipe", few, tmp_path / "run", 1)
    assert (tmp_path / "run" / PROPOSALS).exists()
    monkeypatch.setattr("caffelite.detection.proposals.propose_all", None)  # not asked again
    short(tmp_path / "recipe", few, tmp_path / "run", 2, resume="auto")


def test_scikit_learn_is_asked_for_before_anything(data, straight, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(UsageError, match=r"pip install 'caffelite\[apps\]'"):
        short(straight / "recipe", data, tmp_path / "run", 1, proposals=regions(data))
    assert not list((tmp_path / "run" / "snapshots").iterdir())
