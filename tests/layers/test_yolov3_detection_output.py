"""Yolov3DetectionOutput, against loops over single boxes."""

from math import exp

import numpy as np
import pytest

from caffelite.testing import run_layer

CLASSES, BOXES, BIASES, MASK, SCALES = 3, 2, [9, 7, 10, 14, 30, 20, 17, 31], [2, 3, 0, 1], [16, 8]
TEXT = f"""yolov3_detection_output_param {{ num_classes: {CLASSES} num_box: {BOXES} biases: {BIASES} mask: {MASK}
anchors_scale: {SCALES} confidence_threshold: %g nms_threshold: 0.4 }}"""


def sigmoid(x):
    return 1 / (1 + exp(-x))


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0, width) * max(0, height)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def candidates(grids, lowest):
    for at, grid in enumerate(grids):
        _, H, W = grid.shape
        values = grid.reshape(BOXES, 5 + CLASSES, H, W)
        for row, column, box in np.ndindex(H, W, BOXES):
            x, y, w, h, sure, *classes = values[box, :, row, column].tolist()
            anchor = MASK[at * BOXES + box]
            x, y = (column + sigmoid(x)) / W, (row + sigmoid(y)) / H
            w = exp(w) * BIASES[2 * anchor] / (W * SCALES[at]) / 2
            h = exp(h) * BIASES[2 * anchor + 1] / (H * SCALES[at]) / 2
            for label, score in enumerate(classes, 1):
                if (score := sigmoid(score) * sigmoid(sure)) > lowest:
                    yield [label, score, x - w, y - h, x + w, y + h]


def by_loops(grids, lowest):
    rows = []
    for item in range(len(grids[0])):
        kept = []
        for row in sorted(candidates([grid[item] for grid in grids], lowest), key=lambda row: -row[1]):
            if all(overlap(row[2:], other[2:]) < 0.4 for other in kept):
                kept.append(row)
        rows += [[item, *row] for row in kept]
    return rows or [[item] + [-1] * 6 for item in range(len(grids[0]))]


def grids():
    rng = np.random.default_rng(3)
    channels = BOXES * (5 + CLASSES)
    return [rng.normal(size=(2, channels, *size)) for size in ((3, 4), (6, 8))]


@pytest.mark.parametrize("lowest", [0.1, 0.5, 0.99])
def test_detections(lowest):
    given = grids()
    found = run_layer("Yolov3DetectionOutput", TEXT % lowest, given).y[0]
    np.testing.assert_allclose(found[0, 0], by_loops(given, lowest), atol=1e-9)


def test_some_are_found_and_some_suppressed():
    given = grids()
    rows = by_loops(given, 0.5)
    assert 0 < len(rows) < sum(len(list(candidates([grid[item] for grid in given], 0.5))) for item in (0, 1))


def test_what_it_refuses(message):
    shapes = [(1, 16, 3, 4), (1, 16, 6, 8)]
    assert "expected each x (N, 16, H, W)" in message(
        "Yolov3DetectionOutput", TEXT % 0.1, [shapes[0], (1, 15, 6, 8)]
    )
    assert "expected mask_group_num 1" in message("Yolov3DetectionOutput", TEXT % 0.1, shapes[:1])
    text = (TEXT % 0.1).replace("mask: [2, 3, 0, 1]", "mask: [2, 3, 0]")
    assert "expected 4 mask and 2 anchors_scale, got 3 and 2" in message(
        "Yolov3DetectionOutput", text, shapes
    )
    text = (TEXT % 0.1).replace("mask: [2, 3, 0, 1]", "mask: [2, 3, 0, 4]")
    assert "expected two biases for anchor 4, got 8 in all" in message("Yolov3DetectionOutput", text, shapes)
