"""The arithmetic of the table of speeds."""

import pytest

from benchmarks.detection_speed import BATCHED, FAST, FASTER, SINGLE, markdown, ranks, scaled, table
from caffelite.detection.card import Card
from caffelite.detection.recipes.files import recipe
from caffelite.prototxt.source import parse_net

SECONDS = {SINGLE: 40.0, BATCHED: 20.0, FAST: 2.0, FASTER: 1.0}


def test_measured_windows_stand_for_all():
    assert scaled(3.0, 64, 2048) == 96


def test_proposals_count_for_all_but_faster():
    rows = {row["method"]: row for row in table(SECONDS, 2.0)}
    assert [rows[name]["with_proposals"] for name in SECONDS] == [42, 22, 4, 1]
    assert rows[FAST][f"times_{SINGLE}"] == 20
    assert rows[FAST][f"times_{BATCHED}_with_proposals"] == 5.5
    assert rows[FASTER][f"times_{SINGLE}_with_proposals"] == 42


def test_the_table_has_a_row_a_method():
    lines = markdown(table(SECONDS, 2.0)).splitlines()
    assert len(lines) == 2 + len(SECONDS)
    assert lines[-1] == "| Faster R-CNN | 1.000 | 40.0 | 20.0 | 1.000 | 42.0 | 22.0 |"


@pytest.mark.parametrize(("arch", "expected"), [("vgg16", {"fc6": 1024, "fc7": 256}), ("tiny", {"fc6": 32})])
def test_ranks_are_the_published_shares(arch, expected):
    net = recipe(Card("fast", arch, ("cat",), anchors={"feat_stride": 16}))["test.prototxt"]
    assert ranks(parse_net(net)) == expected
