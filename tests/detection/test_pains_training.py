"""What users of py-faster-rcnn suffered from when they trained and used a detector, each as they met it.

Public names and commands only. Their trouble with data is in test_pains_data.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.boxes.config import cfg
from caffelite.cli.main import main
from caffelite.detection import Detector, detect, load_picture, load_set, make_shapes, read_detections
from caffelite.weights import load_weights

from .files import HEIGHT, WIDTH, image, listed, python_2_detections, thing, voc
from .old_models import FOLDER, SETTINGS, VOC2007, lay_out
from .small_detectors import CLASSES, FAST, folder_of
from .small_detectors import image as noise

RUN = Path("output/faster_rcnn_end2end/voc_2007_trainval")
TRAIN, TEST = FOLDER / "train.prototxt", FOLDER / "test.prototxt"
MINE = ("--cfg", SETTINGS, "--classes", ",".join(CLASSES))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder like py-faster-rcnn's, with its model, settings and devkit; cfg is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    make_shapes(VOC2007, 4, 2, size=64, seed=1)
    lay_out(tmp_path, len(CLASSES) + 1)
    before = cfg.copied()
    yield tmp_path
    assert all(np.array_equal(cfg[key], before[key]) for key in before), "cfg was left changed"


def call(*words):
    return main([*map(str, words)])


def train_net(*more, iterations=2):
    words = ("--gpu", 0, "--solver", FOLDER / "solver.prototxt", "--imdb", "voc_2007_trainval")
    return call("train_net.py", *words, "--iters", iterations, *MINE, *more)


def run_test_net(weights=RUN / "detector.caffemodel", *more):
    words = ("--gpu", 0, "--def", TEST, "--net", weights, "--imdb", "voc_2007_test")
    return call("test_net.py", *words, *MINE, *more)


def edit(path, *changes):
    """Replaces all of each (old, new) in a file; what is not there is a mistake of the test."""
    text = Path(path).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path(path).write_text(text)


def weights_of(path):
    return {(entry.name, n): blob for entry in load_weights(path) for n, blob in enumerate(entry.blobs)}


# -- 2: the number of classes ------------------------------------------------------------------------------------


def test_pain_2_a_number_of_classes_that_was_forgotten_ends_the_run_at_its_first_snapshot(place, capsys):
    """All four places are named with line and number, and nothing is trained."""
    lay_out(place, 21)
    assert train_net() == 2
    said = capsys.readouterr().err
    for name, fix in (
        ("input-data", "'num_classes': 4"),
        ("roi-data", "'num_classes': 4"),
        ("cls_score", "num_output: 4"),
        ("bbox_pred", "num_output: 16"),
    ):
        assert re.search(rf"layer '{name}'.*train\.prototxt:\d+(?s:.*?)Fix: .*{fix}", said), (name, said)
    assert not list(RUN.rglob("*.caffemodel")) and not (RUN / "metrics.csv").exists()


def test_pain_2_a_number_of_classes_that_was_forgotten_in_the_net_for_testing(place, capsys):
    other = 'name: "cls_score" type: "InnerProduct" bottom: "fc6" top: "cls_score" inner_product_param { num_output: '
    edit(TEST, (f"{other}4", f"{other}21"))
    assert train_net() == 2
    said = capsys.readouterr().err
    assert re.search(r"'cls_score'.*test\.prototxt:\d+", said) and "Fix: num_output: 4" in said


def test_pain_2_a_head_with_another_name_is_a_key_error_at_iteration_10000(place, capsys):
    """Heads may have any name: they are found by their losses, and their codes are right in each file."""
    for net in (TRAIN, TEST):
        edit(net, ('name: "bbox_pred"', 'name: "bbox_mine"'), ('name: "cls_score"', 'name: "cls_mine"'))
    assert train_net("--set", "TRAIN.SNAPSHOT_ITERS", 1) == 0
    assert len(list((RUN / "snapshots").glob("*_iter_1.caffemodel"))) == 1
    assert ("bbox_mine", 0) in weights_of(RUN / "detector.caffemodel")
    assert run_test_net() == 0
    edit(TEST, ('name: "bbox_mine"', 'name: "bbox_pred"'))
    assert train_net("--set", "EXP_DIR", "other") == 2
    assert "'bbox_pred'" in capsys.readouterr().err


# -- 3, 4, 17, 19: what it took to install -----------------------------------------------------------------------


def test_pain_3_without_a_gpu_nothing_can_be_built_or_trained(place, capsys):
    """The flags and settings of a GPU are taken, and all parameters learn, through ROIPooling and SmoothL1Loss too."""
    assert train_net("--set", "USE_GPU_NMS", "True", iterations=1) == 0
    captured = capsys.readouterr()
    assert "--gpu 0: computing on the CPU" in captured.err and "done solving" in captured.out
    first = weights_of(next((RUN / "snapshots").glob("*_iter_1.caffemodel")))
    assert train_net("--resume", "auto", iterations=3) == 0
    after = weights_of(next((RUN / "snapshots").glob("*_iter_3.caffemodel")))
    assert first.keys() == after.keys() >= {("conv", 0), ("rpn_bbox_pred", 0), ("fc6", 0), ("bbox_pred", 0)}
    same = [key for key, blob in first.items() if np.array_equal(blob, after[key])]
    assert not same
    assert run_test_net() == 0


def test_pain_4_published_nets_need_a_caffe_of_their_own(place):
    """Fields of the fork, in text and in weights files; Dropout as ZF's nets have it."""
    drop = 'layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "drop6" dropout_param { dropout_ratio: 0.25 scale_train: false } }\n'
    text = TEST.read_text().replace('layer { name: "cls_score"', f'{drop}layer {{ name: "cls_score"')
    TEST.write_text(text)
    net = caffelite.Net(str(TEST), caffelite.TEST)
    data = np.random.default_rng(0).normal(0, 50, (1, 3, 64, 64)).astype(np.float32)
    net.forward(data=data, im_info=np.array([[64, 64, 1]], np.float32))
    np.testing.assert_allclose(net.blobs["drop6"].data, 0.75 * net.blobs["fc6"].data, rtol=1e-6)
    net.save("all.caffemodel")
    tag = b"\xba\xbd\xc4\x1f"  # 8266711, the fork's number of roi_pooling_param, of length-delimited kind
    assert tag in Path("all.caffemodel").read_bytes()
    again = caffelite.Net(str(TEST), caffelite.TEST, weights="all.caffemodel")
    np.testing.assert_array_equal(again.params["fc6"][0].data, net.params["fc6"][0].data)


