"""Learning rates: numbers worked by hand, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from caffelite.errors import NotFiniteError, UsageError
from caffelite.solver.policies import POLICIES, learning_rate, objections


def parameters(policy, **fields):
    defaults = {
        "base_lr": 0.5, "gamma": 0.1, "power": 2.0, "stepsize": 4, "max_iter": 10, "stepvalue": [], "min_lr": 0.0,
        "rampup_interval": 0, "rampup_lr": 0.0, "warmup_iter": 0, "warmup_start_lr": 0.0, "plateau_winsize": [3],
        "stagelr": [0.1, 0.2, 0.3], "stageiter": [2, 5, 7],
    }  # fmt: skip
    return SimpleNamespace(**defaults | fields, lr_policy=policy)


@pytest.mark.parametrize(
    "policy, iteration, rate",
    [
        ("fixed", 1000, 0.5),
        ("step", 3, 0.5),
        ("step", 4, 0.05),
        ("step", 8, 0.005),
        ("exp", 0, 0.5),
        ("exp", 3, 0.0005),
        ("inv", 10, 0.125),
        ("poly", 0, 0.5),
        ("poly", 5, 0.125),
        ("poly", 10, 0.0),
        ("sigmoid", 4, 0.25),
        ("sigmoid", 14, 0.5 / (1 + 2.718281828459045**-1)),
        ("sigmoid", 0, 0.5 / (1 + 2.718281828459045**0.4)),
        ("cosine", 0, 0.5),
        ("cosine", 5, 0.25),
        ("cosine", 10, 0.0),
        ("multifixed", 2, 0.1),
        ("multifixed", 3, 0.2),
        ("multifixed", 8, 0.3),
    ],
)
def test_rates(policy, iteration, rate):
    assert learning_rate(parameters(policy), iteration) == pytest.approx(rate, rel=1e-12)


def test_a_negative_rate_climbs_as_in_caffe():
    p = parameters("step", base_lr=-0.5)
    assert not list(objections(p)) and learning_rate(p, 4) == pytest.approx(-0.05)


def test_sigmoid_rises():
    p = parameters("sigmoid")
    rates = [learning_rate(p, iteration) for iteration in range(0, 100000, 1000)]
    assert rates == sorted(rates) and rates[-1] == 0.5


def test_sigmoid_far_below_its_middle_does_not_overflow():
    assert learning_rate(parameters("sigmoid", stepsize=10**6, gamma=1.0), 0) == 0


@pytest.mark.parametrize("policy", ["multistep", "plateau"])
def test_steps(policy):
    assert learning_rate(parameters(policy), 5, 2) == pytest.approx(0.005)


@pytest.mark.parametrize(
    "policy, iteration, rate",
    [
        ("poly", 0, 0.5),
        ("poly", 5, 0.1 + 0.4 / 4),
        ("poly", 10, 0.1),
        ("cosine", 5, 0.3),
        ("cosine", 10, 0.1),
        ("step", 4, 0.1),
        ("fixed", 9, 0.5),
    ],
)
def test_the_least_rate(policy, iteration, rate):
    assert learning_rate(parameters(policy, min_lr=0.1), iteration) == pytest.approx(rate)


@pytest.mark.parametrize(
    "fields",
    [{"rampup_interval": 4, "rampup_lr": 0.1}, {"warmup_iter": 4, "warmup_start_lr": 0.1}],
    ids=["NVIDIA's words", "Intel's words"],
)
def test_a_warm_up_stands_before_the_policy(fields):
    p = parameters("exp", gamma=0.5, **fields)
    rates = [learning_rate(p, iteration) for iteration in range(6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5 / 2**4, 0.5 / 2**5])


@pytest.mark.parametrize("policy", ["poly", "cosine"])
def test_policies_that_end_at_max_iter(policy):
    with pytest.raises(UsageError, match=f'"{policy}" has no rate for iteration 11: it ends at max_iter 10'):
        learning_rate(parameters(policy), 11)


def test_a_rate_that_overflows_is_named():
    with pytest.raises(NotFiniteError, match='iteration 100000: the learning rate of lr_policy "exp"'):
        learning_rate(parameters("exp", gamma=3.0), 100000)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"lr_policy": "multi_step"}, "did you mean 'multistep'?"),
        (
            {"lr_policy": ""},
            "expected an lr_policy: fixed, step, exp, inv, multistep, poly, sigmoid, plateau, multifixed, cosine, got none",
        ),
        (
            {"lr_policy": "step", "stepsize": 0},
            'expected stepsize > 0 with lr_policy "step", got 0 (as where none is given)',
        ),
        ({"lr_policy": "sigmoid", "gamma": -0.5}, 'expected gamma >= 0 with lr_policy "sigmoid", got -0.5'),
        ({"lr_policy": "poly", "max_iter": 0}, 'expected max_iter > 0 with lr_policy "poly", got 0'),
        ({"lr_policy": "cosine", "max_iter": 0}, 'expected max_iter > 0 with lr_policy "cosine", got 0'),
        (
            {"lr_policy": "plateau", "plateau_winsize": []},
            'one for each step down, with lr_policy "plateau", got none',
        ),
        ({"lr_policy": "plateau", "plateau_winsize": [5, 0]}, "expected plateau_winsize > 0"),
        ({"lr_policy": "plateau", "gamma": -1.0}, 'expected gamma >= 0 with lr_policy "plateau", got -1'),
        ({"lr_policy": "multifixed", "stagelr": [0.1]}, "expected as many stagelr as stageiter"),
        ({"lr_policy": "multifixed", "stagelr": [], "stageiter": []}, "at least one, with lr_policy"),
        (
            {"lr_policy": "multifixed", "stageiter": [5, 2, 7]},
            "expected rising numbers in stageiter, got [5, 2, 7]",
        ),
        ({"rampup_interval": 3, "warmup_iter": 3}, "either rampup_interval or warmup_iter"),
        ({"rampup_interval": -1}, "expected rampup_interval >= 0, got -1"),
        ({"rampup_lr": -0.5}, "expected rampup_lr >= 0, got -0.5"),
        ({"min_lr": 0.6}, "expected min_lr <= base_lr (0.5), got 0.6"),
    ],
)
def test_objections(fields, message):
    p = parameters("fixed")
    vars(p).update(fields)
    assert any(message in str(objection) for objection in objections(p))


@pytest.mark.parametrize("policy", POLICIES)
def test_no_objections_to_good_ones(policy):
    assert list(objections(parameters(policy))) == []
