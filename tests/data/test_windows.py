"""Windows: BVLC Caffe's batches, the geometry at borders, what is drawn, and window files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffelite.data.owner import Owner
from caffelite.data.source import Source
from caffelite.data.transform import TransformParams
from caffelite.data.window_file import BOX, read_window_file
from caffelite.data.windows import Cropping, Mean, Side, WindowBatches, check_windows
from caffelite.errors import DataError, MissingFileError
from caffelite.random import RandomSource
from caffelite.types import Location

LAYER = Owner("windows", "WindowData", Location("net.prototxt", 3, 1))
SIZE = 12
MEANS = TransformParams(crop_size=SIZE, mean_value=(100, 110, 120))
CASES = {
    "warp": Cropping(SIZE),
    "context": Cropping(SIZE, 3),
    "edge": Cropping(SIZE, 5),
    "square": Cropping(SIZE, 2, square=True),
}


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parent / "golden_windows.npz")


@pytest.fixture
def write(tmp_path):
    """A window file of images and the windows in them; the golden case's if nothing is given."""

    def write(images=(("0.png", 20, 24, ["2 0.9 3 4 15 16"]), ("1.png", 20, 24, ["1 0.1 6 2 20 12"]))):
        lines = []
        for number, (path, height, width, windows) in enumerate(images):
            lines += [f"# {number}", path, "3", str(height), str(width), str(len(windows)), *windows]
        (tmp_path / "windows.txt").write_text("\n".join(lines) + "\n")
        return str(tmp_path / "windows.txt")

    return write


@pytest.fixture
def pictures(tmp_path, golden):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), golden[f"image_{i}"])
    return f"{tmp_path}/"


def batches(path, root, cropping, batch_size=4, foreground=1, params=MEANS, seed=1, **options):
    windows = read_window_file(path, 0.5, 0.5, LAYER)
    mean = Mean(params, options.pop("scale", 1), LAYER)
    return WindowBatches(
        windows, batch_size, foreground, cropping, mean, RandomSource(seed), LAYER, root=root, **options
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("workers", "cache"), [(0, True), (1, False)])
def test_caffes_batches(write, pictures, golden, take, case, workers, cache):
    source = Source(batches(write(), pictures, CASES[case], cache=cache), workers=workers)
    for batch in take(source, 2):
        assert np.array_equal(batch["data"], golden[f"{case}_data"])
        assert np.array_equal(batch["label"], golden[f"{case}_label"])
    source.close()


# -- geometry -------------------------------------------------------------------------------------------


def test_without_context_a_window_is_cut_as_it_is():
    assert Cropping(10).sides(np.array([3, 4, 15, 16]), 20, 24) == (Side(4, 16, 10), Side(3, 15, 10))


def test_context_fills_what_the_image_does_not():
    y, x = Cropping(10, 2).sides(np.array([0, 0, 11, 11]), 12, 12)
    # 12 pixels become 6, so 10 are 20: 4 each side. C's x2 is the first pixel past the window, hence 21 in all.
    assert x == y == Side(0, 11, 6, 2, 2)
    pixels, top, left = Cropping(10, 2).paste(
        np.full((3, 12, 12), 7, np.uint8), np.array([0, 0, 11, 11]), False
    )
    assert pixels.shape == (3, 6, 6) and (top, left) == (2, 2) and (pixels == 7).all()


def test_the_tightest_square_keeps_the_aspect():
    y, x = Cropping(10, square=True).sides(np.array([5, 10, 44, 19]), 100, 100)
    assert x == Side(5, 45, 10) and y == Side(
        0, 35, 9, before=1
    )  # 41 pixels each way, five of them above the image


