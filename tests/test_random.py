"""Counter-based random numbers: the same everywhere, independent of order and of each other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from caffelite.random import RandomSource


def test_a_key_gives_the_same_numbers_again():
    a = RandomSource(7).generator("drop6", 3).random(5)
    assert np.array_equal(a, RandomSource(7).generator("drop6", 3).random(5))


@pytest.mark.parametrize(
    "seed, key", [(8, ("a", 1)), (7, ("a", 2)), (7, ("b", 1)), (7, ("a", "1")), (7, ("a",))]
)
def test_another_seed_or_key_gives_others(seed, key):
    ours = RandomSource(7).generator("a", 1).random(4)
    assert not np.array_equal(ours, RandomSource(seed).generator(*key).random(4))


def test_keys_do_not_run_together():
    source = RandomSource(1)
    assert not np.array_equal(source.words(0, 2, "ab", "c"), source.words(0, 2, "a", "bc"))


def test_words_are_fixed_for_ever():
    """These numbers are in users' snapshots: they may never change."""
    words = RandomSource(1701).words(1, 1, "data", "transform")
    expected = [7681697965936417637, 12602390015910958134, 1848101997534202173, 15565897223710018698]
    assert words.tolist() == [expected]


def test_words_do_not_depend_on_the_range():
    source = RandomSource(5)
    whole = source.words(0, 40, "x")
    assert np.array_equal(whole[13:29], source.words(13, 16, "x"))
    assert whole.shape == (40, 4) and whole.dtype == np.uint64


def test_far_items_have_words():
    far = 2**40
    assert np.array_equal(RandomSource(5).words(far, 2, "x")[1], RandomSource(5).words(far + 1, 1, "x")[0])


def test_permutation_holds_each_once_and_changes_with_the_key():
    source = RandomSource(3)
    first, second = source.permutation(1000, "data", 0), source.permutation(1000, "data", 1)
    assert np.array_equal(np.sort(first), np.arange(1000))
    assert not np.array_equal(first, second)


def test_the_same_in_another_process():
    code = "from caffelite.random import RandomSource; print(RandomSource(9).words(0, 1, 'a', 2).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(RandomSource(9).words(0, 1, "a", 2).tolist())


def test_no_seed_takes_a_fresh_one_that_can_be_printed():
    a, b = RandomSource(-1), RandomSource(-1)
    assert a.seed != b.seed and a.seed >= 0
    assert np.array_equal(a.words(0, 2), RandomSource(a.seed).words(0, 2))


def test_numpy_integers_are_keys():
    source = RandomSource(3)
    assert np.array_equal(source.words(0, 1, np.int64(4)), source.words(0, 1, 4))
