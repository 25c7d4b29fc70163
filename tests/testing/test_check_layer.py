"""The harness must notice what it says it checks: each layer below breaks one promise."""

import numpy as np
import pytest

from caffelite.layers import registry
from caffelite.layers.base import Layer
from caffelite.plan.kernel import ArrayKernel, HostEngine, Kernel
from caffelite.testing import CheckError, check_layer


class Good(Layer):
    """y = 2 x + W."""

    inplace = True

    def infer(self, shapes):
        self.param("W", shapes[0][1:])
        return [shapes[0]]

    def forward(self, xp, x, y, W):
        y[...] = 2 * x + W

    def backward(self, xp, dy, dx, dW):
        if dW is not None:
            dW += dy.sum(axis=0)
        if dx is not None:
            dx[...] = 2 * dy


class WritesItsBottom(Good):
    def forward(self, xp, x, y, W):
        y[...] = 2 * x + W
        x[...] = 0


class LeavesElements(Good):
    def forward(self, xp, x, y, W):
        y[1:] = 2 * x[1:] + W


class WrongGradient(Good):
    def backward(self, xp, dy, dx, dW):
        super().backward(xp, dy, dx, dW)
        if dx is not None:
            dx *= 1.001


class WrongParamGradient(Good):
    def backward(self, xp, dy, dx, dW):
        super().backward(xp, dy, dx, dW)
        if dW is not None:
            dW += 0.01


class Overwrites(Good):
    def backward(self, xp, dy, dx, dW):
        if dW is not None:
            dW[...] = 0
        super().backward(xp, dy, dx, dW)


class Accumulates(Good):
    inplace = False

    def backward(self, xp, dy, dx, dW):
        if dW is not None:
            dW += dy.sum(axis=0)
        if dx is not None:
            dx[...] = np.nan_to_num(dx) + 2 * dy


class NeedsBoth(Good):
    def backward(self, xp, dy, dx, dW):
        dW += dy.sum(axis=0)
        dx[...] = 2 * dy


class NotInPlace(Good):
    def forward(self, xp, x, y, W):
        y[...] = W
        y += 2 * x


class WritesIntoACopy(Good):
    inplace = False

    def forward(self, xp, x, y, W):
        y[...] = 0
        y.reshape(-1)[...] = (2 * x + W).reshape(-1)


class RemembersItsBottom(Good):
    """Reads in backward what it does not declare."""

    inplace = False

    def infer(self, shapes):
        return [shapes[0]]

    def forward(self, xp, x, y):
        self.kept = x
        y[...] = x * x

    def backward(self, xp, dy, dx):
        if dx is not None:
            dx[...] = 2 * self.kept * dy


class KnowsItsBatch(Good):
    def forward(self, xp, x, y, W):
        y[...] = (2 * x + W) * (len(x) / len(x))


@pytest.fixture
def check(monkeypatch):
    def check(layer, **more):
        monkeypatch.setitem(registry._users, layer.__name__, layer)
        more.setdefault("shapes", [(2, 3, 4, 5)])
        check_layer(layer.__name__, **more)

    return check


def test_a_good_layer_passes(check):
    check(Good)
    check(Good, shapes=[(3, 4)])


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (WritesItsBottom, "forward changes bottom 0"),
        (LeavesElements, "forward leaves 60 of 120 elements of top 0"),
        (WrongGradient, "gradient: backward gives .* along a random direction, forward changes by"),
        (WrongParamGradient, "gradient: backward gives"),
        (Overwrites, "dW after two backward passes"),
        (Accumulates, r"dx after two backward passes\[0\]"),
        (NotInPlace, "y in place"),
        (WritesIntoACopy, "channels-last arrays: y"),
        (RemembersItsBottom, "after overwriting what backward does not declare to read, dx"),
    ],
)
def test_each_broken_promise_is_noticed(check, layer, text):
    with pytest.raises(CheckError, match=text):
        check(layer)


def test_errors_of_the_layer_pass_through(check):
    with pytest.raises(TypeError):
        check(NeedsBoth)
    with pytest.raises(ZeroDivisionError):
        check(KnowsItsBatch)


def test_the_message_says_which_case(check):
    with pytest.raises(CheckError) as caught:
        check(LeavesElements, seed=7)
    assert str(caught.value).endswith(
        "\n  layer LeavesElements {  } phase TRAIN, shapes [(2, 3, 4, 5)], seed 7"
        "\n  engine reference, kernel array body, layout plain, float32"
    )


class Engine(HostEngine):
    """An engine with one kernel."""

    name, dtype, precision = "mine", "float32", "float32"

    def __init__(self, kernel):
        self.kernel = kernel

    def kernels(self, type_):
        return (self.kernel,)

    def compute(self):
        import contextlib

        return contextlib.nullcontext()


class OffKernel(ArrayKernel):
    """Adds a little."""

    def forward(self):
        super().forward()
        self.arrays["y"][...] += 1e-3


class LyingKernel(Kernel):
    """Reads x, and says that it reads nothing."""

    def reads(self):
        return frozenset()

    def forward(self):
        self.arrays["y"][...] = 2 * self.arrays["x"] + self.params["W"].data

    def backward(self):
        if self.arrays["dx"] is not None:
            self.arrays["dx"][...] = 2 * self.arrays["dy"] + 0 * self.arrays["x"]
        if self.site.learn["W"]:
            grad, add = self.params["W"].grad_for_write()
            grad[...] = self.arrays["dy"].sum(axis=0) + (grad if add else 0)


class RefusingKernel(OffKernel):
    @classmethod
    def refuses(cls, site):
        return "never"


@pytest.mark.parametrize(
    ("kernel", "text"),
    [(OffKernel, r"against the array body: y\[0\]"), (LyingKernel, "does not declare to read")],
)
def test_wrong_kernels_are_noticed(check, kernel, text):
    with pytest.raises(CheckError, match=text) as caught:
        check(Good, engines=[Engine(kernel)])
    assert f"engine mine, kernel {kernel.__name__}" in str(caught.value)


def test_refusing_kernels_do_not_run(check):
    check(Good, engines=[Engine(RefusingKernel)])
