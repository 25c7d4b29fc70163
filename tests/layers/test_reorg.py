"""Reorg."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def darknet(x, stride, reverse):
    """Darknet's ``reorg_cpu`` as Caffe's forks call it, on one item: a loop over flat indices."""
    channels, height, width = x.shape
    few = channels // stride**2
    flat, out = x.reshape(-1), np.empty(x.size)
    for c in range(channels):
        for h in range(height):
            for w in range(width):
                small = w + width * (h + height * c)
                row, column = divmod(c // few, stride)
                at = w * stride + column + width * stride * (h * stride + row + height * stride * (c % few))
                if reverse:
                    out[at] = flat[small]
                else:
                    out[small] = flat[at]
    return out


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("stride", "shape"), [(1, (2, 3, 2, 3)), (2, (2, 8, 4, 6)), (3, (1, 9, 3, 6))])
def test_against_darknet(stride, shape, reverse):
    x = np.random.default_rng(1).random(shape)
    text = f"reorg_param {{ stride: {stride} reverse: {str(reverse).lower()} }}"
    y = run_layer("Reorg", text, [x]).y[0]
    n, c, h, w = shape
    s = stride
    assert y.shape == ((n, c // s**2, h * s, w * s) if reverse else (n, c * s**2, h // s, w // s))
    for item in range(n):
        np.testing.assert_array_equal(y[item].reshape(-1), darknet(x[item], stride, reverse))


def test_known_numbers():
    """What OpenCV 4.14 computes for Darknet's [reorg] of stride 2."""
    y = run_layer("Reorg", "reorg_param { stride: 2 }", [np.arange(64.0).reshape(1, 4, 4, 4)]).y[0]
    np.testing.assert_array_equal(
        y[0, :4].reshape(-1), [0, 2, 4, 6, 16, 18, 20, 22, 32, 34, 36, 38, 48, 50, 52, 54]
    )


@pytest.mark.parametrize(("text", "shape"), [("", (2, 8, 4, 6)), ("reverse: true", (2, 8, 3, 2))])
def test_checks(text, shape):
    check_layer("Reorg", f"reorg_param {{ stride: 2 {text} }}", [shape])


def test_bad_parameters(message):
    assert message("Reorg", "").endswith("expected stride >= 1, got 0\n  Fix: set reorg_param.stride")
    expected = "expected x (N, C, H, W) with C in multiples of 4, H and W of 2"
    assert message("Reorg", "reorg_param { stride: 2 }", [(1, 4, 3, 4)]).endswith(
        f"{expected}, got x=(1, 4, 3, 4)"
    )
    assert message("Reorg", "reorg_param { stride: 2 }", [(1, 6, 4, 4)]).endswith(
        f"{expected}, got x=(1, 6, 4, 4)"
    )
