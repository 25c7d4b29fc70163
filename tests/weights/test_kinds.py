"""Files in the wrong place are recognised by content, and the message names the cure."""

from __future__ import annotations

import io
import pickle
import zipfile

import pytest

from caffelite.errors import MissingFileError, WeightsError
from caffelite.weights import kinds, load_state, load_weights, wire
from caffelite.weights.kinds import open_for_reading, recognise


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
    return buffer.getvalue()


def onnx() -> bytes:
    return (
        wire.integer(1, 8)
        + wire.string(2, "pytorch")
        + wire.string(7, wire.string(2, "g"))
        + wire.string(8, b"")
    )


FILES = {
    "an empty file": b"",
    "a text file": b'name: "LeNet"\nlayer { name: "caf\xc3\xa9" }\n' * 20,
    "a web page": b"\n<!DOCTYPE html><html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "a zip archive": archive(),
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a Python pickle": pickle.dumps({"conv1": [1, 2]}),
    "a PyTorch checkpoint": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
    "a NumPy array": b"\x93NUMPY\x01\x00",
    "a compressed archive": b"\x1f\x8b\x08\x00",
    "a TensorFlow Lite model": b"\x1c\0\0\0TFL3",
    "an ONNX model": onnx(),
    "a TensorFlow graph": wire.string(1, "node") + wire.string(4, wire.integer(1, 27)),
    "a single blob": b"".join(wire.integer(axis, 1) for axis in (1, 2, 3, 4)) + wire.string(5, b"\0" * 4),
    "a database": b"\0" * 16 + b"\xde\xc0\xef\xbe" + b"\0" * 40,
    "a file that holds no layers": wire.string(1, "net"),
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("load", [load_weights, load_state])
def test_foreign_files_are_named(tmp_path, what, load):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(FILES[what])
    with pytest.raises(WeightsError) as caught:
        load(path)
    expected = "weights (.caffemodel," if load is load_weights else "a solver state (.solverstate"
    assert f"'{path}': expected {expected}" in str(caught.value)
    assert f"got {what}" in str(caught.value)
    assert "\n  Fix: " in str(caught.value)


@pytest.mark.parametrize(
    ("inside", "what"), [("data.mdb", "a database"), ("CURRENT", "a database"), ("x", "a dir")]
)
def test_directories(tmp_path, inside, what):
    (tmp_path / inside).touch()
    with pytest.raises(WeightsError, match=f"got {what}"):
        load_weights(tmp_path)


@pytest.mark.parametrize("load", [load_weights, load_state])
def test_each_others_files(tmp_path, load):
    path = tmp_path / "file"
    model = wire.string(1, "net") + wire.string(100, wire.string(1, "conv"))
    path.write_bytes(
        wire.integer(1, 10) + wire.string(2, "net.caffemodel") if load is load_weights else model
    )
    with pytest.raises(WeightsError, match=r"got a Caffe (model|solver state)"):
        load(path)


def test_names_do_not_matter(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(wire.string(1, "net") + wire.string(100, wire.string(1, "conv")))
    assert [layer.name for layer in load_weights(path)] == ["conv"]


@pytest.mark.parametrize("offset", [0, 512, 2048])
def test_hdf5_after_a_user_block(tmp_path, offset):
    path = tmp_path / "file"
    path.write_bytes(b" " * offset + kinds.HDF5_SIGNATURE)
    assert recognise(path) is kinds.HDF5


def test_noise_is_damage(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"\x00\x01\x02\x03" * 50)
    with pytest.raises(WeightsError, match="damaged at byte 0"):
        load_weights(path)


def test_what_cannot_be_opened(tmp_path):
    with (
        pytest.raises(MissingFileError, match=r"weights file '.*' does not exist"),
        open_for_reading(tmp_path / "none", "weights file"),
    ):
        pytest.fail("the block must not run")
    with (
        pytest.raises(WeightsError, match=r"cannot read weights file '.*': Is a directory"),
        open_for_reading(tmp_path, "weights file"),
    ):
        pytest.fail("the block must not run")
