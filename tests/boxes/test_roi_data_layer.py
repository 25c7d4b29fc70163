"""RoIDataLayer: what it delivers for given images, in which order, and how it resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import caffelite
from caffelite.boxes.config import cfg
from caffelite.boxes.images import ImageCache, image_blob, prepared, read_image, scale_for
from caffelite.errors import DataError, MissingFileError, UsageError
from caffelite.net import Net

SIZES = [(20, 30), (40, 20), (30, 30), (16, 40), (24, 20)]


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    before = cfg.copied()
    cfg.TRAIN.SCALES, cfg.TRAIN.MAX_SIZE, cfg.PIXEL_MEANS = (20,), 40, (1, 2, 3)
    yield
    cfg.restore(before)


def entry(i: int, height: int, width: int) -> dict[str, Any]:
    """An image of one colour, its number, with two boxes and a proposal."""
    return {
        "image": np.full((height, width, 3), 10 * i, np.uint8),
        "flipped": False,
        "boxes": np.array([[1, 1, 8, 8], [4, 2, 12, 10], [0, 0, 9, 9]], np.uint16),
        "gt_classes": np.array([2, 1, 0]),
        "max_overlaps": np.array([1, 1, 0.3]),
        "max_classes": np.array([2, 1, 2]),
        "bbox_targets": np.float32([[2, 0.1, 0.2, 0.3, 0.4], [1, 0.5, 0.6, 0.7, 0.8], [0, 0, 0, 0, 0]]),
    }


ROIDB = [entry(i, *size) for i, size in enumerate(SIZES)]
RPN = ("data", "im_info", "gt_boxes")
FAST = ("data", "rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights")


def data_net(tmp_path: Path, tops: tuple[str, ...], seed: int = 1) -> Net:
    text = " ".join(f'top: "{top}"' for top in tops)
    python = "module: 'roi_data_layer.layer' layer: 'RoIDataLayer' param_str: \"'num_classes': 3\""
    path = tmp_path / "net.prototxt"
    path.write_text(f"layer {{ name: 'input-data' type: 'Python' {text} python_param {{ {python} }} }}")
    caffelite.set_random_seed(seed)
    return Net(str(path), caffelite.TRAIN)


def images(net: Net) -> list[int]:
    """Which images the batch holds."""
    return [round((float(item[0, 0, 0]) + 1) / 10) for item in net.blobs["data"].data]


def test_annotated_images(tmp_path: Path) -> None:
    cfg.TRAIN.HAS_RPN, cfg.TRAIN.IMS_PER_BATCH = True, 1
    net = data_net(tmp_path, RPN)
    assert [net.blobs[name].data.shape for name in RPN] == [(1, 3, 20, 40), (1, 3), (1, 5)]
    net.layers[0].set_roidb(ROIDB[1:2])
    net.forward()
    assert net.blobs["data"].data.shape == (1, 3, 40, 20)
    assert [net.blobs["data"].data[0, c, 5, 5] for c in range(3)] == [9, 8, 7]
    assert net.blobs["im_info"].data.tolist() == [[40, 20, 1]]
    assert net.blobs["gt_boxes"].data.tolist() == [[1, 1, 8, 8, 2], [4, 2, 12, 10, 1]]


def test_scaled_and_mirrored(tmp_path: Path) -> None:
    cfg.TRAIN.HAS_RPN, cfg.TRAIN.IMS_PER_BATCH = True, 1
    image = np.zeros((10, 12, 3), np.uint8)
    image[:, :6] = 200
    net = data_net(tmp_path, RPN)
    net.layers[0].set_roidb([{**ROIDB[0], "image": image, "flipped": True}])
    net.forward()
    assert net.blobs["im_info"].data.tolist() == [[20, 24, 2]]
    assert net.blobs["gt_boxes"].data[0].tolist() == [2, 2, 16, 16, 2]
    x = net.blobs["data"].data[0, 0]
    assert (x[:, :10] == -1).all() and (x[:, -10:] == 199).all()


def test_several_images_are_padded_and_numbered(tmp_path: Path) -> None:
    cfg.TRAIN.HAS_RPN, cfg.TRAIN.IMS_PER_BATCH = True, 5
    cfg.TRAIN.SCALES, cfg.TRAIN.MAX_SIZE = (1000,), 40
    net = data_net(tmp_path, RPN)
    net.layers[0].set_roidb(ROIDB)
    net.forward()
    order = images(net)
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert net.blobs["data"].data.shape == (5, 3, 40, 40)
    for item, i in enumerate(order):
        height, width, scale = net.blobs["im_info"].data[item]
        assert max(height, width) == 40
        assert scale == pytest.approx(40 / max(SIZES[i]))
        assert not net.blobs["data"].data[item, :, int(height) :].any()
        rows = net.blobs["gt_boxes"].data[net.blobs["gt_boxes"].data[:, 0] == item]
        assert rows[:, 1:5] == pytest.approx(ROIDB[i]["boxes"][:2] * scale)
        assert rows[:, 5].tolist() == [2, 1]


def test_regions(tmp_path: Path) -> None:
    cfg.TRAIN.IMS_PER_BATCH, cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.FG_FRACTION = 2, 16, 0.25
    net = data_net(tmp_path, FAST)
    assert [net.blobs[name].data.shape for name in FAST] == [(2, 3, 20, 40), (1, 5), (1,)] + [(1, 12)] * 3
    net.layers[0].set_roidb(ROIDB[2:3])
    net.forward()
    assert images(net) == [2, 2]  # one image fills a batch of two
    assert net.blobs["labels"].data.tolist() == [2, 1, 0] * 2
    scale = 20 / 30
    assert net.blobs["rois"].data[:, 0].tolist() == [0] * 3 + [1] * 3
    assert net.blobs["rois"].data[:3, 1:] == pytest.approx(ROIDB[2]["boxes"] * scale)
    targets = net.blobs["bbox_targets"].data.reshape(6, 3, 4)
    assert targets[0].tolist() == [[0] * 4, [0] * 4, np.float32([0.1, 0.2, 0.3, 0.4]).tolist()]
    assert not targets[2].any()
    assert net.blobs["bbox_inside_weights"].data.sum() == net.blobs["bbox_outside_weights"].data.sum() == 16
    cfg.TRAIN.BATCH_SIZE = 4
    net.forward()
    assert net.blobs["labels"].data.tolist() == [0, 0]  # a quarter of two regions is none


def test_fewer_tops(tmp_path: Path) -> None:
    cfg.TRAIN.IMS_PER_BATCH = 1
    net = data_net(tmp_path, (*FAST[:4], "bbox_loss_weights"))
    net.layers[0].set_roidb(ROIDB)
    net.forward()
    assert net.blobs["bbox_loss_weights"].data.sum() == 8
    cfg.TRAIN.BBOX_REG = False
    net = data_net(tmp_path, FAST[:3])
    net.layers[0].set_roidb([{k: v for k, v in ROIDB[0].items() if k != "bbox_targets"}])
    net.forward()
    assert net.blobs["labels"].data.tolist() == [2, 1, 0]


@pytest.mark.parametrize("grouping", [True, False])
def test_every_image_comes_in_every_epoch(tmp_path: Path, grouping: bool) -> None:
    cfg.TRAIN.HAS_RPN, cfg.TRAIN.IMS_PER_BATCH, cfg.TRAIN.ASPECT_GROUPING = True, 2, grouping
    net = data_net(tmp_path, RPN)
    net.layers[0].set_roidb(ROIDB)  # an odd number, at which the original stops
    epochs = []
    for _ in range(4):
        batches = []
        for _ in range(3):
            net.forward()
            batches.append(images(net))
        epochs.append(batches)
        assert {i for batch in batches for i in batch} == {0, 1, 2, 3, 4}
        tall = [{SIZES[i][0] > SIZES[i][1] for i in batch} for batch in batches]
        if grouping:
            assert sum(len(kinds) == 2 for kinds in tall) <= 1  # the image that fills the last one
    assert epochs[0] != epochs[1]


def test_it_resumes_where_it_was(tmp_path: Path) -> None:
    cfg.TRAIN.HAS_RPN, cfg.TRAIN.IMS_PER_BATCH, cfg.TRAIN.SCALES = True, 1, (16, 20)

    def run(net: Net, passes: int) -> list[tuple[int, float]]:
        found = []
        for _ in range(passes):
            net.forward()
            found.append((images(net)[0], float(net.blobs["im_info"].data[0, 2])))
        return found

    whole = data_net(tmp_path, RPN)
    whole.layers[0].set_roidb(ROIDB)
    want = run(whole, 14)
    first = data_net(tmp_path, RPN)
    first.layers[0].set_roidb(ROIDB)
    assert run(first, 8) == want[:8]
    state = first._model.state_dict()
    rest = data_net(tmp_path, RPN)
    rest.layers[0].set_roidb(ROIDB)
    rest._model.restore(state)
    assert run(rest, 6) == want[8:]
    other = data_net(tmp_path, RPN, seed=2)
    other.layers[0].set_roidb(ROIDB)
    assert run(other, 14) != want


def test_an_image_without_boxes(tmp_path: Path) -> None:
    cfg.TRAIN.HAS_RPN, cfg.TRAIN.IMS_PER_BATCH = True, 1
    net = data_net(tmp_path, RPN)
    net.layers[0].set_roidb(
        [{**ROIDB[0], "boxes": np.zeros((0, 4), np.uint16), "gt_classes": np.zeros(0, int)}]
    )
    net.forward()
    assert net.blobs["gt_boxes"].data.shape == (0, 5)


def test_errors(tmp_path: Path) -> None:
    cfg.TRAIN.HAS_RPN, cfg.TRAIN.IMS_PER_BATCH = True, 1
    with pytest.raises(UsageError, match=r"expected 3 tops \(data, im_info, gt_boxes\), got 2"):
        data_net(tmp_path, ("data", "boxes"))
    net = data_net(tmp_path, RPN)
    with pytest.raises(UsageError, match=r"set_roidb\(roidb\) before the first pass"):
        net.forward()
    with pytest.raises(DataError, match="at least one image"):
        net.layers[0].set_roidb([])
    with pytest.raises(DataError, match=r"roidb\[0\]: expected gt_classes, image, got \['boxes'\]"):
        net.layers[0].set_roidb([{"boxes": []}])
    net.layers[0].set_roidb([{**ROIDB[0], "image": str(tmp_path / "none.jpg")}])
    with pytest.raises(MissingFileError, match=r"none\.jpg"):
        net.forward()


def test_names_of_tops_decide(tmp_path: Path) -> None:
    """A training prototxt builds whatever cfg says: for a summary, say."""
    for has_rpn in (True, False):
        cfg.TRAIN.HAS_RPN = has_rpn
        for tops in (RPN, FAST):
            net = data_net(tmp_path, tops)
            net.layers[0].set_roidb(ROIDB)
            net.forward()
            assert list(net.blobs) == list(tops)
    cfg.TRAIN.HAS_RPN = True
    net = data_net(tmp_path, ("x", "y", "z"))
    net.layers[0].set_roidb(ROIDB)
    net.forward()
    assert net.blobs["y"].data.shape == (2, 3)


def test_files(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 9, 3)).astype(np.uint8)
    path = tmp_path / "ü.png"
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    assert (read_image(path) == image).all()
    assert read_image(image) is image
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(str(path))


@pytest.mark.parametrize(
    ("size", "want"), [((375, 500), 1.6), ((500, 375), 1.6), ((300, 600), 1000 / 600), ((600, 1000), 1)]
)
def test_scale(size: tuple[int, int], want: float) -> None:
    assert scale_for(*size, 600, 1000) == want


def test_the_image_is_resized_as_by_opencv() -> None:
    image = np.random.default_rng(0).integers(0, 255, (37, 50, 3)).astype(np.uint8)
    got, scale = prepared(image, cfg.PIXEL_MEANS, 60, 100)
    assert scale == 60 / 37
    assert got.dtype == np.float32
    less = image.astype(np.float32) - np.float32([1, 2, 3])
    assert (got == cv2.resize(less, None, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)).all()
    assert image_blob([got, got[:10, :12]]).shape == (2, 3, *got.shape[:2])


def test_data_has_sizes_of_a_multiple_if_asked_and_im_info_those_of_the_image(tmp_path: Path) -> None:
    cfg.TRAIN.IMS_PER_BATCH, cfg.TRAIN.SIZE_MULTIPLE = 1, 16
    net = data_net(tmp_path, RPN)
    net.layers[0].set_roidb([entry(2, 20, 30)])
    net.forward()
    data = net.blobs["data"].data
    assert data.shape == (1, 3, 32, 32)
    assert net.blobs["im_info"].data.tolist() == [[20, 30, 1]]
    assert data[0, 0, :20, :30].min() == 19 and not data[0, :, 20:].any() and not data[0, :, :, 30:].any()


def test_decoded_images_are_kept_up_to_a_limit_and_read_again_when_the_file_changes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((10, 10, 3), i, np.uint8))
    cache = ImageCache()
    first = cache.read(paths[0], 600)
    assert cache.read(str(paths[0]), 600) is first and not first.flags.writeable
    assert cache.read(paths[1], 600).max() == 1 and cache.read(paths[0], 600) is first
    cache.read(paths[2], 600)  # the second, used longest ago, has to go
    assert cache.read(paths[0], 600) is first and cache.nbytes == 600
    cv2.imwrite(str(paths[0]), np.full((10, 12, 3), 9, np.uint8))
    assert cache.read(paths[0], 600).shape == (10, 12, 3)
    assert cache.read(paths[2], 0).max() == 2 and cache.nbytes == 0
    with pytest.raises(MissingFileError):
        cache.read(tmp_path / "none.png", 600)


@pytest.mark.parametrize(
    ("shape", "made"), [((1, 3000), (1, 1000)), ((2100, 1), (1000, 1)), ((2, 2001), (1, 1000))]
)
def test_a_line_of_pixels_stays_one(shape, made):
    image, scale = prepared(np.full((*shape, 3), 7, np.uint8), np.zeros(3), 600, 1000)
    assert image.shape == (*made, 3) and scale == 1000 / max(shape)
    np.testing.assert_allclose(image, 7, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [("IMS_PER_BATCH", 0), ("SIZE_MULTIPLE", 0), ("MAX_SIZE", 0), ("SCALES", (20, 0)), ("BATCH_SIZE", 1)],
)
def test_settings_with_which_there_would_be_no_batch(tmp_path: Path, name: str, value: Any) -> None:
    cfg.TRAIN[name] = value
    with pytest.raises(UsageError, match=rf"cfg\.TRAIN\.{name}: expected .*at least [12], got"):
        data_net(tmp_path, FAST)
