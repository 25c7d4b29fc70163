"""Bad records: passed over with a warning, the same ones whoever makes the batches, up to a limit."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.datum_source import DatumSource
from caffelite.data.owner import Owner
from caffelite.data.skipped import Bad, Skipped
from caffelite.data.transform import TransformParams
from caffelite.data.writer import open_writer
from caffelite.errors import DataError
from caffelite.random import RandomSource
from caffelite.types import Location

LAYER = Owner("pictures", "Data", Location("net.prototxt", 5, 1))
BAD = {
    "1 x 4 x 5 values, got 19": Datum(1, 4, 5, bytes(19)),
    "neither data nor float_data": Datum(1, 4, 5),
    "cannot be decoded": Datum(data=b"no image", encoded=True),
    "cut short": b"\x22\x7f",
}


@pytest.fixture
def database(tmp_path):
    """Record i has label i; those in ``bad`` cannot be read."""

    def make(count, bad, record=BAD["cut short"]):
        path = tmp_path / f"db{count}"
        with open_writer(path) as writer:
            for i in range(count):
                writer.put(record if i in bad else Datum(1, 4, 5, bytes([i % 256] * 20), i), f"{i}.png")
        return path

    return make


def labels(source, take, count):
    return [batch["label"].astype(int).tolist() for batch in take(source, count)]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("text", BAD)
def test_the_next_good_one_takes_its_place(database, take, caplog, text, workers):
    path = database(6, {2, 3}, BAD[text])
    source = DatumSource(path, 3, owner=LAYER, workers=workers)
    assert labels(source, take, 4) == [[0, 1, 4], [4, 4, 5], [0, 1, 4], [4, 4, 5]]
    source.close()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2  # each one once
    start = "layer 'pictures' (Data) at net.prototxt:5:1: skipped item '00000002_2.png' (number 2) of '"
    assert told[0].startswith(start) and text in told[0]
    assert told[1].endswith("(2 so far, at most 10 may be); the next good one takes its place")


def test_the_last_one_is_replaced_by_the_first_of_the_next_epoch(database, take):
    assert labels(DatumSource(database(4, {3}), 2), take, 2) == [[0, 1], [2, 0]]


def test_one_by_one(database, take):
    assert labels(DatumSource(database(4, {1, 2}), 1), take, 5) == [[0], [3], [3], [3], [0]]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("text", BAD)
def test_a_bad_first_record_is_passed_over_too(database, take, caplog, text, workers):
    source = DatumSource(database(4, {0}, BAD[text]), 2, owner=LAYER, workers=workers)
    assert labels(source, take, 2) == [[1, 1], [2, 3]]
    source.close()
    assert "(number 0)" in caplog.text and text in caplog.text


@pytest.mark.parametrize("count", [1, 30])
def test_nothing_that_can_be_read_is_an_error_at_once(database, count):
    with pytest.raises(DataError, match=r"layer 'pictures'.*item '00000000_0.png' \(number 0\).*cut short"):
        DatumSource(database(count, set(range(count))), 2, owner=LAYER)


def test_resuming_goes_on_bit_for_bit_and_counts_on(database, take, caplog):
    def source(seed, workers):
        params = TransformParams(crop_size=3, mirror=True)
        options = {"owner": LAYER, "shuffle": True, "workers": workers, "random": RandomSource(seed)}
        return DatumSource(database_path, 5, params, **options)

    database_path = database(40, {7, 8, 20, 31})
    whole = take(source(3, 0), 20)
    first = source(3, 2)
    take(first, 9)
    state = json.loads(json.dumps(first.state()))
    assert state["skipped"] == [7, 8, 20, 31]
    first.close()
    second = source(99, 1)
    second.restore(state)
    caplog.clear()
    for got, expected in zip(take(second, 11), whole[9:], strict=True):
        assert all(np.array_equal(got[name], expected[name]) for name in expected)
    assert not caplog.records  # they were told of before
    second.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_more_than_ten_end_the_run(database, take, workers):
    path = database(60, {i for i in range(60) if i % 5 == 1})
    source = DatumSource(path, 10, owner=LAYER, workers=workers)
    assert len(take(source, 5)) == 5
    for _ in range(2):
        with pytest.raises(
            DataError, match="(?s)layer 'pictures'.*at most 10 records .*number 51.*Fix: mend the data"
        ):
            take(source, 1)
        assert source.state()["item"] == 50
    source.close()


def test_ten_in_a_row_end_the_run(database, take):
    source = DatumSource(database(30, set(range(5, 15))), 5, owner=LAYER)
    take(source, 1)
    with pytest.raises(DataError, match=r"fewer than 10 records in a row .*the first is .*number 5\)"):
        take(source, 1)


def test_one_percent_of_much_data_may_be_bad(caplog):
    caplog.set_level(logging.CRITICAL)
    skipped = Skipped(3000, LAYER)
    skipped.add(Bad(i, "") for i in range(30))
    skipped.add([Bad(7, "")])
    with pytest.raises(DataError, match="at most 30"):
        skipped.add([Bad(30, "")])
