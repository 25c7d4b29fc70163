"""Faster R-CNN in four steps."""

import os
import signal

import numpy as np
import pytest

from caffelite.detection import alternating
from caffelite.detection.dataset import load_set
from caffelite.detection.detector import Detector
from caffelite.detection.training import DetectionSolver
from caffelite.errors import NetError, UsageError
from caffelite.weights import load_weights
from tests.detection.training import recipe, shapes, short

STEPS = ("stage1_rpn", "stage1_fast", "stage2_rpn", "stage2_fast")
BODY = ("conv1", "conv2", "conv3", "conv4")


def weights(path):
    return {entry.name: entry.blobs for entry in load_weights(path) if entry.blobs}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_set(shapes(tmp_path_factory.mktemp("data") / "shapes"), "train")


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    made = tmp_path_factory.mktemp("recipes") / "four"
    recipe(made, data, "faster-4step")
    return made


@pytest.fixture(scope="module")
def run(data, folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("runs") / "run"
    assert short(folder, data, home, 3, pictures=1) == home / "detector.caffemodel"
    return home


def test_the_body_of_the_second_half_stays(run):
    found = {name: weights(run / name / "detector.caffemodel") for name in STEPS}
    for name in BODY:
        body = found["stage1_fast"][name][0].tobytes()
        assert body == found["stage2_rpn"][name][0].tobytes() == found["stage2_fast"][name][0].tobytes()
    assert found["stage1_rpn"]["conv1"][0].tobytes() != found["stage1_fast"]["conv1"][0].tobytes()


def test_one_file_for_all(run, data):
    merged = weights(run / "detector.caffemodel")
    rpn, fast = (weights(run / name / "detector.caffemodel") for name in STEPS[2:])
    np.testing.assert_array_equal(merged["rpn_cls_score"][0], rpn["rpn_cls_score"][0])
    np.testing.assert_array_equal(merged["bbox_pred"][0], fast["bbox_pred"][0])
    assert Detector.load(run).detect(data.pictures[0].path, score=0.0).shape[1] == 6
    assert list((run / "pictures").glob("*.jpg"))


def test_finished_steps_are_not_repeated(run, data, folder):
    before = {name: (run / name / "detector.caffemodel").stat().st_mtime_ns for name in STEPS}
    whole = (run / "detector.caffemodel").read_bytes()
    (run / "detector.caffemodel").unlink()
    short(folder, data, run, 3, resume="auto")
    assert before == {name: (run / name / "detector.caffemodel").stat().st_mtime_ns for name in STEPS}
    assert (run / "detector.caffemodel").read_bytes() == whole


def test_a_step_that_was_stopped_goes_on(run, data, folder, tmp_path, monkeypatch):
    fed = []

    def interrupted(self, *arguments):
        feed(self, *arguments)
        fed.append(self)
        if len(fed) == 3:
            self.on_start.append(lambda: os.kill(os.getpid(), signal.SIGINT) if self.iter == 1 else None)

    feed = DetectionSolver.feed
    with monkeypatch.context() as patch:
        patch.setattr(DetectionSolver, "feed", interrupted)
        stopped = short(folder, data, tmp_path / "run", 3)
    assert stopped.parent == tmp_path / "run" / "stage2_rpn" / "snapshots"
    with pytest.raises(UsageError, match="holds a run already"):
        short(folder, data, tmp_path / "run", 3)
    result = short(folder, data, tmp_path / "run", 3, resume="auto")
    assert result.read_bytes() == (run / "detector.caffemodel").read_bytes()


def test_a_single_state_is_not_a_place_to_resume_from(data, folder, tmp_path):
    with pytest.raises(UsageError, match="goes on with --resume auto"):
        short(folder, data, tmp_path / "run", 3, resume="x.solverstate")


def test_proposals_are_made_on_the_engine_of_the_run(data, folder, tmp_path, monkeypatch):
    given = []

    class Noted(alternating.Model):
        def __init__(self, *args, **options):
            given.append(options)
            super().__init__(*args, **options)

    monkeypatch.setattr(alternating, "Model", Noted)
    short(folder, data, tmp_path / "run", 1, engine="reference")
    assert [options.get("engine") for options in given] == [
        "reference",
        "reference",
        None,
    ]  # the last one merges


def test_a_layer_that_no_step_learned_is_told(run, tmp_path):
    text = (run / "test.prototxt").read_text()
    (tmp_path / "test.prototxt").write_text(text.replace('name: "bbox_pred"', 'name: "boxes"'))
    files = [run / name / "detector.caffemodel" for name in STEPS[2:]]
    with pytest.raises(NetError, match="no step has learned boxes\n  Fix: "):
        alternating.merge(tmp_path, files)
    assert not (tmp_path / "detector.caffemodel").exists()


def test_a_step_that_is_repeated_proposes_anew(data, folder, tmp_path):
    run = tmp_path / "run"
    short(folder, data, run, 1)
    kept = (run / "stage1_rpn" / "proposals.npz").read_bytes()
    (run / "stage1_rpn" / "proposals.npz").write_bytes(b"of other weights")
    for name in STEPS[:2]:
        (run / name / "detector.caffemodel").unlink()
    short(folder, data, run, 1, resume="auto")
    assert (run / "stage1_rpn" / "proposals.npz").read_bytes() == kept
