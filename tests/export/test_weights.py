"""Weights from format to format, and back into nets by content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite import export
from caffelite.errors import WeightsError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase
from caffelite.weights import load_weights

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "a/b" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 3 } param { name: "w" } }
layer { name: "c" type: "InnerProduct" bottom: "a" top: "c" inner_product_param { num_output: 3 } param { name: "w" } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "bn" }
"""
FORMATS = ("safetensors", "npz", "caffemodel", "hdf5")


@pytest.fixture
def living() -> Model:
    model = Model(parse_net(NET), Phase.TEST, seed=0)
    rng = np.random.default_rng(0)
    for _, param in model.learnables:
        param.load(rng.uniform(0.5, 1.5, param.shape).astype(np.float32))
    return model


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("through", FORMATS)
def test_round_trip_through_any_two_formats(tmp_path, living, kind, through):
    first, second = tmp_path / "first", tmp_path / "second"  # names do not matter
    assert getattr(export, kind)(living, None, first) is None
    report = getattr(export, through)(parse_net(NET), first, second)
    assert report.loaded == ["a/b", "bn", "c"] or report.loaded == ["a/b", "c", "bn"]
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffelite.Net(str(tmp_path / "net.prototxt"), caffelite.TEST)
    net.copy_from(str(second))
    for name, params in living.params.items():
        for mine, its in zip(params, net.params.get(name, []), strict=True):
            np.testing.assert_array_equal(its.data, mine.data)


def test_npz_is_what_numpy_reads(tmp_path, living):
    export.npz(living, None, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as archive:
        assert archive.files == ["a/b.0", "a/b.1", "c.0", "c.1", "bn.0", "bn.1", "bn.2"]
        np.testing.assert_array_equal(archive["a/b.1"], living.params["a/b"][1].data)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "uint8", "bool"])
def test_npz_of_other_numbers(tmp_path, dtype):
    path = tmp_path / "w"
    with open(path, "wb") as file:
        np.savez_compressed(
            file, **{"ip.1": np.ones(2, dtype), "ip.0": np.arange(6).reshape(2, 3).astype(dtype)}
        )
    (layer,) = load_weights(path)
    assert layer.name == "ip" and not layer.partial
    assert [blob.shape for blob in layer.blobs] == [(2, 3), (2,)]
    assert all(blob.dtype == np.float32 for blob in layer.blobs)


def test_npz_with_a_hole(tmp_path):
    np.savez(tmp_path / "w.npz", **{"ip.1": np.ones(2)})
    (layer,) = load_weights(tmp_path / "w.npz")
    assert layer.partial and layer.blobs[0] is None


@pytest.mark.parametrize("name", ["conv", "conv.x", ".0", "conv.-1", "conv.1000"])
def test_npz_with_other_names(tmp_path, name):
    np.savez(tmp_path / "w.npz", **{name: np.ones(2)})
    with pytest.raises(
        WeightsError, match=r"expected arrays named '<layer>.<index>', got '.*'\n  Fix: name the arrays"
    ):
        load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array(["a"]), "expected 'ip.0' to hold real numbers, got <U1"),
        (np.array([1j]), "expected 'ip.0' to hold real numbers, got complex128"),
        (np.array([None], object), "damaged, or no archive of arrays: Object arrays cannot be loaded"),
    ],
)
def test_npz_of_what_is_no_number(tmp_path, array, text):
    np.savez(tmp_path / "w.npz", **{"ip.0": array})
    with pytest.raises(WeightsError, match=f"^'[^']*w.npz': {text}"):
        load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_npz_cut_short(tmp_path, living, keep):
    path: Path = tmp_path / "w.npz"
    export.npz(living, None, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(WeightsError, match="damaged, or no archive of arrays"):
        load_weights(path)


def test_npz_with_a_flipped_byte(tmp_path, living):
    path: Path = tmp_path / "w.npz"
    export.npz(living, None, path)
    data = bytearray(path.read_bytes())
    data[180] ^= 255
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged, or no archive of arrays"):
        load_weights(path)


def test_a_layer_of_a_phase(tmp_path):
    text = NET.replace('name: "c" ', 'name: "c" include { phase: TRAIN } ').replace(
        'bottom: "c" top: "bn"', 'bottom: "a" top: "bn"'
    )
    net = Model(parse_net(text), Phase.TRAIN, seed=0)
    net.save(tmp_path / "w.caffemodel")
    export.npz(parse_net(text), tmp_path / "w.caffemodel", tmp_path / "test.npz")
    export.npz(parse_net(text), tmp_path / "w.caffemodel", tmp_path / "train.npz", phase=Phase.TRAIN)
    names = [{layer.name for layer in load_weights(tmp_path / f"{phase}.npz")} for phase in ("test", "train")]
    assert names == [{"a/b", "bn"}, {"a/b", "bn", "c"}]


def test_a_net_whose_data_is_not_there(tmp_path, living):
    text = NET.replace(
        'type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } }',
        'type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 1 backend: LMDB }',
    )
    export.npz(living, None, tmp_path / "w")
    report = export.caffemodel(parse_net(text), tmp_path / "w", tmp_path / "w2", shapes={"data": (4, 3)})
    assert len(report.loaded) == 3


def test_names_of_the_package():
    assert set(export.__all__) <= set(dir(export))
    for name in export.__all__:
        getattr(export, name)
    with pytest.raises(AttributeError, match="has no attribute 'onxx'"):
        _ = export.onxx
