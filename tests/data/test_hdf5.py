"""Rows of HDF5 files: order across files, shuffling of any layout, types, transforms, files that are wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from caffelite.data.hdf5 import Hdf5Batches
from caffelite.data.hdf5_file import open_table, read_hdf5_list
from caffelite.data.owner import Owner
from caffelite.data.source import Source
from caffelite.data.transform import Transformer, TransformParams
from caffelite.errors import DataError, MissingFileError
from caffelite.random import RandomSource
from caffelite.types import Location, Phase

LAYER = Owner("rows", "HDF5Data", Location("net.prototxt", 3, 1))
LAYOUTS = {
    "contiguous": {},
    "chunks of 1": {"chunks": 1},
    "blocks of 4": {"chunks": 4},
    "compressed": {"chunks": 7, "compression": "gzip"},
}


@pytest.fixture
def write(tmp_path):
    """Files whose row number i, counted over all files, has label i and data that begin with i."""

    def write(*sizes, chunks=None, compression=None, row=(2, 3)):
        paths, first = [], 0
        for size in sizes:
            labels = np.arange(first, first + size)
            data = np.zeros((size, *row), np.float32)
            data[(slice(None), *[0] * len(row))] = labels
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
            with h5py.File(path, "w") as file:
                blocks = {"chunks": (chunks, *row), "maxshape": (None, *row)} if chunks else {}
                file.create_dataset("data", data=data, compression=compression, **blocks)
                file["label"] = labels
            paths.append(str(path))
            first += size
        return paths

    return write


def source(paths, batch_size=3, names=("data", "label"), seed=1, workers=0, **options):
    return Source(
        Hdf5Batches(paths, names, batch_size, RandomSource(seed), LAYER, **options), workers=workers
    )


def labels(source, take, count):
    found = take(source, count)
    for batch in found:
        assert np.array_equal(batch["data"].reshape(len(batch["data"]), -1)[:, 0], batch["label"])
    return np.concatenate([batch["label"] for batch in found]).astype(int).tolist()


# -- order ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_run_on_over_ends_of_files(write, take, layout, workers):
    rows = source(write(5, 3, 0, 9, **LAYOUTS[layout]), workers=workers)
    assert rows.shapes() == {"data": (3, 2, 3), "label": (3,)}
    assert labels(rows, take, 20) == [i % 17 for i in range(60)]
    rows.close()


def test_a_batch_larger_than_all_data(write, take):
    assert labels(source(write(2, 3), 12), take, 1) == [0, 1, 2, 3, 4] * 2 + [0, 1]


@pytest.mark.parametrize("memory", [0, 200, 1 << 20])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_epoch_of_shuffled_rows_has_each_once(write, take, layout, memory):
    paths = write(30, 11, 1, **LAYOUTS[layout])
    order = labels(source(paths, 6, shuffle=True, memory=memory), take, 21)
    epochs = [order[:42], order[42:84], order[84:]]
    assert all(sorted(epoch) == list(range(42)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    files = [[sum(i >= end for end in (30, 41)) for i in epoch] for epoch in epochs]
    assert all(sum(a != b for a, b in zip(f, f[1:], strict=False)) == 2 for f in files)  # file by file
    assert len(set(map(tuple, files))) > 1 or len(paths) == 1


def test_shuffling_is_keyed(write, take):
    paths = write(20, 20)
    assert labels(source(paths, shuffle=True), take, 9) == labels(source(paths, shuffle=True), take, 9)
    assert labels(source(paths, shuffle=True), take, 9) != labels(
        source(paths, shuffle=True, seed=2), take, 9
    )


@pytest.mark.parametrize(
    ("layout", "memory"), [("contiguous", 0), ("blocks of 4", 200), ("compressed", 1 << 20)]
)
def test_resuming_anywhere_goes_on_bit_for_bit(write, take, layout, memory):
    paths = write(30, 11, **LAYOUTS[layout])
    whole = labels(source(paths, shuffle=True, memory=memory), take, 40)
    for position in (1, 9, 10, 13, 14, 25):
        first = source(paths, shuffle=True, memory=memory, workers=position % 2)
        labels(first, take, position)
        second = source(paths, shuffle=True, memory=memory, seed=9)
        second.restore(json.loads(json.dumps(first.state())))
        first.close()
        assert labels(second, take, 8) == whole[3 * position : 3 * position + 24]


def test_resuming_with_other_data_is_refused(write):
    state = source(write(5), shuffle=True).state()
    with pytest.raises(DataError, match="'.*1.h5' with records = 5 as in the snapshot, got 6"):
        source(write(6), shuffle=True).restore(state)
    with pytest.raises(DataError, match="with shuffle = True"):
        source(write(5)).restore(state)


def test_a_forked_child_opens_its_own_files(write, take):
    rows = source(write(9))
    labels(rows, take, 1)
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if labels(rows, take, 1) == [3, 4, 5] else 2
            rows.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert labels(rows, take, 1) == [3, 4, 5]


# -- memory ---------------------------------------------------------------------------------------------

CAPPED = """
import resource, sys
import numpy as np
from caffelite.data.hdf5 import *
from caffelite.data.source import Source
paths, chunked = [sys.argv[1]], sys.argv[2]
batches = Hdf5Batches(paths, ["data", "label"], 16, RandomSource(1), shuffle=True, memory=8 << 20)
source = Source(batches, workers=0)
into = {name: np.empty(shape, np.float32) for name, shape in source.shapes().items()}
source.next(into)
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (32 << 20),) * 2)
seen = []
for _ in range(64):
    seen += into["label"].astype(int).tolist()
    source.next(into)
