"""DummyData."""

import numpy as np
import pytest

from caffelite.testing import make_layer


def dummy(fields, tops=1):
    return make_layer("DummyData", f"dummy_data_param {{ {fields} }}", bottoms=0, tops=tops)


def filled(layer, y, seed=0):
    layer.forward(np, y, np.random.default_rng(seed))
    return y


def test_shapes():
    assert dummy("shape { dim: 2 dim: 3 }", 2).infer([]) == [(2, 3), (2, 3)]
    assert dummy("shape { dim: 2 } shape { dim: 3 }", 2).infer([]) == [(2,), (3,)]
    assert dummy("num: 1 num: 5 channels: 2 height: 3 width: 4", 2).infer([]) == [(1, 2, 3, 4), (5, 2, 3, 4)]


def test_constants_are_filled_once():
    layer = dummy('shape { dim: 2 } data_filler { type: "constant" value: 7 }')
    y = filled(layer, [np.zeros(2)])
    np.testing.assert_array_equal(y[0], [7, 7])
    y[0][...] = 5
    np.testing.assert_array_equal(filled(layer, y)[0], [5, 5])  # what the user wrote stays


def test_others_are_filled_in_every_pass():
    layer = dummy('shape { dim: 100 } data_filler { type: "uniform" min: 2 max: 3 }')
    first = filled(layer, [np.zeros(100, np.float32)])[0].copy()
    second = filled(layer, [np.zeros(100, np.float32)], seed=1)[0]
    assert 2 <= first.min() < first.max() <= 3
    assert (first != second).any()


def test_zeros_without_a_filler():
    assert not filled(dummy("shape { dim: 3 }"), [np.ones(3)])[0].any()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("shape { dim: 0 }", "sizes >= 1, got (0,)"),
        ("num: 0 channels: 1 height: 1 width: 1", "sizes >= 1, got (0, 1, 1, 1)"),
        ("shape { dim: 1 } shape { dim: 2 }", "shape once, or once for each of 3 tops, got 2 times"),
        ("num: 1", "num once, or once for each of 3 tops, got 0 times"),
        ("num: 1 shape { dim: 1 }", "either shape or num, channels, height and width, got both"),
        (
            "shape { dim: 1 } data_filler {} data_filler {}",
            "data_filler once, or once for each of 3 tops, got 2 times",
        ),
        (
            'shape { dim: 1 } data_filler { type: "gauss" }',
            "a filler type of constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear in the filler of a top, got 'gauss'",
        ),
    ],
)
def test_bad_parameters(message, fields, text):
    assert (
        message("DummyData", f"dummy_data_param {{ {fields} }}", [], 3)
        == f"layer 'layer' (DummyData): expected {text}"
    )
