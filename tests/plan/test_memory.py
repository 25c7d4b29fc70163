"""The arena: what lives at one time lies apart, and what is free is used again."""

from __future__ import annotations

import random

import pytest

from caffelite.errors import NetError
from caffelite.plan.memory import ALIGNMENT, assign_offsets
from caffelite.plan.plan import Buffer


def buffers(*spans: tuple[int, int, int]) -> list[Buffer]:
    """From (first, last, bytes)."""
    return [
        Buffer(f"b{i}", size, "data", first=first, last=last) for i, (first, last, size) in enumerate(spans)
    ]


def test_nothing() -> None:
    assert assign_offsets([]) == 0


def test_two_that_live_together() -> None:
    a, b = made = buffers((0, 2, 100), (1, 3, 10))
    assert assign_offsets(made) == 192
    assert (a.offset, b.offset) == (0, 128)


def test_one_after_the_other() -> None:
    a, b = made = buffers((0, 2, 100), (3, 5, 128))
    assert assign_offsets(made) == 128
    assert a.offset == b.offset == 0


def test_a_moment_in_common_is_together() -> None:
    """The kernel of that moment reads one and writes the other."""
    a, b = made = buffers((0, 2, 64), (2, 5, 64))
    assert assign_offsets(made) == 128
    assert a.offset != b.offset


def test_the_smallest_hole_that_fits() -> None:
    large, wall, small, wall2, late = made = buffers(
        (0, 1, 640), (0, 9, 320), (0, 1, 128), (0, 9, 64), (2, 9, 100)
    )
    assign_offsets(made)
    assert late.offset == small.offset


def test_neighbouring_holes_join() -> None:
    a, b, wall, late = made = buffers((0, 1, 64), (0, 2, 64), (0, 9, 64), (3, 9, 128))
    assign_offsets(made)
    assert late.offset is not None and late.offset + 128 <= 192


def test_the_last_hole_grows() -> None:
    made = buffers((0, 1, 64), (2, 3, 128), (4, 5, 256))
    assert assign_offsets(made) == 256


def test_empty_buffers_have_a_place() -> None:
    made = buffers((0, 1, 0), (0, 1, 0))
    assert assign_offsets(made) == 2 * ALIGNMENT
    assert made[0].offset != made[1].offset


@pytest.mark.parametrize("seed", range(30))
def test_random_lives(seed: int) -> None:
    rng = random.Random(seed)
    made = []
    for i in range(80):
        first = rng.randrange(50)
        made.append(
            Buffer(
                f"b{i}",
                rng.choice([1, 64, 100, 1000, 5000]),
                "data",
                first=first,
                last=first + rng.randrange(20),
            )
        )
    total = assign_offsets(made)
    for i, a in enumerate(made):
        assert a.offset is not None and a.offset % ALIGNMENT == 0 and a.offset + a.nbytes <= total
        for b in made[:i]:
            together = a.first <= b.last and b.first <= a.last
            assert b.offset is not None
            assert not together or a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
    peak = max(sum(b.nbytes for b in made if b.first <= t <= b.last) for t in range(70))
    assert total < 2 * (peak + ALIGNMENT * len(made))


BIG = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 64 dim: 64 dim: 64 dim: 64 } } } layer { name: "r" type: "TanH" bottom: "x" top: "y" }'


def test_a_net_too_large_for_the_machine_is_refused_with_the_figures(planned) -> None:
    with pytest.raises(NetError) as caught:
        planned('name: "big" ' + BIG, memory_limit=2**26)
    message = str(caught.value)
    assert message.startswith(
        "net 'big' needs 0.1 GiB for its blobs, this machine has 0.1 GiB; the largest is 'x' (64, 64, 64, 64)"
    )
    assert "batch_size" in message
    planned(BIG, memory_limit=2**27)
