"""The demo's digits."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.digits import load_digits, make_digits
from caffelite.data.lmdb import LmdbReader
from caffelite.errors import DataError


def test_the_databases_divide_the_digits(tmp_path):
    pytest.importorskip("sklearn")
    images, _ = load_digits()
    assert images.shape == (1797, 28, 28) and images.dtype == np.uint8
    assert images.max() == 255 and not images[:, :4].any() and not images[:, :, -4:].any()
    paths = make_digits(tmp_path)
    records = []
    for path, count in zip(paths, (1438, 359), strict=True):
        with LmdbReader(path) as reader:
            assert len(reader) == count
            records.append(reader.read(0, count))
    labels = [Datum.decode(record).label for record in records[1]]
    assert min(np.bincount(labels, minlength=10)) >= 25
    assert not set(records[0]) & set(records[1])


def test_the_division_is_the_same_everywhere(tmp_path):
    pytest.importorskip("sklearn")
    _, test = make_digits(tmp_path)
    with LmdbReader(test) as reader:
        assert [Datum.decode(record).label for record in reader.read(0, 12)] == [
            1,
            3,
            3,
            8,
            0,
            1,
            7,
            8,
            4,
            6,
            5,
            0,
        ]


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"\n  Fix: pip install 'caffelite\[demo\]'"):
        load_digits()
