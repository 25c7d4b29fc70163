"""``caffelite det train``."""

import pytest

from caffelite.cli.main import main
from tests.detection.training import shapes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(shapes(tmp_path_factory.mktemp("data") / "shapes"))


def test_from_data_alone_to_a_detector_and_on(data, tmp_path, capfd):
    run = tmp_path / "run"
    flags = ["--data", data, "--split", "train", "-o", str(run), "--seed", "1", "--pictures", "1"]
    assert main(["det", "train", *flags, "--iterations", "2", "--val", "test"]) == 0
    assert f"Wrote {run / 'detector.caffemodel'}" in capfd.readouterr().out
    assert len(list((run / "pictures").iterdir())) == 1
    assert main(["det", "train", *flags, "--iterations", "3"]) == 2
    assert "holds a run already" in capfd.readouterr().err
    assert main(["det", "train", *flags, "--iterations", "3", "--resume", "auto"]) == 0
    assert (run / "snapshots" / "tiny_faster_rcnn_iter_3.solverstate").exists()


def test_regions_come_from_a_file(data, tmp_path, capfd):
    run, boxes = tmp_path / "run", tmp_path / "boxes.npz"
    flags = ["--data", data, "--split", "train", "-o", str(run), "--method", "fast", "--iterations", "1"]
    assert main(["det", "train", *flags]) == 2
    assert "--proposals FILE" in capfd.readouterr().err
    propose = [
        "det",
        "propose",
        data,
        "-split",
        "train",
        "-method",
        "sliding",
        "-limit",
        "50",
        "-o",
        str(boxes),
    ]
    assert main(propose) == 0
    assert main(["det", "train", *flags, "--proposals", str(boxes), "--resume", "auto"]) == 0


@pytest.mark.parametrize(("flags", "said"), [([], "--data DATA"), (["--data", "x"], "-o RUN")])
def test_what_is_missing(flags, said, capfd):
    assert main(["det", "train", *flags]) == 2
    assert said in capfd.readouterr().err
