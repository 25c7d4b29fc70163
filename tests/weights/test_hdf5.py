"""Caffe's HDF5 files, by Caffe and by us."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from caffelite.errors import MissingFileError, SnapshotError, WeightsError
from caffelite.weights import (
    LayerRecord,
    SolverState,
    load_state,
    load_weights,
    read_hdf5_state,
    read_hdf5_weights,
    write_hdf5_state,
    write_hdf5_weights,
)

W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([0.5, -0.5], np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.h5"


def by_name(layers):
    return {layer.name: layer for layer in layers}


def test_weights_round_trip(path):
    scalar, empty = np.float32(3), np.empty((0, 2), np.float32)
    write_hdf5_weights(
        path,
        [LayerRecord("data", b""), LayerRecord("ip", b"", [W, B]), LayerRecord("odd", b"", [scalar, empty])],
    )
    layers = by_name(load_weights(path))
    assert set(layers) == {"data", "ip", "odd"}
    assert layers["data"].blobs == []
    np.testing.assert_array_equal(layers["ip"].blobs[0], W)
    np.testing.assert_array_equal(layers["ip"].blobs[1], B)
    assert layers["ip"].legacy == [False, False]
    assert layers["odd"].blobs[0] == 3
    assert [blob.shape for blob in layers["odd"].blobs] == [(), (0, 2)]


def test_slashes_in_names_are_groups(path):
    names = ["conv1/7x7_s2", "conv1", "inception_3a/relu_1x1", "inception_3a/1x1"]
    write_hdf5_weights(path, [LayerRecord(n, b"", [] if "relu" in n else [W, B]) for n in names])
    with h5py.File(path) as file:
        assert file["data/conv1/7x7_s2/0"].shape == (2, 3)
    layers = by_name(read_hdf5_weights(path))
    assert set(layers) == set(names)
    assert len(layers["conv1/7x7_s2"].blobs) == len(layers["conv1"].blobs) == 2


def test_shared_blobs_are_stored_at_their_owner(path):
    write_hdf5_weights(
        path,
        [
            LayerRecord("a", b"", [W, B], diffs=[-W, -B]),
            LayerRecord("b", b"", [W, B], diffs=[-W, -B], owned=[False, True]),
            LayerRecord("c", b"", [W, B], diffs=[-W, -B], owned=[False, False]),
        ],
    )
    layers = by_name(read_hdf5_weights(path, diffs=True))
    assert layers["b"].blobs[0] is None
    np.testing.assert_array_equal(layers["b"].blobs[1], B)
    assert layers["c"].blobs == []
    assert all(layer.partial for layer in layers.values())
    np.testing.assert_array_equal(layers["b"].diffs[0], -W)
    assert len(layers["a"].diffs) == 2


def test_no_diff_group_unless_asked(path):
    write_hdf5_weights(path, [LayerRecord("ip", b"", [W])])
    with h5py.File(path) as file:
        assert list(file) == ["data"]
    assert read_hdf5_weights(path, diffs=True)[0].diffs == [None]


def describe(path):
    """Names, types, shapes and bytes of all that a file holds."""
    found = {}

    def visit(name, item):
        found[name] = (
            (item.shape, item.dtype.str, np.asarray(item[()]).tobytes(), item.id.get_type().get_size())
            if isinstance(item, h5py.Dataset)
            else "group"
        )

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("run", ["sgd_l1", "adadelta_wd"])
def test_our_files_hold_what_caffes_hold(shared, run, path):
    folder = shared / "golden" / "solvers" / run
    model, state = folder / "snap_iter_20.caffemodel.h5", folder / "snap_iter_20.solverstate.h5"
    write_hdf5_weights(path, [LayerRecord(x.name, b"", x.blobs) for x in load_weights(model)])
    assert describe(path) == describe(model)
    write_hdf5_state(path, load_state(state))
    assert describe(path) == describe(state)


def test_a_published_hdf5_snapshot(shared):
    folder = shared / "models" / "resume_hdf5_cifar10_quick"
    layers = load_weights(folder / "cifar10_quick_iter_5000.caffemodel.h5")
    assert sum(blob.size for layer in layers for blob in layer.blobs) == 145578
    state = load_state(folder / "cifar10_quick_iter_5000.solverstate.h5")
    assert (state.iter, state.current_step) == (5000, 0)
    assert state.learned_net == "examples/cifar10/cifar10_quick_iter_5000.caffemodel.h5"
    assert [array.shape for array in state.history[:2]] == [(32, 3, 5, 5), (32,)]


@pytest.mark.parametrize("extra", [{}, {"seed": 1, "epoch": list(range(50_000))}])
def test_state_round_trip(path, extra):
    history = [np.full(3, i, np.float32) for i in range(12)]  # "10" sorts before "2"
    write_hdf5_state(path, SolverState(7, "models/Straße.caffemodel.h5", 2, history, extra))
    state = read_hdf5_state(path)
    assert (state.iter, state.learned_net, state.current_step) == (7, "models/Straße.caffemodel.h5", 2)
    assert state.extra == extra
    np.testing.assert_array_equal(np.array(state.history), np.array(history))


def test_doubles_and_compressed_data_are_read(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("data/ip/0", data=W.astype(np.float64), chunks=(1, 3), compression="gzip")
    (layer,) = load_weights(path)
    np.testing.assert_array_equal(layer.blobs[0], W)
    assert layer.blobs[0].dtype == np.float32


@pytest.mark.parametrize("write", [write_hdf5_weights, write_hdf5_state])
def test_cut_short_anywhere(path, write):
    write(
        path,
        [LayerRecord("ip", b"", [W, B])] if write is write_hdf5_weights else SolverState(7, "", 2, [W, B]),
    )
    read = load_weights if write is write_hdf5_weights else load_state
    data = path.read_bytes()
    for size in range(0, len(data), 37):
        path.write_bytes(data[:size])
        with pytest.raises(WeightsError, match=r"net.h5"):
            read(path)


@pytest.mark.parametrize(
    ("item", "value", "message"),
    [
        ("data/ip/0", "text", "expected blob 0 of layer 'ip' to be an array of numbers"),
        ("data/ip/5000", W, "expected at most 1000 blobs in layer 'ip'"),
        ("data", W, "got an HDF5 file without layers\n  Fix: training data in HDF5 is named as source"),
        ("model_weights/ip/0", W, "got a Keras model"),
    ],
)
def test_what_is_not_caffes(path, item, value, message):
    with h5py.File(path, "w") as file:
        file[item] = value
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert message in str(caught.value)


def test_a_model_as_a_state_and_the_reverse(path):
    write_hdf5_weights(path, [LayerRecord("ip", b"", [W])])
    with pytest.raises(
        WeightsError, match=r"expected a Caffe solver state in HDF5 .* got Caffe weights in HDF5"
    ):
        load_state(path)
    write_hdf5_state(path, SolverState(1))
    with pytest.raises(
        WeightsError, match=r"expected Caffe weights in HDF5 .* got a Caffe solver state in HDF5"
    ):
        load_weights(path)


def test_a_missing_file(path):
    with pytest.raises(MissingFileError):
        read_hdf5_state(path)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/0")])
def test_names_that_hdf5_cannot_hold(path, names):
    with pytest.raises(
        SnapshotError, match=f"layer '{names[1]}': .*\n  Fix: rename the layer, or set snapshot_format"
    ):
        write_hdf5_weights(path, [LayerRecord(name, b"", [W]) for name in names])
    assert os.listdir(path.parent) == []


def test_names_that_are_no_text(path):
    write_hdf5_weights(path, [LayerRecord("ip", b"", [W])])
    with h5py.File(path, "r+") as file:
        file["data/ip"][b"\xff"] = np.ones(3)
    (layer,) = read_hdf5_weights(path)
    assert layer.name == "ip" and len(layer.blobs) == 1


def test_a_full_disk(path):
    resource = pytest.importorskip("resource")
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(SnapshotError, match="File too large\n  Fix: free some space"):
            write_hdf5_weights(path, [LayerRecord("ip", b"", [np.ones(100_000, np.float32)])])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_directory(tmp_path):
    with pytest.raises(SnapshotError, match="Fix: create the directory"):
        write_hdf5_state(tmp_path / "nowhere" / "net.h5", SolverState(1))
