from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.detection.config import cfg_from_file, cfg_from_list, defaults
from caffelite.errors import FieldError, MissingFileError, UsageError

END2END = """\
EXP_DIR: faster_rcnn_end2end
TRAIN:
  HAS_RPN: True
  IMS_PER_BATCH: 1
  BBOX_NORMALIZE_TARGETS_PRECOMPUTED: True
  RPN_POSITIVE_OVERLAP: 0.7
  RPN_BATCHSIZE: 256
  PROPOSAL_METHOD: gt
  BG_THRESH_LO: 0.0
TEST:
  HAS_RPN: True
"""


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "end2end.yml"
    path.write_text(END2END)
    config = defaults()
    cfg_from_file(path, config)
    assert (config.EXP_DIR, config.TRAIN.PROPOSAL_METHOD, config.TRAIN.BG_THRESH_LO) == (
        "faster_rcnn_end2end",
        "gt",
        0.0,
    )
    assert config.TEST.HAS_RPN is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TRAIN:\n  HASRPN: True\n", "TRAIN.HASRPN: there is no such setting; did you mean 'TRAIN.HAS_RPN'?"),
        ("TRAIN:\n  BATCH_SIZE: many\n", "TRAIN.BATCH_SIZE: expected a whole number, got 'many'"),
        ("TRAIN: [1\n", "expected YAML"),
    ],
)
def test_a_file_with_an_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        cfg_from_file(path, defaults())
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="cfg file"):
        cfg_from_file(tmp_path / "none.yml", defaults())


def test_a_list() -> None:
    config = defaults()
    cfg_from_list(
        [
            "TRAIN.SCALES",
            "480,600",
            "TEST.SCALES",
            "600",
            "TRAIN.HAS_RPN",
            "true",
            "EXP_DIR",
            "5",
            "EPS",
            "1e-3",
        ],
        config,
    )
    assert (config.TRAIN.SCALES, config.TEST.SCALES, config.TRAIN.HAS_RPN) == ((480, 600), (600,), True)
    assert (config.EXP_DIR, config.EPS) == ("5", 0.001)


def test_a_list_with_an_error_changes_nothing() -> None:
    config = defaults()
    with pytest.raises(FieldError, match="did you mean 'TRAIN.SCALES'"):
        cfg_from_list(["TRAIN.HAS_RPN", "True", "TRAIN.SCALE", "600"], config)
    with pytest.raises(UsageError, match="TRAIN.HAS_RPN: expected True or False, got 'maybe'"):
        cfg_from_list(["EXP_DIR", "x", "TRAIN.HAS_RPN", "maybe"], config)
    with pytest.raises(UsageError, match="keys and values in turns"):
        cfg_from_list(["TRAIN.HAS_RPN"], config)
    assert (config.EXP_DIR, config.TRAIN.HAS_RPN) == ("default", False)
