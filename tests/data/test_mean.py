"""Mean images."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.lmdb import LmdbWriter
from caffelite.data.mean import compute_mean, read_mean, write_mean
from caffelite.errors import DataError, MissingFileError
from caffelite.weights.wire import header, string, varint


def test_the_mean_of_a_database_is_caffes(golden):
    assert np.array_equal(compute_mean(golden.database("raw")), read_mean(golden.mean_file()))


def test_the_written_file_has_caffes_bytes(golden, tmp_path):
    write_mean(tmp_path / "out", read_mean(golden.mean_file()))
    assert (tmp_path / "out").read_bytes() == golden.mean_file().read_bytes()


def test_the_newer_kind_of_shape(tmp_path):
    data = np.arange(12, dtype="<f4")
    message = (
        header(5, 48) + data.tobytes() + string(7, string(1, varint(1) + varint(3) + varint(2) + varint(2)))
    )
    (tmp_path / "mean").write_bytes(message)
    assert np.array_equal(read_mean(tmp_path / "mean"), data.reshape(3, 2, 2))


def test_encoded_and_raw_records_have_the_same_mean(golden):
    assert np.array_equal(compute_mean(golden.database("encoded")), compute_mean(golden.database("raw")))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(MissingFileError, match="caffelite data mean LMDB OUT"):
        read_mean(tmp_path / "mean")
    (tmp_path / "mean").write_bytes(b"no mean at all")
    with pytest.raises(DataError, match="mean_file"):
        read_mean(tmp_path / "mean")


def test_several_images_are_no_mean(tmp_path):
    write_mean(tmp_path / "mean", np.zeros((2, 2, 2), np.float32))
    data = bytearray((tmp_path / "mean").read_bytes())
    data[1], data[3] = 2, 1  # num 2, channels 1
    (tmp_path / "mean").write_bytes(data)
    with pytest.raises(DataError, match="expected one image"):
        read_mean(tmp_path / "mean")


def test_images_of_different_sizes(tmp_path):
    with LmdbWriter(tmp_path / "db") as writer:
        writer.put(Datum(1, 2, 2, bytes(4)))
        writer.put(Datum(1, 2, 3, bytes(6)), "odd.png")
    with pytest.raises(
        DataError, match=r"item '00000001_odd.png' of .* \(1, 2, 2\) as before, got \(1, 2, 3\)"
    ):
        compute_mean(tmp_path / "db")
