from __future__ import annotations

import numpy as np
import pytest

from caffelite.boxes.config import Config, cfg, defaults
from caffelite.boxes.yaml_text import read_yaml
from caffelite.errors import FieldError, UsageError


def test_the_settings_of_py_faster_rcnn() -> None:
    config = defaults()
    assert (len(config.TRAIN), len(config.TEST), len(config) - 2) == (
        35,
        11,
        11,
    )  # two are ours: IMAGE_CACHE_MB, SIZE_MULTIPLE
    assert (config.TRAIN.RPN_PRE_NMS_TOP_N, config.TEST.RPN_PRE_NMS_TOP_N) == (12000, 6000)
    assert (config.TRAIN.BG_THRESH_LO, config.TRAIN.BBOX_NORMALIZE_STDS) == (0.1, (0.1, 0.1, 0.2, 0.2))
    assert config["TEST"]["NMS"] == 0.3
    assert config.PIXEL_MEANS.shape == (1, 1, 3)
    assert cfg.names() == config.names()


@pytest.mark.parametrize(
    ("key", "value", "want"),
    [
        ("TRAIN.FG_FRACTION", 1, 1.0),
        ("TRAIN.FG_FRACTION", "1e-3", 0.001),
        ("TRAIN.SCALES", 600, (600,)),
        ("TRAIN.SCALES", [480, 600], (480, 600)),
        ("TRAIN.BBOX_NORMALIZE_STDS", [1, 1, 2, 2], (1.0, 1.0, 2.0, 2.0)),
        ("TRAIN.BATCH_SIZE", np.int64(64), 64),
        ("EXP_DIR", "mine", "mine"),
        ("TEST.SVM", True, True),
    ],
)
def test_values_that_fit(key: str, value: object, want: object) -> None:
    config = defaults()
    config.set(key, value)
    group, _, name = key.rpartition(".")
    got = config[group][name] if group else config[name]
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TRAIN.BATCH_SIZE", 0.5, "TRAIN.BATCH_SIZE: expected a whole number, got 0.5"),
        ("TRAIN.BATCH_SIZE", True, "TRAIN.BATCH_SIZE: expected a whole number, got True"),
        ("TRAIN.HAS_RPN", 1, "TRAIN.HAS_RPN: expected True or False, got 1"),
        ("TRAIN.FG_FRACTION", "much", "TRAIN.FG_FRACTION: expected a number, got 'much'"),
        ("TRAIN.FG_FRACTION", False, "TRAIN.FG_FRACTION: expected a number, got False"),
        ("TRAIN.SCALES", "big", "TRAIN.SCALES: expected whole numbers, got 'big'"),
        ("TRAIN.SCALES", [], r"TRAIN.SCALES: expected whole numbers, got \[\]"),
        ("TRAIN.BBOX_NORMALIZE_STDS", (1, 2), r"TRAIN.BBOX_NORMALIZE_STDS: expected 4 numbers, got \(1, 2\)"),
        ("PIXEL_MEANS", [1, 2], r"PIXEL_MEANS: expected 3 numbers, got \[1, 2\]"),
        ("EXP_DIR", None, "EXP_DIR: expected a text, got None"),
        ("TRAIN", 3, "TRAIN: expected one setting, got a group"),
    ],
)
def test_values_that_do_not(key: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        defaults().set(key, value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("TRAIN.RPN_PRE_NMS_TOPN", "TRAIN.RPN_PRE_NMS_TOP_N"),
        ("train.scales", "TRAIN.SCALES"),
        ("TEST.NMSS", "TEST.NMS"),
        ("EXPDIR", "EXP_DIR"),
        ("TRAIN.SCALES.X", ""),
    ],
)
def test_names_that_are_not_there(key: str, meant: str) -> None:
    with pytest.raises(FieldError) as caught:
        defaults().set(key, 1)
    assert (f"did you mean '{meant}'?" if meant else "there is no such setting") in str(caught.value)


def test_attributes() -> None:
    config = defaults()
    with pytest.raises(AttributeError, match="did you mean 'BATCH_SIZE'"):
        _ = config.TRAIN.BATCHSIZE
    with pytest.raises(UsageError, match="MAX_SIZE: expected a whole number"):
        config.TRAIN.MAX_SIZE = "large"
    with pytest.raises(UsageError, match="TRAIN: expected a group of settings"):
        config.TRAIN = 5
    config.TRAIN.MINE = 7
    assert config.TRAIN["MINE"] == 7
    config.PIXEL_MEANS = [1, 2, 3]
    assert config.PIXEL_MEANS.tolist() == [[[1, 2, 3]]]


def test_merge_takes_all_or_nothing() -> None:
    config = defaults()
    config.merge({"TRAIN": {"HAS_RPN": True, "IMS_PER_BATCH": 1}, "EXP_DIR": "x"})
    assert (config.TRAIN.HAS_RPN, config.TRAIN.IMS_PER_BATCH, config.EXP_DIR) == (True, 1, "x")
    before = config.copied()
    with pytest.raises(UsageError):
        config.merge({"EXP_DIR": "y", "TRAIN": {"HAS_RPN": 3}})
    assert config.EXP_DIR == before.EXP_DIR == "x"


def test_restore_reaches_those_who_hold_it() -> None:
    config = defaults()
    before, train = config.copied(), config.TRAIN
    config.TRAIN.SCALES = 100
    config.TRAIN.NEW = 1
    assert before.TRAIN.SCALES == (600,)
    config.restore(before)
    assert train.SCALES == (600,)
    assert "NEW" not in train
    assert isinstance(config, Config)


def test_yaml_of_param_str() -> None:
    text = "'feat_stride': 16 \n'scales': !!python/tuple [4, 8, 16, 32]"
    assert read_yaml(text, "param_str") == {"feat_stride": 16, "scales": (4, 8, 16, 32)}
    assert read_yaml("", "param_str") == {}
    assert read_yaml("{num_classes: 21, ratios: [0.5, 1]}", "x") == {"num_classes": 21, "ratios": [0.5, 1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'a': 1\n'b': [1,", "param_str:2:9: expected YAML"),
        (
            "!!python/object/apply:os.getcwd []",
            "param_str:1:1: expected YAML; could not determine a constructor",
        ),
        ("just words", "param_str: expected names and values"),
        ("1: 2", "param_str: expected names and values"),
        ("a: \x07", "param_str: expected YAML"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_yaml(text, "param_str")