_UNUSED = "".join(f"    def {name}(self, *_):\n        pass\n" for name in ("reshape", "forward", "backward"))


def own_layer(place, monkeypatch, body):
    """net.prototxt with one layer, of a user's own module."""
    Path("asks_its_phase.py").write_text(f"import caffe\nclass Mine(caffe.Layer):\n{body}")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "asks_its_phase", raising=False)
    module = 'python_param { module: "asks_its_phase" layer: "Mine" }'
    Path("net.prototxt").write_text(f'layer {{ name: "mine" type: "Python" top: "p" {module} }}')


def test_pain_4_a_python_layer_that_asks_for_its_phase(place, monkeypatch):
    """In BVLC Caffe it could, in the fork it could not."""
    body = "    def setup(self, bottom, top):\n        top[0].reshape(1)\n" + _UNUSED
    body += "    def forward(self, bottom, top):\n        top[0].data[...] = self.phase\n"
    own_layer(place, monkeypatch, body)
    for phase in (caffelite.TRAIN, caffelite.TEST):
        assert caffelite.Net("net.prototxt", phase).forward()["p"] == phase


def test_pain_17_files_of_python_2_cannot_be_read_by_python_3(place, capsys):
    """detections.pkl, [class][image] -> (N, 5): bytes that are no ASCII, modules that have moved."""
    dataset = load_set(VOC2007, "test", classes=CLASSES)
    boxes = [[np.zeros((0, 5))] * len(dataset)]
    for label in range(1, len(CLASSES) + 1):
        own = [picture.boxes[picture.labels == label] for picture in dataset.pictures]
        boxes.append([np.column_stack([box, np.full(len(box), 0.9)]) for box in own])
    python_2_detections(Path("output/detections.pkl"), boxes)
    assert call("reval.py", "output", "--imdb", "voc_2007_test", "--classes", ",".join(CLASSES)) == 0
    assert re.search(r"mean +\S+ +\S+ +\S+ +1\.000 +1\.000", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "error"),
    [("print 'hello'", SyntaxError), ("{}.has_key(1)", AttributeError), ("xrange(3)", NameError)],
)
def test_pain_17_layers_of_mine_are_python_2(place, monkeypatch, line, error):
    """The error is Python's own, with file and line; that it is in a layer, and in which, stands with it."""
    own_layer(place, monkeypatch, f"    def setup(self, bottom, top):\n        {line}\n" + _UNUSED)
    with pytest.raises(error) as caught:
        call("time", "-model", "net.prototxt", "-iterations", 1)
    assert "layer 'mine' (Python) at net.prototxt:1" in "".join(caught.value.__notes__)


