"""det test, demo, compress and export, and py-faster-rcnn's tools, as they are called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.boxes.config import cfg
from caffelite.cli.main import main
from caffelite.detection import load_set, make_shapes, read_detections
from caffelite.detection.imdb import VOC, card_of_cfg, configured, load_imdb, place_of
from caffelite.detection.proposals import read_proposals, write_proposals
from caffelite.errors import MissingFileError, UsageError

from .files import image as image_file
from .files import listed, thing, voc
from .small_detectors import CLASSES, FAST, FASTER, FASTER_MODULE, boxes, folder_of

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NAMES = ("circle", "square", "triangle")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in with a set in ``data/VOCdevkit2007/VOC2007``; cfg is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    make_shapes("data/VOCdevkit2007/VOC2007", 4, 2, size=48, seed=1)
    before = cfg.copied()
    yield tmp_path
    assert all(np.array_equal(cfg[key], before[key]) for key in before), "cfg was left changed"


DATA = "data/VOCdevkit2007/VOC2007"


def det(*words):
    return main(["det", *map(str, words)])


def tool(*words):
    return main([*map(str, words)])


def regions_file(path, split="test"):
    pictures = load_set(DATA, split).pictures
    write_proposals(path, {p.key: (boxes(30, 48, 48), np.ones(30, np.float32)) for p in pictures})
    return path


# -- det ---------------------------------------------------------------------------------------------------------


def test_det_test_writes_beside_the_detector(place, capsys):
    run = folder_of(place / "run")
    assert det("test", run, "--data", DATA, "--split", "test") == 0
    out = capsys.readouterr().out
    assert "AP (VOC07)" in out and "AP, IoU .50 to .95" in out and "detection" in out
    dataset = load_set(DATA, "test")
    assert set(read_detections(run / "eval" / "detections.npz", dataset)) == {p.key for p in dataset.pictures}
    assert (run / "eval" / "report.html").exists()


def test_det_test_with_proposals_and_settings(place, capsys):
    run = folder_of(place / "run", FAST, "fast")
    file = regions_file("boxes.npz")
    words = ["--data", DATA, "--split", "test", "-o", "new/eval", "--proposals", file, "--score", "0.9"]
    assert det("test", run, *words, "--set", "TEST.NMS", "0.5", "TEST.SCALES", "(30, 60)") == 0
    assert Path("new/eval/detections.npz").exists()
    assert det("test", folder_of(place / "other"), *words) == 2
    assert "a detector of method faster finds its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["test", "run"], 2, "expected --data DATA"),
        (["test", "none", "--data", DATA], 3, "does not exist"),
        (["test", "run", "--data", DATA, "--score", "2"], 2, "--score: expected a number from 0 to 1, got '2'"),
        (["test", "run", "--data", DATA, "--classes", "a,b"], 2, "--classes: expected 3 names, got 2"),
        (["test", "run", "--data", DATA, "--set", "TEST.NSM", "1"], 2, "did you mean 'TEST.NMS'"),
        (["demo", "run", "photo.png"], 2, "-o names the folder"),
        (["demo", "run", "photo.png", "-o", "out"], 3, "image, video or folder 'photo.png' does not exist"),
        (["compress", "run", "-o", "thin"], 2, "Fix: --fc6 1024 --fc7 256"),
        (["compress", "run", "--fc6", "3"], 2, "-o names the folder"),
        (["compress", "run", "-o", "thin", "--layers", "fc6"], 2, "layers and ranks in turns"),
        (["export", "run", "-o", "net"], 2, "expected a name that ends in .onnx"),
        (["export", "run", "-o", "n.onnx", "--size", "3"], 2, "expected HEIGHTxWIDTH"),
    ],
)  # fmt: skip
def test_what_cannot_be(place, capsys, words, code, message):
    folder_of(place / "run")
    assert det(*words) == code
    assert message in capsys.readouterr().err


def test_det_demo(place, capsys):
    folder_of(place / "run")
    image_file(place, "a.png")
    assert det("demo", "run", "a.png", "-o", "out", "--classes", "x,y,z") == 0
    labels = {one["label"] for one in json.loads(Path("out/a.png.json").read_text())["detections"]}
    assert labels and labels <= {"x", "y", "z"}
    assert "Wrote 1 pictures" in capsys.readouterr().out


def test_det_compress_and_test(place, capsys):
    folder_of(place / "run")
    assert det("compress", "run", "-o", "thin", "--fc6", "8", "--layers", "cls_score", "3") == 0
    assert "fc6: rank 8" in capsys.readouterr().out
    assert det("test", "thin", "--data", DATA, "--split", "test") == 0


def test_det_export(place, capsys):
    pytest.importorskip("onnxruntime")
    folder_of(place / "run")
    assert det("export", "run", "-o", "new/net.onnx", "--size", "48x48") == 0
    assert "agrees with the net" in capsys.readouterr().out
    assert Path("new/net.onnx.json").exists()


# -- py-faster-rcnn's tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", [FASTER, FASTER_MODULE], ids=["type", "module"])
def test_test_net_and_reval(place, capsys, net):
    run = folder_of(place / "run", net)
    words = ["--imdb", "voc_2007_test", "--classes", ",".join(NAMES)]
    small = ["--set", "TEST.SCALES", "(48,)"]
    code = tool(
        "test_net",
        "--gpu",
        "0",
        "--def",
        run / "test.prototxt",
        "--net",
        run / "detector.caffemodel",
        *words,
        *small,
    )
    captured = capsys.readouterr()
    assert code == 0 and "computing on the CPU" in captured.err
    assert "detector.json is not read" in captured.err
    folder = Path("output/default/voc_2007_test/detector")
    assert (folder / "results" / "comp4_det_test_circle.txt").exists()
    mean = next(line for line in captured.out.splitlines() if line.startswith("mean"))
    assert tool("reval", folder, *words) == 0
    assert mean in capsys.readouterr().out
    assert tool("reval.py", folder, *words, "--nms", "--set", "TEST.NMS", "0.01") == 0
    assert tool("reval", "output", *words) == 3


def test_test_net_of_a_fast_rcnn(place, capsys):
    run = folder_of(place / "run", FAST, "fast")
    words = [
        "--def",
        run / "test.prototxt",
        "--net",
        run / "detector.caffemodel",
        "--classes",
        ",".join(NAMES),
    ]
    assert tool("test_net", *words, "--proposals", regions_file("b.npz"), "--num_dets", "3") == 0
    found = read_detections("output/default/voc_2007_test/detector/detections.npz", load_set(DATA, "test"))
    for rows in found.values():  # those as good as the third stay too, as in the original
        assert len(rows) >= 3 and (rows[3:, 1] == rows[2, 1]).all()


def test_classes_that_are_not_vocs_are_told(place, capsys):
    run = folder_of(place / "run")
    words = ["--def", run / "test.prototxt", "--net", run / "detector.caffemodel"]
    assert tool("test_net", *words, "--imdb", "voc_2007_test") == 3
    assert "Fix: --classes circle,square,triangle" in capsys.readouterr().err
    assert not Path("output").exists()


def test_rpn_generate(place, capsys):
    run = folder_of(place / "run")
    words = [
        "--def",
        run / "test.prototxt",
        "--net",
        run / "detector.caffemodel",
        "--classes",
        ",".join(NAMES),
    ]
    settings = ["--set", "TEST.SCALES", "(48,)"]
    assert tool("rpn_generate.py", *words, "--imdb", "voc_2007_train", *settings) == 0
    assert "recall" in capsys.readouterr().out
    found = read_proposals("output/default/voc_2007_train/detector_proposals.npz")
    assert len(found) == 4 and all(len(b) > 30 for b, _ in found.values())
    fewer = [*settings, "TEST.RPN_POST_NMS_TOP_N", "5"]
    assert tool("rpn_generate.py", *words, "--imdb", "voc_2007_train", *fewer) == 0
    found = read_proposals("output/default/voc_2007_train/detector_proposals.npz")
    assert all(len(b) == 5 for b, _ in found.values())


def test_compress_net(place, capsys):
    run = folder_of(place / "run", FAST, "fast")
    from caffelite.detection.compression import svd_net
    from caffelite.prototxt.source import read_net
    from caffelite.prototxt.write import write_text

    Path("thin.prototxt").write_text(write_text(svd_net(read_net(run / "test.prototxt"), {"fc6": 6}).message))
    words = ["--def", run / "test.prototxt", "--net", run / "detector.caffemodel"]
    assert tool("compress_net.py", *words, "--def-svd", "thin.prototxt") == 0
    caffelite.Net("thin.prototxt", caffelite.TEST, weights=str(run / "detector_svd_fc6_6.caffemodel"))
    assert tool("compress_net", *words, "--def-svd", run / "test.prototxt") == 2
    assert "expected layers such as fc6_L and fc6_U" in capsys.readouterr().err


def test_train_svms(place, capsys):
    pytest.importorskip("sklearn")
    run = folder_of(place / "run", FAST, "fast")
    words = ["--def", run / "test.prototxt", "--classes", ",".join(NAMES), "--set", "TEST.SCALES", "(48,)"]
    weights = run / "detector.caffemodel"
    file = regions_file("b.npz", "train")
    code = tool("train_svms.py", "--net", weights, "--imdb", "voc_2007_train", "--proposals", file, *words)
    assert code == 0
    svm = caffelite.Net(
        str(run / "test.prototxt"), caffelite.TEST, weights=str(run / "detector_svm.caffemodel")
    )
    old = caffelite.Net(str(run / "test.prototxt"), caffelite.TEST, weights=str(weights))
    w, b = (blob.data for blob in svm.params["cls_score"])
    assert not w[0].any() and b[0] == 0 and w[1:].any(axis=1).any()
    np.testing.assert_array_equal(svm.params["fc6"][0].data, old.params["fc6"][0].data)
    file = regions_file("t.npz")
    assert (
        tool(
            "test_net",
            "--net",
            run / "detector_svm.caffemodel",
            "--proposals",
            file,
            *words,
            "TEST.SVM",
            "True",
        )
        == 0
    )


def test_demo_py(place, capsys):
    run = folder_of(place / "run")
    image_file(place / "data" / "demo", "000456.jpg")
    words = [
        "--def",
        run / "test.prototxt",
        "--weights",
        run / "detector.caffemodel",
        "--classes",
        ",".join(NAMES),
    ]
    assert tool("frcnn", "demo", "--cpu", *words, "-o", "out") == 0
    assert Path("out/000456.jpg.json").exists()
    assert tool("frcnn", "demo", "--net", "zf") == 3
    assert "ZF_faster_rcnn_final.caffemodel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "name"), [("faster", "train_net"), ("faster-4step", "train_faster_rcnn_alt_opt")]
)
def test_training(place, capsys, method, name):
    from caffelite.detection.recipes import init

    folder = Path("models/pascal_voc/tiny/faster_rcnn_alt_opt")
    folder.mkdir(parents=True)
    init(folder, arch="tiny", method=method, dataset=load_set(DATA, "train"))
    (folder / "detector.json").unlink()
    which = ["--solver", folder / "solver.prototxt"] if method == "faster" else ["--net_name", "tiny"]
    settings = ["TRAIN.SCALES", "(48,)", "TEST.SCALES", "(48,)", "EXP_DIR", "mine"]
    words = ["--imdb", "voc_2007_train", "--iters", "2", "--classes", ",".join(NAMES), "--set", *settings]
    assert tool(f"{name}.py", *which, *words) == 0
    run = Path("output/mine/voc_2007_train")
    assert (run / "detector.caffemodel").exists()
    assert json.loads((run / "detector.json").read_text())["classes"] == list(NAMES)
    assert det("test", run, "--data", DATA, "--split", "test") == 0


def test_train_net_of_a_fast_rcnn_needs_proposals(place, capsys):
    from caffelite.detection.recipes import init

    Path("fast").mkdir()
    init("fast", arch="tiny", method="fast", dataset=load_set(DATA, "train"))
    words = [
        "--solver",
        "fast/solver.prototxt",
        "--imdb",
        "voc_2007_train",
        "--iters",
        "2",
        "--classes",
        ",".join(NAMES),
    ]
    assert tool("train_net", *words) == 2
    assert "needs proposals of 'voc_2007_train'" in capsys.readouterr().err
    assert (
        tool(
            "train_net",
            *words,
            "--proposals",
            regions_file("b.npz", "train"),
            "--set",
            "TRAIN.SCALES",
            "(48,)",
        )
        == 0
    )


def test_flags_that_are_needed(place, capsys):
    assert tool("test_net") == 2
    assert "expected --def FILE" in capsys.readouterr().err
    assert tool("train_net") == 2
    assert tool("train_faster_rcnn_alt_opt", "--net_name", "none") == 3


@pytest.mark.parametrize("name", sorted(f.stem for f in TOOLS.glob("*.py") if '"frcnn"' in f.read_text()))
def test_scripts_run(name):
    result = subprocess.run(
        [sys.executable, TOOLS / f"{name}.py", "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0 and result.stdout.startswith(f"usage: caffelite frcnn {name}"), (
        result.stderr
    )


# -- imdb --------------------------------------------------------------------------------------------------------


def test_names_of_sets(place):
    assert place_of("voc_2007_trainval") == (Path("data/VOCdevkit2007/VOC2007"), "trainval", VOC)
    assert place_of("coco_2014_val")[0] == Path("data/coco/annotations/instances_val2014.json")
    assert place_of(f"{DATA}:test") == (Path(DATA), "test", ())
    with pytest.raises(UsageError, match="expected voc_2007_trainval"):
        place_of("imagenet")
    with pytest.raises(MissingFileError, match="data of imdb 'voc_2012_test'"):
        load_imdb("voc_2012_test")


def test_several_sets(place):
    both = load_imdb(f"{DATA}:train+{DATA}:test")
    assert len(both) == 6 and both.classes == CLASSES
    with pytest.raises(UsageError, match="in several of the sets"):
        load_imdb(f"{DATA}:test+{DATA}:test")
    voc(place / "other", thing(1, 1, 20, 20, name="cat"))
    listed(place / "other", "test", "a")
    with pytest.raises(UsageError, match="different classes"):
        load_imdb(f"{DATA}:test+other:test")


def test_a_card_of_cfg_holds_all_that_is_not_usual(place):
    with configured(
        "", ["TRAIN.BATCH_SIZE", "64", "TRAIN.SCALES", "(300,)", "TEST.SCALES", "(400,)", "TEST.NMS", "0.4"]
    ):
        card = card_of_cfg("faster", CLASSES)
    assert card.config["TRAIN.BATCH_SIZE"] == 64 and card.config["TRAIN.SCALES"] == [300]
    assert card.scales == (400,) and card.nms == 0.4
