"""MNIST: idx files, the databases made of them, downloading."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import urllib.request

import numpy as np
import pytest

from caffelite.data import mnist
from caffelite.data.datum import Datum
from caffelite.data.lmdb import LmdbReader
from caffelite.errors import DataError, MissingFileError

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([7, 0, 9], np.uint8)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "idx"
    folder.mkdir()
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(IMAGES))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    return folder


def test_reading_plain_and_packed(files):
    assert np.array_equal(mnist.read_idx(files / "train-images-idx3-ubyte"), IMAGES)
    assert np.array_equal(mnist.read_idx(files / "train-labels-idx1-ubyte.gz"), LABELS)


@pytest.mark.parametrize(
    "data, text",
    [
        (b"", "no idx file"),
        (b"PNG image", "no idx file"),
        (b"\0\0\x0d\x01\0\0\0\x01abcd", "type 13"),
        (idx(IMAGES)[:9], "cut short in its header"),
        (idx(IMAGES)[:-1], r"shape \(3, 4, 5\), but 59 bytes"),
        (idx(IMAGES) + b"x", r"shape \(3, 4, 5\), but 61 bytes"),
        (gzip.compress(idx(IMAGES))[:-9], "is damaged"),
    ],
)
def test_broken_files(tmp_path, data, text):
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(DataError, match=text):
        mnist.read_idx(tmp_path / "f")


def test_the_databases_hold_caffes_records(files, tmp_path):
    train, test = mnist.make_mnist(files, tmp_path / "out")
    assert (train.name, test.name) == ("mnist_train_lmdb", "mnist_test_lmdb")
    with LmdbReader(train) as reader:
        assert len(reader) == 3 and reader.key(2) == "00000002"
        assert reader.read(1, 1)[0] == Datum(1, 4, 5, IMAGES[1].tobytes(), 0).encode()


def test_nothing_is_written_if_a_file_is_missing(files, tmp_path):
    (files / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFileError, match="--download"):
        mnist.make_mnist(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_existing_databases_are_kept(files, tmp_path):
    mnist.make_mnist(files, tmp_path / "out")
    with pytest.raises(DataError, match="exists already"):
        mnist.make_mnist(files, tmp_path / "out")


def test_files_that_do_not_fit_each_other(files, tmp_path):
    images, labels = files / "train-images-idx3-ubyte", files / "train-labels-idx1-ubyte.gz"
    with pytest.raises(DataError, match=r"expected images \(N, H, W\)"):
        mnist.convert_mnist(labels, labels, tmp_path / "db")
    with pytest.raises(DataError, match=r"expected labels \(N,\)"):
        mnist.convert_mnist(images, images, tmp_path / "db")
    labels.write_bytes(idx(LABELS[:2]))
    with pytest.raises(DataError, match="holds 3 images, but .* 2 labels"):
        mnist.convert_mnist(images, labels, tmp_path / "db")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror of four small files as a file: address, with their checksums in place of MNIST's."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    sums = {}
    for name in mnist.CHECKSUMS:
        data = idx(IMAGES if "images" in name else LABELS)
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        sums[name] = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(mnist, "CHECKSUMS", sums)
    return folder


def test_downloading_goes_on_to_the_next_mirror(mirror, tmp_path):
    told = []
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "train-images-idx3-ubyte.gz").write_bytes(b"a login page")
    folder = mnist.download(tmp_path / "mnist", [bad.as_uri(), mirror.as_uri()], told.append)
    assert len(told) == 4 and all(mirror.as_uri() in line for line in told)
    mnist.make_mnist(folder, tmp_path / "out")


def test_files_that_are_there_are_not_fetched_again(mirror, tmp_path):
    mnist.download(tmp_path / "mnist", [mirror.as_uri()])
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"broken")
    asked = []

    def opener(url, timeout):
        asked.append(url)
        return urllib.request.urlopen(url, timeout=timeout)

    mnist.download(tmp_path / "mnist", [mirror.as_uri()], opener=opener)
    assert asked == [f"{mirror.as_uri()}/t10k-labels-idx1-ubyte.gz"]


def test_no_mirror_delivers(tmp_path):
    def opener(url, timeout):
        if "one" in url:
            raise TimeoutError("timed out")
        return io.BytesIO(gzip.compress(b"something else"))

    with pytest.raises(DataError) as caught:
        mnist.download(tmp_path, ["http://one", "http://two"], opener=opener)
    text = str(caught.value)
    assert "http://one/train-images-idx3-ubyte.gz: timed out" in text and "wrong checksum" in text
    assert "--from DIR" in text
    assert list(tmp_path.iterdir()) == []


def test_the_real_files_have_these_checksums(shared):
    folder = shared / "data" / "mnist"
    if not folder.is_dir():
        pytest.skip("MNIST is not there")
    for name, checksum in mnist.CHECKSUMS.items():
        data = gzip.decompress((folder / f"{name}.gz").read_bytes())
        assert hashlib.sha256(data).hexdigest() == checksum
