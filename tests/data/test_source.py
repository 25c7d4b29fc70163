"""The Data layer's source: Caffe's batches, shuffling, prefetching, resuming bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.datum_source import DatumSource
from caffelite.data.lmdb import LmdbWriter
from caffelite.data.owner import Owner
from caffelite.data.transform import TransformParams
from caffelite.errors import DataError, MissingFileError
from caffelite.random import RandomSource
from caffelite.types import Location, Phase

LAYER = Owner("pictures", "Data", Location("net.prototxt", 5, 1))
CASES = {
    "raw": ("raw", 4, TransformParams()),
    "single_mean": ("gray", 4, TransformParams(mean_value=(100,), scale=0.5)),
    "mean_value": ("encoded", 3, TransformParams(mean_value=(104, 117, 123), crop_size=16)),
    "crop_mean_scale": ("raw", 5, TransformParams(crop_size=15, mean_file="?", scale=0.0078125)),
    "resized_no_label": ("resized", 4, TransformParams()),
}


def same(a, b):
    return len(a) == len(b) and all(
        x.keys() == y.keys() and all(np.array_equal(x[name], y[name]) for name in x)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_caffes_batches(golden, take, case, workers):
    database, batch_size, params = CASES[case]
    if params.mean_file:
        params = replace(params, mean_file=str(golden.mean_file()))
    label = f"{case}_label_0" in golden.arrays
    source = DatumSource(golden.database(database), batch_size, params, label=label, workers=workers)
    for number, batch in enumerate(take(source, 4)):
        assert batch.keys() == ({"data", "label"} if label else {"data"})
        for name, array in batch.items():
            assert np.array_equal(array, golden.arrays[f"{case}_{name}_{number}"])
    source.close()


def test_shapes_are_known_at_once(numbered):
    source = DatumSource(numbered(), 5, TransformParams(crop_size=3))
    assert source.shapes() == {"data": (5, 1, 3, 3), "label": (5,)}
    assert len(source) == 23
    assert DatumSource(numbered(name="b"), 5, label=False).shapes() == {"data": (5, 1, 6, 7)}


def test_an_epoch_in_order_then_from_the_start(numbered, take):
    source = DatumSource(numbered(23), 5)
    labels = np.concatenate([batch["label"] for batch in take(source, 10)])
    assert labels.tolist() == [i % 23 for i in range(50)]


def test_a_shuffled_epoch_has_each_record_once_and_the_next_another_order(numbered, take):
    source = DatumSource(numbered(23), 5, random=RandomSource(1), owner=LAYER, shuffle=True)
    labels = np.concatenate([batch["label"] for batch in take(source, 14)]).astype(int).tolist()
    first, second, third = labels[:23], labels[23:46], labels[46:69]
    assert sorted(first) == sorted(second) == sorted(third) == list(range(23))
    assert first != second and second != third and first != sorted(first)


@pytest.mark.parametrize(
    "options", [{"shuffle": True}, {"transform": TransformParams(crop_size=4, mirror=True)}]
)
def test_the_seed_and_the_layers_name_decide(numbered, take, options):
    path = numbered(23)

    def batches(seed, name):
        source = DatumSource(
            path, 5, phase=Phase.TRAIN, random=RandomSource(seed), owner=Owner(name), **options
        )
        return take(source, 6)

    assert same(batches(1, "a"), batches(1, "a"))
    assert not same(batches(1, "a"), batches(2, "a"))
    assert not same(batches(1, "a"), batches(1, "b"))


def busy(path, **options):
    """Everything at random: shuffled, cropped and mirrored."""
    params = TransformParams(crop_size=4, mirror=True, mean_value=(3.5,), scale=0.1)
    options = {"random": RandomSource(7), "workers": 2, "prefetch": 5, **options}
    return DatumSource(path, 5, params, Phase.TRAIN, owner=LAYER, shuffle=True, **options)


def test_workers_make_the_same_batches(numbered, take):
    path = numbered(23)
    inline, ahead = busy(path, workers=0), busy(path)
    assert (inline.workers, ahead.workers) == (0, 2)
    assert same(take(inline, 30), take(ahead, 30))
    ahead.close()


def test_resuming_anywhere_goes_on_bit_for_bit(numbered, take):
    path, rng = numbered(23), np.random.default_rng(3)
    whole = take(busy(path, workers=0), 40)
    source = busy(path, workers=1)
    for position in rng.integers(0, 30, 4).tolist():
        other = busy(path, random=RandomSource(99), workers=int(rng.integers(0, 3)))
        source.restore(take_to(path, position, take))
        assert same(take(source, 5), whole[position : position + 5])
        other.restore(json.loads(json.dumps(source.state())))
        assert same(take(other, 5), whole[position + 5 : position + 10])
        other.close()
    source.close()


def take_to(path, position, take):
    source = busy(path, workers=0)
    take(source, position)
    return json.loads(json.dumps(source.state()))


KILLED = """
import json, os, sys
import numpy as np
from caffelite.data.datum_source import *
from caffelite.data.datum_source import Owner
path, state_file, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
params = TransformParams(crop_size=4, mirror=True, mean_value=(3.5,), scale=0.1)
random, owner = RandomSource(seed), Owner("pictures")
source = DatumSource(path, 5, params, Phase.TRAIN, random, owner, shuffle=True, workers=1)
into = {name: np.empty(shape, np.float32) for name, shape in source.shapes().items()}
for number in range(11):
    source.next(into)
    with open(state_file, "w") as file:
        json.dump(source.state(), file)
