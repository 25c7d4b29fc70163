"""Images in memory, in other sizes."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.data import opencv
from caffelite.data.skipped import BadRecordError


@pytest.mark.parametrize("channels", [1, 3])
def test_another_size(channels: int) -> None:
    image = np.full((channels, 4, 6), 7, np.uint8)
    np.testing.assert_array_equal(opencv.resize(image, 2, 5), np.full((channels, 2, 5), 7))


@pytest.mark.parametrize("size", [(2**31, 1), (10**8, 10**8)])
def test_sizes_that_no_image_has(size: tuple[int, int]) -> None:
    with pytest.raises(BadRecordError, match=f"cannot be resized to {size[0]} x {size[1]}"):
        opencv.resize(np.zeros((3, 4, 6), np.uint8), *size)
