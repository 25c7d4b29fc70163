"""Binary solver states, Caffe's and ours."""

from __future__ import annotations

import os

import numpy as np
import pytest

from caffelite.errors import SnapshotError, WeightsError
from caffelite.weights import SolverState, load_state, read_solverstate, solverstate, wire, write_solverstate

HISTORY = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([0.5], np.float32)]
EXTRA = {"seed": 7, "cursors": {"data": [3, 64]}, "loss_window": [0.1, 1e-300, 2 / 3], "name": "é"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.solverstate"


def assert_same(state, expected):
    assert (state.iter, state.learned_net, state.current_step, state.extra) == (
        expected.iter,
        expected.learned_net,
        expected.current_step,
        expected.extra,
    )
    assert len(state.history) == len(expected.history)
    for array, other in zip(state.history, expected.history, strict=True):
        np.testing.assert_array_equal(array, other)
        assert array.shape == other.shape


@pytest.mark.parametrize("extra", [{}, EXTRA])
@pytest.mark.parametrize("history", [[], HISTORY])
def test_round_trip(path, extra, history):
    state = SolverState(12345, "models/Straße.caffemodel", 3, history, extra)
    write_solverstate(path, state)
    assert_same(read_solverstate(path), state)


def test_a_path_that_is_not_utf8_survives(path):
    name = os.fsdecode(b"net_\xff.caffemodel")
    write_solverstate(path, SolverState(1, name))
    assert read_solverstate(path).learned_net == name


@pytest.mark.parametrize("run", ["sgd_fixed", "adam_wd_clip", "rmsprop_step", "nesterov_step"])
def test_our_bytes_are_caffes_bytes(shared, run, path):
    file = shared / "golden" / "solvers" / run / "snap_iter_20.solverstate"
    state = read_solverstate(file)
    assert (state.iter, state.learned_net, state.extra) == (20, "snap_iter_20.caffemodel", {})
    write_solverstate(path, state)
    assert path.read_bytes() == file.read_bytes()


def test_caffe_does_not_see_our_additions(path):
    schema = pytest.importorskip("caffelite.prototxt.schema")
    write_solverstate(path, SolverState(20, "a.caffemodel", 2, HISTORY, EXTRA))
    state = schema.message("SolverState").FromString(path.read_bytes())
    assert (state.iter, state.learned_net, state.current_step) == (20, "a.caffemodel", 2)
    assert [tuple(blob.shape.dim) for blob in state.history] == [(2, 3), (1,)]
    np.testing.assert_array_equal(state.history[0].data, HISTORY[0].ravel())


def test_a_state_of_the_v1_age(shared):
    folder = shared / "models" / "resume_v1_cifar10_full"
    state = load_state(folder / "cifar10_full_iter_60000.solverstate")
    assert (state.iter, state.learned_net) == (60000, "examples/cifar10/cifar10_full_iter_60000.caffemodel")
    assert state.history[1].shape == (1, 1, 1, 32)
    assert all(state.legacy)


def test_fields_of_forks_are_skipped(path):
    write_solverstate(path, SolverState(5))
    path.write_bytes(path.read_bytes() + b"\x2d\0\0\x80\x3f" + wire.integer(6, 4))
    assert read_solverstate(path).iter == 5


def test_cut_short_at_every_byte(path):
    write_solverstate(path, SolverState(5, "a.caffemodel", 1, HISTORY, EXTRA))
    data = path.read_bytes()
    readable = []
    for size in range(len(data)):
        path.write_bytes(data[:size])
        try:
            readable.append(read_solverstate(path))
        except WeightsError as error:
            assert str(path) in str(error)
    assert len(readable) == 5  # after each of the fields but the last


@pytest.mark.parametrize("data", [b"{", b"[1]"])
def test_additions_that_are_not_ours(path, data):
    path.write_bytes(wire.integer(1, 5) + wire.string(5000, data))
    with pytest.raises(WeightsError, match="expected caffelite's part"):
        read_solverstate(path)


def test_more_than_protobuf_can_read_is_refused(path, monkeypatch):
    monkeypatch.setattr(solverstate, "MAX_MESSAGE_BYTES", 20)
    with pytest.raises(SnapshotError, match="its history exceeds"):
        write_solverstate(path, SolverState(5, "", 0, HISTORY))
    assert os.listdir(path.parent) == []


def test_a_model_given_as_a_state(path):
    path.write_bytes(wire.string(1, "net") + wire.string(100, wire.string(1, "conv")))
    with pytest.raises(WeightsError) as caught:
        read_solverstate(path)
    assert str(caught.value) == (
        f"'{path}': expected a Caffe solver state (.solverstate), got a Caffe model (.caffemodel)\n"
        "  Fix: resume from the .solverstate written beside it, or pass this file as weights (-weights)"
    )