source.next(into)  # delivered, but not in the state: to be delivered again
os.kill(os.getpid(), 9)
"""


def test_resuming_after_kill_9(numbered, take, tmp_path):
    path = numbered(23)
    command = [sys.executable, "-c", KILLED, os.fspath(path), os.fspath(tmp_path / "state"), "7"]
    assert subprocess.run(command).returncode == -9
    source = busy(path, workers=1)
    source.restore(json.loads((tmp_path / "state").read_text()))
    assert same(take(source, 4), take(busy(path, workers=0), 15)[11:])
    source.close()


def test_a_source_without_a_seed_keeps_the_one_it_took(numbered, take):
    path = numbered(23)
    first = busy(path, random=None, workers=0)
    state = first.state()
    second = busy(path, random=None, workers=0)
    second.restore(state)
    assert same(take(first, 3), take(second, 3))


def test_reseeding_a_net_does_not_change_a_running_source(numbered, take):
    random, path = RandomSource(7), numbered(23)
    source = busy(path, random=random, workers=0)
    take(source, 3)
    random.reseed(8)
    assert same(take(source, 5), take(busy(path, workers=0), 8)[3:])


def test_a_closed_source_goes_on_where_it_was(numbered, take):
    path = numbered(23)
    source = busy(path)
    found = take(source, 3)
    source.close()
    source.close()
    assert same(found + take(source, 3), take(busy(path, workers=0), 6))
    source.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_forked_child_makes_its_own_batches(numbered, take, workers):
    path = numbered(23)
    source = busy(path, workers=workers)
    expected = take(busy(path, workers=0), 6)
    assert same(take(source, 2), expected[:2])
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if same(take(source, 2), expected[2:4]) else 2
            source.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert same(take(source, 4), expected[2:])
    source.close()


@pytest.mark.parametrize("changed, text", [("records", "records = 23"), ("shuffle", "shuffle = True")])
def test_resuming_with_other_data_is_refused(numbered, changed, text):
    state = busy(numbered(23)).state()
    path = numbered(24, name="other") if changed == "records" else numbered(23, name="same")
    source = DatumSource(path, 5, owner=LAYER, shuffle=changed == "records")
    with pytest.raises(DataError, match=f"layer 'pictures'.* with {text} as in the snapshot, got"):
        source.restore(state)


# -- records that do not fit ----------------------------------------------------------------------------


def write(path, records):
    with LmdbWriter(path) as writer:
        for number, record in enumerate(records):
            writer.put(record, f"{number}.png")
    return path


GOOD = Datum(1, 4, 5, bytes(range(20)), 1)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "bad, text",
    [
        (
            Datum(1, 5, 4, bytes(20)),
            r"expected an image of shape \(1, 4, 5\) like the first one, got \(1, 5, 4\)",
        ),
        (Datum(3, 4, 5, bytes(60)), r"like the first one, got \(3, 4, 5\)"),
        (Datum(1, 4, 5, bytes(20), labels=np.ones(2)), "expected 1 labels like the first record, got 2"),
    ],
)
def test_the_record_that_does_not_fit_is_named(tmp_path, take, bad, text, workers):
    path = write(tmp_path / "db", [GOOD, GOOD, GOOD, bad, GOOD])
    source = DatumSource(path, 2, owner=LAYER, workers=workers)
    assert take(source, 1)[0]["label"].tolist() == [1, 1]
    for _ in range(2):
        with pytest.raises(DataError, match=text) as caught:
            take(source, 1)
        start = f"layer 'pictures' (Data) at net.prototxt:5:1: item '00000003_3.png' (number 3) of '{path}': "
        assert str(caught.value).startswith(start)
        assert source.state()["item"] == 2
    source.close()


def test_a_broken_first_record_is_named_at_once(tmp_path):
    path = write(tmp_path / "db", [b"\x22\x7f"])
    with pytest.raises(DataError, match="item '00000000_0.png'"):
        DatumSource(path, 2)


def test_one_at_a_time_images_may_have_any_size(tmp_path, take):
    path = write(tmp_path / "db", [GOOD, Datum(3, 2, 2, bytes(12), 5), Datum(1, 1, 9, bytes(9), 6)])
    source = DatumSource(path, 1)
    shapes = [batch["data"].shape for batch in take(source, 4)]
    assert shapes == [(1, 1, 4, 5), (1, 3, 2, 2), (1, 1, 1, 9), (1, 1, 4, 5)]


def test_images_of_any_size_may_be_cropped_to_one(tmp_path, take):
    path = write(tmp_path / "db", [GOOD, Datum(1, 9, 3, bytes(27)), Datum(1, 2, 9, bytes(18))])
    source = DatumSource(path, 2, TransformParams(crop_size=3))
    assert take(source, 1)[0]["data"].shape == (2, 1, 3, 3)
    with pytest.raises(DataError, match=r"(?s)item '00000002_2.png'.*at least 3 x 3 .* got 1 x 2 x 9"):
        take(source, 1)


def test_float_records(tmp_path, take):
    values = np.linspace(-1, 1, 6, dtype=np.float32)
    path = write(tmp_path / "db", [Datum(6, 1, 1, None, 300, values)])
    (batch,) = take(DatumSource(path, 2, TransformParams(scale=2)), 1)
    assert np.array_equal(batch["data"][1, :, 0, 0], values * 2)
    assert batch["label"].tolist() == [300, 300]


def test_vectors_of_labels(tmp_path, take):
    vectors = [np.array([i, 0.5, -1], np.float32) for i in range(3)]
    path = write(tmp_path / "db", [Datum(1, 2, 2, b"abcd", 7, labels=vector) for vector in vectors])
    source = DatumSource(path, 2)
    assert source.shapes() == {"data": (2, 1, 2, 2), "label": (2, 3)}
    assert np.array_equal(take(source, 2)[1]["label"], [vectors[2], vectors[0]])


def test_each_batch_made_in_line_has_the_shape_of_its_first_image(tmp_path, take):
    wide, tall = Datum(1, 2, 3, bytes(6)), Datum(1, 3, 2, bytes(6))
    source = DatumSource(write(tmp_path / "db", [wide, wide, tall, tall]), 2)
    assert [batch["data"].shape for batch in take(source, 3)] == [(2, 1, 2, 3), (2, 1, 3, 2), (2, 1, 2, 3)]


def test_labels_above_127_do_not_disturb(tmp_path, take):
    path = write(tmp_path / "db", [Datum(1, 2, 2, b"abcd", label) for label in (1, 999, 127, 128)])
    (batch,) = take(DatumSource(path, 4), 1)
    assert batch["label"].tolist() == [1, 999, 127, 128]


def test_bad_arguments(tmp_path, numbered):
    with pytest.raises(DataError, match="expected batch_size >= 1, got 0"):
        DatumSource(numbered(), 0)
    with pytest.raises(MissingFileError, match="layer 'pictures'"):
        DatumSource(tmp_path / "nowhere", 1, owner=LAYER)
    with pytest.raises(DataError, match="write backend: LMDB in"):
        DatumSource(numbered(name="b"), 1, backend="LEVELDB")
    with pytest.raises(DataError, match="item '00000000'.*crop_size"):
        DatumSource(numbered(name="c"), 1, TransformParams(crop_size=8))


def test_importing_it_loads_no_library():
    code = "import sys, caffelite.data.datum_source; print([m for m in ('lmdb', 'cv2', 'h5py') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
