"""Upsample: SegNet's max-unpooling and MobileNet-YOLO's repetition."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer


def unpooled(x, mask, sizes):
    """caffe-segnet's loop."""
    y = np.zeros((*x.shape[:2], sizes[0] * sizes[1]))
    for n, c in np.ndindex(*x.shape[:2]):
        for value, at in zip(x[n, c].ravel(), mask[n, c].ravel().astype(int), strict=True):
            y[n, c, at] = value
    return y.reshape(*x.shape[:2], *sizes)


def masked(shape, places, seed=1):
    rng = np.random.default_rng(seed)
    return rng.random(shape), rng.integers(0, places, shape).astype(float)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("", (6, 8)),
        ("scale: 3", (9, 12)),
        ("scale_h: 2 scale_w: 5", (6, 20)),
        ("scale: 2 pad_out_h: true", (5, 8)),
        ("pad_out_h: true pad_out_w: true", (5, 7)),
        ("upsample_h: 7 upsample_w: 4", (7, 4)),
        ("scale: 2 upsample_h: 7 upsample_w: 4", (7, 4)),
    ],
)
def test_unpooling_with_repeated_places(text, sizes):
    x, mask = masked((2, 3, 3, 4), sizes[0] * sizes[1])
    run = run_layer("Upsample", f"upsample_param {{ {text} }}", [x, mask], dy=[0])
    np.testing.assert_array_equal(run.y[0], unpooled(x, mask, sizes))


def test_unpooling_undoes_pooling():
    x = np.random.default_rng(2).random((1, 2, 4, 6))
    pool = run_layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", [x], tops=2)
    run = run_layer("Upsample", "upsample_param { scale: 2 }", pool.y, dy=[x])
    kept = run.y[0] != 0
    assert kept.sum() == 2 * 2 * 3
    np.testing.assert_array_equal(run.y[0][kept], x[kept])
    np.testing.assert_array_equal(run.dx[0], pool.y[0])
    assert run.dx[1] is None or not run.dx[1].any()


def test_every_reader_of_a_place_gets_its_gradient():
    run = run_layer("Upsample", "", [[[[[1.0, 2]]]], [[[[3, 3]]]]], dy=[[[[[0, 0, 0, 7], [0, 0, 0, 0]]]]])
    np.testing.assert_array_equal(run.y[0].ravel(), [0, 0, 0, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(run.dx[0].ravel(), [7, 7])


@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (2, 3), (2, 1, 2, 3, 4)])
def test_repetition(shape):
    x = np.random.default_rng(3).random(shape)
    run = run_layer("Upsample", "upsample_param { scale: 2 }", [x], dy=[1])
    np.testing.assert_array_equal(run.y[0], x.repeat(2, axis=-2).repeat(2, axis=-1))
    np.testing.assert_array_equal(run.dx[0], np.full(shape, 4))


def test_repetition_copies_without_a_scale():
    np.testing.assert_array_equal(run_layer("Upsample", "", [[[1.0, 2]]]).y[0], [[1, 2]])


def test_checks():
    shape = (2, 3, 4, 5)
    distinct = np.argsort(np.random.default_rng(0).random((2, 3, 80)))[..., :20].reshape(shape)
    check_layer("Upsample", "", [shape, shape], values={1: distinct})
    check_layer("Upsample", "upsample_param { scale: 3 }", [shape])


@pytest.mark.parametrize("index", [48, -1])
def test_an_index_outside_the_plane(index):
    x, mask = np.ones((1, 1, 3, 4)), np.zeros((1, 1, 3, 4))
    mask[0, 0, 1, 2] = index
    with pytest.raises(DataError) as caught:
        run_layer("Upsample", "", [x, mask])
    assert f"expected mask indices from 0 to 47 (6 x 8 places), got {index} at index 6" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "bottoms", "told"),
    [
        ("upsample_h: 4", 2, "expected both upsample_h and upsample_w, got no upsample_w"),
        ("scale_w: 4", 2, "expected both scale_h and scale_w, got no scale_h"),
        ("scale: 2 scale_h: 4 scale_w: 2", 2, "expected either scale or scale_h and scale_w, got both"),
        ("scale: 1", 2, "expected a scale of at least 2, got 1"),
        ("scale: 3 pad_out_w: true", 2, "expected pad_out_w only with a scale of 2, got 3"),
        ("upsample_h: 1 upsample_w: 4", 2, "expected upsample_h >= 2, got 1"),
        ("upsample_h: 4 upsample_w: 4", 1, "expected scale alone with one bottom, got upsample_h"),
        ("scale: 0", 1, "expected scale >= 1, got 0"),
    ],
)
def test_bad_parameters(message, text, bottoms, told):
    assert told in message("Upsample", f"upsample_param {{ {text} }}", [(1, 1, 3, 4)] * bottoms)


def test_bad_shapes(message):
    assert "got x=(1, 1, 3, 4), mask=(1, 1, 3, 3)" in message("Upsample", "", [(1, 1, 3, 4), (1, 1, 3, 3)])
    assert "x with at least 2 axes" in message("Upsample", "", [(3,)])
