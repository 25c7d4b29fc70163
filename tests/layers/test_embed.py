"""Embed."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer

TEXT = "embed_param { num_output: 2 input_dim: 3 }"


def test_worked_example():
    params = {"W": [[1, 2], [3, 4], [5, 6]], "b": [10, 20]}
    run = run_layer("Embed", TEXT, [[2, 0, 2]], params=params, dy=[[[1, 1], [2, 2], [3, 3]]])
    np.testing.assert_array_equal(run.y[0], [[15, 26], [11, 22], [15, 26]])
    np.testing.assert_array_equal(run.dparams["W"], [[2, 2], [0, 0], [4, 4]])
    np.testing.assert_array_equal(run.dparams["b"], [6, 6])


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 1, 3, 2)])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_checks(shape, bias):
    check_layer(
        "Embed", f"embed_param {{ num_output: 4 input_dim: 6 bias_term: {bias} }}", [shape], labels={0: 6}
    )


@pytest.mark.parametrize("index", [3, -1])
def test_index_out_of_range(index):
    with pytest.raises(
        DataError, match=rf"expected indices from 0 to 2 \(input_dim 3\), got {index} at index 1"
    ):
        run_layer("Embed", TEXT, [[0, index]])


def test_missing_sizes(message):
    text = message("Embed", "embed_param { num_output: 2 }")
    assert text == "layer 'layer' (Embed): expected input_dim >= 1, got 0\n  Fix: set embed_param.input_dim"
