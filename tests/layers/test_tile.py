"""Tile."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    run = run_layer("Tile", "tile_param { tiles: 2 }", [[[1, 2]]], dy=[[[1, 2, 10, 20]]])
    np.testing.assert_array_equal(run.y[0], [[1, 2, 1, 2]])
    np.testing.assert_array_equal(run.dx[0], [[11, 22]])


@pytest.mark.parametrize(
    ("fields", "shape"),
    [("tiles: 3", (2, 3, 5, 4)), ("tiles: 2 axis: -1", (2, 3)), ("tiles: 1 axis: 0", (2,))],
)
def test_checks(fields, shape):
    check_layer("Tile", f"tile_param {{ {fields} }}", [shape])


def test_no_tiles(message):
    assert message("Tile") == "layer 'layer' (Tile): expected tiles >= 1, got 0\n  Fix: set tile_param.tiles"
