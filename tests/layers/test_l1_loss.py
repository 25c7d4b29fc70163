"""L1Loss, NVCaffe's."""

import numpy as np

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    run = run_layer("L1Loss", "", [[[1.0, 5], [2, 2]], [[3.0, 2], [2, 1]]], dy=[4])
    assert run.y[0] == 3  # (2 + 3 + 0 + 1) / 2
    np.testing.assert_array_equal(run.dx[0], [[-2, 2], [0, 2]])
    np.testing.assert_array_equal(run.dx[1], -run.dx[0])


def test_checks():
    check_layer("L1Loss", "", [(2, 3, 4), (2, 12)])


def test_refused(message):
    assert "expected x and target with as many items" in message("L1Loss", "", [(2, 3), (2, 4)])
    assert "FlowNet2's L1Loss is not there" in message(
        "L1Loss", "l1_loss_param { epsilon: 0.1 }", [(2, 3), (2, 3)]
    )
