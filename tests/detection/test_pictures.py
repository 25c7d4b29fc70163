from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest

from caffelite.detection import draw_boxes, load_picture
from caffelite.detection.headers import is_cut_short, read_header, turn, turn_box
from caffelite.detection.pictures import picture_header, write_picture
from caffelite.errors import DataError, MissingFileError, UsageError

from .files import image, turned

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GREY = PIXELS[:, :, 0].copy()


def encoded(path, pixels):
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


# -- what images may be --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_a_colour_image(tmp_path, suffix):
    path = encoded(tmp_path / f"a{suffix}", PIXELS)
    found = load_picture(path)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    if suffix != ".webp":
        np.testing.assert_array_equal(found, PIXELS)
    assert picture_header(path).shown == (30, 20)


def test_grey_16_bits_and_alpha(tmp_path):
    grey = np.repeat(GREY[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(load_picture(encoded(tmp_path / "grey.png", GREY)), grey)
    deep = encoded(tmp_path / "deep.png", PIXELS.astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_picture(deep), PIXELS)
    alpha = np.dstack([PIXELS, RNG.integers(0, 256, PIXELS.shape[:2], np.uint8)])
    np.testing.assert_array_equal(load_picture(encoded(tmp_path / "alpha.png", alpha)), PIXELS)


def test_cmyk(tmp_path):
    pil = pytest.importorskip("PIL.Image")
    pil.new("CMYK", (30, 20), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    found = load_picture(tmp_path / "a.jpg")
    assert found.shape == (20, 30, 3)
    np.testing.assert_allclose(found[10, 10], (0, 0, 255), atol=25)  # red


def test_a_path_that_is_not_ascii(tmp_path):
    path = image(tmp_path / "Bilder äöü", "猫 1.png")
    assert load_picture(path).shape == (40, 60, 3)
    assert picture_header(path).shown == (60, 40)


# -- orientation ---------------------------------------------------------------------------------------------

CORNER = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_the_camera_noted(tmp_path, orientation):
    path = turned(image(tmp_path, "a.jpg"), orientation)
    found = load_picture(path)
    assert found.shape[:2] == ((40, 60) if orientation < 5 else (60, 40))
    assert picture_header(path).shown == found.shape[1::-1]
    y, x = CORNER[orientation]
    assert found[y, x].min() > 200 and found[-1 - y, -1 - x].max() < 60  # the bright corner


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_their_image(orientation):
    stored = np.zeros((40, 60), np.uint8)
    stored[5:9, 10:31] = 1
    y, x = np.nonzero(turn(stored, orientation))
    assert turn_box((10, 5, 30, 8), orientation, 60, 40) == (x.min(), y.min(), x.max(), y.max())


def test_opencv_turns_the_same_way(tmp_path):
    for orientation in range(1, 9):
        path = turned(image(tmp_path, f"{orientation}.jpg"), orientation)
        np.testing.assert_array_equal(load_picture(path), cv2.imread(str(path)))


def test_a_broken_note_of_the_camera_is_none(tmp_path):
    path = turned(image(tmp_path, "a.jpg"), 6)
    data = bytearray(path.read_bytes())
    data[16:20] = b"\xff\xff\xff\x7f"  # where the directory is
    path.write_bytes(data)
    assert load_picture(path).shape == (40, 60, 3)


# -- broken files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_file_that_is_cut_short(tmp_path, suffix):
    path = encoded(tmp_path / f"a{suffix}", PIXELS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=rf"picture '.*a\{suffix}' (is cut short|cannot be decoded)\n  Fix: "):
        load_picture(path)


def test_a_small_image_inside_does_not_hide_a_cut():
    small, large = (cv2.imencode(".jpg", pixels)[1].tobytes() for pixels in (PIXELS[:8, :8], PIXELS))
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    whole = large[:2] + segment + large[2:]
    assert not is_cut_short(whole)
    assert is_cut_short(whole[:-2])


@pytest.mark.parametrize("length", range(2, 40))
def test_the_first_bytes_of_a_jpeg_alone(length):
    data = cv2.imencode(".jpg", PIXELS)[1].tobytes()[:length]
    assert is_cut_short(data)
    assert read_header(io.BytesIO(data)) is None


@pytest.mark.parametrize(
    ("data", "cure"), [(b"", "the file is empty"), (b"<html>", "web page"), (b"GIF87", "convert it")]
)
def test_what_is_no_image(tmp_path, data, cure):
    (tmp_path / "a.jpg").write_bytes(data)
    for read in (load_picture, picture_header):
        with pytest.raises(DataError, match=cure):
            read(tmp_path / "a.jpg")


def test_files_that_are_not_there(tmp_path):
    for read in (load_picture, picture_header):
        with pytest.raises(MissingFileError, match="picture '.*none.jpg' does not exist"):
            read(tmp_path / "none.jpg")
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path)


def test_more_pixels_than_there_can_be(tmp_path):
    path = encoded(tmp_path / "a.png", PIXELS)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 200000, 200000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be decoded"):
        load_picture(path)


def test_an_image_of_floats_is_refused(tmp_path):
    path = encoded(tmp_path / "a.tif", RNG.random((8, 8, 3)).astype(np.float32))
    with pytest.raises(DataError, match="cannot be decoded"):
        load_picture(path)


# -- drawing -------------------------------------------------------------------------------------------------


def test_boxes_are_drawn_on_a_copy():
    blank = np.zeros((100, 100, 3), np.uint8)
    drawn = draw_boxes(blank, np.array([[20, 30, 60, 80]], np.float32), [2], ["cat", "dog"], [0.5])
    assert not blank.any()
    color = drawn[50, 20]
    assert color.any() and (drawn[50, 60] == color).all() and (drawn[80, 40] == color).all()
    assert not drawn[50, 40].any()


def test_names_that_opencv_cannot_write_and_labels_without_a_name():
    blank = np.zeros((100, 100, 3), np.uint8)
    box = np.array([[20, 30, 60, 80]], np.float32)
    np.testing.assert_array_equal(
        draw_boxes(blank, box, [1], ["猫"]), draw_boxes(blank, box, [1], ["class 1"])
    )
    np.testing.assert_array_equal(
        draw_boxes(blank, box, [3], ["猫"]), draw_boxes(blank, box, [3], ["", "", "3"])
    )


def test_write_picture(tmp_path):
    write_picture(tmp_path / "a.png", PIXELS)
    np.testing.assert_array_equal(load_picture(tmp_path / "a.png"), PIXELS)
    with pytest.raises(UsageError, match=r"ends with .png or .jpg"):
        write_picture(tmp_path / "a.xyz", PIXELS)
