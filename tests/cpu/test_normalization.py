"""BatchNorm, Scale and Softmax through oneDNN."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.plan.kernel import CHANNELS_LAST
from caffelite.types import Phase

SHAPES = [(3, 4, 7, 5), (2, 16, 3, 3), (2, 17, 1, 1), (1, 1, 4, 5), (5, 7), (2, 3, 5), (2, 3, 4, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("phase", list(Phase))
def test_batch_norm(agrees, shape, phase):
    agrees("BatchNorm", "batch_norm_param { eps: 0.01 }", shape, phase=phase)


def test_batch_norm_that_was_never_trained(run_kernel):
    zeros = {"mean": np.zeros(3), "variance": np.zeros(3), "factor": np.zeros(1)}
    run = run_kernel("BatchNorm", "", (2, 3, 4, 5), phase=Phase.TEST, params=zeros).forward()
    np.testing.assert_allclose(run.y[0], run.x[0] / np.sqrt(1e-5), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", ["", "scale_param { bias_term: true }"])
def test_scale(agrees, shape, text):
    agrees("Scale", text, shape)


def test_scales_that_lie_elsewhere_are_left_to_the_array_body(objections):
    got = objections("Scale", "scale_param { num_axes: 2 }", (2, 3, 4, 5))
    assert got == {"its scale does not lie along axis 1 of 2 to 5"}
    assert objections("Scale", "", (2, 3, 4, 5), (3,)) == {"its scale is a bottom"}


@pytest.mark.parametrize("learn", [{"W"}, {"b"}])
def test_scale_learns_one_of_two(run_kernel, learn):
    text, shape = "scale_param { bias_term: true }", (2, 3, 4, 5)
    whole = run_kernel("Scale", text, shape).forward().backward()
    run = run_kernel("Scale", text, shape)
    run.kernel.site.learn.update({name: name in learn for name in ("W", "b")})
    run.kernel.__init__(run.kernel.site)
    run.forward().backward()
    np.testing.assert_allclose(run.dx[0], whole.dx[0], rtol=1e-6)
    for name in ("W", "b"):
        if name in learn:
            np.testing.assert_allclose(run.params[name].grad, whole.params[name].grad, rtol=1e-5)
        else:
            assert run.params[name].grad_is_zero


@pytest.mark.parametrize("shape", [(3, 4, 7, 5), (2, 16, 3, 3), (2, 17, 1, 1), (5, 7)])
def test_softmax(agrees, shape):
    agrees("Softmax", "", shape, layouts=(CHANNELS_LAST,))
