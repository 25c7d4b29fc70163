"""RNN; what it shares with LSTM is tested there."""

import numpy as np

from caffelite.testing import make_layer, run_layer

TEXT = "recurrent_param { num_output: 3 }"


def numbers(*shape):
    return np.random.default_rng(shape).uniform(-1, 1, shape).astype("float32")


def test_against_the_formulas():
    x, cont, static = numbers(3, 2, 5), np.array([[0, 0], [1, 1], [1, 0]]), numbers(2, 7)
    W, V, U, W_o, b, d = (
        numbers(3, 5),
        numbers(3, 7),
        numbers(3, 3),
        numbers(1, 3, 3)[0],
        numbers(3),
        numbers(1, 3)[0],
    )
    params = {"W_xh": W, "b_h": b, "W_xh_static": V, "W_hh": U, "W_ho": W_o, "b_o": d}
    y = run_layer("RNN", TEXT, [x, cont, static], params=params).y[0]
    h = np.zeros((2, 3))
    for t in range(3):
        h = np.tanh(x[t] @ W.T + b + static @ V.T + (cont[t][:, None] * h) @ U.T)
        np.testing.assert_allclose(y[t], np.tanh(h @ W_o.T + d), rtol=1e-5)


def test_blobs_have_caffes_order():
    layer = make_layer("RNN", TEXT, 3)
    layer.infer([(4, 2, 5), (4, 2), (2, 7)])
    shapes = [(spec.name, spec.shape) for spec in layer.params]
    assert shapes == [
        ("W_xh", (3, 5)), ("b_h", (3,)), ("W_xh_static", (3, 7)), ("W_hh", (3, 3)), ("W_ho", (3, 3)), ("b_o", (3,)),
    ]  # fmt: skip
