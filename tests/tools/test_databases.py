"""Mean images, features, and databases of MNIST and CIFAR-10."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.mean import read_mean
from caffelite.data.writer import open_writer
from caffelite.errors import DataError
from caffelite.model import Model
from caffelite.tools.convert_cifar_data import convert_cifar_data
from caffelite.tools.extract_features import extract_features

from .conftest import Run, records

RNG = np.random.default_rng(2)


def make_database(path: str, *images: np.ndarray, backend: str = "LMDB") -> None:
    with open_writer(path, backend) as writer:
        for label, image in enumerate(images):
            writer.put(Datum(*image.shape, image.tobytes(), label))


# -- compute_image_mean ----------------------------------------------------------------------------------------


def test_mean_of_an_old_command_line(run: Run) -> None:
    make_database("db", np.full((2, 1, 2), 10, np.uint8), np.array([[[20, 20]], [[31, 32]]], np.uint8))
    result = run("compute_image_mean -backend=lmdb db mean.binaryproto")
    assert (result.code, result.out) == (0, "")
    assert result.lines == [
        "Starting iteration", "Processed 2 files.", "Write to mean.binaryproto", "Number of channels: 2",
        "mean_value channel [0]: 15", "mean_value channel [1]: 20.75",
    ]  # fmt: skip
    np.testing.assert_array_equal(read_mean("mean.binaryproto"), [[[15, 15]], [[20.5, 21]]])
    legacy = bytes([8, 1, 16, 2, 24, 1, 32, 2])  # num, channels, height, width
    assert Path("mean.binaryproto").read_bytes().startswith(legacy)


@pytest.mark.parametrize("flag", ["", "-backend leveldb"])
def test_mean_of_a_leveldb_without_a_file(run: Run, flag: str) -> None:
    pytest.importorskip("plyvel")
    make_database("db", np.full((1, 2, 2), 7, np.uint8), backend="LEVELDB")
    assert run(f"mean {flag} db").lines[-1] == "mean_value channel [0]: 7"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("mean absent out", 3, "'absent' does not exist"),
        (
            "mean db out",
            3,
            "item '00000001' of 'db': expected an image of shape (1, 2, 2) as before, got (1, 3, 2)",
        ),
        ("mean -backend leveldb db out", 3, "an LMDB"),
        ("mean db absent/out", 1, "cannot write 'absent"),
        ("mean", 2, "expected DATABASE [OUT.binaryproto]"),
        ("mean -backend x db", 2, "lmdb, leveldb, got 'x'"),
    ],
)
def test_means_that_cannot_be(run: Run, line: str, code: int, message: str) -> None:
    make_database("db", np.zeros((1, 2, 2), np.uint8), np.zeros((1, 3, 2), np.uint8))
    result = run(line)
    assert result.code == code and message in result.err
    assert not Path("out").exists()


def test_mean_of_bvlc_caffe(run: Run, shared: Path) -> None:
    data = shared / "golden/data"
    assert run(f"compute_image_mean {data}/raw_lmdb mean.binaryproto").code == 0
    assert Path("mean.binaryproto").read_bytes() == (data / "mean.binaryproto").read_bytes()


# -- extract_features ------------------------------------------------------------------------------------------

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 2 backend: LMDB }
        transform_param { scale: 0.5 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } } }
"""


DEPLOY = NET[NET.index('layer { name: "conv"') :]


@pytest.fixture
def model() -> Model:
    """A net with weights in ``net.caffemodel`` and three images; the same with an input in ``deploy.prototxt``."""
    shape = "input_param { shape { dim: 2 dim: 1 dim: 2 dim: 4 } }"
    Path("deploy.prototxt").write_text(
        f'layer {{ name: "data" type: "Input" top: "data" {shape} }}\n{DEPLOY}'
    )
    make_database("db", *RNG.integers(0, 256, (3, 1, 2, 4), np.uint8))
    Path("net.prototxt").write_text(NET)
    model = Model("net.prototxt", seed=1)
    model.save("net.caffemodel")
    return model


