from __future__ import annotations

import io

import numpy as np
import pytest

from caffelite.detection.packed import pack, unpack
from caffelite.errors import DataError

SHAPES = {"boxes": (4,), "scores": ()}
GOOD = {
    "keys": np.array(["a", "b"]),
    "counts": np.array([2, 1]),
    "boxes": np.arange(12.0).reshape(3, 4),
    "scores": np.array([3.0, 2, 1]),
}


def written(path, **changes):
    file = io.BytesIO()
    np.savez_compressed(file, **GOOD | changes)
    path.write_bytes(file.getvalue())
    return path


def test_packed_and_unpacked(tmp_path):
    parts = {"a": (np.ones((2, 4)), np.zeros(2)), "b": (np.zeros((0, 4)), np.zeros(0))}
    (tmp_path / "p.npz").write_bytes(pack(parts, SHAPES, more=np.array(["x"])))
    places, found = unpack(tmp_path / "p.npz", "things", SHAPES, ["more"])
    assert places == {"a": slice(0, 2), "b": slice(2, 2)} and found["more"].tolist() == ["x"]
    np.testing.assert_array_equal(found["boxes"], np.ones((2, 4), np.float32))
    assert found["boxes"].dtype == found["scores"].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": np.array(3)}, "do not fit"),
        ({"counts": np.array([2.0, 1.0])}, "do not fit"),
        ({"counts": np.array([4, -1])}, "do not fit"),
        ({"counts": np.array([1, 1])}, "do not fit"),
        ({"keys": np.array(["a", "a"])}, "different keys"),
        ({"scores": np.zeros(2)}, r"boxes \(3, 4\), scores \(2,\), which do not fit"),
        ({"boxes": np.zeros((3, 5))}, r"boxes \(3, 5\)"),
        ({"boxes": np.full((3, 4), "x")}, "could not convert"),
        ({"boxes": np.full((3, 4), np.inf)}, r"row 0 of boxes is not finite: \[inf"),
        ({"scores": np.array([1, np.nan, 1])}, "row 1 of scores is not finite: nan"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(DataError, match=f"things '.*p.npz': .*{message}"):
        unpack(written(tmp_path / "p.npz", **changes), "things", SHAPES)


def test_files_that_are_broken(tmp_path):
    whole = written(tmp_path / "p.npz").read_bytes()
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    twisted = bytearray(whole)
    twisted[70:90] = b"\xff" * 20
    for data in (b"", b"no", whole[:-40], bytes(twisted), single.getvalue()):
        (tmp_path / "p.npz").write_bytes(data)
        with pytest.raises(DataError, match="expected keys, counts, boxes and scores: "):
            unpack(tmp_path / "p.npz", "things", SHAPES)