print(sorted(seen) == list(range(1024)), sum(abs(a - b) for a, b in zip(seen, seen[1:])) / 1023 > 100)
"""


@pytest.mark.parametrize("chunks", [None, 16])
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_a_file_larger_than_the_memory_is_shuffled(tmp_path, chunks):
    path = str(tmp_path / "large.h5")
    with h5py.File(path, "w") as file:  # 64 MiB, where 32 may be taken
        data = file.create_dataset(
            "data", (1024, 1 << 14), np.float32, chunks=(chunks, 1 << 14) if chunks else None
        )
        for i in range(0, 1024, 64):
            data[i : i + 64] = np.repeat(np.arange(i, i + 64), 1 << 14).reshape(64, -1)
        file["label"] = np.arange(1024)
    done = subprocess.run([sys.executable, "-c", CAPPED, path, ""], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "True"]), done.stderr


TALL = """
import resource, sys
import numpy as np
from caffelite.data.hdf5 import *
from caffelite.data.source import Source
batches = Hdf5Batches([sys.argv[1]], ["data"], 16, RandomSource(1), shuffle=sys.argv[2] == "True", memory=4 << 20)
source = Source(batches, workers=0)
into = {name: np.empty(shape, np.float32) for name, shape in source.shapes().items()}
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (32 << 20),) * 2)
seen = []
for _ in range(64):
    source.next(into)
    seen += into["data"][:, -1].astype(int).tolist()