def test_features_of_an_old_command_line(run: Run, model: Model) -> None:
    result = run("extract_features net.caffemodel net.prototxt ip,conv ip_db,conv_db 2 lmdb CPU")
    assert result.code == 0
    assert [line for line in result.lines if "eatures" in line or "dataset" in line] == [
        "Opening dataset ip_db", "Opening dataset conv_db", "Extracting Features",
        "Extracted features of 4 query images for feature blob ip",
        "Extracted features of 4 query images for feature blob conv",
        "Successfully extracted the features!",
    ]  # fmt: skip
    for name, shape in (("ip", (3, 1, 1)), ("conv", (2, 2, 4))):
        found = records(f"{name}_db")
        assert [key for key, _ in found] == [f"{n:010d}" for n in range(4)]
        assert all(datum.shape == shape and datum.label is None for _, datum in found)
        model = Model("net.prototxt")
        model.load_weights("net.caffemodel")
        for first in (0, 2):  # the fourth item is the first image again
            model.forward()
            got = np.stack([datum.float_data for _, datum in found[first : first + 2]])
            np.testing.assert_allclose(got, model.blob(name).reshape(2, -1), rtol=1e-5, atol=1e-5)


def test_features_into_leveldb(run: Run, model: Model) -> None:
    pytest.importorskip("plyvel")
    assert run("features net.caffemodel net.prototxt ip ip_db 1 leveldb").code == 0
    assert len(records("ip_db")) == 2


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("net.caffemodel net.prototxt ipp db2 1 lmdb", 2, "Unknown feature blob name 'ipp' in the network"),
        ("net.caffemodel net.prototxt ip,conv db2 1 lmdb", 2, "got 2 blobs and 1 databases"),
        ("net.caffemodel net.prototxt ip,conv db2,./db2 1 lmdb", 2, "a database of its own for each blob"),
        ("net.caffemodel deploy.prototxt ip db2 1 lmdb", 2, "expected a data layer, got inputs data"),
        ("net.caffemodel net.prototxt ip db2 0 lmdb", 2, "number of batches: expected at least 1, got 0"),
        (
            "net.caffemodel net.prototxt ip db2 x lmdb",
            2,
            "number of batches: expected a whole number, got 'x'",
        ),
        ("net.caffemodel net.prototxt ip db2 1 hdf5", 2, "expected one of lmdb, leveldb, got 'hdf5'"),
        ("net.caffemodel net.prototxt ip db 1 lmdb", 3, "'db' exists already"),
        (
            "absent.caffemodel net.prototxt ip db2 1 lmdb",
            3,
            "weights file 'absent.caffemodel' does not exist",
        ),
        (
            "net.caffemodel net.prototxt ip db2 1 lmdb GPU DEVICE_ID=0",
            5,
            "GPU 0: CuPy is not installed\n  Fix: pip install",
        ),
        ("net.caffemodel net.prototxt ip db2 1 lmdb cpu", 2, "expected CPU or GPU behind"),
        ("net.caffemodel net.prototxt ip db2 1", 2, "expected WEIGHTS NET BLOBS"),
    ],
)
def test_features_that_cannot_be(
    without_cupy, run: Run, model: Model, line: str, code: int, message: str
) -> None:
    result = run(f"extract_features {line}")
    assert result.code == code and message in result.err
    assert not Path("db2").exists()


def test_features_of_five_axes_do_not_fit_a_record(model: Model) -> None:
    Path("net.prototxt").write_text(
        NET + 'layer { name: "r" type: "Reshape" bottom: "conv" top: "r" reshape_param { shape {'
        " dim: 0 dim: 1 dim: 2 dim: 2 dim: 4 } } }"
    )
    with pytest.raises(ValueError, match=r"blob 'r': expected at most 4 axes, got shape \(2, 1, 2, 2, 4\)"):
        extract_features("net.caffemodel", "net.prototxt", ["r"], ["out"], 1)


# -- MNIST and CIFAR-10 ----------------------------------------------------------------------------------------


