from __future__ import annotations

import numpy as np
import pytest

from caffelite.boxes import nms as module
from caffelite.boxes.nms import nms


def plain(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """The loop over boxes, one overlap at a time, in the type of the boxes."""
    left = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept = []
    one, nothing = boxes.dtype.type(1), boxes.dtype.type(0)
    area = [(b[2] - b[0] + one) * (b[3] - b[1] + one) for b in boxes]
    while left:
        best, rest = left[0], left[1:]
        kept.append(best)
        left = []
        for i in rest:
            a, b = boxes[best], boxes[i]
            width = max(min(a[2], b[2]) - max(a[0], b[0]) + one, nothing)
            height = max(min(a[3], b[3]) - max(a[1], b[1]) + one, nothing)
            common = width * height
            if not common / (area[best] + area[i] - common) > threshold:
                left.append(i)
    return kept


def scene(rng: np.random.Generator, count: int, objects: int, whole: bool = False) -> np.ndarray:
    """Boxes that crowd around some objects."""
    centre, size = rng.uniform(50, 350, (objects, 2)), np.exp(rng.uniform(2.5, 5, (objects, 2)))
    of = rng.integers(0, objects, count)
    sides = size[of] * np.exp(rng.normal(0, 0.3, (count, 2)))
    start = centre[of] + rng.normal(0, 0.2, (count, 2)) * size[of] - sides / 2
    boxes = np.concatenate([start, start + sides], axis=1).clip(0, 400)
    return (np.round(boxes) if whole else boxes).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("objects", [2, 30, 400])
def test_it_is_the_plain_loop(threshold: float, objects: int) -> None:
    rng = np.random.default_rng([objects, int(100 * threshold)])
    for whole in (False, True):
        boxes = scene(rng, 450, objects, whole)
        scores = (rng.integers(0, 60, 450) / 60).astype(np.float32)  # with ties
        want = plain(boxes, scores, threshold)
        got = nms(boxes, scores, threshold)
        assert got.dtype == np.int64
        assert got.tolist() == want
        assert nms(boxes, scores, threshold, 17).tolist() == want[:17]


def test_blocks_meet_the_boxes_of_earlier_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_BLOCK", 7), ("_PART", 3), ("_SLICE", 4)):
        monkeypatch.setattr(module, name, value)
    rng = np.random.default_rng(1)
    boxes, scores = scene(rng, 200, 9), rng.random(200)
    assert nms(boxes, scores, 0.5).tolist() == plain(boxes, scores, 0.5)


def test_an_overlap_of_exactly_the_threshold_stays() -> None:
    boxes = np.float32([[0, 0, 9, 9], [0, 0, 9, 4]])  # overlap 0.5
    assert nms(boxes, np.float32([1, 0]), 0.5).tolist() == [0, 1]
    assert nms(boxes, np.float32([1, 0]), 0.4999).tolist() == [0]


def test_equal_scores_keep_their_order() -> None:
    boxes = np.repeat(np.float32([[0, 0, 9, 9], [50, 50, 59, 59]]), 300, axis=0)
    assert nms(boxes, np.zeros(600), 0.5).tolist() == [0, 300]


def test_pixels_are_counted_inclusively() -> None:
    boxes = np.float32(
        [[0, 0, 1, 1], [1, 0, 2, 1]]
    )  # 2 of 6 pixels in common; exclusively they would only touch
    assert nms(boxes, np.float32([1, 0]), 0.3).tolist() == [0]
    assert nms(boxes, np.float32([1, 0]), 0.34).tolist() == [0, 1]


def test_nothing_and_whole_numbers() -> None:
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0), 0.5).tolist() == []
    assert nms(np.array([[0, 0, 9, 9], [1, 0, 9, 9]]), np.array([1, 2]), 0.5).tolist() == [1]
    assert nms(np.float32([[0, 0, 9, 9]]), np.float32([1]), 0.5, 0).tolist() == []


def test_boxes_without_area_suppress_nothing() -> None:
    boxes = np.float32([[5, 5, 4, 4], [5, 5, 4, 4], [0, 0, 9, 9], [9, 9, 0, 0]])
    assert nms(boxes, np.float32([4, 3, 2, 1]), 0.5).tolist() == [0, 1, 2, 3]


def test_double_boxes_are_not_rounded() -> None:
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 4 + 1e-12]])  # a little more than 0.5
    assert nms(boxes, np.array([1, 0]), 0.5).tolist() == [0]
