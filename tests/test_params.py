"""Parameters: versions, leases, cleared gradients, sharing."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from caffelite.params import Param


def param(*shape: int) -> Param:
    return Param(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


class Packer:
    """Keeps a packed form as an engine does, made anew when the stamp has moved."""

    def __init__(self, param: Param):
        self.param, self.stamp, self.packed = param, 0, None

    def get(self) -> np.ndarray:
        stamp = self.param.stamp()
        if stamp != self.stamp:
            self.stamp, self.packed = stamp, self.param.data.copy()
        return self.packed


def test_the_stamp_rests_while_nothing_happens() -> None:
    w = param(2, 3)
    assert w.stamp() == w.stamp()


def test_touch_and_load_move_the_stamp() -> None:
    w = param(2, 3)
    before = w.stamp()
    w.touch()
    touched = w.stamp()
    w.load(np.ones((2, 3)))
    assert before != touched != w.stamp()
    assert (w.data == 1).all()


def test_writing_through_a_view_much_later_is_seen() -> None:
    w = param(2, 3)
    packer = Packer(w)
    view = w.data_view()
    packer.get()
    view[0, 0] = 7  # long after the engine has packed
    assert packer.get()[0, 0] == 7
    view[1, 1] = 8
    assert packer.get()[1, 1] == 8


def test_a_view_of_one_statement_is_seen() -> None:
    """``net.params["conv"][0].data[...] = 1``: the view is gone before anybody looks."""
    w = param(2, 3)
    packer = Packer(w)
    packer.get()
    w.data_view()[...] = 1
    assert (packer.get() == 1).all()
    view = w.data_view()
    packer.get()
    view[...] = 2
    del view
    assert (packer.get() == 2).all()


def test_no_cycle_keeps_the_arrays_alive() -> None:
    w = param(2, 3)
    w.data_view()
    w.grad_view()
    alive = weakref.ref(w._values)
    gc.disable()
    try:
        del w
        assert alive() is None
    finally:
        gc.enable()


def test_values_are_made_when_first_looked_at() -> None:
    made: list[int] = []

    def make() -> np.ndarray:
        made.append(1)
        return np.ones((2, 3), np.float32)

    w = Param.lazy((2, 3), np.float32, make)
    assert w.shape == (2, 3) and w.grad_is_zero and not made
    assert w.data.tolist() == [[1] * 3] * 2
    w.touch()
    assert w.data is not None and made == [1]


def test_loading_before_the_first_look_makes_nothing() -> None:
    def make() -> np.ndarray:
        raise AssertionError("filled for nothing")

    w = Param.lazy((2, 3), np.float32, make)
    stamp = w.stamp()
    values = np.arange(6, dtype=np.float32)
    w.load(values.reshape(2, 3))
    assert w.data.base is values and w.stamp() != stamp  # no copy
    w.load(np.zeros((2, 3)))
    assert not values.any()


@pytest.mark.parametrize(
    "values", [np.zeros((2, 3)), np.zeros((3, 2), np.float32).T, np.broadcast_to(np.float32(0), (2, 3))]
)
def test_arrays_unfit_to_be_written_are_copied(values: np.ndarray) -> None:
    w = Param.lazy((2, 3), np.float32, lambda: np.ones((2, 3), np.float32))
    w.load(values)
    assert w.data.dtype == np.float32 and w.data.flags.c_contiguous and w.data.flags.writeable
    w.data[...] = 1
    assert not values.any()


def test_loading_another_count() -> None:
    w = Param.lazy((2, 3), np.float32, lambda: np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="reshape"):
        w.load(np.zeros(7, np.float32))
    assert w.data.shape == (2, 3)


def test_a_view_of_a_view_keeps_the_lease() -> None:
    w = param(2, 3)
    packer = Packer(w)
    row = w.data_view()[1].T[::2]
    gc.collect()
    packer.get()
    row[...] = 5
    assert packer.get()[1].tolist() == [5, 4, 5]


def test_the_lease_ends_with_the_last_view() -> None:
    w = param(2, 3)
    view = w.data_view()
    second = w.data_view()[0]
    del view
    assert w.stamp() != w.stamp()
    del second
    gc.collect()
    assert w.stamp() == w.stamp()


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 3, 4, 5)])
def test_views_are_live_and_writable(shape: tuple[int, ...]) -> None:
    w = Param.zeros(shape)
    view = w.data_view()
    assert view.shape == shape and view.flags.writeable
    view[...] = 3
    assert (w.data == 3).all()
    diff = w.grad_view()
    assert diff.shape == shape and not diff.any()
    diff[...] = 4
    assert (w.grad == 4).all()


def test_gradients_start_at_zero_and_add_up() -> None:
    w = param(3)
    assert w.grad_is_zero
    array, add = w.grad_for_write()
    assert not add
    array[...] = 2
    array, add = w.grad_for_write()
    assert add
    array += 1
    assert w.grad.tolist() == [3, 3, 3]
    assert not w.grad_is_zero


def test_clearing_costs_nothing_until_somebody_reads() -> None:
    w = param(3)
    array, _ = w.grad_for_write()
    array[...] = 2
    w.clear_grad()
    assert array.tolist() == [2, 2, 2]  # marked only
    assert w.grad.tolist() == [0, 0, 0]


def test_clearing_is_seen_through_a_view() -> None:
    w = param(3)
    view = w.grad_view()
    view[...] = 2
    w.clear_grad()
    assert view.tolist() == [0, 0, 0]
    array, _ = w.grad_for_write()
    array[...] = 5
    assert view.tolist() == [5, 5, 5]


def test_reshaped_shares_values_and_gradients() -> None:
    w = param(2, 3)
    v = w.reshaped((3, 2))
    assert v.shares_with(w)
    v.data[2, 1] = 9
    assert w.data[1, 2] == 9
    w.grad[...] = 1
    v.grad[...] += 1
    assert (w.grad == 2).all()
    stamp = w.stamp()
    v.touch()
    assert w.stamp() != stamp
    with pytest.raises(ValueError, match="counts differ"):
        w.reshaped((5,))


def test_a_twin_shares_values_only() -> None:
    w = param(2, 3)
    v = w.twin()
    assert v.shares_with(w)
    v.data[...] = 4
    v.grad[...] = 1
    assert (w.data == 4).all() and not w.grad.any()
    packer = Packer(w)
    packer.get()
    view = v.data_view()
    view[...] = 6
    assert (packer.get() == 6).all()


def test_strangers_share_nothing() -> None:
    assert not param(2).shares_with(param(2))


def test_loading_does_not_lose_numbers_in_silence() -> None:
    with pytest.raises(TypeError):
        param(2).load(np.array([1j, 2j]))
    w = param(2)
    w.load(np.array([1.5, 2.5]))  # double to single is what Caffe does
    assert w.data.tolist() == [1.5, 2.5]
