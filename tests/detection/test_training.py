"""Runs of a few iterations: what they leave, how they go on, what they say when something is wrong."""

import csv
import json
import os
import re
import signal
from dataclasses import replace

import numpy as np
import pytest

from caffelite.detection.card import Card
from caffelite.detection.config import cfg
from caffelite.detection.dataset import load_set
from caffelite.detection.heads import find_heads
from caffelite.detection.training import DetectionSolver, train
from caffelite.errors import (
    DataError,
    MissingFileError,
    NotFiniteError,
    SnapshotError,
    UsageError,
    WeightsError,
)
from caffelite.model import Model
from caffelite.types import Phase
from caffelite.weights import load_state, load_weights
from tests.detection.training import recipe, regions, shapes, short

LOSSES = {"train_loss_bbox", "train_loss_cls", "train_rpn_cls_loss", "train_rpn_loss_bbox"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_set(shapes(tmp_path_factory.mktemp("data") / "shapes"), "train")


@pytest.fixture(scope="module")
def faster(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes") / "faster"
    recipe(folder, data)
    return folder


@pytest.fixture(scope="module")
def fast(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes") / "fast"
    recipe(folder, data, "fast")
    return folder


def edit(folder, name, old, new, to):
    """A copy of a recipe with a change in one file."""
    to.mkdir()
    for file in folder.iterdir():
        text = file.read_text()
        (to / file.name).write_text(re.sub(old, new, text) if file.name == name else text)
    return to


def layer(path, name):
    return next(entry.blobs for entry in load_weights(path) if entry.name == name)


# -- what a run leaves ---------------------------------------------------------------------------------------


def test_a_run_is_a_detector_with_its_files_and_four_losses(data, faster, tmp_path):
    run = tmp_path / "run"
    result = short(faster, data, run, pictures=2)
    assert result == run / "detector.caffemodel"
    assert Card.read(run) == Card.read(faster)
    row = next(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert row.keys() >= LOSSES and all(float(row[name]) > 0 for name in LOSSES)
    assert "Iteration 0" in (run / "log.txt").read_text()
    assert len(list((run / "pictures").glob("*.jpg"))) == 2
    assert sorted(path.suffix for path in (run / "snapshots").iterdir()) == [".caffemodel", ".solverstate"]
    solver = (run / "solver.prototxt").read_text()
    assert "max_iter: 4" in solver and "random_seed: 1" in solver


def test_a_run_repeats(data, faster, tmp_path):
    one, two = (short(faster, data, tmp_path / name).read_bytes() for name in "ab")
    assert one == two


def test_a_folder_that_holds_a_run_is_refused(data, faster, tmp_path):
    short(faster, data, tmp_path / "run", 1)
    with pytest.raises(UsageError, match="holds a run already\n  Fix: .*--resume auto"):
        short(faster, data, tmp_path / "run", 1)


def test_the_folder_is_tried_out_before_anything_is_trained(data, faster, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError):
        short(faster, data, tmp_path / "file" / "run")


def test_training_in_the_recipes_own_folder(data, faster, tmp_path):
    run = edit(faster, "solver.prototxt", "^", "", tmp_path / "own")
    assert short(run, data, run, 1).exists()


@pytest.mark.parametrize("field", ["iter_size: 2", "average_loss: 3"])
def test_fields_of_the_solver(data, faster, tmp_path, field):
    changed = edit(faster, "solver.prototxt", r"average_loss: \d+|\Z", "", tmp_path / "recipe")
    with (changed / "solver.prototxt").open("a") as file:
        file.write(f"\n{field}\n")
    assert short(changed, data, tmp_path / "run", 2).exists()


def test_pictures_without_objects_are_background(data, faster, fast, tmp_path):
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    bare = [
        replace(p, boxes=none[0], labels=none[1], difficult=none[2], crowd=none[2], areas=none[0][:, 0])
        for p in data.pictures
    ]
    empty = replace(data, pictures=bare)
    assert short(faster, empty, tmp_path / "faster", 3).exists()
    assert short(fast, empty, tmp_path / "fast", 3, proposals=regions(empty)).exists()


def test_settings_reach_the_data_layer_and_those_of_layers_are_refused(data, faster, tmp_path):
    short(faster, data, tmp_path / "run", 1, settings=["TRAIN.USE_FLIPPED", "False"])
    with pytest.raises(UsageError, match=r"TRAIN.RPN_BATCHSIZE.*\n  Fix: .*anchor_target_param { batch_size"):
        short(faster, data, tmp_path / "other", 1, settings=["TRAIN.RPN_BATCHSIZE", "16"])


# -- box codes -----------------------------------------------------------------------------------------------


def solver_of(run, monkeypatch):
    """The solver of a run, caught when it gets its data."""
    caught = []
    feed = DetectionSolver.feed

    def keep(self, *arguments):
        feed(self, *arguments)
        caught.append(self)

    monkeypatch.setattr(DetectionSolver, "feed", keep)
    return caught


def test_weights_files_hold_codes_not_normalised_ones(data, faster, tmp_path, monkeypatch):
    caught = solver_of(tmp_path, monkeypatch)
    run = tmp_path / "run"
    result = short(faster, data, run)
    (solver,) = caught
    learned = [param.data for param in solver.folding.params]
    stds = np.tile([0.1, 0.1, 0.2, 0.2], 4)
    for path in (result, *(run / "snapshots").glob("*.caffemodel")):
        W, b = layer(path, "bbox_pred")
        np.testing.assert_allclose(W, learned[0] * stds[:, None], rtol=1e-6)
        np.testing.assert_allclose(b, learned[1] * stds, rtol=1e-6)


def test_fast_folds_the_measured_means_and_deviations(data, fast, tmp_path, monkeypatch):
    caught = solver_of(tmp_path, monkeypatch)
    result = short(fast, data, tmp_path / "run", proposals=regions(data))
    norm = caught[0].folding.norm
    assert norm.means[4:].any() and not norm.means[:4].any()
    learned = [param.data for param in caught[0].folding.params]
    W, b = layer(result, "bbox_pred")
    np.testing.assert_allclose(W, learned[0] * norm.stds[:, None], rtol=1e-6)
    np.testing.assert_allclose(b, learned[1] * norm.stds + norm.means, rtol=1e-6)


def test_heads_are_found_by_their_losses_whatever_they_are_called(data, faster, tmp_path):
    text = (faster / "train.prototxt").read_text().replace('"bbox_pred"', '"b"').replace('"cls_score"', '"c"')
    (tmp_path / "net.prototxt").write_text(text)
    net = Model(tmp_path / "net.prototxt", Phase.TRAIN)
    assert find_heads(net.graph).names == ["c", "b"]


def test_weights_of_the_same_classes_go_on_where_they_were(data, faster, tmp_path, monkeypatch):
    first = short(faster, data, tmp_path / "first")
    caught = solver_of(tmp_path, monkeypatch)
    still = edit(faster, "solver.prototxt", r"(base_lr|rampup_lr): .*", r"\1: 1e-30", tmp_path / "still")
    second = short(still, data, tmp_path / "second", 1, weights=first)
    np.testing.assert_allclose(layer(second, "bbox_pred")[0], layer(first, "bbox_pred")[0], rtol=1e-5)
    np.testing.assert_allclose(
        caught[0].folding.params[0].data[0], layer(first, "bbox_pred")[0][0] / 0.1, rtol=1e-5
    )


def test_weights_of_other_classes_leave_the_head_to_be_learned(data, faster, tmp_path):
    first = short(faster, data, tmp_path / "first", 2)
    card = Card.read(faster)
    two = replace(data, classes=data.classes[:2])
    pictures = [replace(p, labels=np.minimum(p.labels, 2)) for p in data.pictures]
    recipe(tmp_path / "recipe", replace(two, pictures=pictures))
    short(tmp_path / "recipe", replace(two, pictures=pictures), tmp_path / "run", 1, weights=first)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"background, {', '.join(card.classes[:2])} apart: bbox_pred and cls_score are learned anew" in log
    assert f"({', '.join(card.classes)})" in log


# -- going on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["faster", "fast"])
def test_a_resumed_run_has_the_same_bits(data, faster, fast, tmp_path, method):
    folder = {"faster": faster, "fast": fast}[method]
    options = {"proposals": regions(data)} if method == "fast" else {}
    whole = short(folder, data, tmp_path / "whole", 9, **options)
    short(folder, data, tmp_path / "parts", 4, **options)
    parts = short(folder, data, tmp_path / "parts", 9, resume="auto", **options)
    assert whole.read_bytes() == parts.read_bytes()
    states = [
        load_state(next(path.glob("snapshots/*_9.solverstate"))) for path in (whole.parent, parts.parent)
    ]
    assert states[0].extra == states[1].extra
    for one, two in zip(states[0].history, states[1].history, strict=True):
        assert one.tobytes() == two.tobytes()


def test_ctrl_c_snapshots_and_stops_and_auto_goes_on(data, faster, tmp_path, monkeypatch):
    def interrupted(self, *arguments):
        feed(self, *arguments)
        self.on_start.append(lambda: os.kill(os.getpid(), signal.SIGINT) if self.iter == 2 else None)

    whole = short(faster, data, tmp_path / "whole", 6)
    feed = DetectionSolver.feed
    with monkeypatch.context() as patch:
        patch.setattr(DetectionSolver, "feed", interrupted)
        stopped = short(faster, data, tmp_path / "run", 6)
    assert stopped.name.endswith("_iter_3.caffemodel") and stopped.exists()
    assert not (tmp_path / "run" / "detector.caffemodel").exists()
    assert "--resume auto" in (tmp_path / "run" / "log.txt").read_text()
    assert short(faster, data, tmp_path / "run", 6, resume="auto").read_bytes() == whole.read_bytes()


def test_auto_begins_where_there_is_nothing_to_resume(data, faster, tmp_path):
    assert short(faster, data, tmp_path / "run", 1, resume="auto").exists()


def test_a_resumed_run_has_the_settings_that_it_began_with(data, faster, tmp_path, capsys):
    pairs = ("TRAIN.SCALES", "(96,)", "TRAIN.USE_FLIPPED", "False")
    whole = short(faster, data, tmp_path / "whole", 4, settings=pairs)
    short(faster, data, tmp_path / "two", 2, settings=pairs)
    assert short(faster, data, tmp_path / "two", 4, resume="auto").read_bytes() == whole.read_bytes()
    assert f"The run has --set {' '.join(pairs)}" in capsys.readouterr().err


def test_settings_of_a_resumed_run_can_be_replaced(data, faster, tmp_path):
    run = tmp_path / "run"
    short(faster, data, run, 1, settings=("TRAIN.SCALES", "(96,)"))
    with pytest.raises(UsageError, match="TRAIN.SCALES: expected"):
        short(faster, data, run, 2, resume="auto", settings=("TRAIN.SCALES", "x"))
    assert short(faster, data, run, 2, resume="auto", settings=("TRAIN.SCALES", "(64,)")).exists()
    (run / "settings.json").write_text('{"TRAIN.SCALES": 96}')
    with pytest.raises(DataError, match=r"settings\.json': expected a list of texts"):
        short(faster, data, run, 3, resume="auto")


def test_a_resumed_run_has_its_own_card(data, faster, tmp_path):
    folder = edit(faster, "detector.json", "^", "", tmp_path / "recipe")
    whole = short(folder, data, tmp_path / "whole", 4)
    short(folder, data, tmp_path / "two", 2)
    replace(Card.read(folder), scales=(48,)).write(folder)
    assert short(folder, data, tmp_path / "two", 4, resume="auto").read_bytes() == whole.read_bytes()


def test_auto_does_not_write_over_trained_weights(data, faster, tmp_path):
    result = short(faster, data, tmp_path / "run", 1)
    before = result.read_bytes()
    for file in (tmp_path / "run" / "snapshots").iterdir():
        file.unlink()
    with pytest.raises(
        UsageError, match="is trained, but there is no snapshot.*\n  Fix: name another folder"
    ):
        short(faster, data, tmp_path / "run", 2, resume="auto")
    assert result.read_bytes() == before


def test_a_run_that_is_stopped_before_it_begins_has_a_snapshot(data, faster, tmp_path, monkeypatch):
    def stop(self, iterations=1):
        self.stopped = True

    monkeypatch.setattr(DetectionSolver, "step", stop)
    assert short(faster, data, tmp_path / "run").name.endswith("_iter_0.caffemodel")


def test_a_run_with_other_data_is_not_resumed(data, fast, tmp_path):
    short(fast, data, tmp_path / "run", 2, proposals=regions(data))
    with pytest.raises(WeightsError, match="means and deviations of box targets"):
        short(fast, data, tmp_path / "run", 4, resume="auto", proposals=regions(data, 30))


def test_snapshots_come_every_n_iterations(data, faster, tmp_path):
    changed = edit(faster, "solver.prototxt", r"snapshot: \d+", "snapshot: 2", tmp_path / "recipe")
    short(changed, data, tmp_path / "run", 5)
    names = sorted(
        path.stem.rpartition("_")[2] for path in (tmp_path / "run/snapshots").glob("*.solverstate")
    )
    assert names == ["2", "4", "5"]


# -- what is wrong -------------------------------------------------------------------------------------------


def test_a_run_that_diverges_names_pictures_boxes_and_a_cure(data, faster, tmp_path):
    changed = edit(
        faster,
        "solver.prototxt",
        r"(base_lr|clip_gradients|rampup_lr|rampup_interval): .*",
        "",
        tmp_path / "recipe",
    )
    with (changed / "solver.prototxt").open("a") as file:
        file.write("\nbase_lr: 1e6\n")
    with pytest.raises(NotFiniteError) as caught, np.errstate(all="ignore"):
        short(changed, data, tmp_path / "run", 20)
    text = str(caught.value)
    assert re.match(r"iteration \d+: ", text)
    assert re.search(r"Batch: .*00000\d.jpg.*: (class \d: \(|no boxes)", text)
    assert "the learning rate was 1e+06: try base_lr: 100000; clip_gradients: 10; a warm-up" in text


def test_what_is_asked_for_wrongly(data, faster, fast, tmp_path):
    with pytest.raises(UsageError, match="method fast needs proposals"):
        short(fast, data, tmp_path / "run")
    with pytest.raises(UsageError, match="finds its own"):
        short(faster, data, tmp_path / "run", proposals=regions(data))
    with pytest.raises(UsageError, match="expected the detector's classes .*, got x"):
        short(faster, replace(data, classes=("x",)), tmp_path / "run")
    with pytest.raises(MissingFileError, match="detector's card"):
        short(tmp_path, data, tmp_path / "run")
    with pytest.raises(DataError, match="got none for 7"):
        short(fast, data, tmp_path / "run", proposals={})
    assert cfg.TRAIN.USE_FLIPPED


def test_a_solver_without_max_iter_asks_for_iterations(data, faster, tmp_path):
    changed = edit(faster, "solver.prototxt", "max_iter: .*", "", tmp_path / "recipe")
    with pytest.raises(UsageError, match="no max_iter\n  Fix: --iterations N"):
        train(changed, data, run=tmp_path / "run")


def test_the_card_is_written_for_nets_that_have_none(data, faster, tmp_path):
    own = edit(faster, "solver.prototxt", "^", "", tmp_path / "own")
    values = json.loads((own / "detector.json").read_text())
    (own / "detector.json").unlink()
    card = Card("faster", "", data.classes, scales=(64,))
    short(own, data, tmp_path / "run", 1, card=card)
    assert Card.read(tmp_path / "run") == card and values["arch"] == "tiny"
