"""Databases of images in a list."""

from __future__ import annotations

import filecmp
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from caffelite.data import opencv
from caffelite.tools.convert_imageset import ImageForm, read_image_list, read_picture, shuffled

from .conftest import Run, records, write_images

SHAPES = [(6, 5, 3)] * 3


def make(*shapes: tuple[int, ...], kind: str = "png") -> list[np.ndarray]:
    """Images below ``images/`` and a list of them with labels 10, 11 and so on."""
    images = write_images("images", *(shapes or SHAPES), kind=kind)
    Path("list.txt").write_text("".join(f"{number}.{kind} {10 + number}\n" for number in range(len(images))))
    return images


def test_old_command_line(run: Run) -> None:
    images = make()
    result = run("convert_imageset --backend=lmdb images/ list.txt out_lmdb")
    assert (result.code, result.lines) == (0, ["A total of 3 images.", "Processed 3 files."])
    for number, ((key, datum), image) in enumerate(zip(records("out_lmdb"), images, strict=True)):
        assert key == f"{number:08d}_{number}.png"
        assert (datum.label, datum.encoded) == (10 + number, False)
        np.testing.assert_array_equal(datum.array(), image.transpose(2, 0, 1))


def test_leveldb(run: Run) -> None:
    pytest.importorskip("plyvel")
    make()
    assert run("convert_imageset -backend leveldb images/ list.txt out").code == 0
    assert (Path("out") / "CURRENT").exists()
    assert [key for key, _ in records("out")] == [f"{n:08d}_{n}.png" for n in range(3)]


def test_gray(run: Run) -> None:
    (image,) = make((6, 5))
    assert run("convert_imageset -gray images/ list.txt out").code == 0
    ((_, datum),) = records("out")
    np.testing.assert_array_equal(datum.array(), image[np.newaxis])


def test_gray_images_get_three_channels_otherwise(run: Run) -> None:
    (image,) = make((6, 5))
    assert run("convert_imageset images/ list.txt out").code == 0
    assert (records("out")[0][1].array() == image).all()


@pytest.mark.parametrize("gray", ["", "-gray"])
def test_resized(run: Run, gray: str) -> None:
    make((6, 5, 3), (9, 4, 3))
    assert run(f"convert_imageset -resize_height=4 --resize_width 7 {gray} images/ list.txt out").code == 0
    assert [datum.shape for _, datum in records("out")] == [(1 if gray else 3, 4, 7)] * 2


def test_encoded_files_that_fit_are_stored_as_they_are(run: Run) -> None:
    make(kind="jpg")
    assert run("convert_imageset -encoded images/ list.txt out").code == 0
    for number, (_, datum) in enumerate(records("out")):
        assert datum.data == Path(f"images/{number}.jpg").read_bytes()
        assert (datum.encoded, datum.label, datum.channels) == (True, 10 + number, None)


@pytest.mark.parametrize(
    ("shape", "flags", "decoded"),
    [
        ((6, 5), "-encoded", (3, 6, 5)),
        ((6, 5, 3), "-encoded -gray", (1, 6, 5)),
        ((6, 5, 4), "-encoded", (3, 6, 5)),
        ((6, 5, 3), "-encoded -resize_height 3 -resize_width 4", (3, 3, 4)),
        ((6, 5, 3), "-encode_type jpg", (3, 6, 5)),
    ],
)
def test_other_files_are_encoded_anew(
    run: Run, shape: tuple[int, ...], flags: str, decoded: tuple[int, ...]
) -> None:
    make(shape)
    result = run(f"convert_imageset {flags} images/ list.txt out")
    ((_, datum),) = records("out")
    assert opencv.decode(datum.data or b"").shape == decoded
    assert (bytes(datum.data or b"")[:2] == b"\xff\xd8") == ("encode_type" in flags)
    assert ("encode_type specified, assuming encoded=true." in result.lines) == ("encode_type" in flags)


