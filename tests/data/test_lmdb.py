"""Databases: order, wrap, sharing, damage, and writing whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress

import lmdb
import numpy as np
import pytest

from caffelite.data.database import open_database
from caffelite.data.datum import Datum
from caffelite.data.lmdb import LmdbReader, LmdbWriter
from caffelite.data.owner import Owner
from caffelite.errors import DataError, MissingFileError
from caffelite.types import Location

LAYER = Owner("mnist", "Data", Location("net.prototxt", 3, 1))


def labels(records):
    return [Datum.decode(record).label for record in records]


def test_records_come_in_key_order_and_go_round(numbered):
    with LmdbReader(numbered(23)) as reader:
        assert len(reader) == 23
        assert labels(reader.read(0, 5)) == [0, 1, 2, 3, 4]
        assert labels(reader.read(5, 3)) == [5, 6, 7]
        assert labels(reader.read(21, 4)) == [21, 22, 0, 1]
        assert labels(reader.read(2, 2)) == [2, 3]
        assert labels(reader.read(0, 50)) == [i % 23 for i in range(50)]


def test_any_record_by_number_and_its_key(numbered):
    with LmdbReader(numbered(23)) as reader:
        assert labels(reader.pick([22, 0, 5, 5])) == [22, 0, 5, 5]
        assert labels(reader.pick(np.array([], np.int64))) == []
        assert reader.key(7) == "00000007" and reader.key(24) == "00000001"


def test_reading_at_random_places_equals_picking(numbered):
    rng = np.random.default_rng(2)
    with LmdbReader(numbered(40)) as reader:
        for start, count in rng.integers(0, 90, (60, 2)).tolist():
            assert reader.read(start, count) == reader.pick([i % 40 for i in range(start, start + count)])


def test_several_readers_and_threads_share_a_database(numbered):
    path = numbered(23)
    first, second = LmdbReader(path), LmdbReader(os.path.join(path.parent, ".", path.name))
    first.close()
    assert labels(second.read(3, 2)) == [3, 4]
    found = {}

    def read(number):
        with LmdbReader(path) as reader:
            found[number] = labels(reader.read(number, 3))

    threads = [threading.Thread(target=read, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [n, n + 1, n + 2] for n in range(6)}
    second.close()
    second.close()
    lmdb.open(os.fspath(path), readonly=True).close()  # nobody holds it any more


def test_a_database_written_anew_at_its_place_is_another_one(numbered):
    path = numbered(3)
    old = LmdbReader(path)
    shutil.rmtree(path)
    with LmdbReader(numbered(5)) as new:
        assert labels(new.read(0, 5)) == [0, 1, 2, 3, 4]
        assert labels(old.read(0, 5)) == [0, 1, 2, 0, 1]
    old.close()


def test_a_dropped_reader_lets_go_of_its_database(numbered):
    path = numbered(5)
    reader = LmdbReader(path)
    reader.read(0, 2)
    del reader
    shutil.rmtree(path)
    with LmdbReader(numbered(7)) as reader:
        assert len(reader) == 7


def test_a_directory_without_permission_to_write_is_read_without_a_lock(numbered, monkeypatch):
    path = numbered(3)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with LmdbReader(path) as reader:
        assert len(reader) == 3
    assert not (path / "lock.mdb").exists()


def test_a_forked_child_opens_its_own(numbered):
    path = numbered(5)
    reader = LmdbReader(path)
    child = os.fork()
    if not child:
        with suppress(Exception), LmdbReader(path) as own:
            reader.close()
            os._exit(labels(own.read(3, 1))[0])
        os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert labels(reader.read(4, 1)) == [4]
    reader.close()


# -- what is not a usable database ----------------------------------------------------------------------


def test_missing(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        LmdbReader(tmp_path / "nowhere", LAYER)
    text = str(caught.value)
    assert (
        text.startswith("layer 'mnist' (Data) at net.prototxt:3:1: database '") and "does not exist" in text
    )
    assert f"looked up from '{os.getcwd()}'" in text


def test_empty(tmp_path):
    lmdb.open(os.fspath(tmp_path / "db")).close()
    for _ in range(2):
        with pytest.raises(DataError, match="is empty"):
            LmdbReader(tmp_path / "db")


def test_a_directory_of_something_else(tmp_path):
    with pytest.raises(DataError, match="without data.mdb"):
        LmdbReader(tmp_path)


def test_a_file_instead_of_the_directory(numbered):
    path = numbered(2)
    with pytest.raises(DataError, match="a file\n  Fix: give its directory, '.*numbered'"):
        LmdbReader(path / "data.mdb")


def test_foreign_bytes(tmp_path):
    (tmp_path / "data.mdb").write_bytes(np.random.default_rng(0).bytes(50000))
    with pytest.raises(DataError, match="is no LMDB"):
        LmdbReader(tmp_path)


@pytest.mark.parametrize("size", [0, 100, 4096, 8192, 20000])
def test_truncated(numbered, size):
    path = numbered(100, (3, 10, 10))
    os.truncate(path / "data.mdb", size)
    with pytest.raises(DataError, match="cut short|is no LMDB|cannot open"):
        LmdbReader(path)


def test_a_key_out_of_its_order_is_damage(numbered):
    path = numbered(100) / "data.mdb"
    path.write_bytes(path.read_bytes().replace(b"00000050", b"z0000050"))
    message = "layer 'mnist'.*damaged: there is a key b'z0000050' without a record"
    with LmdbReader(path.parent, LAYER) as reader, pytest.raises(DataError, match=message):
        reader.pick(range(100))


def test_a_leveldb_is_recognised(tmp_path):
    (tmp_path / "CURRENT").write_text("MANIFEST-000002\n")
    (tmp_path / "MANIFEST-000002").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"an LMDB at .* got a LevelDB\n  Fix: write backend: LEVELDB in data_param"
    ):
        open_database(tmp_path, "LMDB")


def test_an_lmdb_under_the_default_backend(numbered):
    with pytest.raises(DataError, match="got an LMDB\n  Fix: write backend: LMDB in data_param"):
        open_database(numbered(2), "LEVELDB", LAYER)


# -- writing --------------------------------------------------------------------------------------------


def test_keys_are_caffes(tmp_path):
    with LmdbWriter(tmp_path / "db") as writer:
        writer.put(b"a")
        writer.put(b"b", "cat/1.jpg")
    with lmdb.open(os.fspath(tmp_path / "db"), readonly=True) as env, env.begin() as transaction:
        assert list(transaction.cursor()) == [(b"00000000", b"a"), (b"00000001_cat/1.jpg", b"b")]


def test_the_map_grows(tmp_path):
    with LmdbWriter(tmp_path / "db") as writer:
        for _ in range(50):
            writer.put(bytes(1 << 20))
    with LmdbReader(tmp_path / "db") as reader:
        assert len(reader) == 50 and len(reader.read(49, 1)[0]) == 1 << 20


def test_more_records_than_one_transaction_takes(tmp_path):
    with LmdbWriter(tmp_path / "db") as writer:
        for i in range(2500):
            writer.put(Datum(1, 1, 1, b"x", i))
    with LmdbReader(tmp_path / "db") as reader:
        assert labels(reader.read(0, 2500)) == list(range(2500))


def test_an_existing_database_is_refused_and_kept(numbered):
    path = numbered(4)
    with pytest.raises(DataError, match="exists already"):
        LmdbWriter(path)
    with LmdbReader(path) as reader:
        assert len(reader) == 4


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyError), LmdbWriter(tmp_path / "db") as writer:
        writer.put(b"a")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from caffelite.data.lmdb import LmdbWriter
from caffelite.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with LmdbWriter(sys.argv[1]) as writer:
        for _ in range(int(sys.argv[2])):
            writer.put(bytes(3000))
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("records", [999, 3000])  # the disk is full at the end, or on the way
def test_a_full_disk_leaves_nothing_behind(tmp_path, records):
    pytest.importorskip("resource")
    command = [sys.executable, "-c", FULL, os.fspath(tmp_path / "db"), str(records)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write '{tmp_path / 'db'}': "), done
    assert list(tmp_path.iterdir()) == []


def test_a_missing_parent_directory(tmp_path):
    with pytest.raises(DataError, match="No such file or directory\n  Fix: mkdir -p"):
        LmdbWriter(tmp_path / "no" / "db")
