"""Lists of images: Caffe's reading of lines, pictures as OpenCV reads and resizes them, order and randomness."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffelite.data.image_list import ListBatches, Reading, read_image_list
from caffelite.data.owner import Owner
from caffelite.data.source import Source
from caffelite.data.transform import Transformer, TransformParams
from caffelite.errors import DataError, MissingFileError
from caffelite.random import RandomSource
from caffelite.types import Location, Phase

LAYER = Owner("faces", "ImageData", Location("net.prototxt", 3, 1))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "list.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture
def pictures(tmp_path, write):
    """Image i is 6 x 8 and all of grey i, in a folder with a blank in its name; ``broken`` ones hold nonsense."""

    def make(count=5, broken=()):
        folder = tmp_path / "my images"
        folder.mkdir()
        for i in range(count):
            cv2.imwrite(str(folder / f"{i}.png"), np.full((6, 8, 3), i, np.uint8))
            if i in broken:
                (folder / f"{i}.png").write_bytes(b"nonsense")
        return write("".join(f"my images/{i}.png {i}\n" for i in range(count))), f"{tmp_path}/"

    return make


def source(made, batch_size=2, params=None, seed=1, workers=0, reading=None, prefetch=4, **options):
    path, root = made
    transformer = Transformer(params or TransformParams(), Phase.TRAIN, LAYER)
    reading = reading or Reading(root=root)
    batches = ListBatches(
        read_image_list(path, owner=LAYER),
        reading,
        batch_size,
        transformer,
        RandomSource(seed),
        LAYER,
        **options,
    )
    return Source(batches, prefetch, workers)


def numbers(source, take, count):
    return np.concatenate([batch["label"] for batch in take(source, count)]).astype(int).tolist()


# -- the list -------------------------------------------------------------------------------------------


def test_lines(write, caplog):
    images = read_image_list(write("a.png 3\nmy cat.png 12\r\n\n  b.png\t-4  \nc  d.png   +5"))
    assert [images.path(i) for i in range(4)] == ["a.png", "my cat.png", "b.png", "c  d.png"]
    assert images.labels.tolist() == [3, 12, -4, 5]
    assert images.lines.tolist() == [1, 2, 4, 5]
    assert not caplog.records


def test_labels_as_atoi_reads_them(write, caplog):
    images = read_image_list(write("a.png 3.7\nb.png dog\nc.png\nd.png 4x\ne.png 2\n"), owner=LAYER)
    assert images.labels.tolist() == [3, 0, 0, 4, 2]
    assert images.path(2) == "c.png"
    (record,) = caplog.records
    assert "4 of 5 lines" in record.getMessage() and "line 1, 'a.png 3.7'" in record.getMessage()


@pytest.mark.parametrize("text", ["a.png,1\nb.png,2\n", "a.png, 1\nb.png, 2\n"])
def test_commas_are_told(write, caplog, text):
    read_image_list(write(text), owner=LAYER)
    (record,) = caplog.records
    assert (
        "\n  Fix: a blank stands between path and label, not a comma: sed -E -i 's/," in record.getMessage()
    )


@pytest.mark.parametrize("label", ["2147483648", "-2147483649", "9" * 30])
def test_labels_of_more_than_32_bits(write, label):
    with pytest.raises(DataError, match=f"layer 'faces'.*32 bits in line 2 of '.*', got {label}"):
        read_image_list(write(f"a.png 2147483647\nb.png {label}\n"), owner=LAYER)


def test_paths_of_any_bytes(write):
    images = read_image_list(write(b"caf\xe9.png 1\n"))
    assert images.path(0).encode("utf-8", "surrogateescape") == b"caf\xe9.png"


def test_vectors_of_labels(write):
    images = read_image_list(write("my cat.png 3 0.5 -1e2\nb.png 1 2 3\n"), label_dim=3)
    assert images.path(0) == "my cat.png"
    assert images.labels.dtype == np.float32 and images.labels.tolist() == [[3, 0.5, -100], [1, 2, 3]]
    with pytest.raises(DataError, match=r"a path and 2 numbers in line 2 of '.*', got 'b.png x 1'"):
        read_image_list(write("a.png 1 2\nb.png x 1\n"), label_dim=2)
    with pytest.raises(DataError, match=r"line 1 of '.*', got 'a.png 1'"):
        read_image_list(write("a.png 1\n"), label_dim=2)


def test_no_list(tmp_path, write):
    with pytest.raises(MissingFileError, match="(?s)layer 'faces'.*looked up from"):
        read_image_list(str(tmp_path / "no.txt"), owner=LAYER)
    with pytest.raises(DataError, match="expected lines 'path label' in '.*', got none"):
        read_image_list(write(" \n\n"), owner=LAYER)
    with pytest.raises(DataError, match="cannot read the list"):
        read_image_list(str(tmp_path), owner=LAYER)


# -- the batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_in_order_over_and_over(pictures, take, workers):
    images = source(pictures(5), workers=workers)
    assert images.shapes() == {"data": (2, 3, 6, 8), "label": (2,)}
    for batch, labels in zip(take(images, 4), ([0, 1], [2, 3], [4, 0], [1, 2]), strict=True):
        assert batch["label"].tolist() == labels
        assert (batch["data"] == np.reshape(labels, (2, 1, 1, 1))).all()
    images.close()


def test_shuffling(pictures, take):
    made = pictures(7)
    order = numbers(source(made, 1, shuffle=True), take, 21)
    epochs = [order[:7], order[7:14], order[14:]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(7))
    assert numbers(source(made, 1, shuffle=True), take, 21) == order
    assert numbers(source(made, 1, shuffle=True, seed=2), take, 21) != order


def test_leaving_out_some_at_the_start(pictures, take):
    made = pictures(5)
    starts = {numbers(source(made, 1, rand_skip=3, seed=seed), take, 1)[0] for seed in range(30)}
    assert starts == {0, 1, 2}
    skipped = next(
        seed for seed in range(9) if numbers(source(made, 1, rand_skip=3, seed=seed), take, 1) == [2]
    )
    images = source(made, 1, rand_skip=3, seed=skipped)
    assert numbers(images, take, 6) == [2, 3, 4, 0, 1, 2]
    other = source(made, 1, rand_skip=3, seed=99)
    other.restore(images.state())
    assert numbers(other, take, 3) == [3, 4, 0]
    with pytest.raises(DataError, match="with rand_skip = 3 as in the snapshot, got 0"):
        source(made, 1).restore(images.state())
    assert max(numbers(source(made, 1, rand_skip=10**9), take, 5)) == 4


@pytest.mark.parametrize("color", [True, False])
def test_reading_and_resizing_are_opencvs(tmp_path, write, take, color):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    reading = Reading(color, 6, 7, f"{tmp_path}/")
    (batch,) = take(source((write("a.png 1"), ""), 1, reading=reading), 1)
    image = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE)
    expected = cv2.resize(image, (7, 6)).reshape(6, 7, -1).transpose(2, 0, 1)
    assert np.array_equal(batch["data"][0], expected)


def test_a_bad_or_missing_image_is_passed_over(pictures, take, tmp_path, caplog):
    made = pictures(5, broken=[2])
    (tmp_path / "my images" / "4.png").unlink()
    assert numbers(source(made), take, 3) == [0, 1, 3, 3, 0, 0]
    told = [record.getMessage() for record in caplog.records]
    assert (
        f"image '{tmp_path}/my images/2.png' (line 3 of '{made[0]}'): its encoded image cannot be decoded"
        in told[0]
    )
    assert "4.png' (line 5" in told[1] and "No such file" in told[1]


def test_a_missing_first_image_is_an_error(write):
    with pytest.raises(
        DataError, match=r"layer 'faces'.* image 'no.png' \(line 1 of .* No such file .*looked up from"
    ):
        source((write("no.png 1\nno2.png 2"), ""))


def test_a_path_with_a_zero_byte_is_that_of_no_image(write):
    with pytest.raises(DataError, match="(?s)layer 'faces'.*line 1 of .*null byte"):
        source((write("a\0.png 1\n"), ""))


def test_sizes_that_differ(tmp_path, write, take):
    for i, size in enumerate([(4, 5), (4, 5), (5, 4)]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros(size, np.uint8))
    made = write("".join(f"{i}.png {i}\n" for i in range(3))), f"{tmp_path}/"
    ahead = source(made, 2, workers=1)
    take(ahead, 1)
    with pytest.raises(
        DataError, match=r"2.png' \(line 3.*like the first one, got \(3, 5, 4\)\n  Fix: give all"
    ):
        take(ahead, 1)
    ahead.close()
    in_line = source((write("0.png 0\n1.png 1\n2.png 2\n2.png 2\n"), made[1]), 2, prefetch=0, workers=None)
    assert [batch["data"].shape[2:] for batch in take(in_line, 3)] == [(4, 5), (5, 4), (4, 5)]
    assert [batch["data"].shape[2:] for batch in take(source(made, 1), 3)] == [(4, 5), (4, 5), (5, 4)]
    assert take(source(made, 2, TransformParams(crop_size=4)), 2)[1]["data"].shape == (2, 3, 4, 4)
