"""Silence."""

from caffelite.testing import check_layer, make_layer


def test_no_tops_and_no_gradient():
    layer = make_layer("Silence", bottoms=2, tops=0)
    assert layer.infer([(2, 3), (4,)]) == []
    assert not hasattr(layer, "backward")


def test_checks():
    check_layer("Silence", "", [(2, 3), (4,)], tops=0)
