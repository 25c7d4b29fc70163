from __future__ import annotations

import sys

import numpy as np
import pytest

from caffelite.boxes.boxes import overlaps
from caffelite.detection.proposals import METHODS, propose, propose_all, recall_of
from caffelite.detection.proposals.bing import SHIPPED, Model, _peaks, bing, normed_gradients
from caffelite.detection.proposals.bing_training import train
from caffelite.detection.proposals.edge_boxes import edge_boxes, sobel_edges
from caffelite.detection.proposals.selective_search import selective_search
from caffelite.detection.proposals.sliding import sliding
from caffelite.detection.proposals.tidy import tidy
from caffelite.errors import DataError, MissingFileError, UsageError

from .sets import dataset, picture

DISC, BAR = [30, 20, 89, 79], [120, 40, 179, 69]


def scene(height=120, width=200):
    """A disc and a bar on grey."""
    import cv2

    image = np.full((height, width, 3), 110, np.uint8)
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    cv2.ellipse(image, (59, 49), (30, 30), 0, 0, 360, (40, 60, 220), cv2.FILLED)
    cv2.rectangle(image, (120, 40), (179, 69), (220, 180, 30), cv2.FILLED)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method):
    image = scene()
    boxes, scores = propose(image, method, limit=300)
    assert boxes.dtype == scores.dtype == np.float32 and boxes.shape == (len(scores), 4)
    assert 0 < len(boxes) <= 300 and (np.diff(scores) <= 0).all()
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= 199).all() and (boxes[:, 3] <= 119).all()
    assert (boxes[:, 2:] >= boxes[:, :2]).all() and len(np.unique(boxes, axis=0)) == len(boxes)
    again = propose(image, method, limit=300)
    np.testing.assert_array_equal(boxes, again[0])
    best = overlaps(np.array([DISC, BAR]), boxes).max(axis=1)
    assert (best > (0.45 if method == "sliding" else 0.6)).all(), best


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 300), (40, 40)])
def test_images_of_odd_sizes(method, shape):
    boxes, scores = propose(np.zeros((*shape, 3), np.uint8), method)
    assert boxes.shape == (len(scores), 4)


def test_an_unknown_method():
    with pytest.raises(
        UsageError,
        match="expected one of ss, edgeboxes, bing, sliding, got 'edge_boxes'; did you mean 'edgeboxes'",
    ):
        propose(scene(), "edge_boxes")


def test_tidy():
    boxes = [[5, 5, 20, 20], [-3, 2, 8, 400], [5, 5, 20, 20], [0, 0, 2, 30], [9, 9, 8, 9]]
    kept, scores = tidy(np.array(boxes, float), np.array([0.1, 0.5, 0.3, 0.9, 0.8]), (50, 60, 3), min_side=4)
    np.testing.assert_array_equal(kept, [[0, 2, 8, 49], [5, 5, 20, 20]])
    np.testing.assert_array_equal(scores, np.float32([0.5, 0.3]))


# -- Selective Search ----------------------------------------------------------------------------------------


def test_selective_search_has_the_settings_of_r_cnn():
    """Sides of 20 pixels in images of 500, to which R-CNN enlarged smaller ones: 8 of 200."""
    boxes, scores = selective_search(scene(), limit=0)
    assert (boxes[:, 2:] - boxes[:, :2] + 1).min() == 8
    assert len(selective_search(scene(), limit=0, min_side=60)[0]) < len(boxes)
    assert scores[0] == 1
    wide = np.tile(scene(), (1, 3, 1))
    assert (np.diff(selective_search(wide, limit=0, longest=0)[0].reshape(-1, 2, 2), axis=1) >= 19).all()


def test_selective_search_does_not_depend_on_what_ran_before():
    """OpenCV orders by the C library's random numbers."""
    import ctypes

    found = []
    for seed in (1, 5):
        ctypes.CDLL(None).srand(seed)
        found.append(selective_search(scene())[0])
    np.testing.assert_array_equal(*found)


def test_the_seed_orders_and_does_nothing_else():
    first, second = (selective_search(scene(), limit=0, seed=seed)[0] for seed in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.unique(first, axis=0), np.unique(second, axis=0))


def test_large_images_are_shrunk():
    import cv2

    large = cv2.resize(scene(), (1200, 720), interpolation=cv2.INTER_CUBIC)
    boxes, _ = selective_search(large, limit=0)
    assert boxes[:, 2].max() == 1199
    assert overlaps(np.array([BAR]) * 6.0, boxes).max() > 0.8


