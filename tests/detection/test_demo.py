"""The demo: one picture of each image with all classes, saved, with JSON; videos too."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from caffelite.detection import Card, load_picture
from caffelite.detection.demo import demo
from caffelite.errors import DataError, MissingFileError, SnapshotError, UsageError

from .files import image, turned
from .sets import rows


class Finds:
    """A detector that finds a square in class 1 and one in class 2, always."""

    card = Card("faster", "tiny", ("cat", "dog"))

    def __init__(self):
        self.seen = []

    def detect(self, image, boxes=None, score=None, nms=None):
        self.seen.append(image.shape)
        return rows([2, 0.91234, 20, 10, 50, 35], [1, 0.5, 2, 20, 12, 30])


def film(path, frames=4, size=(64, 48), rate=5):
    code = {".avi": "MJPG", ".mp4": "mp4v"}[path.suffix]
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, size)
    for k in range(frames):
        out.write(np.full((size[1], size[0], 3), 40 * k, np.uint8))
    out.release()
    return path


def test_one_picture_with_all_classes_and_json(tmp_path):
    source = image(tmp_path, "a.png")
    told = []
    (shown,) = demo(Finds(), [source], tmp_path / "new" / "out", tell=told.append)
    assert sorted(f.name for f in (tmp_path / "new/out").iterdir()) == ["a.png", "a.png.json"]
    drawn, before = load_picture(shown.picture), load_picture(source)
    assert drawn.shape == before.shape
    changed = (drawn != before).any(axis=2)
    assert changed[10:36, 20].all() and changed[20:31, 2].all(), "both boxes are in the one picture"
    about = json.loads(shown.listing.read_text())
    assert about["image"] == str(source) and (about["width"], about["height"]) == (60, 40)
    assert about["detections"] == [
        {"label": "dog", "score": 0.9123, "box": [20, 10, 50, 35]},
        {"label": "cat", "score": 0.5, "box": [2, 20, 12, 30]},
    ]
    assert shown.found == 2 and "2 found" in told[0]


def test_a_folder_of_images_of_all_kinds(tmp_path):
    folder = tmp_path / "in"
    for name in ("b.jpg", "a.bmp", "c.tiff"):
        image(folder, name)
    turned(image(folder, "tall.jpg"), 6)
    (folder / "notes.txt").write_text("no image")
    detector = Finds()
    shown = demo(detector, [folder], tmp_path / "out")
    assert [one.picture.name for one in shown] == ["a.bmp", "b.jpg", "c.tiff.png", "tall.jpg"]
    assert detector.seen == [(40, 60, 3)] * 3 + [(60, 40, 3)]
    assert load_picture(shown[3].picture).shape == (60, 40, 3)


@pytest.mark.parametrize("name", ["film.avi", "film.mp4"])
def test_a_video_gives_a_video_and_a_line_for_each_frame(tmp_path, name):
    source = film(tmp_path / name)
    (shown,) = demo(Finds(), [source], tmp_path / "out")
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [name, f"{name}.jsonl"]
    video = cv2.VideoCapture(str(shown.picture))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 4 and video.get(cv2.CAP_PROP_FPS) == 5
    assert video.read()[1].shape == (48, 64, 3)
    lines = [json.loads(line) for line in shown.listing.read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert [line["seconds"] for line in lines] == [0, 0.2, 0.4, 0.6]
    assert lines[0]["detections"][0]["label"] == "dog" and shown.found == 8


def test_what_cannot_be_read_does_not_stop_the_others(tmp_path):
    folder = tmp_path / "in"
    image(folder, "a.png")
    (folder / "b.png").write_bytes(b"broken")
    (folder / "c.mp4").write_bytes(b"broken")
    image(folder, "d.png")
    with pytest.raises(DataError, match="2 of 4 could not be shown") as error:
        demo(Finds(), [folder], tmp_path / "out")
    assert "b.png" in str(error.value) and "c.mp4" in str(error.value)
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        "a.png", "a.png.json", "d.png", "d.png.json",
    ]  # fmt: skip


def test_images_are_not_written_over(tmp_path):
    source = image(tmp_path / "in", "a.png")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="would be written over\n  Fix: -o another folder"):
        demo(Finds(), [source], tmp_path / "in")
    assert source.read_bytes() == before


def test_two_images_of_one_name(tmp_path):
    sources = [image(tmp_path / "x", "a.png"), image(tmp_path / "y", "a.png")]
    with pytest.raises(UsageError, match="have the same name"):
        demo(Finds(), sources, tmp_path / "out")


def test_nothing_there(tmp_path):
    with pytest.raises(MissingFileError, match="image, video or folder"):
        demo(Finds(), [tmp_path / "no.png"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match=r"\*\.jpg"):
        demo(Finds(), [tmp_path / "empty"], tmp_path / "out")


def test_the_folder_is_tried_before_anything_is_detected(tmp_path):
    (tmp_path / "out").write_text("a file")
    detector = Finds()
    with pytest.raises(SnapshotError):
        demo(detector, [image(tmp_path, "a.png")], tmp_path / "out")
    assert not detector.seen