print(sorted(seen) == list(range(1024)), seen == list(range(1024)))
"""


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_chunks_taller_than_the_memory_are_read_in_parts(tmp_path, shuffle):
    """Left to itself h5py makes chunks of thousands of rows, and a small part of each row."""
    path = str(tmp_path / "tall.h5")
    with h5py.File(path, "w") as file:  # 64 MiB in chunks of 4 MiB, where 32 may be taken
        data = file.create_dataset("data", (1024, 1 << 14), np.float32, chunks=(1024, 1 << 10))
        data[:] = np.arange(1024, dtype=np.float32)[:, np.newaxis]
    done = subprocess.run(
        [sys.executable, "-c", TALL, path, str(shuffle)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["True", str(not shuffle)]), done.stderr


def test_chunks_taller_than_the_memory_are_told_with_the_cure(write, caplog):
    paths = write(30, chunks=15)
    source(paths, shuffle=True, memory=480)
    assert not caplog.records
    source(paths, shuffle=True, memory=479)
    assert "rows of '" in caplog.text and "read 2 times over: chunks of 15 rows, 0 MiB" in caplog.text
    assert "h5repack" in caplog.text and "shuffle_mb: 1" in caplog.text


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_of_no_numbers(tmp_path, take, shuffle):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros((8, 0, 3))
    (batch,) = take(source([str(tmp_path / "a.h5")], names=["x"], shuffle=shuffle), 1)
    assert batch["x"].shape == (3, 0, 3)


# -- what is in the rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i2", "<i4", ">i8", "f2", ">f4", "f8", "?"])
def test_any_number_becomes_float(tmp_path, take, dtype):
    values = np.arange(6).reshape(3, 2).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = values
    (batch,) = take(source([str(tmp_path / "a.h5")], names=["x"]), 1)
    assert np.array_equal(batch["x"], values.astype(np.float32))


def test_transforms_act_on_the_first_dataset(write, take):
    paths = write(8, row=(2, 5, 6))
    params = TransformParams(crop_size=4, mirror=True, mean_value=(1, 2), scale=0.5)
    transformer = Transformer(params, Phase.TRAIN, LAYER)
    rows = source(paths, 5, transformer=transformer)
    assert rows.shapes() == {"data": (5, 2, 4, 4), "label": (5,)}
    first = take(rows, 4)
    again = source(paths, 5, transformer=transformer, workers=1)
    assert all(np.array_equal(a["data"], b["data"]) for a, b in zip(first, take(again, 4), strict=True))
    again.close()
    words = RandomSource(1).words(5, 5, LAYER.name, "transform")  # items 5 to 9, across the epoch's end
    with h5py.File(paths[0]) as file:
        expected = np.empty((5, 2, 4, 4), np.float32)
        transformer.apply_batch(file["data"][:][[5, 6, 7, 0, 1]], expected, words)
    assert np.array_equal(first[1]["data"], expected)


def test_transforms_need_images(write):
    with pytest.raises(
        DataError, match=r"layer 'rows'.*rows \(C, H, W\) of dataset 'data' for transform_param, got \(2, 3\)"
    ):
        source(write(3), transformer=Transformer(TransformParams(), Phase.TEST, LAYER))
    with pytest.raises(DataError, match="(?s)layer 'rows'.*dataset 'data'.*crop_size"):
        source(
            write(3, row=(1, 4, 4)), transformer=Transformer(TransformParams(crop_size=5), Phase.TEST, LAYER)
        )


# -- files that are wrong -------------------------------------------------------------------------------


def test_the_list(tmp_path, write):
    path = tmp_path / "list.txt"
    path.write_text("a.h5  b.h5\n\tc.h5\r\n\n")
    assert read_hdf5_list(str(path)) == ["a.h5", "b.h5", "c.h5"]
    path.write_text(" \n")
    with pytest.raises(DataError, match="layer 'rows'.*names of HDF5 files in '.*list.txt', got none"):
        read_hdf5_list(str(path), LAYER)
    with pytest.raises(MissingFileError, match="list of HDF5 files"):
        read_hdf5_list(str(tmp_path / "no.txt"))
    with pytest.raises(
        DataError, match=r"lists HDF5 files at '(.*)', got an HDF5 file\n  Fix: echo \1 > list.txt"
    ):
        read_hdf5_list(write(1)[0])
    with pytest.raises(DataError, match="cannot read the list"):
        read_hdf5_list(str(tmp_path))


def test_files(tmp_path, write):
    (tmp_path / "b.h5").write_bytes(b"no HDF5")
    (path,) = write(4)
    with pytest.raises(MissingFileError, match="layer 'rows'.*HDF5 file"):
        open_table(str(tmp_path / "no.h5"), ["data"], LAYER)
    with pytest.raises(DataError, match="layer 'rows'.*cannot open the HDF5 file '.*b.h5'"):
        open_table(str(tmp_path / "b.h5"), ["data"], LAYER)
    with pytest.raises(DataError, match="a dataset 'x', as the top is called, in .*, got 'data', 'label'"):
        open_table(path, ["data", "x"])
    os.truncate(path, os.path.getsize(path) - 10)
    with pytest.raises(DataError, match="cannot open"):
        open_table(path, ["data"])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros(3), "expected 4 rows of 'x' in '.*', as of 'data', got 3"),
        (np.float32(3), "expected rows in dataset 'x' of .* got a scalar"),
        (np.array([b"a", b"b", b"c", b"d"]), "expected numbers in dataset 'x' of"),
    ],
)
def test_datasets(write, values, text):
    (path,) = write(4)
    with h5py.File(path, "a") as file:
        file["x"] = values
    with pytest.raises(DataError, match=text):
        open_table(path, ["data", "x"])


def test_names_that_lead_to_no_dataset(write):
    (path,) = write(4)
    with h5py.File(path, "a") as file:
        file.create_group("x")
        file["y"] = h5py.SoftLink("/nowhere")
    for name, text in (
        ("x", "got a group of this name"),
        ("y", "got a link of this name that leads nowhere"),
    ):
        with pytest.raises(DataError, match=text):
            open_table(path, ["data", name])


def test_a_broken_group(write):
    (path,) = write(4)
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:  # names of datasets are there
        file.write(content.replace(b"HEAP", b"PAEH"))
    with pytest.raises(
        DataError, match="(?s)layer 'rows'.*cannot read the HDF5 file '.*Fix: copy or write it again"
    ):
        open_table(path, ["data"], LAYER)


def test_a_broken_chunk(write, take):
    (path,) = write(64, chunks=8, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["data"].id.get_chunk_info(5)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(bytes(chunk.size))
    rows = source(paths=[path], batch_size=8, memory=1)
    assert labels(rows, take, 5) == list(range(40))
    for _ in range(2):
        with pytest.raises(
            DataError, match="(?s)layer 'rows'.*cannot read the HDF5 file '.*': .*Fix: copy or"
        ):
            take(rows, 1)
    assert rows.state()["item"] == 40


def test_files_that_do_not_fit_each_other(write):
    paths = write(2) + write(2, row=(3, 2))
    with pytest.raises(
        DataError, match=r"layer 'rows'.*rows \{'data': \(2, 3\).*1.h5', as in .*\{'data': \(3, 2\)"
    ):
        source(paths)
    with pytest.raises(DataError, match="expected rows in '.*2.h5' and 1 more, got none"):
        source(write(0, 0))
