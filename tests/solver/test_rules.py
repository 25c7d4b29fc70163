"""Each update rule against a transcription of its formula in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from caffelite.cpu.threads import CHUNK
from caffelite.engine import get_engine
from caffelite.params import Param
from caffelite.prototxt.source import parse_solver
from caffelite.solver.rules import RULES
from caffelite.solver.updater import Updater, cut

SHAPES = [(3,), (CHUNK // 64, 70), (2, 3, 5, 1), (CHUNK - 1,), ()]
MULTS = [(1.0, 1.0), (2.0, 0.0), (0.5, 3.0), (0.0, 0.0), (1.0, 1.0)]


def transcribed(type_, p, w, g, h, lr, t):
    """One step of a rule as the papers and Caffe's sources write it; returns new weights and history."""
    mu, delta = p.momentum, p.delta
    if type_ == "SGD":
        h = [mu * h[0] + lr * g]
        return w - h[0], h
    if type_ == "Nesterov":
        new = mu * h[0] + lr * g
        return w - ((1 + mu) * new - mu * h[0]), [new]
    if type_ == "AdaGrad":
        h = [h[0] + g**2]
        return w - lr * g / (np.sqrt(h[0]) + delta), h
    if type_ == "RMSProp":
        h = [p.rms_decay * h[0] + (1 - p.rms_decay) * g**2]
        return w - lr * g / (np.sqrt(h[0]) + delta), h
    if type_ == "AdaDelta":
        squares = mu * h[0] + (1 - mu) * g**2
        r = g * np.sqrt((h[1] + delta) / (squares + delta))
        return w - lr * r, [squares, mu * h[1] + (1 - mu) * r**2]
    m = mu * h[0] + (1 - mu) * g
    v = p.momentum2 * h[1] + (1 - p.momentum2) * g**2
    correction = np.sqrt(1 - p.momentum2**t) / (1 - mu**t)
    return w - lr * correction * m / (np.sqrt(v) + delta), [m, v]


def make_updater(type_, params, fields="", precision="float64"):
    momentum = "" if type_ in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    p = parse_solver(f'type: "{type_}" weight_decay: 0.01 delta: 1e-4 {momentum} {fields}').message
    uses = [SimpleNamespace(lr_mult=lr, decay_mult=decay) for lr, decay in MULTS]
    learnables = list(zip(uses, params, strict=False))
    return Updater(RULES[type_](p), p, learnables, get_engine("reference", precision)), p


def penalty(kind, w):
    return np.sign(w) if kind == "L1" else w


