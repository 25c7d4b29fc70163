"""HDF5 files on disks that are full: an error, never the end of the process, whatever could not be written."""

from __future__ import annotations

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from caffelite.errors import SnapshotError
from caffelite.hdf5_disk import Disk, write_hdf5

# What the library would do to the process must not happen to the one that tests.
FULL = """
import resource, sys
import numpy as np
from caffelite.errors import SnapshotError
from caffelite.hdf5_disk import write_hdf5
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    with write_hdf5(sys.argv[1]) as file:
        for i in range(300):
            file[f"group/{i}/0"] = np.ones(300, np.float32)
        file["large"] = np.ones(300000, np.float32)
except SnapshotError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [1, 1000, 100_000, 400_000, 1_000_000])
def test_a_full_disk(tmp_path, limit):
    pytest.importorskip("resource")
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL, os.fspath(path), str(limit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot write" in done.stdout and "File too large\n  Fix: free some space" in done.stdout
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.h5"]


def test_what_was_written_is_there(tmp_path):
    rng = np.random.default_rng(0)
    values = {f"a/{i}": rng.normal(size=i * 50) for i in range(40)}
    with write_hdf5(tmp_path / "a.h5") as file:
        for name, array in values.items():
            file.create_dataset(name, data=array, chunks=(7,) if array.size else None, maxshape=(None,))
        for name in values:
            file[name].resize(len(file[name]) + 3, axis=0)
    with h5py.File(tmp_path / "a.h5") as file:
        assert all(np.array_equal(file[name][()], [*array, 0, 0, 0]) for name, array in values.items())


def test_an_error_of_the_block_leaves_what_was_there(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"old")
    with pytest.raises(KeyError, match="mine"), write_hdf5(tmp_path / "a.h5") as file:
        file["x"] = np.ones(3)
        raise KeyError("mine")
    assert (tmp_path / "a.h5").read_bytes() == b"old" and os.listdir(tmp_path) == ["a.h5"]


def test_no_such_folder(tmp_path):
    with (
        pytest.raises(SnapshotError, match="Fix: create the directory"),
        write_hdf5(tmp_path / "no" / "a.h5"),
    ):
        pass


def test_a_disk_is_a_file(tmp_path):
    disk = Disk(tmp_path / "a")
    assert disk.write(b"abcdef") == 6 and disk.tell() == 6
    assert disk.seek(-4, os.SEEK_CUR) == 2 and disk.read(2) == b"cd"
    assert disk.read(4) == b"ef\0\0"  # beyond the end there are zeros
    assert disk.seek(0, os.SEEK_END) == 6
    assert disk.truncate(3) == 3 and disk.seek(0, os.SEEK_END) == 3
    disk.flush()
    disk.close()
    disk.close()
    disk.check()
    assert (tmp_path / "a").read_bytes() == b"abc"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_write(tmp_path):
    disk = Disk(tmp_path / "a")
    disk.write(b"ab")
    child = os.fork()
    if not child:
        disk.write(b"XX")
        os._exit(0)
    os.waitpid(child, 0)
    disk.write(b"cd")
    disk.close()
    assert (tmp_path / "a").read_bytes() == b"abcd"
