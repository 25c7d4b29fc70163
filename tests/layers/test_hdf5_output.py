"""HDF5Output: pass after pass into one file."""

from __future__ import annotations

import gc

import h5py
import numpy as np
import pytest

from caffelite.errors import DataError, NetError
from caffelite.layers.hdf5_output import HDF5Output
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import make_layer

NET = """
layer { name: "i" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "o" type: "HDF5Output" bottom: "y" bottom: "t" hdf5_output_param { file_name: "out.h5" } }
layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "y" top: "loss" }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read():
    with h5py.File("out.h5") as file:
        return {name: dataset[()] for name, dataset in file.items()}


@pytest.mark.parametrize("observe", [True, False])
@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_pass_after_pass(folder, engine, observe):
    model = Model(parse_net(NET), engine=engine, seed=1, observe=observe)
    expected = []
    for i in range(3):
        model.input("x")[...] = i + 1
        model.input("t")[...] = [i, -i]
        model.forward()
        model.backward()
        expected.append(np.array(model.blob("y")) if observe else None)
    assert not list(folder.glob("out.h5"))
    model.close()
    found = read()
    assert found["data"].shape == (6, 4, 1, 1) and found["label"].shape == (6, 1, 1, 1)
    assert found["label"].ravel().tolist() == [0, 0, 1, -1, 2, -2]
    if observe:
        assert np.array_equal(found["data"][..., 0, 0], np.concatenate(expected))
    with pytest.raises(DataError, match=r"layer 'o' \(HDF5Output\).*no more passes: 'out.h5' was finished"):
        model.forward()


def test_the_file_is_there_when_the_net_is_gone():
    model = Model(parse_net(NET), seed=1)
    model.forward()
    del model
    gc.collect()
    assert len(read()["data"]) == 2


def test_batches_of_other_sizes():
    model = Model(parse_net(NET), seed=1)
    model.forward()
    model.reshape({"x": (5, 3), "t": (5,)})
    model.forward()
    model.close()
    assert len(read()["data"]) == 7


def layer(*shapes):
    found = make_layer("HDF5Output", 'hdf5_output_param { file_name: "out.h5" }', bottoms=2, tops=0)
    assert isinstance(found, HDF5Output)
    found.infer(shapes)
    return found


def test_more_than_four_axes_are_kept():
    five = layer((2, 1, 2, 1, 3), (2,))
    five.forward(np, np.ones((2, 1, 2, 1, 3)), np.ones(2))
    five.close()
    assert read()["data"].shape == (2, 1, 2, 1, 3)


def test_channels_last_arrays_are_written_in_caffes_order():
    array = np.arange(24.0).reshape(1, 2, 3, 4)
    images = layer((1, 2, 3, 4), (1,))
    images.forward(np, np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), np.ones(1))
    images.close()
    assert np.array_equal(read()["data"], array)


def test_different_numbers_of_items():
    with pytest.raises(NetError, match=r"data and label with as many items, got \(2, 3\) and \(3,\)"):
        layer((2, 3), (3,))


def test_no_name():
    with pytest.raises(NetError, match="a file_name, got none"):
        make_layer("HDF5Output", "hdf5_output_param {}", bottoms=2, tops=0)


def test_a_net_that_never_runs_leaves_nothing(folder):
    Model(parse_net(NET), seed=1).close()
    assert list(folder.iterdir()) == []
