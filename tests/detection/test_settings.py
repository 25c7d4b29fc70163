"""cfg as a detector needs it."""

import numpy as np
import pytest

from caffelite.detection.card import Card
from caffelite.detection.config import cfg, defaults
from caffelite.detection.settings import OWNED, settings, with_settings
from caffelite.errors import FieldError, UsageError
from caffelite.prototxt.source import parse_net

CARD = Card("faster", "tiny", ("cat",), scales=(128,), nms=0.4, config={"TRAIN.BATCH_SIZE": 64})


def test_the_card_holds_inside_and_what_was_before_afterwards():
    cfg.TRAIN.FG_FRACTION = 0.5
    try:
        before = cfg.copied()
        with settings(CARD) as found:
            assert found is cfg
            assert cfg.TRAIN.SCALES == cfg.TEST.SCALES == (128,)
            assert cfg.TEST.NMS == 0.4
            assert cfg.TRAIN.BATCH_SIZE == 64
            assert cfg.TRAIN.HAS_RPN and cfg.TRAIN.IMS_PER_BATCH == 1
            assert cfg.TRAIN.FG_FRACTION == 0.5
        assert cfg == before
    finally:
        cfg.restore(defaults())


def test_pairs_count_more_than_the_card():
    with settings(CARD, ["TRAIN.SCALES", "200,300", "TRAIN.BATCH_SIZE", "32"]):
        assert cfg.TRAIN.SCALES == (200, 300)
        assert cfg.TEST.SCALES == (128,)
        assert cfg.TRAIN.BATCH_SIZE == 32


def test_what_is_changed_inside_and_errors_leave_no_trace():
    before = cfg.copied()
    with pytest.raises(FieldError), settings(CARD, ["TRAIN.SCALE", "200"]):
        pass
    assert cfg == before
    with pytest.raises(ZeroDivisionError), settings(CARD):
        cfg.TEST.NMS = 0.9
        raise ZeroDivisionError
    assert cfg == before


@pytest.mark.parametrize(
    ("key", "type_", "field"),
    [
        ("TRAIN.RPN_BATCHSIZE", "AnchorTarget", "anchor_target_param { batch_size"),
        ("TRAIN.BATCH_SIZE", "ProposalTarget", "proposal_target_param { batch_size"),
        ("TEST.RPN_POST_NMS_TOP_N", "Proposal", "proposal_param { post_nms_topn"),
    ],
)
def test_a_setting_that_a_layer_has_is_refused_with_the_field(key, type_, field):
    with pytest.raises(UsageError) as caught, settings(CARD, [key, "7"], {"Convolution", type_}):
        pass
    assert field in str(caught.value)
    with settings(CARD, [key, "7"], {"Convolution", "Python"}):
        pass


def test_the_fields_and_settings_that_are_named_exist():
    known = cfg.names()
    for message, names in OWNED.values():
        layer = parse_net('layer { name: "x" type: "Proposal" }').message.layer[0]
        fields = {field.name for field in getattr(layer, message).DESCRIPTOR.fields}
        assert set(names.values()) <= fields
        assert set(names) <= set(known)


def test_what_testing_needs_of_a_run_s_settings_goes_into_its_card(tmp_path):
    pairs = [
        "PIXEL_MEANS",
        "[1, 2, 3]",
        "TEST.SCALES",
        "(48,)",
        "TEST.NMS",
        "0.5",
        "TRAIN.USE_FLIPPED",
        "False",
    ]
    card = with_settings(Card("faster", "", ("a",)), pairs)
    card.write(tmp_path)
    with settings(Card.read(tmp_path)) as config:
        assert np.ravel(config.PIXEL_MEANS).tolist() == [1, 2, 3]
        assert config.TEST.NMS == 0.5 and tuple(config.TEST.SCALES) == (48,)
        assert config.TRAIN.USE_FLIPPED
