"""safetensors files, ours and other people's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffelite.errors import WeightsError
from caffelite.weights import LayerWeights, load_state, load_weights, write_safetensors

W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([0.5, -0.5], np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def put(path, tensors, metadata=None):
    """Writes a file of (name, dtype word, array) as the format's page describes it."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, dtype, array in tensors:
        end = len(data) + array.nbytes
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [len(data), end]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_round_trip(path):
    layers = [
        LayerWeights("data", "Input", [], []),
        LayerWeights("conv1/7x7.a", "Convolution", [W, B], [False, True]),
        LayerWeights("odd", "Bias", [None, np.empty((0, 2), np.float32)], [False, False], partial=True),
    ]
    write_safetensors(path, layers)
    back = load_weights(path)
    assert [(x.name, x.type, x.legacy, x.partial) for x in back] == [
        (x.name, x.type, x.legacy, x.partial) for x in layers
    ]
    np.testing.assert_array_equal(back[1].blobs[0], W)
    assert back[2].blobs[0] is None
    assert back[2].blobs[1].shape == (0, 2)


def test_the_bytes_are_those_of_the_format(path):
    write_safetensors(path, [LayerWeights("ip", "InnerProduct", [W, B], [False, False])])
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert header["ip.1"] == {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}
    assert data[8 + size :] == W.tobytes() + B.tobytes()
    assert all(isinstance(value, str) for value in header["__metadata__"].values())


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("F64", W.astype("f8")),
        ("F16", W.astype("f2")),
        ("BF16", (W.view(np.uint32) >> 16).astype("<u2")),
        ("I64", W.astype("i8")),
        ("U8", W.astype("u1")),
    ],
)
def test_other_number_types(path, dtype, array):
    put(path, [("ip.1", "F32", B), ("ip.0", dtype, array)])
    (layer,) = load_weights(path)
    np.testing.assert_array_equal(layer.blobs[0], W)
    assert layer.blobs[0].dtype == np.float32
    assert (layer.legacy, layer.partial) == ([False, False], False)


@pytest.mark.parametrize("name", ["conv1.weight", "conv1", ".0", "conv1.100000"])
def test_other_names_are_refused_with_the_cure(path, name):
    put(path, [(name, "F32", W)])
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert f"expected arrays named '<layer>.<index>', got '{name}'\n  Fix: " in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 24]}, "to take 16 bytes, got 24"),
        ({"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]}, "expected 'ip.0'"),
        ({"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}, "the file ends at byte"),
        ({"dtype": "F4", "shape": [2, 3], "data_offsets": [0, 24]}, "got F4"),
        ({"dtype": "F32", "shape": [2, 3]}, "expected an array 'ip.0'"),
        ([1], "expected an array 'ip.0'"),
    ],
)
def test_headers_that_do_not_fit(path, entry, message):
    text = json.dumps({"ip.0": entry}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + W.tobytes())
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "metadata", [{"caffelite.layers": "x"}, {"caffelite.layers": "[1]"}, {"caffelite.layers": "{}"}]
)
def test_metadata_that_is_not_ours(path, metadata):
    put(path, [("ip.0", "F32", W)], metadata)
    if metadata["caffelite.layers"] == "{}":
        assert len(load_weights(path)) == 1
    else:
        with pytest.raises(WeightsError, match="list of layers in the metadata"):
            load_weights(path)


def test_cut_short_at_every_byte(path):
    write_safetensors(path, [LayerWeights("ip", "InnerProduct", [W, B], [False, False])])
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(WeightsError, match=r"net.safetensors"):
            load_weights(path)


def test_weights_given_as_a_state(path):
    write_safetensors(path, [])
    with pytest.raises(WeightsError, match=r"expected a solver state .* got a safetensors file"):
        load_state(path)