def test_jpeg_and_jpg_are_one_format() -> None:
    write_images(".", (6, 5, 3), kind="jpeg")
    assert read_picture("0.jpeg", 0, ImageForm(encode_type="jpg")).datum.data == Path("0.jpeg").read_bytes()


def test_shuffled(run: Run) -> None:
    make(*[(2, 2, 3)] * 20)
    for name in ("one", "two"):
        result = run(f"convert_imageset -shuffle -seed 3 images/ list.txt {name}")
    assert result.lines[0] == "Shuffling data"
    labels = [datum.label for _, datum in records("one")]
    assert labels != sorted(labels) and sorted(labels) == list(range(10, 30))
    assert labels == [datum.label for _, datum in records("two")]
    assert records("one")[0][0] == f"00000000_{labels[0] - 10}.png"


def test_shuffling_takes_a_new_seed_each_time() -> None:
    Path("list.txt").write_text("".join(f"{n} {n}\n" for n in range(50)))
    entries = read_image_list("list.txt")
    assert shuffled(entries) != shuffled(entries)


def test_paths_with_spaces_and_a_root_without_a_slash(run: Run) -> None:
    write_images("my images/a b", (2, 2, 3))
    Path("list.txt").write_text("a b/0.png -1\n\n")
    assert run("convert_imageset", "my images", "list.txt", "out").code == 0
    ((key, datum),) = records("out")
    assert (key, datum.label) == ("00000000_a b/0.png", -1)


def test_unreadable_images_are_named_counted_and_left_out(run: Run) -> None:
    make()
    Path("images/1.png").write_bytes(b"no image")
    with open("list.txt", "a") as file:
        file.write("absent.png 4\n")
    result = run("convert_imageset images/ list.txt out")
    assert result.code == 0
    assert [key for key, _ in records("out")] == ["00000000_0.png", "00000002_2.png"]
    assert "Processed 2 files." in result.lines
    assert result.lines[-1] == "2 of 4 images could not be read and are not in 'out'"
    for name in ("images/1.png", "images/absent.png"):
        assert any(line.startswith(f"Could not open or find file {name}") for line in result.lines)


def test_nothing_is_written_if_no_image_can_be_read(run: Run) -> None:
    make()
    result = run("convert_imageset image/ list.txt out")
    assert (
        result.code == 3
        and "none of 3 images could be read: is 'image/' where the list's paths begin?" in result.err
    )
    assert {path.name for path in Path().iterdir()} == {"images", "list.txt"}


def test_check_size(run: Run) -> None:
    make((6, 5, 3), (6, 5, 3), (5, 6, 3))
    result = run("convert_imageset -check_size images/ list.txt out")
    assert result.code == 3
    assert "'images/2.png': expected an image of shape (3, 6, 5) as before, got (3, 5, 6)" in result.err
    assert "Fix: -resize_height and -resize_width" in result.err and not Path("out").exists()
    assert (
        run(
            "convert_imageset -check_size -encoded -resize_height 3 -resize_width 3 images/ list.txt out"
        ).code
        == 0
    )


@pytest.mark.skipif(sys.platform != "linux", reason="such names are possible on Linux alone")
def test_names_of_any_kind(run: Run) -> None:
    """Blanks, what Unicode counts as a line's end, bytes that are no UTF-8; a mark and ends as of Windows."""
    write_images("images", (4, 4, 3))
    names = ["two  words.png", "form\x0cfeed.png", "next\u2028line.png", "latin \udcfc.png", "ü.png"]
    for name in names:
        os.link("images/0.png", f"images/{name}")
    text = "".join(f"{name}\t {number}\r\n" for number, name in enumerate(names))
    Path("list.txt").write_bytes(b"\xef\xbb\xbf" + os.fsencode(text))
    assert read_image_list("list.txt") == [(name, number) for number, name in enumerate(names)]
    assert run("convert_imageset images/ list.txt out").code == 0
    assert [key for key, _ in records("out")] == [
        os.fsencode(f"{number:08d}_{name}").decode("utf-8", "backslashreplace")
        for number, name in enumerate(names)
    ]