def test_mirroring_mirrors_the_free_columns_too():
    image = np.random.default_rng(0).integers(0, 256, (3, 30, 30), np.uint8)
    cropping, box = Cropping(16, 4), np.array([0, 8, 11, 20])
    y, x = cropping.sides(box, 30, 30)
    assert x.before > 0 and x.after == 0
    plain, top, left = cropping.paste(image, box, False)
    mirrored, top_too, right = cropping.paste(image, box, True)
    assert (top, left) == (top_too, x.before) and right == x.after
    assert np.array_equal(mirrored, plain[..., ::-1])


def test_a_sliver_that_vanishes():
    pixels, top, left = Cropping(8, 3).paste(np.zeros((3, 1, 60), np.uint8), np.array([0, 0, 59, 0]), False)
    assert pixels.shape[0] == 3 and top + pixels.shape[1] <= 8 and left + pixels.shape[2] <= 8


@pytest.mark.parametrize("seed", range(20))
def test_any_window_fits_into_its_square(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 80, 2)
    x1, x2 = np.sort(rng.integers(0, width, 2))
    y1, y2 = np.sort(rng.integers(0, height, 2))
    size = int(rng.integers(3, 40))
    cropping = Cropping(size, int(rng.integers(0, (size + 1) // 2)), bool(rng.integers(2)))
    image = rng.integers(0, 256, (3, height, width), np.uint8)
    for mirror in (False, True):
        pixels, top, left = cropping.paste(image, np.array([x1, y1, x2, y2]), mirror)
        assert min(top, left) >= 0 and top + pixels.shape[1] <= size and left + pixels.shape[2] <= size


# -- what is drawn --------------------------------------------------------------------------------------


def drawn(write, pictures, take, count=40, **options):
    grid = [f"{label} {overlap} {x} {x} {x + 3} {x + 3}" for x, (label, overlap) in enumerate(
        [(1, 0.6), (2, 1), (3, 0.5), (5, 0.49), (4, 0), (0, 0.2)])]  # fmt: skip
    made = batches(write([("0.png", 20, 24, grid)]), pictures, Cropping(SIZE), 5, 2, **options)
    return [batch["label"].astype(int).tolist() for batch in take(Source(made, workers=0), count)]


def test_background_first_then_foreground(write, pictures, take):
    labels = drawn(write, pictures, take)
    assert all(batch[:3] == [0, 0, 0] for batch in labels)
    assert {label for batch in labels for label in batch[3:]} == {1, 2, 3}


def test_the_seed_decides_and_resuming_goes_on(write, pictures, take):
    assert drawn(write, pictures, take, seed=3) == drawn(write, pictures, take, seed=3)
    assert drawn(write, pictures, take, seed=3) != drawn(write, pictures, take, seed=4)
    whole = take(Source(batches(write(), pictures, CASES["edge"], mirror=True), workers=0), 8)
    first = Source(batches(write(), pictures, CASES["edge"], mirror=True), workers=0)
    take(first, 3)
    second = Source(batches(write(), pictures, CASES["edge"], mirror=True, seed=9), workers=1)
    second.restore(json.loads(json.dumps(first.state())))
    assert all(np.array_equal(a["data"], b["data"]) for a, b in zip(take(second, 5), whole[3:], strict=True))
    second.close()
    assert len({batch["data"].tobytes() for batch in whole}) > 1  # some are mirrored, some not


def test_resuming_with_other_windows_is_refused(write, pictures):
    state = Source(batches(write(), pictures, Cropping(SIZE)), workers=0).state()
    path = write([("0.png", 20, 24, ["2 0.9 3 4 15 16", "1 0.1 6 2 20 12", "1 0.1 6 2 20 12"])])
    with pytest.raises(DataError, match=r"with windows = \[1, 1\] as in the snapshot, got \[1, 2\]"):
        Source(batches(path, pictures, Cropping(SIZE)), workers=0).restore(state)


def test_scale_and_a_mean_image(write, pictures, take, tmp_path):
    from caffelite.data.mean import write_mean

    mean = np.random.default_rng(0).uniform(0, 255, (3, 21, 17)).astype(np.float32)
    write_mean(tmp_path / "mean.binaryproto", mean)
    params = TransformParams(crop_size=SIZE, mean_file=str(tmp_path / "mean.binaryproto"))
    (raw,) = take(
        Source(batches(write(), pictures, CASES["edge"], params=TransformParams(crop_size=SIZE)), workers=0),
        1,
    )
    (got,) = take(Source(batches(write(), pictures, CASES["edge"], params=params, scale=0.5), workers=0), 1)
    window = mean[:, 2 : 2 + SIZE, 2 : 2 + SIZE]  # (17 - 12) / 2, for rows as well
    y, x = CASES["edge"].sides(np.array([3, 4, 15, 16]), 20, 24)
    inside = np.s_[3, :, y.before : y.before + y.length, x.before : x.before + x.length]
    assert np.array_equal(got["data"][inside], (raw["data"][inside] - window[inside[1:]]) * np.float32(0.5))
    outside = np.ones(raw["data"].shape[1:], bool)
    outside[inside[1:]] = False
    assert outside.any() and not got["data"][3][outside].any()


@pytest.mark.parametrize(
    ("shape", "text"),
    [((1, 20, 20), "got 1 x 20 x 20"), ((3, 11, 20), "got 3 x 11 x 20"), ((3, 20, 11), "got 3 x 20 x 11")],
)
def test_a_mean_image_that_does_not_fit(tmp_path, shape, text):
    from caffelite.data.mean import write_mean

    write_mean(tmp_path / "mean.binaryproto", np.zeros(shape, np.float32))
    params = TransformParams(crop_size=SIZE, mean_file=str(tmp_path / "mean.binaryproto"))
    with pytest.raises(DataError, match=f"layer 'windows'.*a mean of 3 channels, and of 12 x 12 .*{text}"):
        Mean(params, 1, LAYER)


def test_contradicting_means():
    with pytest.raises(DataError, match="mean_file or mean_value, got both"):
        Mean(TransformParams(crop_size=2, mean_file="a", mean_value=(1,)), 1, LAYER)
    with pytest.raises(DataError, match="1 or 3 mean_value, got 2"):
        Mean(TransformParams(crop_size=2, mean_value=(1, 2)), 1, LAYER)


def test_windows_of_a_bad_image_are_replaced(write, pictures, take, tmp_path, caplog):
    windows = ["1 0.9 0 0 5 5"] * 30
    path = write([("0.png", 20, 24, windows), ("bad.png", 20, 24, windows), ("1.png", 20, 24, windows)])
    made = batches(path, pictures, Cropping(SIZE), 4, 4)
    skipped = [
        bad
        for item in range(0, 80, 4)
        for bad in made.make(item, {k: np.empty(s) for k, s in made.shapes(0).items()})
    ]
    assert {bad.number for bad in skipped} == {1}
    assert f"image '{tmp_path}/bad.png' (number 1 of '{path}'): No such file" in skipped[0].text


# -- window files ---------------------------------------------------------------------------------------


def test_a_window_belongs_to_the_image_that_it_stands_under(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text(
        "# 7\nmy image.png\n1\n5\n6\n2\n1 0.5 0 1 2 3\n2 0.499 1 1 2 2\n# 3\nb.png\n3\n8\n9\n0\n\n"
    )
    windows = read_window_file(str(path), 0.5, 0.4)
    assert [windows.path(i) for i in range(2)] == ["my image.png", "b.png"]
    assert windows.sizes.tolist() == [[5, 6], [8, 9]]
    assert windows.foreground.tolist() == [[0, 1, 0, 1, 2, 3]]
    assert not len(windows.background)  # 0.499 is neither
    assert read_window_file(str(path), 0.6, 0.5).background[:, BOX].tolist() == [[1, 1, 2, 2]]


def test_words_count_and_not_lines(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("\n# 0\n\na.png\n3 5\n6\n1\n1 0.5 0 1 2 3\n\n \n# 1\nb.png\n3 8 9 0\n")
    windows = read_window_file(str(path), 0.5, 0.4)
    assert [windows.path(i) for i in range(2)] == ["a.png", "b.png"]
    assert windows.sizes.tolist() == [[5, 6], [8, 9]]
    assert windows.foreground.tolist() == [[0, 1, 0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.png\n3\n", "expected '# index' before each image in line 1 of '.*', got '0.png'"),
        (
            "# 0\na.png\n3\n4\n",
            "expected the rest of an image's windows in line 4 of '.*', got 'the end of the file'",
        ),
        (
            "# 0\na.png\n3\nfour\n4\n1\n",
            "expected channels, height, width and number of windows in line 6 .*, got '3 four 4 1'",
        ),
        (
            "# 0\na.png\n3\n4\n4\n1\n1 0.5 0 0 1\n",
            "expected 1 lines 'class overlap x1 y1 x2 y2' .* line 7 .*, got '1 0.5 0 0 1'",
        ),
        ("# 0\na.png\n3\n4\n4\n1\n1 x 0 0 1 1\n", "got '1 x 0 0 1 1'"),
        ("# 0\na.png\n3\n4\n4\n-1\n", "number of windows in line 6 of '.*', got '3 4 4 -1'"),
        *(
            (f"# 0\na.png\n3\n4\n4\n2\n1 .5 0 0 1 1\n{line}\n", f"finite overlap, in line 8 .*, got '{line}'")
            for line in (
                "1 nan 0 0 1 1",
                "1 0.5 0 0 inf 1",
                "1 0.5 0 nan 1 1",
                "1 0.5 0.5 0 1 1",
                "1 0.5 0 0 4294967297 1",
            )
        ),
        (
            "# 0\na.png\n3\n4\n4\n1\n0 0.5 0 0 1 1\n",
            "classes above 0 for foreground .* got class 0 in image 'a.png'",
        ),
        ("", "expected images and windows in .*, got none"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "w.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=f"(?s)layer 'windows' .*{message}"):
        read_window_file(str(path), 0.5, 0.5, LAYER)


def test_no_file(tmp_path):
    with pytest.raises(MissingFileError, match="layer 'windows'.*window file"):
        read_window_file(str(tmp_path / "no.txt"), 0.5, 0.5, LAYER)


def test_what_a_batch_needs_must_be_there(write):
    windows = read_window_file(write([("0.png", 20, 24, ["1 0.9 0 0 5 5"])]), 0.5, 0.5)
    check_windows(windows, 4, 0, False, LAYER)
    with pytest.raises(DataError, match="at least one background window .* got none"):
        check_windows(windows, 3, 1, False, LAYER)


@pytest.mark.parametrize(
    ("window", "padded"),
    [("0 0 24 5", False), ("-1 0 5 5", False), ("5 5 4 9", True), ("24 0 30 5", True), ("0 -5 5 -1", True)],
)
def test_windows_outside_of_their_images(write, window, padded):
    windows = read_window_file(write([("0.png", 20, 24, ["1 0.9 0 0 5 5", f"1 0.9 {window}"])]), 0.5, 0.5)
    with pytest.raises(DataError, match=f"inside of image '0.png', 24 x 20 pixels, got {window} and 0 more"):
        check_windows(windows, 1, 0, padded, LAYER)


def test_context_may_take_a_window_that_goes_beyond_the_image(write):
    windows = read_window_file(write([("0.png", 20, 24, ["1 0.9 -3 0 30 19"])]), 0.5, 0.5)
    check_windows(windows, 1, 0, True, LAYER)


def test_an_image_smaller_than_its_file_says(write, pictures, take):
    made = batches(write([("0.png", 200, 240, ["1 0.9 0 0 100 50"])]), pictures, Cropping(SIZE), 1, 1)
    with pytest.raises(
        DataError, match=r"layer 'windows'.*0.png' \(number 0 of .*, 24 x 20 pixels, got 0 0 100 50"
    ):
        take(Source(made, workers=0), 1)
