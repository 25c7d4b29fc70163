from __future__ import annotations

import numpy as np
import pytest

from caffelite.detection import load_picture, load_set, make_shapes
from caffelite.detection.shapes import CLASSES, draw_shapes
from caffelite.errors import SnapshotError, UsageError
from caffelite.random import RandomSource


def drawn(count, size=64, classes=3, seed=0):
    source = RandomSource(seed)
    return [draw_shapes(source.generator("shapes", n), size, classes) for n in range(count)]


def test_the_set_is_a_voc_folder(tmp_path):
    folder = make_shapes(tmp_path / "deep/shapes", images=6, test=3, size=64)
    train, test = load_set(folder, "train"), load_set(folder, "test", classes=CLASSES[:3])
    assert (len(train), len(test)) == (6, 3) and not train.findings and not test.findings
    assert test.classes == ("circle", "square", "triangle")
    assert load_picture(train.pictures[0].path).shape == (64, 64, 3)
    assert [picture.key for picture in test.pictures] == ["000006", "000007", "000008"]
    for (_, wanted), found in zip(drawn(9), [*train.pictures, *test.pictures], strict=True):
        np.testing.assert_array_equal(wanted.boxes, found.boxes)


def test_the_same_seed_makes_the_same_pictures(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_shapes(tmp_path / name, images=3, test=1, size=32, seed=seed)
    files = {name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.*"))] for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_boxes_are_around_what_is_drawn_and_all_there_is():
    pictures = [picture for _, picture in drawn(200)]
    boxes = np.concatenate([picture.boxes for picture in pictures])
    assert boxes.min() >= 0 and boxes.max() <= 63 and (boxes[:, 2:] > boxes[:, :2]).all()
    labels = np.concatenate([picture.labels for picture in pictures])
    assert set(labels.tolist()) == {1, 2, 3}
    difficult = np.concatenate([picture.difficult for picture in pictures])
    assert 0.01 < difficult.mean() < 0.2
    assert 0.01 < np.mean([not len(picture.boxes) for picture in pictures]) < 0.12
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1))
    assert sides.max() > 3 * sides.min()


def test_shapes_differ_from_their_background():
    contrast = []
    for image, picture in drawn(60):
        for box in picture.boxes[~picture.difficult][:1].astype(int):
            inner = image[box[1] : box[3] + 1, box[0] : box[2] + 1].reshape(-1, 3).astype(float)
            contrast.append(np.abs(inner - np.median(image.reshape(-1, 3), axis=0)).mean())
    assert np.median(contrast) > 30


@pytest.mark.parametrize("name", CLASSES)
def test_outlines(name):
    from caffelite.detection.shapes import _mask

    mask, box = _mask(name, 101, np.array([0.5, 0.5]), 0.4, 0.0)
    parts = {"circle": 0.79, "square": 1, "triangle": 0.5, "star": 0.3, "cross": 0.52, "ring": 0.5}
    x1, y1, x2, y2 = box
    assert mask[y1 : y2 + 1, x1 : x2 + 1].sum() == mask.sum()
    assert mask.sum() / ((x2 - x1 + 1) * (y2 - y1 + 1)) == pytest.approx(parts[name], abs=0.1)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"images": 0}, "expected at least 1 image"),
        ({"test": -1}, "expected at least 1 image"),
        ({"size": 31}, "a size of at least 32 pixels, got 31"),
        ({"classes": 7}, "expected 1 to 6 classes, got 7"),
    ],
)
def test_numbers_out_of_range(tmp_path, numbers, message):
    with pytest.raises(UsageError, match=message):
        make_shapes(tmp_path / "a", **numbers)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_left_alone(tmp_path):
    (tmp_path / "a").mkdir()
    make_shapes(tmp_path / "a", images=1, test=0, size=32)
    with pytest.raises(SnapshotError, match=r"is there already\n  Fix: remove it"):
        make_shapes(tmp_path / "a", images=1, test=0, size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_is_left_of_a_failure(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("caffelite.detection.shapes.draw_shapes", full)
    with pytest.raises(SnapshotError, match="cannot write .*: No space left on device"):
        make_shapes(tmp_path / "a", images=1, size=32)
    assert not list(tmp_path.iterdir())
