"""Lists of data as text editors and shells of all systems write them."""

from __future__ import annotations

import codecs

import pytest

from caffelite.data.hdf5_file import read_hdf5_list
from caffelite.data.image_list import read_image_list
from caffelite.data.owner import Owner
from caffelite.data.window_file import read_window_file
from caffelite.errors import DataError, MissingFileError

LAYER = Owner("lists")
READERS = {
    "list": lambda path: read_image_list(path, owner=LAYER),
    "list of HDF5 files": lambda path: read_hdf5_list(path, LAYER),
    "window file": lambda path: read_window_file(path, 0.5, 0.5, LAYER),
}


def test_a_mark_at_the_start_is_no_part_of_a_path(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(codecs.BOM_UTF8 + b"a.png 3\r\n")
    assert read_image_list(str(path)).path(0) == "a.png"
    assert read_hdf5_list(str(path)) == ["a.png", "3"]
    path.write_bytes(codecs.BOM_UTF8 + b"# 0\r\na.png\r\n3\r\n4\r\n5\r\n1\r\n1 0.5 0 0 1 1\r\n")
    assert read_window_file(str(path), 0.5, 0.5).path(0) == "a.png"


@pytest.mark.parametrize("what", READERS)
def test_what_is_no_list(tmp_path, what):
    path = tmp_path / "list.txt"
    path.write_text("a.png 3\n", "utf-16")
    with pytest.raises(DataError, match=f"(?s)layer 'lists'.*plain text in the {what} '.*', got UTF-16.*Fix"):
        READERS[what](str(path))
    with pytest.raises(DataError, match=f"layer 'lists'.*cannot read the {what} '.*': "):
        READERS[what](str(tmp_path))
    with pytest.raises(MissingFileError, match=f"layer 'lists'.*{what}"):
        READERS[what](str(tmp_path / "no.txt"))