def test_a_database_that_is_there_is_refused(run: Run) -> None:
    make()
    assert run("convert_imageset images/ list.txt out").code == 0
    result = run("convert_imageset images/ list.txt out")
    assert result.code == 3 and "'out' exists already\n  Fix: remove it" in result.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.png", "expected 'PATH LABEL' with a whole number as label (32 bits), got '0.png'"),
        ("0.png 1.5", "got '0.png 1.5'"),
        ("0.png cat", "got '0.png cat'"),
        ("0.png 99999999999", "got '0.png 99999999999'"),
        (" 7", "got '7'"),
        ("0.png,7", "got '0.png,7'\n  Fix: a blank stands between path and label, not a comma: sed"),
    ],
)
def test_a_line_of_another_form(run: Run, line: str, message: str) -> None:
    Path("list.txt").write_text(f"0.png 1\n{line}\n")
    result = run("convert_imageset images/ list.txt out")
    assert result.code == 3 and "list.txt:2: " in result.err and message in result.err


def test_paths_with_a_comma_behind_them(run: Run) -> None:
    make()
    Path("list.txt").write_text("0.png, 1\n1.png, 0\n")
    result = run("convert_imageset images/ list.txt out")
    assert result.code == 3 and "none of 2 images could be read\n  Fix: a blank stands between" in result.err


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("convert_imageset images/ list.txt", 2, "expected ROOT/ LIST DATABASE"),
        (
            "convert_imageset -resize_width 5 images/ list.txt out",
            2,
            "Fix: both, such as -resize_height=5 -resize_width=5",
        ),
        (
            "convert_imageset -resize 5 images/ list.txt out",
            2,
            "did you mean --resize_width and --resize_height?",
        ),
        ("convert_imageset -backend mdb images/ list.txt out", 2, "expected one of lmdb, leveldb, got 'mdb'"),
        ("convert_imageset -encode_type xyz images/ list.txt out", 2, "cannot be encoded as 'xyz'"),
        ("convert_imageset images/ absent.txt out", 3, "list 'absent.txt' does not exist"),
        ("convert_imageset images/ empty.txt out", 3, "list 'empty.txt' is empty"),
        ("convert_imageset images/ list.txt no/folder", 3, "mkdir -p 'no'"),
    ],
)
def test_wrong_usage(run: Run, line: str, code: int, message: str) -> None:
    make()
    Path("empty.txt").write_text("\n")
    result = run(line)
    assert result.code == code and message in result.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("", "raw"),
        ("-gray", "gray"),
        ("-resize_width=16 -resize_height=16", "resized"),
        ("-encoded", "encoded"),
    ],
)
def test_records_of_bvlc_caffe(run: Run, shared: Path, flags: str, name: str) -> None:
    data = shared / "golden/data"
    assert run(f"convert_imageset {flags} {data}/images/ {data}/list.txt out").code == 0
    ours, theirs = records("out"), records(data / f"{name}_lmdb")
    assert [key for key, _ in ours] == [key for key, _ in theirs]
    for (_, ours_), (_, theirs_) in zip(ours, theirs, strict=True):
        assert (ours_.shape, ours_.label, ours_.encoded) == (theirs_.shape, theirs_.label, theirs_.encoded)
        images = [opencv.decode(d.data or b"") if name == "encoded" else d.array() for d in (ours_, theirs_)]
        np.testing.assert_allclose(images[0], images[1], atol=0 if name in ("raw", "encoded") else 1)


def test_a_database_has_no_traces_of_its_making(run: Run) -> None:
    make()
    run("convert_imageset images/ list.txt out"), run("convert_imageset images/ list.txt again")
    assert [path.name for path in Path("out").iterdir()] == ["data.mdb"]
    assert filecmp.cmp("out/data.mdb", "again/data.mdb", shallow=False)