@pytest.mark.parametrize("precision, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("regularization", ["L2", "L1"])
@pytest.mark.parametrize("type_", RULES)
def test_five_steps_equal_the_formula(type_, regularization, precision, tolerance):
    rng = np.random.default_rng(7)
    start = [rng.standard_normal(shape) for shape in SHAPES]
    params = [Param(np.array(w, precision)) for w in start]
    updater, p = make_updater(type_, params, f'regularization_type: "{regularization}"', precision)
    weights = start
    history = [[np.zeros(shape) for _ in range(RULES[type_].histories)] for shape in SHAPES]
    for iteration in range(5):
        gradients = [rng.standard_normal(shape) for shape in SHAPES]
        before = [param.data.copy() for param in params]
        for param, gradient in zip(params, gradients, strict=True):
            param.clear_grad()
            param.grad_for_write()[0][...] = gradient
        updater.apply(0.1, iteration, scale=0.25)
        for i, (lr_mult, decay_mult) in enumerate(MULTS):
            g = 0.25 * gradients[i] + p.weight_decay * decay_mult * penalty(regularization, weights[i])
            weights[i], history[i] = transcribed(
                type_, p, weights[i], g, history[i], 0.1 * lr_mult, iteration + 1
            )
        for param, old in zip(params, before, strict=True):
            assert np.allclose(
                param.grad, old - param.data, rtol=1e-3, atol=1e-6
            )  # diff holds what was taken off
    for param, w in zip(params, weights, strict=True):
        assert np.abs(param.data - w).max() <= tolerance * np.abs(w).max()
    flat = [slot for i in range(RULES[type_].histories) for slot in (h[i] for h in history)]
    for mine, theirs in zip(updater.flat_history(), flat, strict=True):
        assert np.abs(mine - theirs).max() <= tolerance * max(np.abs(theirs).max(), 1e-3)


@pytest.mark.parametrize("type_", RULES)
def test_threads_do_not_change_a_bit(type_, monkeypatch):
    monkeypatch.setattr("caffelite.solver.updater.PARALLEL_FROM", 0)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr("caffelite.cpu.threads.num_threads", lambda threads=threads: threads)
        rng = np.random.default_rng(1)
        params = [
            Param(rng.standard_normal((CHUNK, 5), np.float32)),
            Param(rng.standard_normal(7, np.float32)),
        ]
        updater, _ = make_updater(type_, params, precision="float32")
        for iteration in range(2):
            for param in params:
                param.grad_for_write()[0][...] = rng.standard_normal(param.shape, np.float32)
            norm = updater.gradient_norm()
            updater.apply(0.1, iteration)
        results.append([norm, *(param.data.tobytes() for param in params)])
    assert results[0] == results[1]


def test_momentum_in_the_history_moves_a_blob_whose_rate_is_zero():
    param = Param(np.ones(4, np.float32))
    updater, _ = make_updater("SGD", [param], precision="float32")
    updater.uses[0].lr_mult = 0.0
    updater.load_history([np.full(4, 0.5, np.float32)])
    updater.apply(0.1, 0)
    assert np.allclose(param.data, 1 - 0.9 * 0.5)


def test_a_frozen_blob_is_left_alone():
    param = Param(np.ones(4, np.float32))
    updater, _ = make_updater("SGD", [param], precision="float32")
    updater.uses[0].lr_mult = 0.0
    stamp = param.stamp()
    updater.apply(0.1, 0)
    assert param.stamp() == stamp and param.grad_is_zero


def test_adam_remembers_the_decay_of_a_frozen_blob_as_caffe_does():
    param = Param(np.ones(4, np.float32))
    updater, _ = make_updater("Adam", [param], precision="float32")
    updater.uses[0].lr_mult = 0.0
    updater.apply(0.1, 0)
    assert np.allclose(updater.history[0][0], 0.1 * 0.01) and np.array_equal(param.data, np.ones(4))


def test_packed_copies_are_told_of_updates():
    param = Param(np.ones(4, np.float32))
    updater, _ = make_updater("SGD", [param], precision="float32")
    stamp = param.stamp()
    updater.apply(0.1, 0)
    assert param.stamp() != stamp


def test_gradient_norm_counts_all_blobs():
    params = [
        Param(np.zeros((CHUNK, 2), np.float32)),
        Param(np.zeros(3, np.float32)),
        Param(np.zeros(2, np.float32)),
    ]
    updater, _ = make_updater("SGD", params, precision="float32")
    params[0].grad_for_write()[0][...] = 2
    params[2].grad_for_write()[0][...] = [3, 4]  # the second one's gradient stays cleared
    assert updater.gradient_norm() == pytest.approx(np.sqrt(4 * 2 * CHUNK + 25))


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (10,), (3, 0, 9, 1, 25, 10), (10, 10)])
def test_pieces_cover_each_element_once(sizes):
    seen = [np.zeros(size, int) for size in sizes]
    chunks = cut(sizes, 10)
    for chunk in chunks:
        for i, part in chunk:
            seen[i][part] += 1
    assert all((counts == 1).all() for counts in seen)
    lengths = [sum(part.stop - part.start for _, part in chunk) for chunk in chunks]
    assert all(length == 10 for length in lengths[:-1]) and sum(lengths) == sum(sizes)