def test_opencv_without_contrib_says_what_to_do(monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(
        DataError,
        match=r"(?s)OpenCV has no cv2.ximgproc.*Fix: .*pip install --force-reinstall --no-deps opencv-contrib",
    ):
        edge_boxes(scene())


def test_the_wheel_that_is_in_the_way_is_named(monkeypatch):
    from types import SimpleNamespace

    import cv2

    from caffelite.detection.proposals import contrib

    wheels = [SimpleNamespace(name=f"opencv-{name}") for name in ("contrib-python-headless", "python")]
    monkeypatch.setattr(contrib, "distributions", lambda: wheels)
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(DataError) as raised:
        selective_search(scene())
    assert str(raised.value) == (
        "OpenCV has no cv2.ximgproc.segmentation: opencv-python and opencv-contrib-python-headless write the same files\n"
        "  Fix: pip uninstall -y opencv-python && pip install --force-reinstall --no-deps opencv-contrib-python-headless"
    )


# -- Edge Boxes ----------------------------------------------------------------------------------------------


def test_sobel_edges_are_thin_and_know_their_direction():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = (0, 200, 0)
    strength, normal = sobel_edges(image)
    columns = np.flatnonzero(strength[20] > 0.5)
    assert len(columns) <= 2 and set(columns) <= {29, 30}
    np.testing.assert_allclose(np.sin(normal[20, columns]), 0, atol=1e-5)
    _, normal = sobel_edges(image.transpose(1, 0, 2))
    np.testing.assert_allclose(normal[columns, 20], np.pi / 2, atol=1e-5)
    assert normal.max() < np.pi


def test_a_model_of_edges_that_is_none(tmp_path):
    with pytest.raises(MissingFileError, match="model of structured edges '.*none.yml' does not exist"):
        edge_boxes(scene(), model=tmp_path / "none.yml")
    (tmp_path / "bad.yml").write_text("nothing")
    with pytest.raises(DataError, match="bad.yml' cannot be read"):
        edge_boxes(scene(), model=tmp_path / "bad.yml")


# -- BING ----------------------------------------------------------------------------------------------------


def test_gradients_by_hand():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:, 1] = 100
    gradients, size = normed_gradients(image, 0)  # windows of 16 x 16 pixels are 8 x 8: half the size
    assert size == (16, 16) and gradients.shape == (8, 8)
    np.testing.assert_array_equal(gradients, np.tile([0, 0, 0, 100, 100, 0, 0, 0], (8, 1)))
    assert normed_gradients(image, 14) is None  # 64 pixels high


def test_gradients_at_borders_are_doubled_and_cut():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 2:, 2] = 200
    np.testing.assert_array_equal(normed_gradients(image, 0)[0][4, :3], [255, 200, 0])


