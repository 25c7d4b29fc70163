"""det propose and det eval, as they are called."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from caffelite.cli.main import main
from caffelite.detection import load_set, read_detections, write_detections
from caffelite.detection.proposals import read_proposals, write_proposals

from .files import HEIGHT, WIDTH, image, listed, thing, voc


@pytest.fixture
def data(tmp_path):
    """Two pictures of the split test; a cat in the first one."""
    voc(tmp_path / "data", thing(1, 1, WIDTH // 2, HEIGHT // 2), key="000001")
    voc(tmp_path / "data", key="000002")
    listed(tmp_path / "data", "test", "000001", "000002")
    return tmp_path / "data"


def call(*words):
    return main(["det", *map(str, words)])


@pytest.mark.parametrize("method", ["ss", "edgeboxes", "bing", "sliding"])
def test_proposals_of_a_set(data, tmp_path, capsys, method):
    output = tmp_path / "new" / "boxes.npz"
    code = call(
        "propose", data, "-split", "test", "-method", method, "-o", output, "-curve", tmp_path / "c.png"
    )
    assert code == 0
    assert set(read_proposals(output)) == {"000001", "000002"}
    assert "recall IoU .5" in capsys.readouterr().out
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_without_matplotlib_is_refused_before_the_work(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert call("propose", data, "-o", tmp_path / "b.npz", "-curve", tmp_path / "c.png") == 3
    assert "pip install 'caffelite[plot]'" in capsys.readouterr().err
    assert not (tmp_path / "b.npz").exists()


def test_proposals_of_a_folder_of_images(tmp_path, capsys):
    image(tmp_path / "photos", "my photo.jpg")
    assert call("propose", tmp_path / "photos", "-o", tmp_path / "b.npz", "-limit", 5, "-method", "bing") == 0
    assert len(read_proposals(tmp_path / "b.npz")["my photo.jpg"][0]) <= 5
    assert "recall" not in capsys.readouterr().out


def test_a_file_of_proposals_is_measured_and_made_ours(data, tmp_path, capsys):
    boxes = np.float32([[0, 0, WIDTH // 2 - 1, HEIGHT // 2 - 1]])
    write_proposals(tmp_path / "old.npz", {k: (boxes, np.float32([1])) for k in ("000001", "000002")})
    code = call("propose", data, "-split", "test", "-read", tmp_path / "old.npz", "-o", tmp_path / "new.npz")
    assert code == 0
    assert "  1000          1.000          1.000  1.000" in capsys.readouterr().out
    np.testing.assert_array_equal(read_proposals(tmp_path / "new.npz")["000001"][0], boxes)


def test_proposals_of_a_detector(data, tmp_path):
    from caffelite.net import Net
    from caffelite.types import Phase

    run = tmp_path / "run"
    assert call("init", run, "--data", data, "--arch", "tiny", "--method", "faster") == 0
    Net(str(run / "test.prototxt"), Phase.TEST).save(str(run / "detector.caffemodel"))
    words = ("propose", data, "-split", "test", "-method", "rpn", "-limit", 7, "-o", tmp_path / "rpn.npz")
    assert call(*words, "-model", run) == 0
    boxes, scores = read_proposals(tmp_path / "rpn.npz")["000001"]
    assert 0 < len(boxes) <= 7 and (np.diff(scores) <= 0).all()
    assert (boxes[:, 2] <= WIDTH - 1 + 1e-3).all()
    assert call(*words) == 2


def test_bing_is_trained_by_the_command(data, tmp_path, capsys):
    shapes = tmp_path / "shapes"
    assert call("shapes", shapes, "--images", 12, "--test", 2) == 0
    assert call("propose", "-train-bing", shapes, "-split", "train", "-o", tmp_path / "model") == 0
    words = ("propose", shapes, "-split", "test", "-method", "bing", "-o", tmp_path / "b.npz")
    assert call(*words, "-model", tmp_path / "model") == 0
    assert len(read_proposals(tmp_path / "b.npz")) == 2


def test_no_proposals_without_a_place_for_them(data, capsys):
    assert call("propose", data) == 2
    assert "-o names the file of proposals" in capsys.readouterr().err


def detected(data, path, *rows):
    dataset = load_set(data, "test")
    write_detections(path, {"000001": np.array(rows, np.float32).reshape(-1, 6)}, dataset)
    return path


RIGHT = (1, 0.9, 0, 0, WIDTH // 2 - 1, HEIGHT // 2 - 1)


@pytest.mark.parametrize("name", ["d.npz", "d.csv", "d.json", "results"])
def test_evaluation_of_every_form(data, tmp_path, capsys, name):
    file = detected(data, tmp_path / name, RIGHT)
    assert call("eval", file, "--data", data, "--split", "test", "-o", tmp_path / "report") == 0
    assert "AP (VOC07)  AP (area)  AP (COCO)" in capsys.readouterr().out
    assert json.loads((tmp_path / "report" / "report.json").read_text())["map_voc07"] == 1


def test_evaluation_of_a_detector_s_folder(data, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "detector.json").write_text("{}")
    words = ("eval", tmp_path / "run", "--data", data, "--split", "test")
    assert call(*words) == 3
    assert "caffelite det test" in capsys.readouterr().err
    detected(data, tmp_path / "run" / "eval" / "detections.npz", RIGHT)
    assert call(*words, "--save", tmp_path / "voc") == 0
    dataset = load_set(data, "test")
    np.testing.assert_array_equal(read_detections(tmp_path / "voc", dataset)["000001"], np.float32([RIGHT]))
    assert (tmp_path / "voc" / "comp4_det_test_cat.txt").exists()


def test_evaluation_needs_the_data(data, tmp_path, capsys):
    assert call("eval", detected(data, tmp_path / "d.npz", RIGHT)) == 2
    assert "expected --data DATA" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["propose", "DATA", "-o", "boxes.pkl"], "expected a name that ends in .npz"),
        (["eval", "d.npz", "--data", "DATA", "--score", "nan"], "--score: expected a number, got 'nan'"),
        (["eval", "d.npz", "--data", "DATA", "--worst", "-1"], "--worst: expected 0 or more, got -1"),
        (["test", "RUN", "--data", "DATA", "--worst", "-1"], "--worst: expected 0 or more, got -1"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_read(words, message, capsys):
    assert main(["det", *words]) == 2
    assert message in capsys.readouterr().err
