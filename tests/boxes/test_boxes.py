from __future__ import annotations

import numpy as np
import pytest

from caffelite.boxes.boxes import (
    areas,
    clip,
    decode,
    decode_rcnn,
    encode,
    encode_rcnn,
    flip,
    overlaps,
)

BOXES = np.float32([[0, 0, 9, 9], [5, 5, 14, 14], [9, 9, 20, 12], [10, 10, 10, 10], [30, 2, 40, 8]])


def overlap(a: list[float], b: list[float]) -> float:
    """By counting pixels."""
    pixels = [
        {(x, y) for x in range(int(x1), int(x2) + 1) for y in range(int(y1), int(y2) + 1)}
        for x1, y1, x2, y2 in (a, b)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def test_areas_count_both_corners() -> None:
    assert areas(BOXES).tolist() == [100, 100, 48, 1, 77]


def test_overlaps_are_shares_of_pixels() -> None:
    want = [[overlap(a, b) for b in BOXES.tolist()] for a in BOXES.tolist()]
    got = overlaps(BOXES, BOXES)
    assert got.dtype == np.float64
    assert got.tolist() == want


@pytest.mark.parametrize(("a", "b"), [(0, 3), (3, 0), (0, 0)])
def test_overlaps_of_no_boxes(a: int, b: int) -> None:
    assert overlaps(BOXES[:a], BOXES[:b]).shape == (a, b)


def test_a_box_without_pixels_overlaps_nothing() -> None:
    empty = np.float32([[5, 5, 4, 9]])
    assert overlaps(empty, BOXES).tolist() == [[0] * 5]
    assert overlaps(empty, empty).tolist() == [[0]]


def test_clip_keeps_the_last_pixel() -> None:
    boxes = np.float32([[-3, -2, 50, 40, 1, 2, 3, 4]])
    assert clip(boxes, height=20, width=30).tolist() == [[0, 0, 29, 19, 1, 2, 3, 4]]
    assert boxes[0, 0] == -3


def test_flip_mirrors_pixels() -> None:
    assert flip(np.float32([[0, 1, 9, 5], [95, 2, 99, 3]]), width=100).tolist() == [
        [90, 1, 99, 5],
        [0, 2, 4, 3],
    ]
    assert (flip(flip(BOXES, 77), 77) == BOXES).all()


def test_encode_by_hand() -> None:
    # the roi is 10 x 20 with centre (5, 10), the box 20 x 10 with centre (15, 10)
    code = encode(np.float32([[0, 0, 9, 19]]), np.float32([[5, 5, 24, 14]]))
    assert code[0] == pytest.approx([1, 0, np.log(2), -np.log(2)])
    assert code.dtype == np.float32


def test_decode_does_not_take_the_pixel_back() -> None:
    rois, gt = np.float64([[3, 4, 30, 50], [0, 0, 5, 5]]), np.float64([[1, 2, 40, 33], [2, 2, 7, 9]])
    assert decode(rois, encode(rois, gt)) == pytest.approx(gt + [0, 0, 1, 1])


def test_the_old_coding_counts_no_pixel() -> None:
    rois, gt = np.float64([[0, 0, 10, 20]]), np.float64([[5, 5, 25, 15]])
    assert encode_rcnn(rois, gt)[0] == pytest.approx([1, 0, np.log(2), -np.log(2)])
    assert decode_rcnn(rois, encode_rcnn(rois, gt)) == pytest.approx(gt)
    assert np.isfinite(encode_rcnn(np.float32([[5, 5, 5, 5]]), np.float32([[5, 5, 5, 5]]))).all()


def test_decode_makes_a_box_for_each_class() -> None:
    rng = np.random.default_rng(0)
    rois, deltas = BOXES, rng.normal(0, 0.3, (5, 12)).astype(np.float32)
    got = decode(rois, deltas)
    assert got.shape == (5, 12)
    for i in range(3):
        assert (got[:, 4 * i : 4 * i + 4] == decode(rois, deltas[:, 4 * i : 4 * i + 4])).all()
    assert decode(rois[:0], deltas[:0]).shape == (0, 12)


def test_decode_of_a_huge_code_can_be_clipped() -> None:
    boxes = clip(decode(BOXES[:1], np.float32([[0, 0, 1000, 1000]])), 20, 30)
    assert boxes.tolist() == [[0, 0, 29, 19]]
