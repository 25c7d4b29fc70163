from __future__ import annotations

import numpy as np

from caffelite.boxes.anchors import base_anchors, shifted

# As MATLAB prints them, where pixels count from 1.
PUBLISHED = [
    [-83, -39, 100, 56],
    [-175, -87, 192, 104],
    [-359, -183, 376, 200],
    [-55, -55, 72, 72],
    [-119, -119, 136, 136],
    [-247, -247, 264, 264],
    [-35, -79, 52, 96],
    [-79, -167, 96, 184],
    [-167, -343, 184, 360],
]


def test_published_anchors() -> None:
    anchors = base_anchors()
    assert anchors.dtype == np.float32
    assert (anchors + 1).tolist() == PUBLISHED


def test_halves_are_rounded_to_even() -> None:
    # width round(sqrt(162)) = 13, height round(6.5) = 6; rounded as in C it would be 7
    assert base_anchors(9, [0.5], [1]).tolist() == [[-2, 1.5, 10, 6.5]]


def test_scales_of_coco() -> None:
    anchors = base_anchors(scales=[4, 8, 16, 32])
    assert len(anchors) == 12
    assert (anchors[[1, 2, 3]] == base_anchors()[:3]).all()


def test_positions_row_by_row() -> None:
    base = base_anchors()
    got = shifted(base, 16, height=2, width=3)
    assert got.shape == (2 * 3 * 9, 4)
    assert got.dtype == np.float32
    want = [base[a] + [16 * x, 16 * y, 16 * x, 16 * y] for y in range(2) for x in range(3) for a in range(9)]
    assert (got == np.array(want)).all()
    assert shifted(base, 16, 0, 3).shape == (0, 4)
