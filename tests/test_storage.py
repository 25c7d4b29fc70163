"""Memory by name: it grows, stays, and is seen through layouts."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.engine import get_engine
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN, Operand
from caffelite.plan.plan import Buffer, Placement
from caffelite.storage import ARENA, Storage, aligned_zeros, memory_limit


@pytest.fixture
def storage() -> Storage:
    return Storage(get_engine("reference"))


def place(
    shape: tuple[int, ...],
    layout: str = PLAIN,
    name: str = "x",
    offset: int | None = None,
    dtype: str = "float32",
) -> Placement:
    operand = Operand(shape, layout, dtype)
    return Placement(Buffer(name, operand.nbytes, "data", offset=offset), operand)


def test_a_piece_grows_and_stays(storage) -> None:
    first = storage.take("a", 100)
    assert not first.any() and storage.generation == 1
    first[...] = 7
    assert storage.take("a", 50) is first
    assert (storage.generation, storage.replaced) == (1, 0)
    second = storage.take("a", 200)
    assert second.nbytes >= 200 and not second.any()
    assert (storage.generation, storage.replaced) == (2, 2)
    assert storage.nbytes == second.nbytes


def test_a_new_name_replaces_nothing(storage) -> None:
    storage.take("a", 10)
    storage.take("b", 10)
    assert (storage.generation, storage.replaced) == (2, 0)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4, 5), (2, 1, 1, 1)])
def test_channels_last_is_a_view(storage, shape: tuple[int, ...]) -> None:
    array = storage.array(place(shape, CHANNELS_LAST))
    assert array.shape == shape and array.transpose(0, 2, 3, 1).flags.c_contiguous
    array[...] = 3
    assert (storage.array(place(shape, CHANNELS_LAST)) == 3).all()


def test_the_same_memory_in_two_shapes(storage) -> None:
    wide, flat = place((2, 6)), place((12,))
    storage.array(wide)[...] = np.arange(12).reshape(2, 6)
    assert storage.array(Placement(wide.buffer, flat.operand)).tolist() == list(range(12))


def test_zero_axes(storage) -> None:
    scalar = storage.array(place(()))
    assert scalar.shape == ()
    scalar[...] = 2.5
    assert float(storage.array(place(()))) == 2.5


def test_the_arena_is_one_piece(storage) -> None:
    storage.take(ARENA, 256)
    a, b = storage.array(place((8,), name="a", offset=0)), storage.array(place((8,), name="b", offset=64))
    a[...], b[...] = 1, 2
    assert a.sum() == 8 and b.sum() == 16
    assert storage.nbytes == 256
    assert storage.array(place((4,), name="c", offset=64, dtype="float64")).nbytes == 32


def test_alignment() -> None:
    for nbytes in (1, 63, 64, 1000):
        raw = aligned_zeros(nbytes)
        assert raw.ctypes.data % 64 == 0 and raw.nbytes == nbytes and not raw.any()


def test_the_limit_is_this_machines() -> None:
    assert 2**28 < memory_limit() < 2**48
