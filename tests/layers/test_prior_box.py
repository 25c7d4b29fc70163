"""PriorBox, against loops over single numbers."""

import numpy as np
import pytest

from caffelite.testing import run_layer

F = np.float32


def by_loops(cells, image, sizes, ratios, step, offset):
    """``sizes``: pairs of min and max (None) in whole pixels; ``ratios``: without 1, with their inverses."""
    boxes = []
    steps = step or [F(image[axis]) / F(cells[axis]) for axis in (0, 1)]
    for h in range(cells[0]):
        for w in range(cells[1]):
            y, x = F((F(h) + F(offset)) * F(steps[0])), F((F(w) + F(offset)) * F(steps[1]))
            for small, large in sizes:
                shapes = [(small, small)] + ([(np.sqrt(small * large),) * 2] if large else [])
                shapes += [(small * np.sqrt(ratio), small / np.sqrt(ratio)) for ratio in ratios]
                for width, height in shapes:
                    width, height = float(F(width)), float(F(height))
                    low = [(x - width / 2) / image[1], (y - height / 2) / image[0]]
                    boxes += low + [(x + width / 2) / image[1], (y + height / 2) / image[0]]
    return np.array(boxes)


def run(text, cells=(3, 4), image=(40, 61)):
    x, data = np.zeros((2, 5, *cells)), np.zeros((2, 3, *image))
    return run_layer("PriorBox", f"prior_box_param {{ {text} }}", [x, data]).y[0]


THIRD = float(F(1 / 3))


@pytest.mark.parametrize(
    ("text", "sizes", "ratios", "step", "offset"),
    [
        ("min_size: 10", [(10, None)], [], None, 0.5),
        ("min_size: 10.9 max_size: 20.9", [(10, 20)], [], None, 0.5),
        ("min_size: 10 aspect_ratio: 2 aspect_ratio: 3", [(10, None)], [2, 0.5, 3, THIRD], None, 0.5),
        ("min_size: 10 aspect_ratio: 3 flip: false", [(10, None)], [3], None, 0.5),
        ("min_size: 10 aspect_ratio: 1 aspect_ratio: 2 aspect_ratio: 0.5", [(10, None)], [2, 0.5], None, 0.5),
        (
            "min_size: 8 min_size: 9 max_size: 10 max_size: 12 aspect_ratio: 2",
            [(8, 10), (9, 12)],
            [2, 0.5],
            None,
            0.5,
        ),
        ("min_size: 10 step: 8 offset: 0.25", [(10, None)], [], (8, 8), 0.25),
        ("min_size: 10 step_h: 8 step_w: 7.5", [(10, None)], [], (8, 7.5), 0.5),
    ],
)
def test_boxes(text, sizes, ratios, step, offset):
    y = run(text)
    boxes = by_loops((3, 4), (40, 61), sizes, ratios, step, offset)
    assert y.shape == (1, 2, len(boxes))
    np.testing.assert_allclose(y[0, 0], boxes, rtol=1e-7)
    np.testing.assert_array_equal(y[0, 1], F(0.1))


def test_clip_and_variances():
    y = run("min_size: 30 clip: true variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4")
    np.testing.assert_allclose(
        y[0, 0], by_loops((3, 4), (40, 61), [(30, None)], [], None, 0.5).clip(0, 1), rtol=1e-7
    )
    np.testing.assert_array_equal(y[0, 1], np.tile(np.array([0.1, 0.2, 0.3, 0.4], F), 12))
    assert (run("min_size: 3 variance: 0.5")[0, 1] == 0.5).all()


@pytest.mark.parametrize("size", ["img_size: 80", "img_h: 80 img_w: 80"])
def test_image_size_by_hand(size):
    want = by_loops((3, 4), (80, 80), [(10, None)], [], None, 0.5)
    np.testing.assert_allclose(run(f"min_size: 10 {size}")[0, 0], want, rtol=1e-7)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "expected min_size > 0, got none"),
        ("min_size: 0", "expected min_size > 0, got [0.0]"),
        ("min_size: nan", "expected min_size > 0, got [nan]"),
        ("min_size: 3 min_size: inf", "expected min_size > 0, got [3.0, inf]"),
        ("min_size: 3 max_size: nan", "expected as many max_size as min_size, each larger, got [nan]"),
        ("min_size: 3 aspect_ratio: inf", "expected aspect_ratio > 0, got inf"),
        ("min_size: 3 variance: nan", "expected variance > 0, once or four times, got [nan]"),
        ("min_size: 3 step: inf", "expected step > 0, got (inf, inf)"),
        ("min_size: 3 offset: nan", "expected finite offsets, got [(nan, nan)]"),
        ("min_size: 3 max_size: 3", "expected as many max_size as min_size, each larger"),
        ("min_size: 3 max_size: 4 max_size: 5", "expected as many max_size as min_size, each larger"),
        ("min_size: 3 aspect_ratio: 0", "expected aspect_ratio > 0, got 0.0"),
        ("min_size: 3 variance: 1 variance: 2", "expected variance > 0, once or four times"),
        ("min_size: 3 step: 2 step_h: 3", "expected either step, or step_h and step_w, got both"),
        ("min_size: 3 img_h: 3", "expected both img_h and img_w > 0, got (3, 0)"),
        ("min_size: 3 img_size: 0", "expected img_size > 0, got (0, 0)"),
        ("min_size: 3 reduce_boxes: true", "chuanqi305's fork"),
    ],
)
def test_bad_parameters(message, text, part):
    assert part in message("PriorBox", f"prior_box_param {{ {text} }}", [(1, 2, 3, 3), (1, 3, 9, 9)])


@pytest.mark.parametrize(
    "shapes", [[(1, 2), (1, 3, 9, 9)], [(1, 2, 3, 3), (1, 3)], [(1, 2, 0, 3), (1, 3, 9, 9)]]
)
def test_bad_shapes(message, shapes):
    assert "expected x and data with" in message("PriorBox", "prior_box_param { min_size: 3 }", shapes)


def test_several_places_in_a_cell():
    """Numbers of OpenCV's dnn: one box after the other, each at all places, down and across."""
    y = run(
        "min_size: 8 aspect_ratio: 4 flip: false offset_h: 0.5 offset_w: 0.5 offset_h: 1 offset_w: 0.25",
        (1, 2),
        (16, 32),
    )
    boxes = y[0, 0].reshape(2, 2, 2, 4)  # cells, boxes, places
    np.testing.assert_allclose(boxes[0, 0], [[0.125, 0.25, 0.375, 0.75], [0, 0.75, 0.25, 1.25]])
    np.testing.assert_allclose(boxes[1, 1], [[0.5, 0.375, 1, 0.625], [0.375, 0.875, 0.875, 1.125]])


def test_places_come_in_pairs(message):
    text = message("PriorBox", "prior_box_param { min_size: 8 offset_h: 1 }", [(1, 1, 2, 2), (1, 3, 8, 8)])
    assert "expected as many offset_h as offset_w, got 1 and 0" in text
