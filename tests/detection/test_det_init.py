"""det init on the command line."""

import pytest

from caffelite.cli.main import main
from caffelite.detection.card import Card
from caffelite.detection.shapes import make_shapes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(make_shapes(tmp_path_factory.mktemp("sets") / "shapes", images=12, test=1))


def test_writes_a_detector_and_tells_why_and_what_is_next(data, tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main(["det", "init", str(folder), "--data", data]) == 0
    said = capsys.readouterr().out
    assert "classes: 3 (circle, square, triangle)" in said
    assert "anchors: sides 20, 36, 64" in said
    assert f"caffelite det train {folder} --data {data} --split train -o runs/tiny_faster" in said
    card = Card.read(folder)
    assert (card.method, card.arch, card.scales) == ("faster", "tiny", (128,))
    names = {path.name for path in folder.iterdir()}
    assert names == {"train.prototxt", "test.prototxt", "solver.prototxt", "detector.json"}


def test_fast_needs_proposals_and_published_weights(tmp_path, capsys):
    flags = ["--arch", "zf", "--method", "fast", "--classes", "cat,dog"]
    assert main(["det", "init", str(tmp_path / "mine"), *flags]) == 0
    said = capsys.readouterr().out
    assert "caffelite det propose DATA -o proposals.npz" in said
    assert "--proposals proposals.npz --weights ZF.v2.caffemodel" in said
    assert Card.read(tmp_path / "mine").classes == ("cat", "dog")


def test_a_detector_is_not_written_over_unless_forced(tmp_path, capsys):
    command = ["det", "init", str(tmp_path), "--classes", "cat"]
    assert main(command) == 0
    assert main([*command, "--iterations", "100"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--iterations", "100", "--force"]) == 0
    assert "max_iter: 100\n" in (tmp_path / "solver.prototxt").read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "which classes"),
        (["--classes", "cat", "--arch", "alexnet"], "--arch: expected one of tiny"),
        (["--classes", "cat", "--iterations", "-1"], "--iterations"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_flags_leave_nothing(flags, said, tmp_path, capsys):
    assert main(["det", "init", str(tmp_path / "mine"), *flags]) in (2, 3)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
