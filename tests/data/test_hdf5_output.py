"""HDF5 files that grow: rows in order, the file whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from caffelite.data.hdf5_output import Hdf5Output
from caffelite.data.owner import Owner
from caffelite.errors import DataError


def rows(first, count):
    values = np.arange(first, first + count, dtype=np.float32)
    return {"data": np.tile(values[:, None], 3), "label": values}


def read(path):
    with h5py.File(path) as file:
        return {name: dataset[()] for name, dataset in file.items()}


def test_rows_of_all_passes_follow_each_other(tmp_path):
    output = Hdf5Output(tmp_path / "a.h5")
    for first, count in ((0, 4), (4, 0), (4, 3)):
        output.append(**rows(first, count))
        assert not (tmp_path / "a.h5").exists()
    output.close()
    output.close()
    found = read(tmp_path / "a.h5")
    assert found.keys() == {"data", "label"} and all(array.dtype == np.float32 for array in found.values())
    assert all(np.array_equal(found[name], rows(0, 7)[name]) for name in found)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_it_is_finished_when_nobody_holds_it(tmp_path):
    output = Hdf5Output(tmp_path / "a.h5")
    output.append(**rows(0, 2))
    del output
    assert len(read(tmp_path / "a.h5")["label"]) == 2


SCRIPT = """
import os, sys
import numpy as np
from caffelite.data.hdf5_output import Hdf5Output
output = Hdf5Output(sys.argv[1])
output.append(data=np.ones((3, 2), np.float32))
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
if sys.argv[2] == "forked" and not os.fork():
    sys.exit(0)
if sys.argv[2] == "forked":
    os.wait()
    output.append(data=np.ones((1, 2), np.float32))
"""


@pytest.mark.parametrize(("how", "count"), [("ended", 3), ("killed", 0), ("forked", 4)])
def test_what_an_ending_process_leaves(tmp_path, how, count):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((0, 2))
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, os.fspath(path), how])
    assert len(read(path)["data"]) == count


def test_rows_of_another_shape(tmp_path):
    output = Hdf5Output(tmp_path / "a.h5", Owner("out", "HDF5Output"))
    output.append(data=np.ones((2, 3)))
    with pytest.raises(
        DataError, match=r"layer 'out'.*rows of data of shape \(3,\) as in earlier passes, got \(4,\)"
    ):
        output.append(data=np.ones((2, 4)))


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match="mkdir -p"):
        Hdf5Output(tmp_path / "no" / "a.h5")


FULL = """
import resource, sys
import numpy as np
from caffelite.data.hdf5_output import Hdf5Output
from caffelite.data.owner import Owner
from caffelite.errors import DataError, SnapshotError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20,) * 2)
output = Hdf5Output(sys.argv[1], Owner("out", "HDF5Output"))
for _ in range(2):
    try:
        for _ in range(20):
            output.append(data=np.ones((64, 1000), np.float32), label=np.ones(64, np.float32))
    except DataError as error:
        print(error)
try:
    output.close()
except SnapshotError as error:
    print(error)
"""


def test_a_full_disk(tmp_path):
    pytest.importorskip("resource")
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL, os.fspath(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("layer 'out' (HDF5Output): cannot write '") == 2
    assert done.stdout.count("File too large") == 3 and "Fix: free some space" in done.stdout
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.h5"]


def test_rows_are_checked_before_any_is_written(tmp_path):
    output = Hdf5Output(tmp_path / "a.h5")
    output.append(**rows(0, 2))
    with pytest.raises(DataError, match="rows of label"):
        output.append(data=np.ones((2, 3)), label=np.ones((2, 1)))
    output.close()
    assert {len(array) for array in read(tmp_path / "a.h5").values()} == {2}