def make_mnist(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    images, labels = RNG.integers(0, 256, (count, 3, 2), np.uint8), RNG.integers(0, 2, count, np.uint8)
    Path("images").write_bytes(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
    Path("labels").write_bytes(gzip.compress(struct.pack(">II", 0x801, count) + labels.tobytes()))
    return images, labels


@pytest.mark.parametrize("flag", ["", "--backend=leveldb"])
def test_convert_mnist_data(run: Run, flag: str) -> None:
    if flag:
        pytest.importorskip("plyvel")
    images, labels = make_mnist()
    result = run(f"convert_mnist_data {flag} images labels db")
    assert (result.code, result.lines) == (0, ["A total of 12 items.", "Processed 12 files."])
    found = records("db")
    assert [key for key, _ in found] == [f"{n:08d}" for n in range(12)]
    assert [datum.label for _, datum in found] == labels.tolist()
    np.testing.assert_array_equal(np.stack([datum.array()[0] for _, datum in found]), images)


def test_convert_mnist_siamese_data(run: Run) -> None:
    images, labels = make_mnist(40)
    assert run("convert_mnist_siamese_data -backend lmdb -seed 1 images labels db").code == 0
    found = records("db")
    assert len(found) == 40 and all(datum.shape == (2, 3, 2) for _, datum in found)
    where = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for _, datum in found:
        first, second = (where[digit.tobytes()] for digit in datum.array())
        assert datum.label == (first == second)
    assert {datum.label for _, datum in found} == {0, 1}


def test_siamese_pairs_go_into_a_leveldb_by_default(run: Run) -> None:
    pytest.importorskip("plyvel")
    make_mnist()
    assert run("convert_mnist_siamese_data images labels db").code == 0
    assert Path("db/CURRENT").exists()


@pytest.mark.parametrize("verb", ["convert_mnist_data", "convert_mnist_siamese_data -backend lmdb"])
def test_files_that_do_not_fit(run: Run, verb: str) -> None:
    make_mnist()
    result = run(f"{verb} labels images db")
    assert result.code == 3 and "'labels': expected images (N, H, W)" in result.err
    assert not Path("db").exists()


def make_cifar(rows: int = 2) -> np.ndarray:
    batches = RNG.integers(0, 10, (6, rows, 3073), np.uint8)
    names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
    for name, batch in zip(names, batches, strict=True):
        Path(name).write_bytes(batch.tobytes())
    return batches


def test_convert_cifar_data(run: Run) -> None:
    batches = make_cifar()
    Path("out").mkdir()
    result = run("convert_cifar_data . out lmdb")
    assert result.code == 0
    assert result.lines == [
        "Writing Training data",
        *(f"Training Batch {n}" for n in range(1, 6)),
        "Writing Testing data",
    ]
    for name, rows in (("train", batches[:5].reshape(10, -1)), ("test", batches[5])):
        found = records(f"out/cifar10_{name}_lmdb")
        assert [key for key, _ in found] == [f"{n:05d}" for n in range(len(rows))]
        assert [datum.label for _, datum in found] == rows[:, 0].tolist()
        np.testing.assert_array_equal(
            np.stack([d.array() for _, d in found]), rows[:, 1:].reshape(-1, 3, 32, 32)
        )


def test_cifar_files_that_are_missing_or_others(run: Run) -> None:
    make_cifar()
    Path("data_batch_3.bin").write_bytes(b"x" * 3074)
    with pytest.raises(DataError, match="'data_batch_3.bin': expected records of 3073 bytes, got 3074 bytes"):
        convert_cifar_data(".", ".", "lmdb")
    Path("data_batch_3.bin").unlink()
    result = run("convert_cifar_data . . lmdb")
    assert result.code == 3 and "CIFAR-10 batch 'data_batch_3.bin' does not exist" in result.err
    assert run("convert_cifar_data . . sqlite").code == 2


def test_cifar_databases_that_are_there(run: Run) -> None:
    make_cifar()
    Path("cifar10_test_lmdb").mkdir()
    result = run("convert_cifar_data . . lmdb")
    assert result.code == 3 and "'cifar10_test_lmdb' exists already" in result.err
    assert not Path("cifar10_train_lmdb").exists()