def test_peaks_are_the_greedy_ones():
    match = np.random.default_rng(3).random((23, 31)).astype(np.float32)
    free, expected = np.ones(match.shape, bool), []
    for at in np.argsort(-match.ravel()):
        y, x = divmod(int(at), 31)
        if free[y, x]:
            expected.append((y, x))
            free[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = False
    everything = list(zip(*(a.tolist() for a in _peaks(match, 1000)), strict=True))
    assert everything == expected
    assert len(_peaks(match, 7)[0]) == 7


def test_opencv_reads_our_model_and_we_read_it(tmp_path, capfd):
    import cv2

    model = Model.read(SHIPPED)
    model.write(tmp_path)
    again = Model.read(tmp_path)
    np.testing.assert_array_equal(again.filter, model.filter)
    np.testing.assert_array_equal(again.sizes, model.sizes)
    np.testing.assert_array_equal(again.lines, model.lines)
    theirs = cv2.saliency.ObjectnessBING_create()
    theirs.setTrainingPath(str(tmp_path))
    theirs.setBBResDir(str(tmp_path))
    boxes = theirs.computeSaliency(scene())[1].reshape(-1, 4)
    assert len(boxes) > 100 and overlaps(np.array([DISC]), boxes - 1).max() > 0.5


def test_we_read_what_opencv_writes(tmp_path):
    """Also without .gz inside: FileStorage packs what is called so."""
    import cv2

    model = Model.read(SHIPPED)
    for end, array in (("wS1", model.filter), ("wS2", model.lines), ("idx", model.sizes[:, None])):
        name = "ObjNessB2W8MAXBGR"
        storage = cv2.FileStorage(str(tmp_path / f"{name}.{end}.yml.gz"), cv2.FILE_STORAGE_WRITE)
        storage.write(name, array.astype(np.float32))
        storage.release()
    read = Model.read(tmp_path)
    np.testing.assert_allclose(read.filter, model.filter, rtol=1e-6)
    np.testing.assert_array_equal(read.sizes, model.sizes)
    np.testing.assert_array_equal(bing(scene(), model=read, limit=50)[0], bing(scene(), limit=50)[0])


def test_files_are_the_same_whenever_they_are_written(tmp_path):
    for name in ("a", "b"):
        Model.read(SHIPPED).write(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_models_that_are_none(tmp_path):
    with pytest.raises(MissingFileError, match="BING model '.*wS1.yml.gz' does not exist"):
        bing(scene(), model=tmp_path)
    Model.read(SHIPPED).write(tmp_path)
    (tmp_path / "ObjNessB2W8MAXBGR.wS2.yml.gz").write_bytes(b"no")
    with pytest.raises(DataError, match="wS2.yml.gz' cannot be read"):
        Model.read(tmp_path)


def test_bing_learns(tmp_path):
    """From 30 pictures of discs and bars: half of what it proposes first lies on new ones."""
    import cv2

    random, pictures = np.random.default_rng(1), []
    for number in range(36):
        image = np.clip(random.normal(110, 8, (120, 160, 3)), 0, 255).astype(np.uint8)
        boxes = []
        for side in ((8, 88), (4, 84)):
            w, h = random.integers(24, 60, 2)
            x, y = side[number % 2 == 0 and side[0] == 8], int(random.integers(5, 55))
            color = [int(c) for c in random.integers(0, 256, 3)]
            cv2.rectangle(image, (int(x), y), (int(x + w - 1), int(y + h - 1)), color, cv2.FILLED)
            boxes.append([x, y, x + w - 1, y + h - 1])
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), image)
        pictures.append(picture(str(number), boxes, size=(160, 120), path=path))
    lines = []
    model = train(dataset(*pictures[:30]), tell=lines.append)
    assert model.filter.shape == (8, 8) and lines[0].startswith("stage I: ")
    tested = dataset(*pictures[30:])
    found = dict(propose_all(tested.pictures, "bing", model=model, threads=2))
    assert list(found) == [p.key for p in tested.pictures]
    recall = recall_of(tested, found, (10, 1000))
    assert recall.at(0.5)[0] > 0.6 and recall.at(0.5)[1] > 0.85


def test_bing_without_objects(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), scene())
    with pytest.raises(DataError, match="set 'toys' has too few objects to learn from: 0 windows"):
        train(dataset(picture("a", [], path=tmp_path / "a.png")))


# -- sliding windows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 10, 500, 0])
def test_sliding_windows_keep_the_limit(limit):
    boxes, _ = sliding(scene(), limit=limit)
    assert len(boxes) > 2000 if not limit else 0 < len(boxes) <= limit


# -- recall --------------------------------------------------------------------------------------------------


def test_recall_pairs_one_to_one():
    toys = dataset(
        picture("a", [[0, 0, 9, 9], [0, 0, 9, 8], [50, 50, 59, 59]], difficult=[0, 0, 1]), picture("b", [])
    )
    boxes = np.float32([[90, 90, 99, 99], [0, 0, 9, 9], [0, 0, 9, 5]])
    proposals = {"a": (boxes, np.float32([3, 2, 1])), "b": (boxes[:0], np.empty(0, np.float32))}
    recall = recall_of(toys, proposals, (1, 2, 3))
    np.testing.assert_allclose(recall.found[1], [1, 0])
    np.testing.assert_allclose(recall.found[2], [1, 60 / 90])
    assert recall.at(0.5) == [0, 0.5, 1] and recall.at(0.7) == [0, 0.5, 0.5]
    np.testing.assert_allclose(recall.ar, [0, 0.5, (10 + 4) / 20])
    assert recall.text().splitlines()[-1].split() == ["3", "1.000", "0.500", "0.700"]
    assert recall.boxes == 1.5


def test_recall_of_other_pictures(tmp_path):
    with pytest.raises(DataError, match="1 of 1 pictures of 'toys' have no proposals, such as 'a'"):
        recall_of(dataset(picture("a", [])), {})


def test_the_curve(tmp_path, monkeypatch):
    recall = recall_of(dataset(picture("a", [DISC])), {"a": (np.float32([DISC]), np.float32([1]))})
    recall.draw(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DataError, match="charts need matplotlib"):
        recall.draw(tmp_path / "curve.png")
