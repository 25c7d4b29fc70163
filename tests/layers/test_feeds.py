"""Layers that read files, in nets: parameters, tops, shapes, resuming."""

from __future__ import annotations

import json
import logging
import re
from importlib.util import find_spec

import cv2
import h5py
import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.leveldb import _LIBRARIES
from caffelite.data.writer import open_writer
from caffelite.errors import DataError, MissingFileError, NetError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import make_layer
from caffelite.types import Phase


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Ten images of 6 x 8 that are all of their number, in every form."""
    monkeypatch.chdir(tmp_path)
    images = np.repeat(np.arange(10, dtype=np.uint8), 3 * 6 * 8).reshape(10, 3, 6, 8)
    with open_writer("lmdb") as lmdb:
        for i, image in enumerate(images):
            lmdb.put(Datum(3, 6, 8, image.tobytes(), i))
    (tmp_path / "images").mkdir()
    for i, image in enumerate(images):
        cv2.imwrite(f"images/{i}.png", image.transpose(1, 2, 0))
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i + 3}\n" for i in range(10)))
    (tmp_path / "vectors.txt").write_text("".join(f"{i}.png {i} {i / 2}\n" for i in range(10)))
    windows = "".join(f"# {i}\n{i}.png\n3\n6\n8\n2\n{i + 1} 1 0 0 4 4\n0 0 1 1 5 5\n" for i in range(10))
    (tmp_path / "windows.txt").write_text(windows)
    with h5py.File("rows.h5", "w") as file:
        file["data"], file["label"] = images, np.arange(10)
    (tmp_path / "files.txt").write_text("rows.h5")
    return tmp_path


NETS = {
    "Data": 'data_param { source: "lmdb" backend: LMDB batch_size: 4 shuffle: true } transform_param { mirror: true crop_size: 5 }',
    "ImageData": 'image_data_param { source: "list.txt" root_folder: "images/" batch_size: 4 shuffle: true rand_skip: 5 }'
    " transform_param { mirror: true crop_size: 5 mean_value: 3 }",
    "HDF5Data": 'hdf5_data_param { source: "files.txt" batch_size: 4 shuffle: true } transform_param { crop_size: 5 }',
    "WindowData": 'window_data_param { source: "windows.txt" root_folder: "images/" batch_size: 4 fg_fraction: 0.5 }'
    " transform_param { mirror: true crop_size: 5 }",
}


def net(type_, text, seed=1, tops=("data", "label"), phase=Phase.TRAIN, **options):
    names = " ".join(f'top: "{top}"' for top in tops)
    source = parse_net(f'layer {{ name: "d" type: "{type_}" {names} {text} }}')
    return Model(source, phase, seed=seed, **options)


def batches(model, count):
    found = []
    for _ in range(count):
        model.forward()
        found.append({name: np.array(model.blob(name)) for name in model.graph.blobs})
    return found


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("type_", NETS)
def test_batches_and_resuming(type_, engine):
    model = net(type_, NETS[type_], engine=engine)
    assert model.graph.blobs["data"].shape == (4, 3, 5, 5) and model.graph.blobs["label"].shape == (4,)
    whole = batches(model, 8)
    for batch in whole:
        assert (batch["data"] == batch["data"][:, :1, :1, :1]).all()
        if type_ == "WindowData":
            assert (
                not batch["label"][:2].any() and (batch["label"][2:] == batch["data"][2:, 0, 0, 0] + 1).all()
            )
        else:
            # the list's labels are 3 more than the pixels, from which the mean takes 3
            offset = 6 if type_ == "ImageData" else 0
            assert (batch["label"] == batch["data"][:, 0, 0, 0] + offset).all()
    first = net(type_, NETS[type_], engine=engine)
    batches(first, 3)
    second = net(type_, NETS[type_], seed=2, engine=engine)
    second.restore(json.loads(json.dumps(first.state_dict())))
    for got, expected in zip(batches(second, 5), whole[3:], strict=True):
        assert all(np.array_equal(got[name], expected[name]) for name in expected)
    for each in (model, first, second):
        each.close()


def test_labels_of_several_numbers():
    text = 'image_data_param { source: "vectors.txt" root_folder: "images/" batch_size: 2 label_dim: 2 new_height: 3 new_width: 4 }'
    model = net("ImageData", text)
    assert model.graph.blobs["data"].shape == (2, 3, 3, 4) and model.graph.blobs["label"].shape == (2, 2)
    assert batches(model, 2)[1]["label"].tolist() == [[2, 1], [3, 1.5]]
    model.close()


def test_grey_images():
    text = 'image_data_param { source: "list.txt" root_folder: "images/" is_color: false }'
    (batch,) = batches(net("ImageData", text), 1)
    assert batch["data"].shape == (1, 1, 6, 8)


def test_any_number_of_datasets():
    model = net("HDF5Data", 'hdf5_data_param { source: "files.txt" batch_size: 4 }', tops=("label",))
    assert [batch["label"].tolist() for batch in batches(model, 3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 0, 1],
    ]


def test_a_leveldb_unless_told_otherwise():
    with pytest.raises(
        DataError, match="layer 'd' .Data.*a LevelDB at 'lmdb'.*got an LMDB\n  Fix: write backend: LMDB"
    ):
        net("Data", 'data_param { source: "lmdb" batch_size: 4 }')
    if not any(map(find_spec, _LIBRARIES)):
        pytest.skip("plyvel is not installed")
    with open_writer("leveldb", "LEVELDB") as database:
        database.put(Datum(1, 1, 2, b"\1\2", 5))
    (batch,) = batches(net("Data", 'data_param { source: "leveldb" batch_size: 1 }'), 1)
    assert batch["data"].tolist() == [[[[1, 2]]]] and batch["label"].tolist() == [5]


def test_a_datum_with_a_vector_of_labels():
    with open_writer("vectors") as database:
        for i in range(3):
            database.put(Datum(1, 1, 2, b"\1\2", labels=np.array([i, 0.25])))
    (batch,) = batches(net("Data", 'data_param { source: "vectors" backend: LMDB batch_size: 3 }'), 1)
    assert batch["label"].tolist() == [[0, 0.25], [1, 0.25], [2, 0.25]]


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ("Data", 'data_param { source: "lmdb" }', "batch_size >= 1, got 0"),
        ("ImageData", "image_data_param { batch_size: 4 }", "a source, got none"),
        (
            "ImageData",
            'image_data_param { source: "list.txt" new_width: 4 }',
            "both new_height and new_width, or neither",
        ),
        ("ImageData", 'image_data_param { source: "list.txt" batch_size: 0 }', "batch_size >= 1, got 0"),
        ("HDF5Data", 'hdf5_data_param { source: "files.txt" }', "batch_size >= 1, got 0"),
        (
            "WindowData",
            'window_data_param { source: "w" batch_size: 1 }',
            "a crop_size in transform_param, got none",
        ),
        (
            "WindowData",
            'window_data_param { source: "w" batch_size: 1 context_pad: 4 } transform_param { crop_size: 8 }',
            "crop_size > 2 * context_pad = 8, got 8",
        ),
        (
            "WindowData",
            'window_data_param { source: "w" batch_size: 1 crop_mode: "wrap" } transform_param { crop_size: 8 }',
            "crop_mode warp or square, got wrap",
        ),
        (
            "WindowData",
            'window_data_param { source: "w" batch_size: 1 fg_fraction: 25 } transform_param { crop_size: 8 }',
            "fg_fraction from 0 to 1, got 25",
        ),
    ],
)
def test_bad_parameters(type_, text, expected):
    with pytest.raises(
        NetError, match=rf"layer 'layer' \({type_}\) at <text>:1:\d+: expected {re.escape(expected)}"
    ):
        make_layer(type_, text, bottoms=0, tops=2)


@pytest.mark.parametrize("type_", NETS)
def test_missing_files(type_):
    parameter = NETS[type_].split()[0]
    backend = "backend: LMDB" if type_ == "Data" else ""
    text = f'{parameter} {{ source: "nowhere" batch_size: 1 {backend} }} transform_param {{ crop_size: 8 }}'
    with pytest.raises(MissingFileError, match=r"layer 'd' .*'nowhere' does not exist"):
        net(type_, text)


def test_a_forks_backend():
    with pytest.raises(NetError, match="backend LMDB or LEVELDB, got DATUMFILE"):
        net("Data", 'data_param { source: "lmdb" batch_size: 1 backend: DATUMFILE }')


def test_the_scale_that_window_data_does_not_heed(caplog):
    text = NETS["WindowData"].replace("mirror: true", "scale: 0.5")
    (batch,) = batches(net("WindowData", text), 1)
    assert batch["data"].max() > 0 and (batch["data"] == batch["data"].astype(int)).all()
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(
        "transform_param.scale does nothing here" in text and "scale: 0.5 in window_data_param" in text
        for text in messages
    )
    with_scale = NETS["WindowData"].replace("fg_fraction", "scale: 0.5 fg_fraction")
    (halved,), (plain,) = (
        batches(net("WindowData", with_scale), 1),
        batches(net("WindowData", NETS["WindowData"]), 1),
    )
    assert np.array_equal(halved["data"], plain["data"] / 2)
