"""Fillers: their distributions, and every way in which a message can be wrong."""

import numpy as np
import pytest

from caffelite.errors import NetError
from caffelite.fillers import fill
from caffelite.prototxt.schema import message


def filler(**fields):
    made = message("FillerParameter")(**fields)
    return made


def filled(shape, **fields):
    return fill(filler(**fields), shape, np.random.default_rng(1))


def test_constant_is_the_default():
    np.testing.assert_array_equal(filled((2, 2)), np.zeros((2, 2)))
    np.testing.assert_array_equal(filled((2,), value=3), [3, 3])


def test_uniform():
    values = filled((10000,), type="uniform", min=-2, max=4)
    assert -2 <= values.min() < -1.9 < 3.9 < values.max() <= 4
    assert abs(values.mean() - 1) < 0.1
    assert abs(filled((10000,), type="uniform").mean() - 0.5) < 0.02  # from 0 to 1


def test_gaussian():
    values = filled((10000,), type="gaussian", mean=3, std=2)
    assert abs(values.mean() - 3) < 0.1
    assert abs(values.std() - 2) < 0.05
    assert abs(filled((10000,), type="gaussian").std() - 1) < 0.03


def test_sparse_gaussian():
    values = filled((50, 200), type="gaussian", sparse=5)
    assert abs((values != 0).mean() - 0.1) < 0.02
    assert not filled((50, 200), type="gaussian", sparse=0).any()


def test_positive_unitball():
    values = filled((5, 3, 4), type="positive_unitball")
    assert values.min() >= 0
    np.testing.assert_allclose(values.sum(axis=(1, 2)), np.ones(5), rtol=1e-5)


@pytest.mark.parametrize(("norm", "n"), [("FAN_IN", 150), ("FAN_OUT", 1000), ("AVERAGE", 575)])
def test_xavier_and_msra(norm, n):
    shape = (40, 6, 5, 5)  # fan_in 6 * 25, fan_out 40 * 25
    xavier = filled(shape, type="xavier", variance_norm=norm)
    bound = np.sqrt(3 / n)
    assert 0.99 * bound < abs(xavier).max() <= bound
    msra = filled(shape, type="msra", variance_norm=norm)
    assert abs(msra.std() / np.sqrt(2 / n) - 1) < 0.03


def test_fan_out_of_one_axis_is_its_size():
    assert abs(filled((300,), type="msra", variance_norm="FAN_OUT").std() / np.sqrt(2 / 300) - 1) < 0.15


def test_bilinear():
    kernel = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])
    values = filled((3, 2, 4, 4), type="bilinear")
    np.testing.assert_allclose(values, np.broadcast_to(kernel, (3, 2, 4, 4)))
    np.testing.assert_allclose(filled((1, 1, 3, 3), type="bilinear")[0, 0, 1], [0.5, 1, 0.5])


@pytest.mark.parametrize("kind", ["constant", "uniform", "gaussian"])
def test_scalars(kind):
    assert filled((), type=kind).shape == ()


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "positive_unitball", "xavier", "msra"])
def test_same_numbers_in_every_dtype(kind):
    single, double = (
        fill(filler(type=kind), (4, 3), np.random.default_rng(7), dtype) for dtype in ("float32", "float64")
    )
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(single, double)


@pytest.mark.parametrize(
    ("fields", "shape", "text"),
    [
        (
            {"type": "foo"},
            (2, 3),
            "a filler type of constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear, got 'foo'",
        ),
        (
            {"type": "xavier", "sparse": 3},
            (2, 3),
            "sparse only with type: \"gaussian\", got 'xavier'\n  Fix: drop sparse",
        ),
        ({"type": "uniform", "min": 2, "max": 1}, (2, 3), "min <= max, got min 2, max 1"),
        ({"type": "gaussian", "std": 0}, (2, 3), 'std > 0, got 0\n  Fix: use type: "constant"'),
        ({"type": "gaussian", "std": -1}, (2, 3), "std > 0, got -1"),
        ({"type": "gaussian", "sparse": 3}, (2, 3), "sparse no larger than the 2 outputs, got 3"),
        ({"type": "bilinear"}, (2, 3, 4, 5), "a 4-D weight with square kernels, got (2, 3, 4, 5)"),
        ({"type": "msra"}, (), "a shape with at least 1 axis, got ()"),
    ],
)
def test_bad_messages(fields, shape, text):
    with pytest.raises(NetError) as caught:
        fill(filler(**fields), shape, np.random.default_rng(0), at="layer 'c' (Convolution), weight_filler")
    assert str(caught.value) == f"layer 'c' (Convolution), weight_filler: expected {text}"