def test_pain_19_lists_and_prototxts_written_on_windows(place):
    """Lines that end in CR LF, a mark of the order of bytes, backslashes in paths, a system without SIGHUP."""
    files = [
        TRAIN,
        TEST,
        FOLDER / "solver.prototxt",
        SETTINGS,
        *VOC2007.rglob("*.txt"),
        *VOC2007.rglob("*.xml"),
    ]
    for file in files:
        mark = b"\xef\xbb\xbf" if file.suffix == ".txt" else b""
        file.write_bytes(mark + file.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(signal, "SIGHUP", raising=False)
        assert train_net(iterations=1) == 0
    assert run_test_net() == 0


def test_pain_19_backslashes_in_the_paths_of_a_list(place):
    image(Path("mine/images"), "a.jpg")
    Path("mine/boxes.csv").write_text("filename,xmin,ymin,xmax,ymax,label\nimages\\a.jpg,0,0,29,19,cat\n")
    (picture,) = load_set("mine").pictures
    assert load_picture(picture.path).shape == (HEIGHT, WIDTH, 3)


def test_pain_19_names_beyond_ascii_where_text_is_not_utf_8(place):
    """As on Windows, whose text files and terminals have another encoding unless a program asks."""
    data = voc(place / "mine", thing(1, 1, 30, 20, name="größe"))
    listed(data, "train", "a")
    no_utf_8 = {
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii:strict",
    }
    words = (sys.executable, "-m", "caffelite", "det", "init", "recipe", "--data", data, "--arch", "tiny")
    ran = subprocess.run(words, env={**os.environ, **no_utf_8}, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(Path("recipe/detector.json").read_text("utf-8"))["classes"] == ["größe"]


# -- 5, 7, 13, 14, 15: what ended runs ---------------------------------------------------------------------------


def test_pain_5_a_float_is_no_index_after_80000_iterations(place, capsys):
    """Shares of numbers that do not divide: fractions were sizes and indices, in training, testing and tables."""
    odd = (
        "TRAIN.BATCH_SIZE",
        31,
        "TRAIN.FG_FRACTION",
        0.3,
        "TRAIN.RPN_BATCHSIZE",
        37,
        "TRAIN.RPN_FG_FRACTION",
        0.41,
    )
    assert train_net("--set", *odd) == 0
    assert run_test_net(RUN / "detector.caffemodel", "--num_dets", 7) == 0
    assert "mean" in capsys.readouterr().out


def test_pain_5_windows_with_context_were_cut_at_fractions(place):
    """pycaffe's Detector with context_pad."""
    text = "input: 'data' input_shape { dim: 1 dim: 3 dim: 20 dim: 20 }\n" + (
        "layer { name: 'pool' type: 'Pooling' bottom: 'data' top: 'pool' pooling_param { pool: AVE global_pooling: true } }"
    )
    Path("net.prototxt").write_text(text)
    net = caffelite.Net("net.prototxt", caffelite.TEST)
    net.save("net.caffemodel")
    detector = caffelite.Detector("net.prototxt", "net.caffemodel", context_pad=3)
    image(Path(), "a.png")
    (found,) = detector.detect_windows([("a.png", np.array([[5.5, 6.2, 12.7, 20.1]]))])
    np.testing.assert_allclose(np.ravel(found["prediction"]), 220 / 255, atol=0.01)


def test_pain_7_the_loss_is_nan_and_nobody_says_where(place, capsys):
    """The iteration, the picture with its boxes, and what to try."""
    edit(FOLDER / "solver.prototxt", ("base_lr: 0.001", "base_lr: 1e20"))
    assert train_net(iterations=20) == 4
    said = capsys.readouterr().err
    assert re.search(r"iteration \d+", said) and "try base_lr: 1e+19" in said and "clip_gradients: 10" in said
    (batch,) = re.findall(r"Batch: (.*)", said)
    dataset = load_set(VOC2007, "trainval")
    picture = next(p for p in dataset.pictures if Path(p.path).name in batch)
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", batch.split(Path(picture.path).name)[1])]
    assert len(numbers) >= 4 * len(picture.boxes)
    assert not (RUN / "detector.caffemodel").exists()


def test_pain_13_several_images_an_iteration(place, capsys):
    """Of both images there are anchors and regions; a batch that diverges names both."""
    assert train_net("--set", "TRAIN.IMS_PER_BATCH", 2) == 0
    edit(FOLDER / "solver.prototxt", ("base_lr: 0.001", "base_lr: 1e20\niter_size: 2"))
    assert train_net("--set", "TRAIN.IMS_PER_BATCH", 2, "EXP_DIR", "two", iterations=20) == 4
    assert len(re.findall("Batch: ", capsys.readouterr().err)) == 2


def test_pain_14_a_run_that_was_stopped_begins_anew(place):
    """It goes on with the same bits, and every snapshot can be tested as it is."""
    assert train_net("--set", "EXP_DIR", "whole", iterations=5) == 0
    assert train_net(iterations=2) == 0
    stopped = next((RUN / "snapshots").glob("*_iter_2.caffemodel"))
    assert train_net("--resume", "auto", iterations=5) == 0
    whole = Path("output/whole/voc_2007_trainval/detector.caffemodel")
    assert (RUN / "detector.caffemodel").read_bytes() == whole.read_bytes()
    assert run_test_net(stopped) == 0


def test_pain_15_large_images_take_all_memory(place):
    """However long an image is, the net sees it with a long side of MAX_SIZE; sizes that change pile nothing up."""
    if not (statistics := Path("/proc/self/statm")).exists():
        pytest.skip("reads the memory of its process from /proc")
    detector = Detector.load(folder_of(place / "run", scales=(400,), max_size=600))
    taken = []
    for side in range(300, 1500, 12):
        detector.detect(noise(side, 700))
        assert max(detector.net.blobs["data"].shape[2:]) <= 600
        taken.append(int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert taken[-1] - taken[70] < 15e6  # in 30 sizes; to keep each one's image alone takes 77 MB


def test_pain_15_nobody_says_how_much_memory_a_net_takes(place, capsys):
    assert call("summary", TEST) == 0
    assert re.search(r"\d [KM]i?B", capsys.readouterr().out)


# -- 16, 20: what is missing -------------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("something looks for a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_pain_16_links_to_models_are_dead(place, offline, capsys):
    """What is missing is said before anything else, with another way; a detector comes of data alone."""
    assert train_net("--weights", "data/imagenet_models/ZF.v2.caffemodel") == 3
    said = capsys.readouterr().err
    assert "ZF.v2.caffemodel" in said and "--arch tiny" in said and not RUN.exists()
    assert call("frcnn", "demo", "--net", "zf") == 3
    assert "caffelite det train" in capsys.readouterr().err
    run = place / "run"
    words = ("--data", VOC2007, "--split", "trainval", "-o", run, "--iterations", 2, "--pictures", 0)
    assert call("det", "train", *words) == 0
    assert call("det", "test", run, "--data", VOC2007, "--split", "test") == 0


def test_pain_20_the_demo_opens_a_window_for_each_class_and_saves_nothing(place, monkeypatch):
    """One picture with all classes, its JSON beside it; of a film, a film and a line for each frame."""
    import cv2

    monkeypatch.setattr(cv2, "imshow", lambda *_: pytest.fail("a window was opened"))
    run = folder_of(place / "run")
    image(place / "in", "a.png")
    film = cv2.VideoWriter("film.avi", cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    for seed in range(3):
        film.write(noise(48, 64, seed))
    film.release()
    assert call("det", "demo", run, "in/a.png", "film.avi", "-o", "out", "--score", 0) == 0
    found = json.loads(Path("out/a.png.json").read_text())["detections"]
    assert {one["label"] for one in found} == set(CLASSES)
    assert load_picture("out/a.png").shape == (HEIGHT, WIDTH, 3)
    made = sorted(path.name for path in Path("out").iterdir())
    assert [name for name in made if name.startswith("film") and "json" not in name]
    (lines,) = [path for path in Path("out").iterdir() if "film" in path.name and "json" in path.name]
    assert len(lines.read_text().splitlines()) == 3


def test_pain_20_the_loss_cannot_be_plotted(place):
    assert train_net(iterations=3) == 0
    assert call("plot", 6, "loss.svg", RUN / "log.txt") == 0
    assert "<svg" in Path("loss.svg").read_text()


def test_pain_20_fast_rcnn_wants_regions_of_my_own_images(place):
    """A file of them, or none at all: the detector looks for its own."""
    run = folder_of(place / "run", FAST, "fast")
    words = ("--data", VOC2007, "--split", "test")
    assert call("det", "propose", VOC2007, "-split", "test", "-method", "ss", "-o", "boxes.npz") == 0
    assert call("det", "test", run, *words, "--proposals", "boxes.npz") == 0
    found = read_detections(run / "eval" / "detections.npz", load_set(VOC2007, "test"))
    assert any(len(rows) for rows in found.values())
    assert detect(run, noise(), score=0)


@pytest.mark.parametrize("verb", ["test", "time", "summary", "check"])
def test_pain_20_unknown_layer_type_python(place, verb, capsys):
    """Modules of py-faster-rcnn are there without PYTHONPATH, in every command."""
    more = {"test": ("-iterations", 1), "time": ("-iterations", 1)}.get(verb, ())
    net = (TEST,) if verb in ("summary", "check") else ("-model", TEST)
    if verb == "test":
        caffelite.Net(str(TEST), caffelite.TEST).save("w.caffemodel")
        more += ("-weights", "w.caffemodel")
    assert call(verb, *net, *more) == 0, capsys.readouterr().err
    assert "Unknown" not in capsys.readouterr().err


def test_pain_20_there_is_no_prototxt_of_resnet(place):
    words = ("--data", VOC2007, "--arch", "resnet50", "--method", "faster")
    assert call("det", "init", "resnet", *words) == 0
    assert call("check", "resnet/train.prototxt") == 0
    text = Path("resnet/test.prototxt").read_text()
    assert all(f'"{name}"' in text for name in ("res5c", "rois", "cls_prob", "bbox_pred"))
