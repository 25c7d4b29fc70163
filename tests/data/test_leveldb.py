"""LevelDB: the same records as from LMDB, any number of readers, nothing written to what is read."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from caffelite.data import leveldb
from caffelite.data.database import database_kind, open_database
from caffelite.data.datum import Datum
from caffelite.data.datum_source import DatumSource
from caffelite.data.leveldb import LevelDbReader, LevelDbWriter
from caffelite.data.owner import Owner
from caffelite.data.transform import TransformParams
from caffelite.data.writer import open_writer
from caffelite.errors import DataError, MissingFileError, UsageError
from caffelite.types import Location

LAYER = Owner("mnist", "Data", Location("net.prototxt", 3, 1))


@pytest.fixture(autouse=True)
def library():
    if not any(map(_there, leveldb._LIBRARIES)):
        pytest.skip("plyvel is not installed")


def _there(name):
    with suppress(ModuleNotFoundError):
        __import__(name)
        return True
    return False


@pytest.fixture
def database(tmp_path):
    def make(count=23, name="leveldb"):
        with open_writer(tmp_path / name, "leveldb") as writer:
            for i in range(count):
                writer.put(Datum(1, 2, 3, bytes([i % 256] * 6), i % 100))
        return tmp_path / name

    return make


def labels(records):
    return [Datum.decode(record).label for record in records]


def contents(folder: Path):
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def test_records_come_in_key_order_and_go_round(database):
    with LevelDbReader(database(23)) as reader:
        assert len(reader) == 23
        assert labels(reader.read(0, 5)) == [0, 1, 2, 3, 4]
        assert labels(reader.read(5, 3)) == [5, 6, 7]
        assert labels(reader.read(21, 4)) == [21, 22, 0, 1]
        assert labels(reader.read(0, 50)) == [i % 23 for i in range(50)]
        assert labels(reader.pick(np.array([22, 0, 5, 5]))) == [22, 0, 5, 5]
        assert reader.key(7) == "00000007" and reader.key(24) == "00000001"


def test_reading_changes_nothing_and_goes_on_beside_other_readers(database):
    path = database(23)
    before = contents(path)
    with LevelDbReader(path) as first, LevelDbReader(path) as second:
        assert labels(first.read(3, 2)) == labels(second.read(3, 2)) == [3, 4]
        held = [_mirror_of(first), _mirror_of(second)]
    assert contents(path) == before
    assert not any(map(os.path.exists, held))


def _mirror_of(reader) -> Path:
    return Path(reader._finalizer.peek()[2][2])


def test_a_dropped_reader_leaves_nothing_behind(database):
    reader = LevelDbReader(database())
    folder = _mirror_of(reader)
    assert folder.exists()
    del reader
    assert not folder.exists()


def test_readers_in_cycles_are_collected(database):
    path = database()
    for _ in range(4):
        reader = LevelDbReader(path)
        reader.read(0, 2)
        reader.itself = reader
        del reader
        gc.collect()


def test_a_forked_child_leaves_its_parents_reader_alone(database):
    reader = LevelDbReader(database())
    child = os.fork()
    if not child:
        reader.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert labels(reader.read(4, 1)) == [4]


def test_known_keys_are_not_read_again(database):
    path = database(23)
    with LevelDbReader(path) as first, open_database(path, "LEVELDB", keys=first.keys) as second:
        assert second.keys is first.keys
        assert labels(second.read(20, 4)) == [20, 21, 22, 0]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_same_batches_as_from_lmdb(numbered, take, workers, shuffle):
    path = numbered(23)
    with open_database(path) as lmdb, open_writer(path.parent / "copy", "LEVELDB") as copy:
        for record in lmdb.read(0, 23):
            copy.put(record)
    options = {"shuffle": shuffle, "transform": TransformParams(mirror=True), "owner": Owner("a")}
    expected = DatumSource(path, 5, **options)
    source = DatumSource(copy.path, 5, backend="LEVELDB", workers=workers, **options)
    source.restore(expected.state())
    for a, b in zip(take(source, 11), take(expected, 11), strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in ("data", "label"))
    source.close()


def test_kinds(database, numbered, tmp_path):
    assert database_kind(database(2)) == "LEVELDB"
    assert database_kind(numbered(2)) == "LMDB"
    assert database_kind(tmp_path) == ""
    with open_database(tmp_path / "leveldb") as reader:
        assert isinstance(reader, LevelDbReader)


# -- what is not a usable database ----------------------------------------------------------------------


def test_missing(tmp_path):
    with pytest.raises(MissingFileError, match="layer 'mnist'.*does not exist"):
        LevelDbReader(tmp_path / "nowhere", LAYER)


def test_empty(database):
    with pytest.raises(DataError, match="layer 'mnist'.*is empty"):
        LevelDbReader(database(0), LAYER)


def test_a_directory_of_something_else(tmp_path):
    with pytest.raises(DataError, match="without CURRENT and MANIFEST"):
        LevelDbReader(tmp_path)


def test_a_damaged_one(database):
    path = database(5)
    (manifest,) = path.glob("MANIFEST-*")
    manifest.write_bytes(b"no manifest, just so many bytes")
    before = set(os.listdir(os.path.dirname(leveldb.tempfile.mkdtemp())))
    with pytest.raises(DataError, match="layer 'mnist'.* LevelDB .* is damaged: Corruption"):
        LevelDbReader(path, LAYER)
    after = os.listdir(os.path.dirname(leveldb.tempfile.mkdtemp()))
    assert not [name for name in after if name.startswith("caffelite-leveldb-") and name not in before]


def test_a_missing_library(database, monkeypatch):
    path = database(2)
    for name in leveldb._LIBRARIES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        DataError, match=r"layer 'mnist'.*needs plyvel.*\n  Fix: pip install 'caffelite\[leveldb\]'"
    ):
        LevelDbReader(path, LAYER)


# -- writing --------------------------------------------------------------------------------------------


def test_keys(tmp_path):
    with open_writer(tmp_path / "db", "LEVELDB") as writer:
        writer.put(b"a")
        writer.put(b"b", "cat/1.jpg")
        writer.put(b"c", key="00000000")
    with LevelDbReader(tmp_path / "db") as reader:
        assert [reader.key(i) for i in range(2)] == ["00000000", "00000001_cat/1.jpg"]
        assert reader.read(0, 2) == [b"c", b"b"]


def test_more_records_than_one_transaction_takes(database):
    with LevelDbReader(database(2500)) as reader:
        assert labels(reader.read(0, 2500)) == [i % 100 for i in range(2500)]


def test_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyError), LevelDbWriter(tmp_path / "db") as writer:
        writer.put(b"a")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with LevelDbWriter(tmp_path / "db") as writer:
        writer.put(b"a")
        assert not (tmp_path / "db").exists()
    with pytest.raises(DataError, match="exists already"):
        LevelDbWriter(tmp_path / "db")
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_an_unknown_backend(tmp_path):
    with pytest.raises(UsageError, match="expected a backend LMDB or LEVELDB, got 'hdf5'"):
        open_writer(tmp_path / "db", "hdf5")
