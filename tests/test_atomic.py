"""Files are written whole or not at all, whatever goes wrong on the way."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from caffelite.atomic import atomic_path, atomic_write, check_target, check_writable, make_folder
from caffelite.data.digits import make_digits
from caffelite.errors import MissingFileError, SnapshotError


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"old")
    return path


def assert_untouched(target):
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == [target.name]


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new"
    with atomic_write(path) as file:
        file.write(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["new"]


def test_an_old_file_is_replaced(target):
    with atomic_write(str(target)) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"


def test_a_link_keeps_pointing_to_the_file_it_names(target):
    link = target.with_name("latest")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_relative_path_without_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_write("here") as file:
        file.write(b"x")
    check_writable("snap")
    assert os.listdir() == ["here"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MissingFileError])
def test_other_errors_pass_and_the_old_file_stays(target, error):
    with pytest.raises(error), atomic_write(target) as file:
        file.write(b"half")
        raise error("stop")
    assert_untouched(target)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_says_so(target, monkeypatch, function):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(SnapshotError) as caught, atomic_write(target) as file:
        file.write(b"half")
    assert str(caught.value) == (
        f"cannot write '{target}': No space left on device\n"
        f"  Fix: free some space on the disk of '{target.parent}', or write to another disk"
    )
    assert_untouched(target)


def test_a_file_that_outgrows_its_limit(target):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SnapshotError, match="File too large"), atomic_write(target) as file:
            file.write(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_untouched(target)


def test_a_missing_directory_is_named_with_the_cure(tmp_path):
    path = tmp_path / "nowhere" / "net.caffemodel"
    with pytest.raises(SnapshotError) as caught, atomic_write(path) as file:
        file.write(b"x")
    assert f"Fix: create the directory '{path.parent}'" in str(caught.value)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_directory_that_refuses_writing(target, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("builtins.open", refuse)
    with (
        pytest.raises(SnapshotError, match=f"make the directory '{target.parent}' writable"),
        atomic_write(target),
    ):
        pytest.fail("the block must not run")
    with pytest.raises(SnapshotError, match=f"make the directory '{target.parent}' writable"):
        check_writable(target.parent / "snap")


def test_standard_output_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in (atomic_path, atomic_write):
        with pytest.raises(SnapshotError, match="cannot write '-': .*\n  Fix: name a file"), write("-"):
            pass
    with pytest.raises(SnapshotError, match="cannot write '-'"):
        check_target("-")
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SnapshotError, match="cannot make the folder '.*/file/under'"):
        make_folder(tmp_path / "file/under")
    with pytest.raises(SnapshotError, match="cannot make the folder"):
        make_digits(tmp_path / "file/under")


def test_a_directory_at_the_target_is_left_alone(tmp_path):
    with pytest.raises(SnapshotError, match="Is a directory"), atomic_write(tmp_path):
        pytest.fail("the block must not run")
    assert tmp_path.is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_device_or_pipe_at_the_target_is_left_alone(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SnapshotError, match="a device or a pipe"), atomic_write(pipe):
        pytest.fail("the block must not run")
    assert pipe.is_fifo()


def test_a_file_system_that_cannot_sync_directories(target, monkeypatch):
    fsync = os.fsync

    def files_only(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    with atomic_write(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"


def test_atomic_path_serves_libraries_that_write_by_name(target):
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert target.read_bytes() == b"old"
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == [target.name]


def test_a_killed_process_leaves_the_old_file(target):
    code = (
        "import os, signal, sys; from caffelite.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode != 0
    assert target.read_bytes() == b"old"


def test_check_writable_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "snap")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("parent", ["nowhere", "net.caffemodel"])
def test_check_writable_names_the_directory(target, parent):
    prefix = target.parent / parent / "snap"
    with pytest.raises(SnapshotError) as caught:
        check_writable(prefix)
    assert str(caught.value).startswith(f"cannot write to snapshot prefix '{prefix}': ")
    assert f"Fix: create the directory '{prefix.parent}'" in str(caught.value)
